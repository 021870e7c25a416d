//! A folder that keeps backups: `<folder>/<id>/` with the file and its metadata.
//!
//! A backup is built in `<folder>/.partial-<id>/` and gets its name when it is whole and verified, file and metadata
//! at once. The partial folder is locked while its maker lives, so what a crash left is known and removed.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Duration, Utc};

use super::backup_file::{BackupFile, read_metadata, sync_folder, write_metadata};
use crate::archive::{FileDigest, verify_file};
use crate::domain::manifest::{BackupMetadata, METADATA_FILE, StoredCopy, check_backup_id};
use crate::storage::{BackupStore, Consume};

const PARTIAL_PREFIX: &str = ".partial-";
/// How many seconds in a row may be taken by other backups before we give up.
const TRIES: u32 = 120;

/// The folder of a storage.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The folder, made when missing. Readable by its owner only: a backup holds everything the database does.
    pub fn open(path: PathBuf) -> Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the backup is, or would be.
    pub fn folder_of(&self, id: &str) -> PathBuf {
        self.path.join(id)
    }

    /// Reserves an id, the time in UTC or the next free second, and gives the folder to build the backup in. Its timestamp
    /// stays the true time: what was taken before a moment must not seem to have been taken after it.
    pub fn reserve(&self, now: DateTime<Utc>) -> Result<Partial> {
        self.remove_abandoned()?;
        for later in 0..TRIES {
            let second = now + Duration::seconds(i64::from(later));
            if let Some(partial) = self.partial(&second.format("%Y%m%d-%H%M%S").to_string(), now)? {
                return Ok(partial);
            }
        }
        bail!(
            "every backup id of the next {TRIES} seconds is taken in {}",
            self.path.display()
        )
    }

    /// The folder to build the backup `id` in; `None` where the id is taken.
    pub fn partial(&self, id: &str, created: DateTime<Utc>) -> Result<Option<Partial>> {
        check_backup_id(id)?;
        let target = self.folder_of(id);
        let path = self.path.join(format!("{PARTIAL_PREFIX}{id}"));
        if target.exists() {
            return Ok(None);
        }
        match std::fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => {
                // A call that fails may have done its work.
                std::fs::remove_dir(&path).ok();
                return Err(error).with_context(|| format!("cannot make the folder {}", path.display()));
            }
        }
        let lock = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        lock.try_lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Some(Partial {
            id: id.to_owned(),
            created,
            path,
            target,
            _lock: lock,
        }))
    }

    /// The backup with this id, if it is here: under its own name, or as a copy of the folder under another.
    pub fn get(&self, id: &str) -> Result<Option<BackupFile>> {
        check_backup_id(id)?;
        let folder = self.folder_of(id);
        if folder.join(METADATA_FILE).is_file() {
            return BackupFile::in_folder(&folder).map(Some);
        }
        let copy = self.folders_with(id)?.into_iter().next();
        copy.map(|folder| BackupFile::in_folder(&folder)).transpose()
    }

    /// The folders whose metadata are of this backup: its own, and copies of it under other names.
    fn folders_with(&self, id: &str) -> Result<Vec<PathBuf>> {
        let folders = self.ids()?.into_iter().map(|name| self.folder_of(&name));
        let of_backup = |folder: &PathBuf| {
            read_metadata(&folder.join(METADATA_FILE)).is_ok_and(|metadata| metadata.id == id)
        };
        Ok(folders.filter(of_backup).collect())
    }

    /// Removes partial folders whose maker no longer lives.
    fn remove_abandoned(&self) -> Result<()> {
        let cannot = || format!("cannot clear {}", self.path.display());
        for entry in self.path.read_dir().with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let abandoned = name.starts_with(PARTIAL_PREFIX)
                && File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok());
            if abandoned {
                std::fs::remove_dir_all(&path).with_context(cannot)?;
                crate::report::progress(&format!(
                    "removed {}, which a broken off backup left",
                    path.display()
                ));
            }
        }
        Ok(())
    }
}

