//! `git`: the repository we release from, its remote, release tags, and the chain of commits that the ledger is.
//!
//! Nothing here depends on the user's configuration for correctness (identity, signing, hooks), yet the configuration
//! is read: credentials and rewritten URLs live there. Nothing ever pushes with force.

mod approvals;
mod authors;
mod branch;
mod chain;
mod copy;
mod inspect;
mod merge;
mod objects;
mod records;
mod settings;
mod tags;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use xshell::cmd;

pub use authors::CommitPeople;
pub use chain::{Message, message_with};
pub use merge::{MergedText, merge_texts};
pub use records::RELEASES;
pub use tags::{Signature, Tag};
pub use tree::{ChangedFile, Export};

use crate::context::Context;
use crate::domain::commit::CommitId;
use crate::exec::{Exec, Finished, OF_GITHUB, shell_in};

/// For what reads and writes the repository on this machine.
const LOCAL_DEADLINE: Duration = Duration::from_secs(30);
/// For what talks to the remote.
const REMOTE_DEADLINE: Duration = Duration::from_mins(1);
/// Two processes that fetch in one clone at once can meet on a reference; the second attempt finds it unlocked.
const FETCH_ATTEMPTS: u32 = 3;

/// A clone and the remote that releases are recorded on.
#[derive(Debug, Clone)]
pub struct Git {
    root: PathBuf,
    remote: String,
    remote_deadline: Duration,
    /// The tree without files, once this clone has it.
    empty_tree: Arc<OnceLock<String>>,
}

impl Git {
    /// The repository of this invocation.
    pub fn open(ctx: &Context) -> Self {
        Self::at(&ctx.root, &ctx.config.git.remote)
    }

    /// The repository in this folder.
    pub fn at(root: &Path, remote: &str) -> Self {
        Self {
            root: root.to_owned(),
            remote: remote.to_owned(),
            remote_deadline: REMOTE_DEADLINE,
            empty_tree: Arc::default(),
        }
    }

    /// Gives up on the remote earlier or later than usual.
    #[must_use]
    pub fn with_remote_deadline(mut self, deadline: Duration) -> Self {
        self.remote_deadline = deadline;
        self
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<CommitId> {
        self.resolve("HEAD")
    }

    /// The commit that a name stands for.
    pub fn resolve(&self, name: &str) -> Result<CommitId> {
        let spec = format!("{name}^{{commit}}");
        let text = self
            .local(&["rev-parse", "--verify", "--quiet", "--end-of-options", &spec])?
            .read()
            .with_context(|| format!("the repository has no commit `{name}`"))?;
        Ok(text.parse()?)
    }

    /// Paths that differ from the commit that is checked out: changed, staged and untracked ones (an upload of the
    /// folder would take them along), without those that `.gitignore` names.
    pub fn uncommitted(&self) -> Result<Vec<String>> {
        let text = self
            .local(&[
                "status",
                "--porcelain=v1",
                "--no-renames",
                "--untracked-files=normal",
                "--ignore-submodules=none",
                "-z",
            ])?
            .read()?;
        Ok(text
            .split('\0')
            .filter_map(|entry| entry.get(3..).map(str::to_owned))
            .collect())
    }

    /// Whether the remote's branch contains the commit that is checked out.
    pub fn is_pushed(&self, branch: &str) -> Result<bool> {
        let remote = self.fetch(branch)?;
        self.is_ancestor(&self.head()?, &remote)
    }

    /// Fetches the remote's branch and gives its commit. No branch or tag of the user changes.
    pub fn fetch(&self, branch: &str) -> Result<CommitId> {
        let kept = format!("refs/xtask/heads/{branch}");
        self.fetch_specs(&[&format!("+refs/heads/{branch}:{kept}")])
            .with_context(|| format!("cannot fetch branch {branch} of {}", self.remote))?;
        self.resolve(&kept)
    }

    /// Whether `descendant` contains `ancestor`. An error in a shallow clone, where git cannot know.
    pub fn is_ancestor(&self, ancestor: &CommitId, descendant: &CommitId) -> Result<bool> {
        let asked = self
            .local(&[
                "merge-base",
                "--is-ancestor",
                ancestor.as_str(),
                descendant.as_str(),
            ])?
            .output()?;
        match asked.code {
            Some(0) => Ok(true),
            Some(1) if !self.is_shallow()? => Ok(false),
            Some(1) => {
                bail!("the clone is shallow: run `git fetch --unshallow`, in a workflow set `fetch-depth: 0`")
            }
            _ => Err(asked.error()),
        }
    }

    fn is_shallow(&self) -> Result<bool> {
        Ok(self.local(&["rev-parse", "--is-shallow-repository"])?.read()? == "true")
    }

    /// Fetches with these refspecs and nothing else: no tags, no `FETCH_HEAD`.
    fn fetch_specs(&self, specs: &[&str]) -> Result<()> {
        let mut args = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            &self.remote,
        ];
        args.extend(specs);
        let mut attempt = 1;
        loop {
            let fetched = self.remote_capable(&args)?.output()?;
            if fetched.code == Some(0) {
                return Ok(());
            }
            if attempt == FETCH_ATTEMPTS || !met_on_a_lock(&fetched) {
                return Err(fetched.error());
            }
            attempt += 1;
        }
    }

    fn local(&self, args: &[&str]) -> Result<Exec> {
        Ok(self.command_in(&self.root, args)?.deadline(LOCAL_DEADLINE))
    }

    fn remote_capable(&self, args: &[&str]) -> Result<Exec> {
        Ok(self.command_in(&self.root, args)?.deadline(self.remote_deadline))
    }

    fn command_in(&self, folder: &Path, args: &[&str]) -> Result<Exec> {
        let sh = shell_in(folder)?;
        let settings = settings::arguments(&self.remote);
        let unshown = settings.len();
        let command = Exec::new(cmd!(sh, "git {settings...} {args...}"))
            .unshown(unshown)
            .inherit(settings::AUTHENTICATION)
            // `gh auth git-credential` as a credential helper reads these.
            .inherit(OF_GITHUB)
            .inherit(&settings::configuration());
        Ok(command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // Parents that only this clone knows. An empty file would be mentioned on each call.
            .env("GIT_GRAFT_FILE", "/dev/null/none")
            .env("GIT_AUTHOR_NAME", "cargo xtask")
            .env("GIT_AUTHOR_EMAIL", "xtask@invalid")
            .env("GIT_COMMITTER_NAME", "cargo xtask")
            .env("GIT_COMMITTER_EMAIL", "xtask@invalid"))
    }
}

fn met_on_a_lock(fetched: &Finished) -> bool {
    fetched
        .stderr_tail
        .iter()
        .any(|line| line.contains("cannot lock ref") || line.contains(".lock': File exists"))
}

#[cfg(test)]
mod tests;
