//! Headers of the tar members, the only two kinds there are.

use anyhow::{Context, Result, ensure};
use tar::{EntryType, Header};

/// Tar counts in these.
pub(super) const BLOCK_BYTES: usize = 512;

/// Zero bytes that follow content of this length.
pub(super) fn padding(length: u64) -> usize {
    let over = usize::try_from(length % BLOCK_BYTES as u64).unwrap_or_default();
    if over == 0 { 0 } else { BLOCK_BYTES - over }
}

/// Header of a plain file.
pub(super) fn header(name: &str, length: u64) -> Result<[u8; BLOCK_BYTES]> {
    let mut header = Header::new_ustar();
    header
        .set_path(name)
        .with_context(|| format!("cannot name a tar member {name:?}"))?;
    header.set_size(length);
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// Name and length of a plain file; anything else that tar knows is refused.
pub(super) fn parse(bytes: &[u8; BLOCK_BYTES]) -> Result<(String, u64)> {
    let header = Header::from_byte_slice(bytes);
    // The checksum is the sum of all bytes, its own eight counted as spaces.
    let own = &header.as_old().cksum;
    let sum: u32 = bytes.iter().map(|b| u32::from(*b)).sum();
    let own: u32 = own.iter().map(|b| u32::from(*b)).sum();
    let stated = header
        .cksum()
        .context("a tar header is damaged: it has no checksum")?;
    ensure!(
        stated == sum - own + 8 * u32::from(b' '),
        "a tar header is damaged: its checksum differs"
    );
    ensure!(
        header.entry_type() == EntryType::Regular,
        "a tar member is not a plain file"
    );
    let name = std::str::from_utf8(&header.path_bytes())
        .context("a tar member has a strange name")?
        .to_owned();
    Ok((name, header.entry_size()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_damage_is_found() {
        for (name, length) in [
            ("data/00000000", 0),
            ("data/00000001", 4 << 20),
            ("manifest.json", 8 << 30),
        ] {
            let bytes = header(name, length).unwrap();
            assert_eq!(parse(&bytes).unwrap(), (name.to_owned(), length));
            for at in 0..BLOCK_BYTES {
                let mut damaged = bytes;
                damaged[at] ^= 1;
                assert!(parse(&damaged).is_err(), "{name} byte {at}");
            }
        }
    }

    #[test]
    fn other_kinds_of_members_are_refused() {
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Directory,
            EntryType::Fifo,
            EntryType::XHeader,
        ] {
            let mut header = Header::new_gnu();
            header.set_path("data/00000000").unwrap();
            header.set_size(0);
            header.set_entry_type(kind);
            header.set_cksum();
            assert!(parse(header.as_bytes()).is_err(), "{kind:?}");
        }
        assert!(parse(&[0; BLOCK_BYTES]).is_err());
        assert!(parse(&[0xff; BLOCK_BYTES]).is_err());
    }

    #[test]
    fn padding_fills_blocks() {
        for (length, expected) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)] {
            assert_eq!(padding(length), expected);
        }
    }
}
