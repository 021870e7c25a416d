//! What a collection holds, as one number that does not depend on the order of its documents.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Sum modulo 2^256 of the SHA-256 of each raw document.
///
/// The 32 bytes of a SHA-256 are read as a little-endian integer, and the sum is written the same way: so the
/// digest of one document prints as its SHA-256, and the digest of nothing as zeros. Neither the order of the
/// documents nor the way they were divided into batches changes it, which is what lets an archive, a live
/// collection and several threads agree. It proves equality between copies that nobody forged: a sum is not a
/// signature (the file as stored has its own SHA-256).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ContentDigest {
    /// The number in two halves: few enough steps to be cheap in a build without optimisation, too.
    low: u128,
    high: u128,
}

impl ContentDigest {
    /// The digest of one raw BSON document.
    pub fn of(document: &[u8]) -> Self {
        // `ring`, not `sha2` as for files: generic code is compiled in this crate, unoptimised in the dev profile,
        // and costs five times as much on small documents.
        let hash = ring::digest::digest(&ring::digest::SHA256, document);
        let half = |bytes: Option<&[u8; 16]>| bytes.map_or(0, |bytes| u128::from_le_bytes(*bytes));
        Self {
            low: half(hash.as_ref().first_chunk()),
            high: half(hash.as_ref().last_chunk()),
        }
    }

    /// Adds one raw BSON document.
    pub fn add(&mut self, document: &[u8]) {
        self.merge(&Self::of(document));
    }

    /// Takes one raw BSON document out again.
    pub fn sub(&mut self, document: &[u8]) {
        self.unmerge(&Self::of(document));
    }

    /// Takes all documents of another digest out again.
    pub fn unmerge(&mut self, other: &Self) {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        self.low = low;
        self.high = self
            .high
            .wrapping_sub(other.high)
            .wrapping_sub(u128::from(borrow));
    }

    /// Adds all documents of another digest.
    pub fn merge(&mut self, other: &Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(other.high).wrapping_add(u128::from(carry));
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `swap_bytes` because the number is little-endian and hexadecimal digits are not.
        write!(f, "{:032x}{:032x}", self.low.swap_bytes(), self.high.swap_bytes())
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentDigest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        // Upper case is refused: a digest has one spelling, so that comparing texts is comparing digests.
        let canonical = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        anyhow::ensure!(canonical, "a content digest is 64 lower-case hexadecimal digits");
        let half = |digits: &str| u128::from_str_radix(digits, 16).map(u128::swap_bytes);
        Ok(Self {
            low: half(&text[..32])?,
            high: half(&text[32..])?,
        })
    }
}

impl Serialize for ContentDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// Of the number's four parts, least significant first.
    fn digest(parts: [u64; 4]) -> ContentDigest {
        let half = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
        ContentDigest {
            low: half(parts[0], parts[1]),
            high: half(parts[2], parts[3]),
        }
    }

    #[test]
    fn one_document_prints_as_its_sha256() {
        assert_eq!(ContentDigest::of(b"").to_string(), EMPTY_SHA256);
        assert_eq!(ContentDigest::default().to_string(), "0".repeat(64));
    }

    #[test]
    fn sums_carry_through_every_limb() {
        let max = u64::MAX;
        let cases = [
            ([1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]),
            ([max, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]),
            ([max, max, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]),
            ([max, max, max, 0], [1, 0, 0, 0], [0, 0, 0, 1]),
            ([max, max, max, max], [1, 0, 0, 0], [0, 0, 0, 0]),
            (
                [max, max, max, max],
                [max, max, max, max],
                [max - 1, max, max, max],
            ),
            ([0, max, 0, 0], [0, 1, max, 0], [0, 0, 0, 1]),
        ];
        for (left, right, expected) in cases {
            let mut sum = digest(left);
            sum.merge(&digest(right));
            assert_eq!(sum, digest(expected), "{left:?} + {right:?}");
        }
    }

    #[test]
    fn known_sum_of_two_documents() {
        // python3: (int.from_bytes(sha256(b"a"), "little") + int.from_bytes(sha256(b"b"), "little")) % 2**256
        let mut sum = ContentDigest::default();
        sum.add(b"a");
        sum.add(b"b");
        assert_eq!(sum.to_string(), KNOWN_SUM);
    }

    const KNOWN_SUM: &str = "08bb6929ca5416152e4c8118ff048e8232446af99c507bbc84f46534858b4958";

    #[test]
    fn order_and_batches_do_not_matter_and_sub_undoes_add() {
        let documents: Vec<Vec<u8>> = (0..200u8).map(|n| vec![n; usize::from(n)]).collect();
        let mut forward = ContentDigest::default();
        for document in &documents {
            forward.add(document);
        }
        let (mut odd, mut even) = (ContentDigest::default(), ContentDigest::default());
        for (n, document) in documents.iter().enumerate().rev() {
            if n % 2 == 0 {
                even.add(document);
            } else {
                odd.add(document);
            }
        }
        even.merge(&odd);
        assert_eq!(forward, even);
        for document in &documents {
            even.sub(document);
        }
        assert_eq!(even, ContentDigest::default());
    }

    #[test]
    fn twice_the_same_document_is_not_nothing() {
        let mut twice = ContentDigest::default();
        twice.add(b"x");
        twice.add(b"x");
        assert_ne!(twice, ContentDigest::default());
        assert_ne!(twice, ContentDigest::of(b"x"));
    }

    #[test]
    fn text_round_trips_and_other_spellings_are_refused() {
        let text = serde_json::to_string(&ContentDigest::of(b"")).unwrap();
        assert_eq!(text, format!("\"{EMPTY_SHA256}\""));
        assert_eq!(
            serde_json::from_str::<ContentDigest>(&text).unwrap(),
            ContentDigest::of(b"")
        );
        let upper = EMPTY_SHA256.to_uppercase();
        let padded = format!("+{}", &EMPTY_SHA256[1..]);
        for bad in ["", "00", upper.as_str(), padded.as_str(), &"é".repeat(32)] {
            assert!(bad.parse::<ContentDigest>().is_err(), "{bad}");
        }
    }
}
