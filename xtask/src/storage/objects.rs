//! Storages that keep files by name, and have no folders of their own: `<prefix><id>/` with the file and its metadata.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::backup_file::{BackupFile, parse_metadata};
use super::{BackupStore, Consume, read_back, record_for, refuse_unencrypted};
use crate::config::Unencrypted;
use crate::domain::manifest::{BackupMetadata, METADATA_FILE, StoredCopy, check_backup_id};
use crate::exec::read_bounded;

const METADATA_LIMIT_BYTES: usize = 64 << 20;

/// Named files.
pub trait Objects: fmt::Debug {
    /// The names of all below a folder (empty, or ends in a slash), without the folder.
    fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// Uploads what is not there yet; one of this name is an error where the service can tell.
    fn upload_new(&self, file: &Path, name: &str) -> Result<()>;

    /// Uploads in the place of another.
    fn replace(&self, file: &Path, name: &str) -> Result<()>;

    /// Hands the bytes from `offset_bytes` on to `consume`.
    fn read(&self, name: &str, offset_bytes: u64, consume: Consume) -> Result<()>;

    /// Deletes one; one that is gone already is no error.
    fn delete(&self, name: &str) -> Result<()>;
}

/// How a storage of named files is called.
#[derive(Debug)]
pub struct Naming {
    /// As in pipeline.toml.
    pub kind: &'static str,
    /// Container, bucket or remote, for people.
    pub root: String,
    /// Empty, or ends in a slash.
    pub prefix: String,
}

/// Backups as named files.
#[derive(Debug)]
pub struct ObjectStore<O> {
    objects: O,
    naming: Naming,
    unencrypted: Unencrypted,
}

impl Naming {
    pub fn new(kind: &'static str, root: impl Into<String>, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self {
            kind,
            root: root.into(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
        }
    }
}

impl<O: Objects> ObjectStore<O> {
    pub const fn new(objects: O, naming: Naming, unencrypted: Unencrypted) -> Self {
        Self {
            objects,
            naming,
            unencrypted,
        }
    }

    fn folder(&self, id: &str) -> Result<String> {
        check_backup_id(id)?;
        Ok(format!("{}{id}/", self.naming.prefix))
    }

    /// Uploads the file and reads it back: no service keeps the SHA-256 of what came in parts.
    fn upload(&self, backup: &BackupFile, name: &str) -> Result<()> {
        self.objects.upload_new(&backup.path, name)?;
        let proved = read_back(self, &backup.metadata);
        if proved.is_err() {
            // Nobody would find what has no metadata, and so nobody would delete it. The error that counts is the first.
            self.objects.delete(name).ok();
        }
        proved
    }
}

impl<O: Objects> BackupStore for ObjectStore<O> {
    fn name(&self) -> String {
        format!("{} {}/{}", self.naming.kind, self.naming.root, self.naming.prefix)
    }

    fn ids(&self) -> Result<Vec<String>> {
        let names = self.objects.list(&self.naming.prefix)?;
        let mut ids: Vec<String> = names
            .iter()
            .filter_map(|name| name.split_once('/'))
            .filter(|(id, file)| check_backup_id(id).is_ok() && *file == METADATA_FILE)
            .map(|(id, _)| id.to_owned())
            .collect();
        ids.sort();
        // A remote may keep two files of one name.
        ids.dedup();
        Ok(ids)
    }

    fn metadata(&self, id: &str) -> Result<Option<BackupMetadata>> {
        let folder = self.folder(id)?;
        if !self
            .objects
            .list(&folder)?
            .iter()
            .any(|name| name == METADATA_FILE)
        {
            return Ok(None);
        }
        let name = format!("{folder}{METADATA_FILE}");
        let mut bytes = Vec::new();
        self.objects.read(&name, 0, &mut |stream| {
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
        let folder = self.folder(&metadata.id)?;
        let there = self.objects.list(&folder)?;
        // Two environments may back up in the same second.
        ensure!(
            there.iter().all(|name| name != METADATA_FILE),
            "{} keeps another backup {} already",
            self.name(),
            metadata.id
        );
        let name = format!("{folder}{}", metadata.file);
        if there.contains(&metadata.file) {
            // An upload of ours that was ended before its metadata.
            read_back(self, metadata).with_context(|| {
                format!("{name} is there without metadata and is another file: delete it unless it is being uploaded")
            })?;
        } else {
            self.upload(backup, &name)?;
        }
        let copy = StoredCopy {
            kind: self.naming.kind.into(),
            location: format!("{}/{name}", self.naming.root),
            expires: None,
            verified: true,
        };
        let record = record_for(backup, &copy)?;
        self.objects.replace(
            &record.path().join(METADATA_FILE),
            &format!("{folder}{METADATA_FILE}"),
        )?;
        Ok(copy)
    }

    fn read(&self, metadata: &BackupMetadata, offset_bytes: u64, consume: Consume) -> Result<()> {
        let name = format!("{}{}", self.folder(&metadata.id)?, metadata.file);
        self.objects.read(&name, offset_bytes, consume)
    }

    fn remove(&self, id: &str) -> Result<()> {
        let folder = self.folder(id)?;
        let mut names = self.objects.list(&folder)?;
        // The metadata first: half of a backup must not be taken for all of it.
        names.sort_by_key(|name| name != METADATA_FILE);
        names
            .iter()
            .try_for_each(|name| self.objects.delete(&format!("{folder}{name}")))
    }
}

#[cfg(test)]
mod tests;
