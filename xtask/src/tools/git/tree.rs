//! The files of a commit: which of them differ between two, and all of them in a folder, exactly as they were committed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Git, settings};
use crate::domain::commit::CommitId;
use crate::domain::migration::FileChange;
use crate::exec::Exec;

/// Large repositories, and filters that fetch file contents (Git LFS).
const EXPORT_DEADLINE: Duration = Duration::from_mins(10);
/// The mode of a submodule in a tree.
const SUBMODULE: &str = "160000";
/// How many paths one command line takes.
const PATHS_AT_ONCE: usize = 500;

/// Files of a commit in a folder without `.git`, with an index of their own beside it.
#[derive(Debug)]
pub struct Export {
    git: Git,
    git_dir: PathBuf,
    index: PathBuf,
    commit: CommitId,
    folder: PathBuf,
}

/// A path that differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    pub path: String,
    pub change: FileChange,
    /// Whether it is a submodule on one of the sides.
    pub is_submodule: bool,
}

impl Git {
    /// Paths that differ between two commits, below any of `paths` (all where that is empty). A submodule at or above one
    /// of them is named where it moved: its files are not in this repository, and may have changed.
    pub fn changed_paths(&self, from: &CommitId, to: &CommitId, paths: &[String]) -> Result<Vec<String>> {
        let changed = self.changed_files(from, to, paths)?;
        Ok(changed.into_iter().map(|file| file.path).collect())
    }

    /// The same, and how each differs.
    pub fn changed_files(
        &self,
        from: &CommitId,
        to: &CommitId,
        paths: &[String],
    ) -> Result<Vec<ChangedFile>> {
        let mut changed = self.differing(from, to, paths)?;
        // With a path below a submodule, git prints nothing.
        let all = self.differing(from, to, &[])?;
        let moved = all.into_iter().filter(|file| {
            let is_above = paths.iter().any(|wanted| may_contain(&file.path, wanted));
            file.is_submodule && is_above && changed.iter().all(|known| known.path != file.path)
        });
        let moved: Vec<ChangedFile> = moved.collect();
        changed.extend(moved);
        Ok(changed)
    }

    /// Those of `paths` at which neither this commit nor one before it has a file. What may lie in a submodule is not among
    /// them: its files are not in this repository.
    pub fn never_committed(&self, commit: &CommitId, paths: &[String]) -> Result<Vec<String>> {
        let mut never = Vec::new();
        for path in paths {
            let args = ["log", "-1", "--format=%H", commit.as_str(), "--", path];
            if self.local(&args)?.read()?.trim().is_empty() {
                never.push(path.clone());
            }
        }
        if !never.is_empty() {
            let submodules = self.submodules(commit)?;
            never.retain(|path| !submodules.iter().any(|submodule| may_contain(submodule, path)));
        }
        Ok(never)
    }

    fn differing(&self, from: &CommitId, to: &CommitId, paths: &[String]) -> Result<Vec<ChangedFile>> {
        let mut args = vec![
            "diff-tree",
            "-r",
            "--raw",
            "--no-renames",
            "--no-ext-diff",
            "--no-relative",
            "--ignore-submodules=none",
            "-z",
            from.as_str(),
            to.as_str(),
            "--",
        ];
        args.extend(paths.iter().map(String::as_str));
        let text = self.local(&args)?.read()?;
        let mut fields = text.split_terminator('\0');
        let mut differing = Vec::new();
        while let (Some(modes), Some(path)) = (fields.next(), fields.next()) {
            // `:100644 100644 <blob> <blob> M`
            let fields: Vec<&str> = modes.trim_start_matches(':').split(' ').collect();
            differing.push(ChangedFile {
                path: path.to_owned(),
                change: match fields.last() {
                    Some(&"A") => FileChange::Added,
                    Some(&"D") => FileChange::Removed,
                    _ => FileChange::Changed,
                },
                is_submodule: fields.iter().take(2).any(|mode| *mode == SUBMODULE),
            });
        }
        Ok(differing)
    }

    /// Paths of the submodules of a commit: of their files it has none.
    pub fn submodules(&self, commit: &CommitId) -> Result<Vec<String>> {
        let listed = self
            .local(&["ls-tree", "-r", "-z", "--full-tree", commit.as_str()])?
            .read()?;
        let entries = listed.split_terminator('\0');
        let submodules = entries
            .filter_map(|entry| entry.split_once('\t'))
            .filter(|(entry, _)| entry.starts_with(SUBMODULE))
            .map(|(_, path)| path.to_owned());
        Ok(submodules.collect())
    }

