//! Where backups are kept, all storages behind one interface.
//!
//! A backup is complete in a storage when its metadata are there: they are stored after the file, and only when the
//! file was read back.

pub mod azure;
pub mod backup_file;
pub mod directory;
mod foreign;
pub mod github;
pub mod objects;
pub mod rclone;

use std::fmt;
use std::io::Read;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use self::backup_file::{BackupFile, write_metadata};
pub use self::foreign::plain_name;
use crate::archive::FileDigest;
use crate::config::{StorageConfig, Unencrypted};
use crate::context::{Context, PIPELINE_FILE};
use crate::domain::manifest::{BackupMetadata, StoredCopy};

/// What is done with the bytes of a file as they come.
pub type Consume<'a> = &'a mut dyn FnMut(&mut dyn Read) -> Result<()>;

/// One storage, ready for use.
pub trait BackupStore: fmt::Debug {
    /// The storage for people.
    fn name(&self) -> String;

    /// Ids of the backups that are complete here, oldest first.
    fn ids(&self) -> Result<Vec<String>>;

    /// What is recorded of a backup; `None` where it is not here.
    fn metadata(&self, id: &str) -> Result<Option<BackupMetadata>>;

    /// Stores file and metadata. Size and digest are read back from the storage.
    fn put(&self, backup: &BackupFile) -> Result<StoredCopy>;

    /// Proves that the file is here as it was stored: its size and digest, read from the storage.
    fn prove(&self, metadata: &BackupMetadata) -> Result<()> {
        read_back(self, metadata)
    }

    /// Hands the bytes of the file from `offset_bytes` on to `consume`.
    fn read(&self, metadata: &BackupMetadata, offset_bytes: u64, consume: Consume) -> Result<()>;

    /// Deletes the backup, and its copies under other names. One that is gone already is no error.
    fn remove(&self, id: &str) -> Result<()>;
}

/// How much is read at once where bytes are copied.
pub(crate) const COPY_BYTES: usize = 256 << 10;

/// What is not encrypted goes to no storage that others can read, unless the configuration has it so.
fn refuse_unencrypted(rule: Unencrypted, backup: &BackupFile, storage: &str) -> Result<()> {
    ensure!(
        backup.metadata.encrypted || rule == Unencrypted::LetOthersReadThem,
        "only encrypted backups go to {storage}: set backup.identity or backup.recipients in {PIPELINE_FILE}"
    );
    Ok(())
}

/// A folder with the metadata as a storage keeps them: the copy itself is in them.
fn record_for(backup: &BackupFile, copy: &StoredCopy) -> Result<TempDir> {
    let mut metadata = backup.metadata.clone();
    metadata.storage.push(copy.clone());
    let folder = tempfile::tempdir().context("cannot make a folder for the metadata")?;
    write_metadata(folder.path(), &metadata)?;
    Ok(folder)
}

/// Reads the whole upload and compares size and digest with what was uploaded.
fn read_back<S: BackupStore + ?Sized>(store: &S, metadata: &BackupMetadata) -> Result<()> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    store.read(metadata, 0, &mut |stream| {
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let count = stream.read(&mut buffer).context("cannot read the upload back")?;
            if count == 0 {
                return Ok(());
            }
            hash.update(&buffer[..count]);
            size += count as u64;
        }
    })?;
    let found = FileDigest {
        size_bytes: size,
        sha256: hex::encode(hash.finalize()),
    };
    ensure!(
        found.size_bytes == metadata.size_bytes && found.sha256 == metadata.hash,
        "{} has {} bytes with the digest {} of {}, not {} and {}",
        store.name(),
        found.size_bytes,
        found.sha256,
        metadata.file,
        metadata.size_bytes,
        metadata.hash
    );
    Ok(())
}

/// Opens a storage of pipeline.toml.
pub fn open(ctx: &Context, storage: &StorageConfig) -> Result<Box<dyn BackupStore>> {
    Ok(match storage {
        StorageConfig::Directory { path, .. } => Box::new(directory::Directory::open(ctx.root.join(path))?),
        StorageConfig::Github { .. } => Box::new(github::DraftReleases::open(ctx)?),
        StorageConfig::Azure {
            container,
            prefix,
            connection,
            ..
        } => Box::new(azure::open(ctx, container, prefix, connection)?),
        StorageConfig::S3(s3) => Box::new(rclone::open_bucket(ctx, s3)?),
        StorageConfig::Rclone(remote) => Box::new(rclone::open_remote(ctx, remote)?),
    })
}

/// Whether what is stored here is still there when this machine is gone.
pub const fn is_off_machine(storage: &StorageConfig) -> bool {
    match storage {
        StorageConfig::Directory { off_machine, .. } => *off_machine,
        StorageConfig::Rclone(remote) => remote.off_machine,
        StorageConfig::Github { .. } | StorageConfig::Azure { .. } | StorageConfig::S3(_) => true,
    }
}

/// Whether a failure of this storage is an error of the backup.
pub fn is_required(storage: &StorageConfig) -> bool {
    match storage {
        StorageConfig::Directory { required, .. }
        | StorageConfig::Github { required }
        | StorageConfig::Azure { required, .. } => *required,
        StorageConfig::S3(s3) => s3.required,
        StorageConfig::Rclone(remote) => remote.required,
    }
}
