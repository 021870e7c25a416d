//! Who wrote what a release brings: authors, committers and co-authors of every commit since the release that is live,
//! under a merge too, whoever merged.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::context::Context;
use crate::domain::release::Release;
use crate::tools::gh::GitHub;
use crate::tools::git::Git;

/// Addresses of all of them, and their logins where GitHub is asked.
pub(super) fn names(ctx: &Context, live: Option<&Release>, github: Option<&GitHub>) -> Result<Vec<String>> {
    let git = Git::open(ctx);
    let since = live.map(|live| git.resolve(&live.commit)).transpose()?;
    let mut names = BTreeSet::new();
    // One commit of each pair of addresses is asked for: a release may bring hundreds.
    let mut asked = BTreeMap::new();
    for people in git.people_since(since.as_ref(), &git.head()?)? {
        names.extend(people.co_authors);
        names.insert(people.author.clone());
        names.insert(people.committer.clone());
        asked
            .entry((people.author, people.committer))
            .or_insert(people.commit);
    }
    if let Some(github) = github {
        for commit in asked.values() {
            names.extend(github.commit_logins(commit.as_str())?);
        }
    }
    Ok(names.into_iter().collect())
}
