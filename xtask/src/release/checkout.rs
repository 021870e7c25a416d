//! A clean checkout of one commit: a release consists of what was committed, whatever the work tree holds.
//!
//! Checkouts lie below one private folder of the user in the temporary folder, and not below the state folder: that one is
//! ignored by git, and `railway up` leaves out what a `.gitignore` above names. A checkout is locked while its process
//! lives, so those of killed processes can be told apart and are removed when the next operation begins.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::context::Context;
use crate::report;
use crate::tools::git::Git;

/// Only the user may enter.
const PRIVATE_MODE: u32 = 0o700;
/// Locked by whoever makes or removes checkouts.
const GATE: &str = "gate";
/// Locked by the process that a checkout belongs to.
const OWNER: &str = "owner";
const TREE: &str = "tree";

/// A checkout; removed when dropped.
#[derive(Debug)]
pub struct Checkout {
    git: Git,
    folder: tempfile::TempDir,
    /// Locked until the checkout is dropped.
    _owner: File,
}

impl Checkout {
    /// Checks a commit out.
    pub fn of(ctx: &Context, commit: &str) -> Result<Self> {
        Self::below(&private_folder()?, Git::open(ctx), commit)
    }

    fn below(root: &Path, git: Git, commit: &str) -> Result<Self> {
        let gate = locked(&root.join(GATE))?;
        let folder = tempfile::tempdir_in(root).context("cannot make a folder for the checkout")?;
        let owner = locked(&folder.path().join(OWNER))?;
        drop(gate);
        git.worktree_add(&folder.path().join(TREE), &git.resolve(commit)?)
            .with_context(|| format!("cannot check out {commit}"))?;
        Ok(Self {
            git,
            folder,
            _owner: owner,
        })
    }

    /// A folder of the checkout.
    pub fn path(&self, part: &Path) -> PathBuf {
        self.folder.path().join(TREE).join(part)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Err(error) = self.git.worktree_remove(&self.folder.path().join(TREE)) {
            report::trace(&format!("cannot remove the checkout: {error:#}"));
        }
    }
}

/// Removes the checkouts of killed processes. A failure is no reason not to release.
pub fn sweep(ctx: &Context) {
    let swept = private_folder().and_then(|root| sweep_below(&root, &Git::open(ctx)));
    if let Err(error) = swept {
        report::trace(&format!("cannot remove old checkouts: {error:#}"));
    }
}

fn sweep_below(root: &Path, git: &Git) -> Result<()> {
    let _gate = locked(&root.join(GATE))?;
    for entry in root
        .read_dir()
        .with_context(|| format!("cannot list {}", root.display()))?
    {
        let folder = entry.context("cannot list the checkouts")?.path();
        if folder.is_dir() && is_left(&folder) {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    git.worktree_prune()
}

/// Whether the process that made the checkout is gone.
fn is_left(folder: &Path) -> bool {
    File::open(folder.join(OWNER)).map_or(true, |owner| owner.try_lock().is_ok())
}

/// The user's folder of checkouts; made when missing, refused where it is not private.
fn private_folder() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let root = std::env::temp_dir().join(format!("xtask-checkouts-{user}"));
    let made = DirBuilder::new().mode(PRIVATE_MODE).create(&root);
    if let Err(error) = made
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("cannot make the folder {}", root.display()));
    }
    let found = root
        .symlink_metadata()
        .with_context(|| format!("cannot read {}", root.display()))?;
    ensure!(
        found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0,
        "{} is not a private folder of this user: remove it",
        root.display()
    );
    Ok(root)
}

fn locked(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xshell::{Shell, cmd};

    #[test]
    fn a_checkout_of_a_killed_process_is_swept_and_a_living_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (clone, root) = (dir.path().join("clone"), dir.path().join("checkouts"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&clone).unwrap();
        let sh = Shell::new().unwrap();
        sh.change_dir(&clone);
        cmd!(sh, "git init --quiet").run().unwrap();
        cmd!(
            sh,
            "git -c user.name=a -c user.email=a@example.com commit --quiet --allow-empty -m first"
        )
        .run()
        .unwrap();
        let git = Git::at(&clone, "origin");

        let living = Checkout::below(&root, git.clone(), "HEAD").unwrap();
        let killed = Checkout::below(&root, git.clone(), "HEAD").unwrap();
        let left = killed.folder.path().to_owned();
        // A kill closes the files and runs no destructor: only the lock is gone.
        killed._owner.unlock().unwrap();
        std::mem::forget(killed);

        sweep_below(&root, &git).unwrap();
        assert!(!left.exists());
        assert!(living.path(Path::new("")).is_dir());
        let listed = cmd!(sh, "git worktree list --porcelain").read().unwrap();
        assert_eq!(
            listed.matches("worktree ").count(),
            2,
            "the clone and the living checkout: {listed}"
        );
    }
}