    /// Writes all files of a commit into an empty folder. It is made from an index of its own: a linked work tree would
    /// take over sparse checkout, run hooks, and be a git work tree, in which ignore rules count for an upload; and
    /// `git archive` leaves out what `export-ignore` names.
    pub fn export(&self, commit: &CommitId, folder: &Path, index: &Path) -> Result<Export> {
        let git_dir = self.local(&["rev-parse", "--absolute-git-dir"])?.read()?;
        let export = Export {
            git: self.clone(),
            git_dir: git_dir.into(),
            index: index.to_owned(),
            commit: commit.clone(),
            folder: folder.to_owned(),
        };
        let written = export.read_tree().and_then(|()| {
            export
                .command(&["checkout-index", "--all", "--force", "--quiet"])?
                .run()
        });
        written.with_context(|| format!("cannot write the files of {}", commit.short()))?;
        Ok(export)
    }
}

impl Export {
    /// Paths where the folder is not the commit: other content, another mode, missing, or too many.
    pub fn differences(&self) -> Result<Vec<String>> {
        // A new index remembers no times of files, so that each one is read.
        self.read_tree()?;
        // Exit 1 only says that some differ.
        self.command(&["update-index", "-q", "--refresh"])?.output()?;
        let changed = self.paths(&[
            "diff-files",
            "--name-only",
            "--no-ext-diff",
            "--ignore-submodules=all",
            "-z",
        ])?;
        let added = self.paths(&["ls-files", "--others", "-z"])?;
        let mut differences = [changed, added].concat();
        if self.has_attributes_of_its_own()? {
            differences.extend(self.rewritten()?);
        }
        differences.sort();
        differences.dedup();
        Ok(differences)
    }

    /// Committed files that rules in the files of this name exclude.
    pub fn excluded_by(&self, name: &str) -> Result<Vec<String>> {
        let rules = format!("--exclude-per-directory={name}");
        self.paths(&["ls-files", "--cached", "--ignored", &rules, "-z"])
    }

    /// Committed files below `folder`, relative to the root.
    pub fn files(&self, folder: &Path) -> Result<Vec<String>> {
        let folder = folder.to_str().context("a folder's name is not UTF-8")?;
        let mut args = vec!["ls-files", "--cached", "-z", "--"];
        let pathspec = format!(":(literal){folder}");
        // The empty path is the root.
        args.extend((!folder.is_empty()).then_some(pathspec.as_str()));
        self.paths(&args)
    }

    /// `info/attributes` of the clone is stronger than what is committed, and no setting turns it off.
    fn has_attributes_of_its_own(&self) -> Result<bool> {
        let path = self
            .command(&["rev-parse", "--git-path", "info/attributes"])?
            .read()?;
        let text = std::fs::read_to_string(self.folder.join(path)).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        Ok(lines.any(|line| !line.is_empty() && !line.starts_with('#')))
    }

    /// Files whose bytes are not those of the commit.
    fn rewritten(&self) -> Result<Vec<String>> {
        let staged = self.command(&["ls-files", "--cached", "--stage", "-z"])?.read()?;
        let entries = staged
            .split_terminator('\0')
            .filter_map(|entry| entry.split_once('\t'));
        let files: Vec<(&str, &str)> = entries
            .filter(|(entry, _)| entry.starts_with("100"))
            .filter_map(|(entry, path)| Some((entry.split(' ').nth(1)?, path)))
            .collect();
        let mut rewritten = Vec::new();
        for some in files.chunks(PATHS_AT_ONCE) {
            let mut args = vec!["hash-object", "--no-filters", "--"];
            args.extend(some.iter().map(|(_, path)| *path));
            let hashes = self.command(&args)?.read()?;
            let differ = some
                .iter()
                .zip(hashes.lines())
                .filter(|((object, _), hash)| object != hash);
            rewritten.extend(differ.map(|((_, path), _)| (*path).to_owned()));
        }
        Ok(rewritten)
    }

    fn read_tree(&self) -> Result<()> {
        match std::fs::remove_file(&self.index) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("cannot remove the index of the files");
            }
            _ => {}
        }
        self.command(&["read-tree", "--no-sparse-checkout", self.commit.as_str()])?
            .run()
    }

    fn paths(&self, args: &[&str]) -> Result<Vec<String>> {
        let text = self.command(args)?.read()?;
        Ok(text.split_terminator('\0').map(str::to_owned).collect())
    }

    fn command(&self, args: &[&str]) -> Result<Exec> {
        let exact = settings::EXACT.iter().flat_map(|setting| ["-c", *setting]);
        let args: Vec<&str> = exact.chain(args.iter().copied()).collect();
        Ok(self
            .git
            .command_in(&self.folder, &args)?
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_WORK_TREE", &self.folder)
            .env("GIT_INDEX_FILE", &self.index)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .deadline(EXPORT_DEADLINE))
    }
}

/// Whether something below the submodule may be meant by the path, which may hold wildcards.
fn may_contain(submodule: &str, wanted: &str) -> bool {
    let literal = wanted.split(['*', '?', '[']).next().unwrap_or_default();
    let literal = literal.trim_start_matches("./").trim_end_matches('/');
    let is_below = |inner: &str, outer: &str| {
        outer.is_empty()
            || inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_below(literal, submodule) || is_below(submodule, literal)
}
