//! The files of one commit in a folder of their own: a release consists of what was committed, whatever the work tree holds
//! and however its git is set up.
//!
//! Checkouts lie below one private folder of the user in the temporary folder, and not below the state folder: that one is
//! ignored by git, and `railway up` leaves out what a `.gitignore` above names. They have no `.git` themselves. A checkout is locked while its process
//! lives, so those of killed processes can be told apart and are removed when the next operation begins.

mod refuse;
mod upload;

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::config::{BackendConfig, FrontendConfig, UploadFrom};
use crate::context::Context;
use crate::domain::parts::about;
use crate::domain::root_directory::folder_for;
use crate::error::catalogue::tools as errors;
use crate::report;
use crate::tools::git::{Export, Git};
use crate::tools::railway::RailwayService;
use crate::tools::vercel::VercelProject;

/// Only the user may enter.
const PRIVATE_MODE: u32 = 0o700;
/// The bits of a mode that are for group and others.
const OTHERS_MODE_BITS: u32 = 6;
/// Locked by whoever makes or removes checkouts.
const GATE: &str = "gate";
/// Locked by the process that a checkout belongs to.
const OWNER: &str = "owner";
const TREE: &str = "tree";
/// The list of the files, by which they are compared.
const INDEX: &str = "index";

/// A checkout; removed when dropped.
#[derive(Debug)]
pub struct Checkout {
    export: Export,
    folder: tempfile::TempDir,
    /// Locked until the checkout is dropped.
    _owner: File,
}

impl Checkout {
    /// Writes the files of a commit, and compares what was written with it.
    ///
    /// # Errors
    /// Refused (exit 3) where what would be uploaded is not what was committed.
    pub fn of(ctx: &Context, commit: &str) -> Result<Self> {
        let git = Git::open(ctx);
        let environment = ctx.env();
        let sources: Vec<PathBuf> = environment.folders().map(refuse::plain).collect();
        let sources: Vec<&Path> = sources.iter().map(PathBuf::as_path).collect();
        refuse::refuse_submodules(&git.submodules(&git.resolve(commit)?)?, &sources)?;
        let root = private_folder()?;
        refuse::refuse_rules_above(&root)?;
        let checkout = Self::below(&root, &git, commit)?;
        checkout.compare()?;
        checkout.refuse_pointers(&sources)?;
        let by_folder = |one: &&BackendConfig| one.railway().is_some() && !one.is_uploaded_whole();
        for backend in environment.backends.iter().filter(by_folder) {
            checkout.refuse_left_out(&refuse::plain(&backend.folder))?;
        }
        Ok(checkout)
    }

    fn below(root: &Path, git: &Git, commit: &str) -> Result<Self> {
        let gate = locked(&root.join(GATE))?;
        let folder = tempfile::tempdir_in(root).context("cannot make a folder for the checkout")?;
        let owner = locked(&folder.path().join(OWNER))?;
        drop(gate);
        let tree = folder.path().join(TREE);
        std::fs::create_dir(&tree).context("cannot make a folder for the checkout")?;
        let export = git.export(&git.resolve(commit)?, &tree, &folder.path().join(INDEX))?;
        Ok(Self {
            export,
            folder,
            _owner: owner,
        })
    }

    /// The folder to upload for the backend, as the service on Railway is set.
    ///
    /// # Errors
    /// Refused (exit 3) where the service would not find its root directory, or where files of the folder would be left out.
    pub fn backend(&self, backend: &BackendConfig, service: &RailwayService) -> Result<PathBuf> {
        let source = match backend.upload {
            UploadFrom::Folder => backend.folder.as_path(),
            UploadFrom::Root => Path::new("."),
        };
        let root = service.root_directory.as_deref();
        let folder = folder_for(source, root, |path| self.path(path).is_dir());
        let root = service.root_directory.as_deref().unwrap_or_default();
        let folder = folder.ok_or_else(|| errors::railway_root_directory(root, source.display()))?;
        if backend.railway().is_some() {
            self.refuse_left_out(&folder)?;
        }
        Ok(self.path(&folder))
    }

