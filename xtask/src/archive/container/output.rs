//! The end of the pipeline: bytes as they are stored, hashed and counted on the way to the disk.

use std::fs::File;
use std::io::{self, Write};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::ordered::Drain;

/// Hashes and counts what it passes on.
pub(super) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size_bytes: u64,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size_bytes: 0,
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes all members to `file`, encrypted if there is an encryptor, and flushes them to the disk. Returns the size
/// and the SHA-256 of the file as stored.
pub(super) fn write_all(
    members: Drain<Vec<u8>>,
    file: File,
    encryptor: Option<age::Encryptor>,
) -> Result<(u64, String)> {
    let output = Hashing::new(file);
    let output = match encryptor {
        None => write_members(members, output)?,
        Some(encryptor) => {
            let output = encryptor.wrap_output(output).context("cannot write the backup")?;
            write_members(members, output)?
                .finish()
                .context("cannot write the backup")?
        }
    };
    // Some file systems report a full disk only here.
    output
        .inner
        .sync_all()
        .context("cannot flush the backup to the disk")?;
    Ok((output.size_bytes, hex::encode(output.hash.finalize())))
}

fn write_members<W: Write>(members: Drain<Vec<u8>>, mut output: W) -> Result<W> {
    for member in members {
        output.write_all(&member?).context("cannot write the backup")?;
    }
    output.flush().context("cannot write the backup")?;
    Ok(output)
}
