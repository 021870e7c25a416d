//! The beginning of the way back: the file as stored, hashed while it is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::sync::lock;

/// Size and SHA-256 of a file as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    pub size_bytes: u64,
    pub sha256: String,
}

/// A file being read and hashed; clones share both, so that the rest can be hashed when a decoder gave up.
#[derive(Debug, Clone)]
pub(super) struct HashedFile(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    file: File,
    hash: Sha256,
    size_bytes: u64,
}

impl HashedFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        // A folder or a device can be opened too, but is no backup.
        let plain = file
            .metadata()
            .with_context(|| format!("cannot examine {}", path.display()))?
            .is_file();
        anyhow::ensure!(plain, "{} is not a file", path.display());
        Ok(Self(Arc::new(Mutex::new(State {
            file,
            hash: Sha256::new(),
            size_bytes: 0,
        }))))
    }

    /// Reads what is left and returns the digest of the whole file.
    pub(super) fn finish(mut self) -> io::Result<FileDigest> {
        let mut rest = vec![0; 256 * 1024];
        while self.read(&mut rest)? > 0 {}
        let state = lock(&self.0);
        Ok(FileDigest {
            size_bytes: state.size_bytes,
            sha256: format!("{:x}", state.hash.clone().finalize()),
        })
    }
}

impl Read for HashedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.0);
        let count = state.file.read(buffer)?;
        state.hash.update(&buffer[..count]);
        state.size_bytes += count as u64;
        Ok(count)
    }
}
