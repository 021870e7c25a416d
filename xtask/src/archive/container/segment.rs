//! A segment of a differential backup: a part of the archive, packed against a range of the base's archive.
//!
//! `diff/NUMBER.OFFSET.LENGTH.zst` is a zstd frame whose prefix is the LENGTH bytes from OFFSET on of the base's archive:
//! `zstd -d --patch-from=RANGE diff/…` unpacks it.

use std::fmt;
use std::io::{self, Read as _};
use std::ops::Range;

use anyhow::{Context as _, Result, anyhow, ensure};
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, SafeResult};

use super::{FileDigest, MAX_CHUNK_BYTES};
use crate::domain::release::BackupRef;

/// Bytes of the archive in a segment; the last one is smaller, and one before a jump may be.
pub(in crate::archive) const SEGMENT_BYTES: usize = 16 << 20;
/// The most of the base that one segment is packed against.
pub(in crate::archive) const MAX_PREFIX_BYTES: u64 = 2 * SEGMENT_BYTES as u64;
/// Measured on documents with 1 % changed: level 1 packs as small, and new documents a tenth larger.
const LEVEL: i32 = 3;
/// The program `zstd` unpacks windows of 2^27 bytes without being asked to.
const MAX_WINDOW_LOG: u32 = 27;

/// Name of the segment's member in the tar.
pub(super) fn name(number: u64, prefix: &Range<u64>) -> String {
    format!(
        "diff/{number:08}.{}.{}.zst",
        prefix.start,
        prefix.end - prefix.start
    )
}

/// The range of the base that the name of segment `number` has; `None` where it is no such name.
pub(super) fn prefix_of(name_read: &str, number: u64) -> Option<Range<u64>> {
    let inner = name_read.strip_prefix("diff/")?.strip_suffix(".zst")?;
    let (_, range) = inner.split_once('.')?;
    let (offset, length) = range.split_once('.')?;
    let (offset, length): (u64, u64) = (offset.parse().ok()?, length.parse().ok()?);
    let prefix = offset..offset.checked_add(length)?;
    (length <= MAX_PREFIX_BYTES && name(number, &prefix) == name_read).then_some(prefix)
}

/// Packs a part of an archive.
pub(super) fn pack(prefix: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let all = prefix.len() + plain.len();
    // Matches may reach back to the first byte of the prefix.
    let window_log = (usize::BITS - all.leading_zeros()).clamp(17, MAX_WINDOW_LOG);
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(window_log),
        CParameter::EnableLongDistanceMatching(true),
        CParameter::ChecksumFlag(true),
    ] {
        done(context.set_parameter(parameter))?;
    }
    done(context.ref_prefix(prefix))?;
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    done(context.compress2(&mut packed, plain))?;
    Ok(packed)
}

/// Unpacks one; lengths are bounded before anything is allocated.
pub(super) fn unpack(prefix: &[u8], packed: &[u8]) -> Result<Vec<u8>> {
    let stated = zstd_safe::get_frame_content_size(packed).ok().flatten();
    let length = stated.context("it is no zstd frame with a length")?;
    ensure!(
        (1..=MAX_CHUNK_BYTES as u64).contains(&length),
        "it claims to hold {length} bytes"
    );
    let mut context = DCtx::create();
    done(context.ref_prefix(prefix))?;
    let mut plain = Vec::with_capacity(usize::try_from(length)?);
    done(context.decompress(&mut plain, packed))?;
    ensure!(
        plain.len() as u64 == length,
        "it holds {} bytes, not {length}",
        plain.len()
    );
    Ok(plain)
}

fn done(result: SafeResult) -> Result<usize> {
    result.map_err(|code| anyhow!("zstd: {}", zstd_safe::get_error_name(code)))
}

/// The archive of a backup, as [`super::ContainerReader`] gives it.
pub trait StoredArchive: io::Read + Send + fmt::Debug {
    /// Stops reading and returns the digest of the whole file as stored.
    fn digest(self: Box<Self>) -> Result<FileDigest>;
}

/// The archive of a full backup, read once from its start on as the segments of a differential one need it.
#[derive(Debug)]
pub struct BaseArchive {
    reader: Box<dyn StoredArchive>,
    base: BackupRef,
    /// What was read from `start` on and may be needed again.
    window: Vec<u8>,
    start: u64,
}

