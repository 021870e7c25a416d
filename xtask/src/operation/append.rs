//! Appending to a reference on the git remote without force: ledger, records of checks and approval requests.

use anyhow::{Context as _, Result};

use crate::domain::commit::CommitId;
use crate::tools::git::Git;

/// Where a commit went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// The remote has it.
    Arrived,
    /// Somebody else appended first: the commit has no effect.
    Overtaken,
}

/// Pushes a commit that continues `parent`. Whatever the push reports, the remote decides: the commit may have arrived with
/// only the answer lost, and others may have appended after it.
///
/// # Errors
/// The error of the push, where the remote is as it was or cannot be read.
pub fn push(git: &Git, reference: &str, parent: Option<&CommitId>, commit: &CommitId) -> Result<Append> {
    let Err(error) = git.push_commit(commit, reference) else {
        return Ok(Append::Arrived);
    };
    let Ok(now) = git.remote_ref(reference) else {
        return Err(error);
    };
    match now {
        Some(now) if now == *commit => Ok(Append::Arrived),
        Some(now) if Some(&now) != parent => {
            git.fetch_chain(reference, parent, &now)?;
            let since = git
                .messages(parent, &now)
                .context("cannot read what others appended")?;
            let arrived = since.iter().any(|message| message.commit == *commit);
            Ok(if arrived {
                Append::Arrived
            } else {
                Append::Overtaken
            })
        }
        _ => Err(error),
    }
}
