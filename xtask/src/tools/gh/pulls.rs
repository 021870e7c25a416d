//! Pull requests.

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{GitHub, query};

impl GitHub {
    /// Opens a pull request for a branch that was pushed, and gives its address. With `--head` nothing is pushed or forked
    /// (`gh pr create --help`).
    pub fn create_pull_request(&self, branch: &str, base: &str, title: &str, body: &str) -> Result<String> {
        let (sh, repository) = (self.shell()?, &self.repository);
        let printed = query(cmd!(
            sh,
            "gh pr create --repo {repository} --head {branch} --base {base} --title {title} --body-file -"
        ))
        .stdin(body)
        .read()?;
        let address = printed.lines().last().map(str::trim);
        address
            .filter(|address| address.starts_with("https://"))
            .map(str::to_owned)
            .context("gh printed no address of a pull request")
    }
}