impl BaseArchive {
    /// `reader` gives the archive of the backup that `base` names.
    pub fn new(reader: impl StoredArchive + 'static, base: BackupRef) -> Self {
        Self {
            reader: Box::new(reader),
            base,
            window: Vec::new(),
            start: 0,
        }
    }

    /// Which backup it is.
    pub fn base(&self) -> &BackupRef {
        &self.base
    }

    /// Where the window begins: nothing before is to be had.
    pub(in crate::archive) fn start(&self) -> u64 {
        self.start
    }

    /// These bytes of the archive; what is before them is given up.
    pub(in crate::archive) fn range(&mut self, range: &Range<u64>) -> Result<&[u8]> {
        let length = range
            .end
            .checked_sub(range.start)
            .filter(|length| *length <= MAX_PREFIX_BYTES);
        let length = usize::try_from(length.context("an impossible range of the base")?)?;
        ensure!(
            range.start >= self.start,
            "the ranges of the base are out of order"
        );
        self.forget_until(range.start)
            .and_then(|()| self.fill(length))
            .with_context(|| self.name())?;
        Ok(&self.window[..length])
    }

    /// Reads what is left, and proves that it is the file that `base` names.
    pub(super) fn finish(self) -> Result<()> {
        let name = self.name();
        let Self { reader, base, .. } = self;
        let digest = reader.digest().with_context(|| name.clone())?;
        ensure!(
            digest.sha256 == base.hash,
            "{name} was changed or damaged: its SHA-256 is {}, not {}",
            digest.sha256,
            base.hash
        );
        Ok(())
    }

    fn name(&self) -> String {
        format!("the full backup {} that it builds on", self.base.id)
    }

    fn forget_until(&mut self, start: u64) -> Result<()> {
        let known = usize::try_from(start - self.start)?.min(self.window.len());
        self.window.drain(..known);
        self.start += known as u64;
        let skipped = start - self.start;
        let read = std::io::copy(&mut self.reader.by_ref().take(skipped), &mut io::sink())?;
        ensure!(read == skipped, "its archive ends at byte {}", self.start + read);
        self.start = start;
        Ok(())
    }

    fn fill(&mut self, length: usize) -> Result<()> {
        let missing = length.saturating_sub(self.window.len());
        self.window.reserve_exact(missing);
        let read = self
            .reader
            .by_ref()
            .take(missing as u64)
            .read_to_end(&mut self.window)?;
        ensure!(
            read == missing,
            "its archive ends at byte {}",
            self.start + self.window.len() as u64
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments_have_one_form_and_bounded_lengths() {
        for prefix in [0..0, 7..100, 1 << 40..(1 << 40) + MAX_PREFIX_BYTES] {
            assert_eq!(prefix_of(&name(3, &prefix), 3), Some(prefix));
        }
        for wrong in [
            "diff/00000003.0.1.zst.zst",
            "diff/3.0.1.zst",
            "diff/00000004.0.1.zst",
            "diff/00000003.00.1.zst",
            "diff/00000003.+1.1.zst",
            "diff/00000003.0.33554433.zst",
            "diff/00000003.18446744073709551615.1.zst",
            "data/00000003",
        ] {
            assert_eq!(prefix_of(wrong, 3), None, "{wrong}");
        }
    }

    #[test]
    fn a_segment_needs_its_own_prefix_and_no_byte_of_it_may_differ() {
        let noise = |seed: u64| -> Vec<u8> {
            let step = |x: &mut u64| {
                *x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                Some(x.to_be_bytes()[1])
            };
            (0..50_000).scan(seed, |x, _| step(x)).collect()
        };
        let prefix = noise(1);
        let mut plain = prefix[100..].to_vec();
        plain[7_000] ^= 1;
        let packed = pack(&prefix, &plain).unwrap();
        assert!(packed.len() < 200, "{}", packed.len());
        assert_eq!(unpack(&prefix, &packed).unwrap(), plain);
        for other in [&[][..], &noise(2), &prefix[..49_000]] {
            assert!(unpack(other, &packed).is_err());
        }
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1;
            assert!(
                unpack(&prefix, &damaged).map_or(true, |same| same == plain),
                "byte {at}"
            );
            assert!(unpack(&prefix, &packed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_frame_that_claims_more_than_any_segment_holds_is_refused() {
        for length in [0, MAX_CHUNK_BYTES + 1] {
            let frame = pack(&[], &vec![0; length]).unwrap();
            let error = unpack(&[], &frame).unwrap_err().to_string();
            assert!(error.contains("claims to hold"), "{error}");
        }
    }
}