    /// What a plan has about the upload of a backend.
    pub fn upload_note(&self, backend: &BackendConfig, folder: &Path) -> Result<String> {
        let tree = self.path(Path::new(""));
        let folder = folder.strip_prefix(&tree).unwrap_or(folder);
        Ok(self
            .upload_size(folder)?
            .note(&about("the backend", &backend.name)))
    }

    /// The folder to build the frontend in, as the project on Vercel is set.
    ///
    /// # Errors
    /// Refused (exit 3) where the project would not find its Root Directory.
    pub fn frontend(&self, frontend: &FrontendConfig, project: &VercelProject) -> Result<PathBuf> {
        let source = match frontend.upload {
            UploadFrom::Folder => frontend.folder.as_path(),
            UploadFrom::Root => Path::new("."),
        };
        let root = project.root_directory.as_deref();
        let folder = folder_for(source, root, |path| self.path(path).is_dir());
        let folder = folder
            .ok_or_else(|| errors::vercel_root_directory(root.unwrap_or_default(), source.display()))?;
        Ok(self.path(&folder))
    }

    /// A folder of the checkout.
    pub fn path(&self, part: &Path) -> PathBuf {
        self.folder.path().join(TREE).join(part)
    }
}

/// Removes the checkouts of killed processes. A failure is no reason not to release.
pub fn sweep() {
    let swept = private_folder().and_then(|root| sweep_below(&root));
    if let Err(error) = swept {
        report::trace(&format!("cannot remove old checkouts: {error:#}"));
    }
}

fn sweep_below(root: &Path) -> Result<()> {
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
    Ok(())
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
        found.is_dir() && found.uid() == user && found.mode().trailing_zeros() >= OTHERS_MODE_BITS,
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
    #[expect(
        clippy::used_underscore_binding,
        reason = "a kill is an unlock without the destructor"
    )]
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

        let living = Checkout::below(&root, &git, "HEAD").unwrap();
        let killed = Checkout::below(&root, &git, "HEAD").unwrap();
        let left = killed.folder.path().to_owned();
        // A kill closes the files and runs no destructor: only the lock is gone.
        killed._owner.unlock().unwrap();
        std::mem::forget(killed);

        sweep_below(&root).unwrap();
        assert!(!left.exists());
        assert!(living.path(Path::new("")).is_dir());
    }

    #[test]
    fn the_size_of_an_upload_leaves_out_what_the_rules_in_and_above_its_folder_do() {
        let dir = tempfile::tempdir().unwrap();
        let (clone, root) = (dir.path().join("clone"), dir.path().join("checkouts"));
        std::fs::create_dir_all(&root).unwrap();
        for (file, text) in [
            (".railwayignore", "web\n*.mp4\n"),
            (".gitignore", "dist\n"),
            ("api/server.js", "12345"),
            ("api/dist/built.js", "12345"),
            ("api/intro.mp4", "1234567890"),
            ("api/.railwayignore", "docs/\n"),
            ("api/docs/a.md", "text"),
            ("web/.railwayignore", "x\n"),
            ("web/index.html", "page"),
        ] {
            let path = clone.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let sh = Shell::new().unwrap();
        sh.change_dir(&clone);
        cmd!(sh, "git init --quiet").run().unwrap();
        cmd!(sh, "git add --all --force").run().unwrap();
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        cmd!(sh, "git {identity...} commit --quiet -m first")
            .run()
            .unwrap();
        let checkout = Checkout::below(&root, &Git::at(&clone, "origin"), "HEAD").unwrap();
        let note = |folder: &str| {
            checkout
                .upload_size(Path::new(folder))
                .unwrap()
                .note("the backend")
        };
        assert_eq!(
            note("api"),
            "the upload of the backend has 3 files, 16 B; the rules in .railwayignore, api/.railwayignore leave out 2 committed files"
        );
        let whole = note("");
        assert!(
            whole.contains("has 5 files") && whole.contains("leave out 4 committed"),
            "{whole}"
        );
    }
}
