//! What a repository holds before it has a configuration: its files, remotes and branch.

use anyhow::Result;

use super::Git;

impl Git {
    /// Files of the work tree that git has or would take, below the folder that this was opened with.
    pub fn work_tree_files(&self) -> Result<Vec<String>> {
        self.listed(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    }

    /// Committed files that `.gitignore` excludes.
    pub fn committed_but_ignored(&self) -> Result<Vec<String>> {
        self.listed(&["ls-files", "-z", "--cached", "--ignored", "--exclude-standard"])
    }

    /// Committed files.
    pub fn committed(&self) -> Result<Vec<String>> {
        self.listed(&["ls-files", "-z", "--cached"])
    }

    /// Names of the remotes and their addresses for fetching.
    pub fn remotes(&self) -> Result<Vec<(String, String)>> {
        let text = self.local(&["remote", "-v"])?.read()?;
        let fetched = text.lines().filter_map(|line| line.strip_suffix("(fetch)"));
        Ok(fetched
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, url)| (name.to_owned(), url.trim().to_owned()))
            .collect())
    }

    /// The branch that the remote has as its default, where the clone recorded it.
    pub fn default_branch(&self, remote: &str) -> Option<String> {
        let name = format!("refs/remotes/{remote}/HEAD");
        let found = self.local(&["symbolic-ref", "--quiet", "--short", &name]).ok()?;
        let branch = found.read().ok()?;
        branch
            .trim()
            .strip_prefix(&format!("{remote}/"))
            .map(str::to_owned)
    }

    /// The branch that is checked out.
    pub fn current_branch(&self) -> Option<String> {
        let found = self.local(&["symbolic-ref", "--quiet", "--short", "HEAD"]).ok()?;
        Some(found.read().ok()?.trim().to_owned())
    }

    /// The top of the work tree.
    pub fn top(&self) -> Option<std::path::PathBuf> {
        let found = self.local(&["rev-parse", "--show-toplevel"]).ok()?;
        Some(found.read().ok()?.trim().into())
    }

    pub(super) fn listed(&self, args: &[&str]) -> Result<Vec<String>> {
        let text = self.local(args)?.read()?;
        Ok(text.split_terminator('\0').map(str::to_owned).collect())
    }
}
