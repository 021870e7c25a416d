//! Backups in a container of Azure Blob Storage: `<prefix>/<id>/` with the file and its metadata.

use anyhow::{Context as _, Result, ensure};

use super::backup_file::{BackupFile, parse_metadata};
use super::{BackupStore, Consume, read_back, record_for, refuse_unencrypted};
use crate::config::Unencrypted;
use crate::context::Context;
use crate::domain::manifest::{BackupMetadata, METADATA_FILE, StoredCopy, check_backup_id};
use crate::exec::read_bounded;
use crate::tools::az::Blobs;

const METADATA_LIMIT_BYTES: usize = 64 << 20;

/// One container.
#[derive(Debug)]
pub struct Container {
    blobs: Blobs,
    name: String,
    /// Empty, or ends in a slash.
    prefix: String,
    unencrypted: Unencrypted,
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
            unencrypted: ctx.config.backup.unencrypted,
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

impl BackupStore for Container {
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

    fn put(&self, backup: &BackupFile) -> Result<StoredCopy> {
        refuse_unencrypted(self.unencrypted, backup, &self.name())?;
        let metadata = &backup.metadata;
        let name = self.blob(&metadata.id, &metadata.file)?;
        self.blobs.upload(&backup.path, &name, false)?;
        // The service keeps no SHA-256, so the blob itself is read back.
        read_back(self, metadata)?;
        let copy = StoredCopy {
            kind: "azure".into(),
            location: format!("{}/{name}", self.name),
            expires: None,
            verified: true,
        };
        let record = record_for(backup, &copy)?;
        let name = self.blob(&metadata.id, METADATA_FILE)?;
        self.blobs
            .upload(&record.path().join(METADATA_FILE), &name, true)?;
        Ok(copy)
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
