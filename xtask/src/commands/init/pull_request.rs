//! `init --pull-request`: the files as a branch and a pull request. Everything that can be refused is refused before anything is
//! made; a branch that was pushed for nothing is deleted again.

use std::path::Path;

use anyhow::Result;

use crate::domain::commit::CommitId;
use crate::error::catalogue::setup as errors;
use crate::init::RepositoryFacts;
use crate::report::one_line;
use crate::tools::gh::GitHub;
use crate::tools::git::Git;

/// The branch that is made.
pub(super) const BRANCH: &str = "cargo-xtask-init";
const TITLE: &str = "Releases and rollbacks by cargo xtask";

/// A pull request that can be made.
pub(super) struct PullRequest {
    git: Git,
    github: GitHub,
    remote: String,
    base: String,
    parent: CommitId,
    prefix: String,
}

impl PullRequest {
    /// Refused with what stands against it; nothing is changed.
    pub(super) fn prepare(root: &Path, facts: &RepositoryFacts, paths: &[&str]) -> Result<Self> {
        let refused = |why: &str, fix: &str| errors::no_pull_request(why, fix);
        let Some(remote) = facts.remote.value.clone() else {
            let fix =
                "push the repository to GitHub first: git remote add origin git@github.com:OWNER/NAME.git";
            return Err(refused("the repository has no remote", fix).into());
        };
        let Some(repository) = &facts.repository.value else {
            let why = format!("the remote {remote} is no repository on GitHub");
            return Err(refused(&why, "leave out --pull-request, and commit the files yourself").into());
        };
        let git = Git::at(root, &remote);
        if paths.is_empty() {
            return Err(refused("every file is there already", "cargo xtask doctor --config-only").into());
        }
        let staged = git.staged()?;
        if !staged.is_empty() {
            let why = format!("changes are staged: {}", staged.join(", "));
            return Err(refused(&why, "commit them, or `git restore --staged .`").into());
        }
        if git.has_branch(BRANCH)? {
            let fix = format!("git branch -m {BRANCH} OTHER-NAME, or `git branch -D {BRANCH}`");
            return Err(refused(&format!("this clone has a branch {BRANCH} already"), &fix).into());
        }
        if git.remote_ref(&format!("refs/heads/{BRANCH}"))?.is_some() {
            let fix = format!("merge or close its pull request, then `git push {remote} --delete {BRANCH}`");
            return Err(refused(&format!("{remote} has a branch {BRANCH} already"), &fix).into());
        }
        let base = facts.branch.value.clone().unwrap_or_default();
        let parent = git.fetch(&base)?;
        let prefix = git.prefix()?;
        for path in paths {
            if git.has_path(&parent, &format!("{prefix}{path}"))? {
                let why = format!("the branch {base} of {remote} has {path}, and this clone has not");
                return Err(refused(&why, "git pull").into());
            }
        }
        let github = GitHub::of(root, repository);
        let page = github.page().map_err(|error| {
            refused(
                &format!("gh: {}", one_line(&format!("{error:#}"))),
                "gh auth login",
            )
        })?;
        if page.is_none() {
            let why = format!("this account sees no repository {repository} on GitHub");
            return Err(refused(&why, "gh auth login").into());
        }
        Ok(Self {
            git,
            github,
            remote,
            base,
            parent,
            prefix,
        })
    }

    /// Makes it: branch and commit on the remote, the pull request, then the branch of this clone. Gives its address. The work
    /// tree stays as it is.
    pub(super) fn make(&self, files: &[(&str, &str)], body: &str) -> Result<String> {
        let below = |(path, text): &(&str, &str)| (format!("{}{path}", self.prefix), (*text).to_owned());
        let files: Vec<(String, String)> = files.iter().map(below).collect();
        let commit = self.git.commit_files(&self.parent, &files, TITLE)?;
        let pushed = self.git.push_commit(&commit, &format!("refs/heads/{BRANCH}"));
        let made = pushed.and_then(|()| self.github.create_pull_request(BRANCH, &self.base, TITLE, body));
        match made {
            Ok(address) => {
                self.git.make_branch(BRANCH, &commit)?;
                Ok(address)
            }
            Err(error) => Err(self.withdraw(&commit, &error)),
        }
    }

    /// Deletes the branch that was pushed: also after a push whose answer got lost.
    fn withdraw(&self, commit: &CommitId, error: &anyhow::Error) -> anyhow::Error {
        let cause = format!("{error:#}");
        let is_there = !matches!(self.git.remote_ref(&format!("refs/heads/{BRANCH}")), Ok(None));
        if is_there && self.git.delete_remote_branch(BRANCH, commit).is_err() {
            let fix = format!(
                "git push {} --delete {BRANCH}, then the same command again",
                self.remote
            );
            return errors::pull_request_failed(
                cause,
                format!("the branch {BRANCH} may be left on {}", self.remote),
                fix,
            )
            .into();
        }
        errors::pull_request_failed(
            cause,
            "no branch is left, and no file was written",
            "repair that, then the same command again",
        )
        .into()
    }
}
