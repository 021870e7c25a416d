//! Backups in a container of Azure Blob Storage: `<prefix>/<id>/` with the file and its metadata.

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::{Consume, Keeper};
use crate::backup::{BackupFile, parse_metadata};
use crate::context::Context;
use crate::domain::manifest::{BackupMetadata, METADATA_FILE, StoragePlace, check_backup_id};
use crate::exec::read_bounded;
use crate::tools::az::Blobs;

const METADATA_LIMIT_BYTES: usize = 64 << 20;
const READ_BYTES: usize = 256 << 10;

/// One container.
#[derive(Debug)]
pub struct Container {
    blobs: Blobs,
    name: String,
    /// Empty, or ends in a slash.
    prefix: String,
}

impl Container {
    pub fn open(ctx: &Context, container: &str, prefix: &str, connection: &str) -> Result<Self> {
        let prefix = prefix.trim_matches('/');
        Ok(Self {
            blobs: Blobs::new(ctx.shell()?, container, ctx.secret(connection)?),
            name: container.to_owned(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
        })
    }

    fn blob(&self, id: &str, file: &str) -> Result<String> {
        check_backup_id(id)?;
        Ok(format!("{}{id}/{file}", self.prefix))
    }

    /// The metadata blobs of all backups, or of one.
    fn records(&self, prefix: &str) -> Result<Vec<String>> {
        let blobs = self.blobs.list(prefix)?;
        let mut ids: Vec<String> = blobs
            .iter()
            .filter_map(|blob| blob.name.strip_prefix(&self.prefix)?.split_once('/'))
            .filter(|(id, file)| check_backup_id(id).is_ok() && *file == METADATA_FILE)
            .map(|(id, _)| id.to_owned())
            .collect();
        ids.sort();
        Ok(ids)
    }
}

impl Keeper for Container {
    fn name(&self) -> String {
        format!("azure {}/{}", self.name, self.prefix)
    }

    fn ids(&self) -> Result<Vec<String>> {
        self.records(&self.prefix)
    }

    fn metadata(&self, id: &str) -> Result<Option<BackupMetadata>> {
        let name = self.blob(id, METADATA_FILE)?;
        if self.records(&name)?.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.blobs.read(&name, 0, &mut |stream| {
            bytes = read_bounded(stream, METADATA_LIMIT_BYTES)?;
            Ok(())
        })?;
        let metadata = parse_metadata(bytes).with_context(|| format!("{name} is damaged"))?;
        ensure!(metadata.id == id, "{name} belongs to backup {}", metadata.id);
        Ok(Some(metadata))
    }

    fn put(&self, backup: &BackupFile) -> Result<StoragePlace> {
        let metadata = &backup.metadata;
        let name = self.blob(&metadata.id, &metadata.file)?;
        self.blobs.upload(&backup.path, &name, false)?;
        // The service keeps no SHA-256, so the blob itself is read back.
        let (mut hash, mut size) = (Sha256::new(), 0);
        self.blobs.read(&name, 0, &mut |stream| {
            let mut buffer = vec![0; READ_BYTES];
            loop {
                let count = stream.read(&mut buffer).context("cannot read the upload back")?;
                if count == 0 {
                    return Ok(());
                }
                hash.update(&buffer[..count]);
                size += count as u64;
            }
        })?;
        let hash = format!("{:x}", hash.finalize());
        ensure!(
            size == metadata.size && hash == metadata.hash,
            "{name} has {size} bytes and the digest {hash} there, not {} and {}",
            metadata.size,
            metadata.hash
        );
        let record = backup.folder().join(METADATA_FILE);
        self.blobs
            .upload(&record, &self.blob(&metadata.id, METADATA_FILE)?, true)?;
        Ok(StoragePlace {
            kind: "azure".into(),
            location: format!("{}/{name}", self.name),
            expires: None,
            verified: true,
        })
    }

    fn read(&self, metadata: &BackupMetadata, offset_bytes: u64, consume: Consume) -> Result<()> {
        let name = self.blob(&metadata.id, &metadata.file)?;
        self.blobs.read(&name, offset_bytes, consume)
    }

    fn remove(&self, id: &str) -> Result<()> {
        let metadata = self.metadata(id)?.context("it is not there any more")?;
        // The metadata first: half of a backup must not be taken for all of it.
        self.blobs.delete(&self.blob(id, METADATA_FILE)?)?;
        self.blobs.delete(&self.blob(id, &metadata.file)?)
    }
}
