//! The cache of built programs.

use std::fmt::Debug;
use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use xshell::Shell;

use super::{Build, CargoBuild, GoBuild, Origin};
use crate::report;

/// The key of an entry: everything that decides what is built.
#[derive(Debug)]
pub struct Key(Sha256);

impl Key {
    /// Of what every pin may have.
    pub fn new(programs: &[String], go: Option<&GoBuild>, cargo: Option<&CargoBuild>) -> Self {
        let mut hash = Sha256::new();
        hash.update(std::env::consts::ARCH);
        hash.update(std::env::consts::OS);
        hash.update(format!("{programs:?}{go:?}{cargo:?}"));
        Self(hash)
    }

    /// Adds another way of building.
    pub fn add(&mut self, build: &impl Debug) {
        self.0.update(format!("{build:?}"));
    }

    /// Adds the contents of files.
    pub fn add_files(&mut self, paths: &[PathBuf]) -> Result<()> {
        for path in paths {
            self.0
                .update(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        Ok(())
    }

    fn hex(self) -> String {
        hex::encode(&self.0.finalize()[..8])
    }
}

/// Gives the program of a tool from the cache, where `build` puts it when it is not there yet.
pub fn provide(
    name: &str,
    program: &str,
    key: Key,
    build: impl FnOnce(&Build) -> Result<()>,
) -> Result<(PathBuf, Origin)> {
    let cache = cache_dir()?;
    let entry = cache.join(format!("{name}-{}", key.hex()));
    let path = entry.join("bin").join(program);
    if path.is_file() {
        return Ok((path, Origin::Cache));
    }
    let lock =
        File::create(entry.with_extension("lock")).context("cannot make the lock file of the cache")?;
    lock.lock().context("cannot lock the cache")?;
    if path.is_file() {
        return Ok((path, Origin::Cache));
    }
    let building = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(&cache)
        .context("cannot make a folder in the cache")?;
    let _ticker = report::Ticker::start(format!("building {name} (once; kept in {})", cache.display()));
    build(&Build {
        sh: Shell::new().context("cannot start a shell")?,
        folder: building.path(),
        entry: &entry,
        program,
    })?;
    if entry.exists() {
        // Without its program it is a left-over of an earlier format, under our lock nobody uses it.
        std::fs::remove_dir_all(&entry).context("cannot clear a damaged entry of the cache")?;
    }
    std::fs::rename(building.path(), &entry).context("cannot move the finished build into the cache")?;
    Ok((path, Origin::Built))
}

/// `$XDG_CACHE_HOME/cargo-xtask/tools`, or the same below `~/.cache`.
pub(super) fn cache_dir() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from);
    let home = std::env::var_os("HOME")
        .filter(|dir| !dir.is_empty())
        .map(|dir| PathBuf::from(dir).join(".cache"));
    let Some(base) = base.or(home) else {
        bail!("neither XDG_CACHE_HOME nor HOME is set: no place for the cache")
    };
    let dir = base.join("cargo-xtask").join("tools");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}
