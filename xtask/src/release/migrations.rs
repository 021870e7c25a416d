//! The migrations of a commit: where their paths match nothing, nothing follows from a comparison.

use anyhow::Result;

use crate::context::Context;
use crate::domain::commit::CommitId;
use crate::error::catalogue::configuration as errors;
use crate::tools::git::Git;

/// Configured paths at which no commit up to this one has a file: they are misspelt, or not committed yet.
pub fn unmatched(ctx: &Context, git: &Git, commit: &CommitId) -> Result<Vec<String>> {
    git.never_committed(commit, &ctx.config.migrations.paths)
}

/// Migrations that differ between two commits; `to` is the later one.
///
/// # Errors
/// Exit 2 where a path matches nothing up to `to`: nothing would ever differ there.
pub fn changed(ctx: &Context, git: &Git, from: &CommitId, to: &CommitId) -> Result<Vec<String>> {
    require(ctx, git, to)?;
    git.changed_paths(from, to, &ctx.config.migrations.paths)
}

/// Refuses paths that match nothing up to this commit.
///
/// # Errors
/// Exit 2.
pub fn require(ctx: &Context, git: &Git, commit: &CommitId) -> Result<()> {
    let unmatched = unmatched(ctx, git, commit)?;
    if unmatched.is_empty() {
        return Ok(());
    }
    Err(errors::migrations_unmatched(unmatched.join(", ")).into())
}
