//! A repository on this machine that takes the place of a remote which does not answer.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Git;
use super::records::RELEASES;
use super::tags;

impl Git {
    /// Makes a bare repository at `path` with what this clone has read of the remote: ledger, records, tags and the branch that
    /// releases come from.
    pub fn copy_remote(&self, path: &Path, prefix: &str, branch: &str) -> Result<()> {
        let tags = if self.references(&format!("{}/{prefix}-*", tags::KEPT))?.is_empty() {
            "refs/tags"
        } else {
            tags::KEPT
        };
        let copied = [
            "+refs/xtask/seen/xtask/ledger/*:refs/xtask/ledger/*".to_owned(),
            "+refs/xtask/seen/xtask/history/*:refs/xtask/history/*".to_owned(),
            format!("+refs/xtask/seen/releases/{prefix}-*:{RELEASES}/{prefix}-*"),
            format!("+{tags}/{prefix}-*:refs/tags/{prefix}-*"),
        ];
        self.fill(path, &self.root, &copied)?;
        let known = [
            format!("refs/xtask/heads/{branch}"),
            format!("refs/remotes/{}/{branch}", self.remote),
            "HEAD".to_owned(),
        ];
        let commit = known.iter().find_map(|name| self.resolve(name).ok());
        let commit = commit.context("this clone has no commit of the branch that releases come from")?;
        let copy = Self::at(&self.root, &path.to_string_lossy());
        copy.push_commit(&commit, &format!("refs/heads/{branch}"))
    }

    /// The same from a copy that was kept: a mirror of the remote, or a bundle of all its references.
    pub fn copy_kept(&self, path: &Path, kept: &Path, prefix: &str, branch: &str) -> Result<()> {
        let copied = [
            "+refs/xtask/ledger/*:refs/xtask/ledger/*".to_owned(),
            "+refs/xtask/history/*:refs/xtask/history/*".to_owned(),
            format!("+{RELEASES}/{prefix}-*:{RELEASES}/{prefix}-*"),
            format!("+refs/tags/{prefix}-*:refs/tags/{prefix}-*"),
            format!("+refs/heads/{branch}:refs/heads/{branch}"),
        ];
        self.fill(path, kept, &copied)
    }

    fn fill(&self, path: &Path, from: &Path, specs: &[String]) -> Result<()> {
        let cannot = || {
            format!(
                "cannot copy the records of {} to {}",
                from.display(),
                path.display()
            )
        };
        let text = path.to_str().context("the path of the copy is not UTF-8")?;
        self.local(&["init", "--quiet", "--bare", text])?
            .run()
            .with_context(cannot)?;
        let from = from.to_str().context("the path of the records is not UTF-8")?;
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        Self::at(path, from).fetch_specs(&specs).with_context(cannot)
    }
}
