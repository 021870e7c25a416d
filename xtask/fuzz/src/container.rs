//! Backup files: age, gzip, tar.
//!
//! Random bytes hardly get past a checksum, so the first byte chooses what the others are: a file, a file inside the encryption,
//! or a tar whose headers get the checksums that they need, in either kind of gzip.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;
use xtask::archive::{ContainerReader, Identities};

const BLOCK_BYTES: usize = 512;
/// A gzip member that is larger is no news.
const MEMBER_BYTES: usize = 4096;

static KEY: LazyLock<(Identities, String)> = LazyLock::new(Identities::ephemeral);

/// Reads the bytes as a backup file.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&kind, rest)) = bytes.split_first() else {
        return;
    };
    match kind % 4 {
        0 => read(rest),
        1 => read(&encrypted(rest)),
        2 => read(&gzip(&with_checksums(rest), usize::MAX)),
        _ => read(&encrypted(&gzip(&with_checksums(rest), MEMBER_BYTES))),
    }
}

fn read(file: &[u8]) {
    let mut stored = tempfile::NamedTempFile::new().expect("a temporary file");
    stored.write_all(file).expect("a temporary file is written");
    let Ok(mut reader) = ContainerReader::open(stored.path(), Some(&KEY.0), 1) else {
        return;
    };
    let mut archive = Vec::new();
    let whole = reader.read_to_end(&mut archive).is_ok();
    if whole {
        let manifest = reader.manifest().expect("the end is reached with the manifest");
        assert_eq!(manifest.archive_bytes, archive.len() as u64);
    }
    let digest = reader.finish().expect("the file is readable, whatever is in it");
    assert_eq!(digest.size_bytes, size(stored.path()));
}

fn size(path: &Path) -> u64 {
    path.metadata().expect("the file is there").len()
}

fn encrypted(bytes: &[u8]) -> Vec<u8> {
    let recipient: age::x25519::Recipient = KEY.1.parse().expect("a public key");
    age::encrypt(&recipient, bytes).expect("it is encrypted")
}

fn gzip(tar: &[u8], member_bytes: usize) -> Vec<u8> {
    let members = tar.chunks(member_bytes.min(tar.len()).max(1)).map(|member| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(member).expect("it is compressed");
        encoder.finish().expect("it is compressed")
    });
    members.flatten().collect()
}

/// The same tar, each header with its checksum, as far as the lengths in the headers lead.
fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK_BYTES) {
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let length = header.entry_size().unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        at = at
            .saturating_add(BLOCK_BYTES)
            .saturating_add(length.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(usize::MAX));
        if at >= tar.len() {
            break;
        }
    }
    tar
}
