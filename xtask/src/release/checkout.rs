//! The files of one commit in a folder of their own: what goes out is what was committed, whatever lies in the work tree
//! and however its git is set up.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::error::CliError;
use crate::tools::git::{Export, Git};

/// Files with rules that decide what `railway up` leaves out, also in the folders above (it walks with the library
/// `ignore`); inside a git work tree, those of git do too.
const RULES: [&str; 3] = [".railwayignore", ".ignore", ".git"];
/// Left out by `railway up` wherever it stands.
const NEVER_UPLOADED: &str = "node_modules";
/// How a file begins in whose place Git LFS keeps the content.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// How many paths a message names.
const NAMED: usize = 10;

/// A folder without `.git`; removed when dropped.
#[derive(Debug)]
pub struct Checkout {
    export: Export,
    folder: tempfile::TempDir,
}

impl Checkout {
    /// Writes the files, and compares what was written with the commit. Refused (exit 3) where what would be uploaded is
    /// not what was committed.
    pub fn of(ctx: &Context, commit: &str) -> Result<Self> {
        let git = Git::open(ctx);
        let commit = git.resolve(commit)?;
        let [backend, frontend] =
            [&ctx.env().railway.source, &ctx.env().vercel.source].map(|path| plain(path));
        let sources = [backend.as_path(), frontend.as_path()];
        refuse_submodules(&git.submodules(&commit)?, &sources)?;
        let folder = tempfile::Builder::new()
            .prefix("xtask-release-")
            .tempdir()
            .context("cannot make a folder")?;
        refuse_rules_above(folder.path())?;
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).context("cannot make a folder")?;
        let export = git.export(&commit, &tree, &folder.path().join("index"))?;
        let checkout = Self { export, folder };
        checkout.compare()?;
        checkout.refuse_pointers(&sources)?;
        checkout.refuse_left_out(&backend)?;
        Ok(checkout)
    }

    /// A folder of the checkout.
    pub fn path(&self, part: &Path) -> PathBuf {
        self.folder.path().join("tree").join(part)
    }

    /// Refused unless the folder holds what was committed, and nothing else.
    fn compare(&self) -> Result<()> {
        let differences = self.export.differences()?;
        refuse(
            &differences,
            "the files to release are not what was committed",
            || {
                "look for a filter or for attributes in the clone's git configuration, or release from a new clone".into()
            },
        )
    }

    fn refuse_pointers(&self, sources: &[&Path]) -> Result<()> {
        let mut pointers = Vec::new();
        for source in sources {
            for file in self.export.files(source)? {
                if is_pointer(&self.path(Path::new(&file))) {
                    pointers.push(file);
                }
            }
        }
        refuse(
            &pointers,
            "these files are pointers of Git LFS, without their content",
            || "git lfs install --local && git lfs fetch".into(),
        )
    }

    /// `railway up` would leave them out without a word.
    fn refuse_left_out(&self, source: &Path) -> Result<()> {
        let installed = self.export.files(source)?.into_iter();
        let mut left_out: Vec<String> = installed
            .filter(|file| file.split('/').any(|part| part == NEVER_UPLOADED))
            .collect();
        let excluded = self.export.excluded_by(".ignore")?.into_iter();
        left_out.extend(excluded.filter(|file| Path::new(file).starts_with(source)));
        refuse(&left_out, "`railway up` leaves these committed files out", || {
            format!(
                "take them out of the rules in .ignore, or out of git: `git rm -r --cached {NEVER_UPLOADED}`"
            )
        })
    }
}

/// A folder of the repository without `.`: the root is the empty path.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| !matches!(component, std::path::Component::CurDir))
        .collect()
}

fn refuse_submodules(submodules: &[String], sources: &[&Path]) -> Result<()> {
    let inside = submodules.iter().filter(|path| {
        let path = Path::new(path);
        sources
            .iter()
            .any(|source| path.starts_with(source) || source.starts_with(path))
    });
    let inside: Vec<String> = inside.cloned().collect();
    refuse(
        &inside,
        "the release would have empty folders in the place of submodules",
        || "take their files into this repository, for example by `git subtree add`".into(),
    )
}

/// Rules of folders above would count for an upload.
fn refuse_rules_above(folder: &Path) -> Result<()> {
    let above = folder.ancestors().skip(1);
    let found = above
        .flat_map(|folder| RULES.iter().map(move |name| folder.join(name)))
        .find(|path| path.exists());
    let Some(found) = found else { return Ok(()) };
    Err(CliError::refused(format!(
        "{} decides about files below the folder for temporary files: an upload would leave some out",
        found.display()
    ))
    .live("nothing was changed")
    .next("set TMPDIR to a folder that has none of .git, .ignore and .railwayignore in or above it")
    .into())
}

fn is_pointer(file: &Path) -> bool {
    let Ok(mut file) = std::fs::File::open(file) else {
        return false;
    };
    let mut start = [0; LFS_POINTER.len()];
    file.read_exact(&mut start).is_ok() && start == LFS_POINTER
}

fn refuse(paths: &[String], what: &str, fix: impl FnOnce() -> String) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = paths.iter().take(NAMED).map(|path| format!("{path:?}")).collect();
    let more = paths.len() - named.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Err(CliError::refused(format!("{what}: {}{more}", named.join(", ")))
        .live("nothing was changed")
        .next(fix())
        .into())
}
