//! A file that has its final name only once it is whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempPath;

const PARTIAL_PREFIX: &str = ".mongodb-backup-";
const PARTIAL_SUFFIX: &str = ".partial";

/// A file under a temporary name in its final folder; dropped without [`PendingFile::commit`], it is removed.
#[derive(Debug)]
pub struct PendingFile {
    partial: TempPath,
    /// Holds a lock while we live, so that [`remove_abandoned`] can tell a crash from work under way.
    lock: File,
    target: PathBuf,
}

impl PendingFile {
    /// Creates the temporary file, readable by its owner only, and returns the handle to write it with.
    pub(super) fn create(folder: &Path, name: &str, id: &str) -> Result<(Self, File)> {
        let target = folder.join(name);
        ensure!(
            !target.exists(),
            "{} exists already and is not overwritten",
            target.display()
        );
        let partial = tempfile::Builder::new()
            .prefix(&format!("{PARTIAL_PREFIX}{id}."))
            .suffix(PARTIAL_SUFFIX)
            .tempfile_in(folder)
            .with_context(|| format!("cannot create a file in {}", folder.display()))?;
        let (file, partial) = partial.into_parts();
        file.try_lock().context("cannot lock the new backup file")?;
        let lock = file
            .try_clone()
            .context("cannot keep a handle on the new backup file")?;
        Ok((
            Self {
                partial,
                lock,
                target,
            },
            file,
        ))
    }

    /// Where the file will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the file its final name; refuses to overwrite another.
    pub fn commit(self) -> Result<PathBuf> {
        let Self {
            partial,
            lock,
            target,
        } = self;
        let exposed = partial
            .persist_noclobber(&target)
            .map_err(|failure| failure.error);
        exposed.with_context(|| format!("cannot give the backup its name {}", target.display()))?;
        let folder = target.parent().context("the backup is in no folder")?;
        // The name itself must survive a power cut too.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| {
                format!(
                    "{} is complete, but its folder could not be flushed to the disk",
                    target.display()
                )
            })?;
        drop(lock);
        Ok(target)
    }
}

/// Removes temporary files that a killed process left in `folder`, never those of one that still runs. Returns
/// their names.
pub fn remove_abandoned(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if !(name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX)) {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            removed.push(path);
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        folder
            .read_dir()
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn only_a_commit_leaves_something_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (pending, mut file) = PendingFile::create(folder.path(), "backup", "id").unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!folder.path().join("backup").exists());
        drop(pending);
        assert_eq!(names(folder.path()), Vec::<String>::new());

        let (pending, mut file) = PendingFile::create(folder.path(), "backup", "id").unwrap();
        file.write_all(b"whole").unwrap();
        pending.commit().unwrap();
        assert_eq!(names(folder.path()), ["backup"]);
        assert_eq!(std::fs::read(folder.path().join("backup")).unwrap(), b"whole");
    }

    #[test]
    fn nothing_is_overwritten_not_even_what_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (pending, _file) = PendingFile::create(folder.path(), "backup", "id").unwrap();
        std::fs::write(folder.path().join("backup"), b"older").unwrap();
        assert!(pending.commit().is_err());
        assert_eq!(names(folder.path()), ["backup"]);
        assert_eq!(std::fs::read(folder.path().join("backup")).unwrap(), b"older");
        assert!(PendingFile::create(folder.path(), "backup", "id").is_err());
    }

    #[test]
    fn abandoned_files_go_and_living_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join(".mongodb-backup-20250101-000000.abc.partial");
        std::fs::write(&dead, b"half").unwrap();
        std::fs::write(folder.path().join("other.partial"), b"not ours").unwrap();
        let (living, _file) = PendingFile::create(folder.path(), "backup", "id").unwrap();
        assert_eq!(remove_abandoned(folder.path()).unwrap(), [dead]);
        assert_eq!(names(folder.path()).len(), 2);
        living.commit().unwrap();
    }
}