impl BackupStore for Directory {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn ids(&self) -> Result<Vec<String>> {
        let cannot = || format!("cannot list {}", self.path.display());
        let mut ids = Vec::new();
        for entry in self.path.read_dir().with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if check_backup_id(&name).is_ok() && entry.path().join(METADATA_FILE).is_file() {
                ids.push(name);
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn metadata(&self, id: &str) -> Result<Option<BackupMetadata>> {
        Ok(self.get(id)?.map(|backup| backup.metadata))
    }

    fn put(&self, backup: &BackupFile) -> Result<StoredCopy> {
        self.remove_abandoned()?;
        let metadata = &backup.metadata;
        let Some(partial) = self.partial(&metadata.id, metadata.timestamp)? else {
            bail!("{} exists already", self.folder_of(&metadata.id).display())
        };
        let copy = partial.path().join(&metadata.file);
        std::fs::copy(&backup.path, &copy)
            .and_then(|_| File::open(&copy)?.sync_all())
            .with_context(|| format!("cannot copy the backup to {}", copy.display()))?;
        let expected = FileDigest {
            size_bytes: metadata.size_bytes,
            sha256: metadata.hash.clone(),
        };
        verify_file(&copy, &expected).context("the copy is not what was copied")?;
        write_metadata(partial.path(), metadata)?;
        Ok(stored(&partial.expose()?))
    }

    fn read(&self, metadata: &BackupMetadata, offset_bytes: u64, consume: Consume) -> Result<()> {
        let path = self.folder_of(&metadata.id).join(&metadata.file);
        let mut file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        file.seek(SeekFrom::Start(offset_bytes))
            .with_context(|| format!("cannot read {}", path.display()))?;
        consume(&mut file)
    }

    fn remove(&self, id: &str) -> Result<()> {
        check_backup_id(id)?;
        // Already gone where two storages are one folder.
        for folder in self.folders_with(id)? {
            // The metadata first: half of a backup must not be taken for all of it.
            std::fs::remove_file(folder.join(METADATA_FILE))
                .and_then(|()| std::fs::remove_dir_all(&folder))
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        sync_folder(&self.path)
    }
}

/// The room that is free where this folder is.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot ask for the free room in {}", folder.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// How metadata name a backup in a folder.
pub fn stored(folder: &Path) -> StoredCopy {
    StoredCopy {
        kind: "directory".into(),
        location: folder.display().to_string(),
        expires: None,
        verified: true,
    }
}

/// A backup being built; dropped without [`Partial::expose`], it is removed.
#[derive(Debug)]
pub struct Partial {
    pub id: String,
    pub created: DateTime<Utc>,
    path: PathBuf,
    target: PathBuf,
    _lock: File,
}

impl Partial {
    /// The folder to write to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the whole folder its final name.
    pub fn expose(self) -> Result<PathBuf> {
        sync_folder(&self.path)?;
        // A folder that holds something is never replaced by a rename.
        std::fs::rename(&self.path, &self.target)
            .with_context(|| format!("cannot give the backup its name {}", self.target.display()))?;
        let target = self.target.clone();
        sync_folder(target.parent().unwrap_or(Path::new(".")))?;
        Ok(target)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Exposed, it is no longer there.
        std::fs::remove_dir_all(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_backups_of_one_second_have_two_ids_and_their_true_time() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path().to_owned()).unwrap();
        let now = DateTime::parse_from_rfc3339("2025-01-31T23:59:59.9Z")
            .unwrap()
            .to_utc();
        let (first, second) = (directory.reserve(now).unwrap(), directory.reserve(now).unwrap());
        assert_eq!(
            (first.id.as_str(), second.id.as_str()),
            ("20250131-235959", "20250201-000000")
        );
        assert_eq!((first.created, second.created), (now, now));
    }
}
