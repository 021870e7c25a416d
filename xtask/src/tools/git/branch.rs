//! A branch with files that nobody has checked out: made without the work tree, its index and its hooks.

use anyhow::{Context as _, Result};

use super::Git;
use crate::domain::commit::CommitId;

/// What a reference that must not be there yet points to.
const NOTHING: &str = "0000000000000000000000000000000000000000";

impl Git {
    /// Paths that are staged for the next commit of whoever works here.
    pub fn staged(&self) -> Result<Vec<String>> {
        self.listed(&["diff", "--cached", "--name-only", "--no-ext-diff", "-z"])
    }

    /// Where this folder is below the top of the work tree: nothing, or a path with `/` at its end.
    pub fn prefix(&self) -> Result<String> {
        self.local(&["rev-parse", "--show-prefix"])?.read()
    }

    /// Whether this clone has a branch of the name.
    pub fn has_branch(&self, name: &str) -> Result<bool> {
        Ok(!self.references(&format!("refs/heads/{name}"))?.is_empty())
    }

    /// Whether a commit has something at a path from the top of the repository.
    pub fn has_path(&self, commit: &CommitId, path: &str) -> Result<bool> {
        let found = self.listed(&["ls-tree", "--full-tree", "-z", commit.as_str(), "--", path])?;
        Ok(!found.is_empty())
    }

    /// A commit upon `parent` that adds these files (paths from the top, and texts), by whoever works here.
    pub fn commit_files(
        &self,
        parent: &CommitId,
        files: &[(String, String)],
        message: &str,
    ) -> Result<CommitId> {
        let folder = tempfile::tempdir().context("cannot make a folder for an index")?;
        let index = folder.path().join("index");
        let run = |args: &[&str]| -> Result<_> { Ok(self.local(args)?.env("GIT_INDEX_FILE", &index)) };
        run(&["read-tree", parent.as_str()])?.run()?;
        for (path, text) in files {
            let blob = run(&["hash-object", "-w", "--stdin"])?
                .stdin(text.as_str())
                .read()?;
            let entry = format!("100644,{blob},{path}");
            run(&["update-index", "--add", "--cacheinfo", &entry])?.run()?;
        }
        let tree = run(&["write-tree"])?.read()?;
        let mut commit = run(&["commit-tree", &tree, "-p", parent.as_str()])?;
        for (key, variable) in [("user.name", "NAME"), ("user.email", "EMAIL")] {
            let set = self.local(&["config", key])?.output()?.stdout;
            if let Some(value) = Some(set.trim()).filter(|value| !value.is_empty()) {
                for whose in ["AUTHOR", "COMMITTER"] {
                    commit = commit.env(&format!("GIT_{whose}_{variable}"), value);
                }
            }
        }
        Ok(commit.stdin(message).read()?.parse()?)
    }

    /// Makes a branch of this clone; refused where there is one.
    pub fn make_branch(&self, name: &str, commit: &CommitId) -> Result<()> {
        let name = format!("refs/heads/{name}");
        self.local(&["update-ref", &name, commit.as_str(), NOTHING])?
            .run()
    }

    /// Deletes a branch of the remote that is still at this commit.
    pub fn delete_remote_branch(&self, name: &str, commit: &CommitId) -> Result<()> {
        let name = format!("refs/heads/{name}");
        let lease = format!("--force-with-lease={name}:{commit}");
        let gone = format!(":{name}");
        self.remote_capable(&["push", "--quiet", "--no-verify", &lease, &self.remote, &gone])?
            .run()
    }
}
