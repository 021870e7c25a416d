//! One gzip member that says how long it is, so that members can be unpacked by several cores as well.
//!
//! The length is in an extra field of the gzip header (RFC 1952, 2.3.1.1), which every other tool passes over.

use anyhow::{Result, bail, ensure};
use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{CompressionLvl, Compressor};

use super::MAX_CHUNK_BYTES;

/// Identification, deflate, FEXTRA, no time, no hints, unknown system; extra field of 8 bytes, subfield `XB`, 4 bytes.
const START: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'X', b'B', 4, 0];
/// With the length of the whole member, 32 bits.
pub(super) const HEADER_BYTES: usize = START.len() + 4;
/// CRC-32 and length of the content.
const TRAILER_BYTES: usize = 8;
/// A chunk and its tar header.
pub(super) const MAX_CONTENT_BYTES: usize = MAX_CHUNK_BYTES + 1024;
/// Deflate grows what it cannot compress by far less than this.
const MAX_MEMBER_BYTES: usize = MAX_CONTENT_BYTES + MAX_CONTENT_BYTES / 64;

/// Compresses to members; keeps its scratch memory.
pub(super) struct MemberWriter {
    compressor: Compressor,
    scratch: Vec<u8>,
}

impl MemberWriter {
    pub(super) fn new(level: u8) -> Result<Self> {
        let Ok(level) = CompressionLvl::new(level.into()) else {
            bail!("compression level {level} does not exist: 0 to 12")
        };
        Ok(Self {
            compressor: Compressor::new(level),
            scratch: Vec::new(),
        })
    }

    pub(super) fn member(&mut self, content: &[u8]) -> Result<Vec<u8>> {
        ensure!(
            content.len() <= MAX_CONTENT_BYTES,
            "a gzip member of {} bytes is too large",
            content.len()
        );
        let bound = self.compressor.deflate_compress_bound(content.len());
        if self.scratch.len() < bound {
            self.scratch.resize(bound, 0);
        }
        let deflated = self.compressor.deflate_compress(content, &mut self.scratch)?;
        let length = HEADER_BYTES + deflated + TRAILER_BYTES;
        let mut member = Vec::with_capacity(length);
        member.extend(START);
        member.extend(u32::try_from(length)?.to_le_bytes());
        member.extend(&self.scratch[..deflated]);
        member.extend(libdeflater::crc32(content).to_le_bytes());
        member.extend(u32::try_from(content.len())?.to_le_bytes());
        Ok(member)
    }
}

/// The length of the member that begins with `header`, if it states one.
pub(super) fn member_length(header: &[u8]) -> Result<Option<usize>> {
    let Some((start, length)) = header.split_at_checked(START.len()) else {
        return Ok(None);
    };
    let (true, Some(length)) = (start == START, length.first_chunk::<4>()) else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    ensure!(
        (HEADER_BYTES + TRAILER_BYTES..=MAX_MEMBER_BYTES).contains(&length),
        "a gzip member claims the impossible length of {length} bytes"
    );
    Ok(Some(length))
}

/// Unpacks one whole member of ours: nothing may be missing and nothing left over.
pub(super) fn unpack(member: &[u8]) -> Result<Vec<u8>> {
    let Some((body, trailer)) = member.split_last_chunk::<TRAILER_BYTES>() else {
        bail!("a gzip member is too short")
    };
    let Some((_, deflated)) = body.split_at_checked(HEADER_BYTES) else {
        bail!("a gzip member is too short")
    };
    let crc = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
    let length = u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]]) as usize;
    ensure!(
        length <= MAX_CONTENT_BYTES,
        "a gzip member claims to hold {length} bytes, more than any backup's does"
    );
    let mut content = Vec::with_capacity(length);
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress_vec(deflated, &mut content, FlushDecompress::Finish)?;
    ensure!(
        status == Status::StreamEnd,
        "a gzip member is cut short or holds more than its header states"
    );
    ensure!(
        inflate.total_in() == deflated.len() as u64,
        "a gzip member has bytes after its end"
    );
    ensure!(
        content.len() == length && libdeflater::crc32(&content) == crc,
        "a gzip member is damaged: its CRC-32 differs"
    );
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn members_unpack_here_and_anywhere() {
        let contents = [
            vec![],
            b"x".to_vec(),
            (0..=255).cycle().take(100_000).collect(),
            vec![0; MAX_CONTENT_BYTES],
        ];
        for level in [1, 6, 12] {
            let mut writer = MemberWriter::new(level).unwrap();
            for content in &contents {
                let member = writer.member(content).unwrap();
                assert_eq!(member_length(&member).unwrap(), Some(member.len()));
                assert!(unpack(&member).unwrap() == *content);
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&member[..])
                    .read_to_end(&mut plain)
                    .unwrap();
                assert!(plain == *content);
            }
        }
        assert!(MemberWriter::new(13).is_err());
        assert!(
            MemberWriter::new(1)
                .unwrap()
                .member(&vec![0; MAX_CONTENT_BYTES + 1])
                .is_err()
        );
    }

    #[test]
    fn no_change_gives_other_content() {
        let content = b"to be or not to be, to be or not to be".repeat(4);
        let member = MemberWriter::new(6).unwrap().member(&content).unwrap();
        for at in HEADER_BYTES..member.len() {
            for bit in 0..8 {
                let mut damaged = member.clone();
                damaged[at] ^= 1 << bit;
                // Deflate can say the same in other words (the same match further back), and has unused bits.
                assert!(
                    unpack(&damaged).map_or(true, |same| same == content),
                    "byte {at} bit {bit}"
                );
            }
            assert!(unpack(&member[..at]).is_err(), "cut at {at}");
        }
        let with_garbage = [
            &member[..member.len() - 8],
            b"garbage",
            &member[member.len() - 8..],
        ]
        .concat();
        assert!(unpack(&with_garbage).is_err());
        for short in 0..HEADER_BYTES + TRAILER_BYTES {
            assert!(unpack(&member[..short]).is_err());
        }
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_allocated() {
        let mut header = START.to_vec();
        for (length, ok) in [
            (0_u32, false),
            (27, false),
            (28, true),
            (1 << 20, true),
            (1 << 30, false),
            (u32::MAX, false),
        ] {
            header.truncate(START.len());
            header.extend(length.to_le_bytes());
            assert_eq!(member_length(&header).is_ok(), ok, "{length}");
        }
        assert_eq!(
            member_length(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).unwrap(),
            None
        );
        let mut bomb = MemberWriter::new(9).unwrap().member(&vec![0; 1 << 20]).unwrap();
        let at = bomb.len() - 4;
        bomb[at..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(unpack(&bomb).is_err());
        bomb[at..].copy_from_slice(&100_u32.to_le_bytes());
        assert!(unpack(&bomb).is_err());
    }
}
