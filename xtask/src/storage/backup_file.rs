//! A backup on this machine: the file, and beside it what is known about it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::foreign::without_metadata;
use crate::archive::{FileDigest, verify_file};
use crate::domain::manifest::{BackupMetadata, METADATA_FILE};
use crate::domain::release::BackupRef;
use crate::exec::read_bounded;

/// The largest metadata that is read; a thousand collections with their indexes make about a megabyte.
const METADATA_LIMIT_BYTES: usize = 64 << 20;

/// A backup file with its metadata.
#[derive(Debug, Clone)]
pub struct BackupFile {
    pub path: PathBuf,
    pub metadata: BackupMetadata,
}

impl BackupFile {
    /// The backup in this folder: its metadata, and the file that they name.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        if !folder.join(METADATA_FILE).is_file() {
            return Err(without_metadata(folder).into());
        }
        let metadata = read_metadata(&folder.join(METADATA_FILE))?;
        let path = folder.join(&metadata.file);
        ensure!(
            path.is_file(),
            "{} is not there, but its metadata are",
            path.display()
        );
        Ok(Self { path, metadata })
    }

    /// What a record has of it.
    pub fn reference(&self) -> BackupRef {
        self.metadata.reference()
    }

    /// The backup that somebody points at: its folder, its file, or its metadata.
    pub fn at(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Self::in_folder(path);
        }
        ensure!(path.is_file(), "there is no backup at {}", path.display());
        let folder = path.parent().unwrap_or(Path::new("."));
        if path.file_name().is_some_and(|name| name == METADATA_FILE) {
            return Self::in_folder(folder);
        }
        if !folder.join(METADATA_FILE).is_file() {
            return Err(without_metadata(path).into());
        }
        let metadata = read_metadata(&folder.join(METADATA_FILE))?;
        Ok(Self {
            path: path.to_owned(),
            metadata,
        })
    }

    /// Reads the file and compares its size and SHA-256 with the metadata.
    pub fn check_digest(&self) -> Result<()> {
        let expected = FileDigest {
            size_bytes: self.metadata.size_bytes,
            sha256: self.metadata.hash.clone(),
        };
        verify_file(&self.path, &expected)
    }

    /// The folder that holds file and metadata.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

/// Reads `backup-metadata.json`; a damaged one is refused.
pub fn read_metadata(path: &Path) -> Result<BackupMetadata> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let bytes = read_bounded(file, METADATA_LIMIT_BYTES)
        .with_context(|| format!("cannot read {}", path.display()))?;
    parse_metadata(bytes).with_context(|| format!("cannot use {}", path.display()))
}

/// Metadata from the bytes of `backup-metadata.json`.
pub fn parse_metadata(bytes: Vec<u8>) -> Result<BackupMetadata> {
    BackupMetadata::from_text(&String::from_utf8(bytes).context("it is not UTF-8")?)
}

/// Writes `backup-metadata.json` into the folder: whole or not at all, also after a power cut, and read back before it
/// takes the place of an earlier one.
pub fn write_metadata(folder: &Path, metadata: &BackupMetadata) -> Result<()> {
    let target = folder.join(METADATA_FILE);
    let cannot = || format!("cannot write {}", target.display());
    let mut file = tempfile::Builder::new()
        .prefix(".backup-metadata.")
        .tempfile_in(folder)
        .with_context(cannot)?;
    let text = metadata.to_text()?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .with_context(cannot)?;
    let written = read_bounded(
        File::open(file.path()).with_context(cannot)?,
        METADATA_LIMIT_BYTES,
    );
    ensure!(
        written.with_context(cannot)? == text.as_bytes(),
        "{}: read-back differs from what was written",
        cannot()
    );
    file.persist(&target).with_context(cannot)?;
    sync_folder(folder)
}

/// Flushes the names in a folder to the disk.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot flush the folder {} to the disk", folder.display()))
}
