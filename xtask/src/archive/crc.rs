//! The checksum that mongodump writes after each namespace.

use std::fmt;
use std::sync::LazyLock;

use crc_fast::{CrcParams, checksum_with_params};

/// The start, and what the end is inverted with.
const ONES: u64 = u64::MAX;

/// With the tables that the vector code needs, made once.
static PARAMETERS: LazyLock<CrcParams> = LazyLock::new(|| {
    CrcParams::new(
        "CRC-64/XZ",
        64,
        0x42f0_e1eb_a9ea_3693,
        ONES,
        true,
        ONES,
        0x995d_c9bb_df19_39fa,
    )
});

/// CRC-64/XZ over the raw documents of a namespace, in the order of the archive.
///
/// mongodump calls its table "ECMA", but Go's `crc64.ECMA` is the reflected polynomial with inverted start and
/// end, which the catalogues call CRC-64/XZ; CRC-64/ECMA-182 is another one.
#[derive(Clone)]
pub struct Crc64 {
    state: u64,
}

impl Crc64 {
    pub fn new() -> Self {
        Self { state: ONES }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        // Not the crate's `Digest`: that is inlined into this crate, where the dev profile leaves its vector code
        // unoptimised. This function is compiled over there.
        let parameters = CrcParams {
            init_algorithm: self.state,
            ..*PARAMETERS
        };
        self.state = checksum_with_params(parameters, bytes) ^ ONES;
    }

    /// The checksum of everything so far; zero for nothing.
    pub fn value(&self) -> u64 {
        self.state ^ ONES
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crc64({:016x})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitwise(bytes: &[u8]) -> u64 {
        let mut crc = u64::MAX;
        for byte in bytes {
            crc ^= u64::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ 0xC96C_5795_D787_0F42
                } else {
                    crc >> 1
                };
            }
        }
        !crc
    }

    #[test]
    fn agrees_with_the_check_value_and_the_definition() {
        assert_eq!(bitwise(b"123456789"), 0x995d_c9bb_df19_39fa);
        let bytes: Vec<u8> = (0..251).cycle().take(5000).collect();
        // Lengths around the widths of the vector code paths.
        for length in [
            0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 1023, 5000,
        ] {
            let mut crc = Crc64::new();
            crc.update(&bytes[..length]);
            assert_eq!(crc.value(), bitwise(&bytes[..length]), "{length} bytes");
        }
        assert_eq!(Crc64::new().value(), 0);
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let mut crc = Crc64::new();
        for piece in bytes.chunks(97) {
            crc.update(piece);
        }
        assert_eq!(crc.value(), bitwise(&bytes));
    }
}
