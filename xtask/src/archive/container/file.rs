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
        Ok((Self { partial, target }, file))
    }

    /// Where the file is until then.
    pub fn partial_path(&self) -> &Path {
        &self.partial
    }

    /// Gives the file its final name; refuses to overwrite another.
    pub fn commit(self) -> Result<PathBuf> {
        let Self { partial, target } = self;
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
        Ok(target)
    }
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
}
