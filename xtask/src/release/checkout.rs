//! A clean checkout of one commit: what goes out is what was committed, whatever lies in the work tree.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::report;
use crate::tools::git::Git;

/// A work tree of its own; removed when dropped.
#[derive(Debug)]
pub struct Checkout {
    git: Git,
    folder: tempfile::TempDir,
}

impl Checkout {
    pub fn of(ctx: &Context, commit: &str) -> Result<Self> {
        let git = Git::open(ctx);
        let folder = tempfile::Builder::new()
            .prefix("xtask-release-")
            .tempdir()
            .context("cannot make a folder")?;
        git.worktree_add(&folder.path().join("tree"), &git.resolve(commit)?)
            .with_context(|| format!("cannot check out {commit}"))?;
        Ok(Self { git, folder })
    }

    /// A folder of the checkout.
    pub fn path(&self, part: &Path) -> PathBuf {
        self.folder.path().join("tree").join(part)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Err(error) = self.git.worktree_remove(&self.folder.path().join("tree")) {
            report::trace(&format!("the checkout could not be removed: {error:#}"));
        }
    }
}
