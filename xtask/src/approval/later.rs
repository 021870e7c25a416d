//! The review of a rollback that did not wait for one: an issue, which a reviewer closes.

use anyhow::Result;

use crate::context::Context;
use crate::report::one_line;
use crate::tools::gh::{GitHub, OpenIssue};

/// Marks these issues.
const LABEL: &str = "rollback-review";

/// Asks for the review of the rollback to `target` which this workflow run made. Asked for before, nothing is done.
///
/// # Errors
/// Exit 1 where GitHub takes no issue; nothing live was changed.
pub fn ask_later(ctx: &Context, target: &str, reason: &str) -> Result<OpenIssue> {
    let github = GitHub::open(ctx)?;
    let run = super::this_run()?;
    let title = one_line(&format!(
        "Review the rollback to {target} in {} (run {run})",
        ctx.env_name
    ));
    let asked = asked_later(&github)?
        .into_iter()
        .find(|issue| issue.title == title);
    if let Some(issue) = asked {
        return Ok(issue);
    }
    let body = body(ctx, target, reason, run, github.repository());
    github.open_issue(&title, &body, LABEL)
}

/// The reviews that nobody has made yet.
pub fn asked_later(github: &GitHub) -> Result<Vec<OpenIssue>> {
    github.open_issues(LABEL)
}

/// Indented, so that a reason is shown as it was typed and nobody is called by it.
fn body(ctx: &Context, target: &str, reason: &str, run: u64, repository: &str) -> String {
    let actor = ctx.actor();
    let server = std::env::var("GITHUB_SERVER_URL").unwrap_or_else(|_| "https://github.com".to_owned());
    format!(
        "A rollback of critical urgency went straight on, without a review before.\n\n    by:     {}\n    to:     {}\n    \
         reason: {}\n    run:    {server}/{repository}/actions/runs/{run}\n\nSomebody else checks the run and its record \
         (`cargo xtask releases`), writes here what was found, and closes this issue. Until then `cargo xtask doctor` names it.\n",
        one_line(&actor),
        one_line(target),
        one_line(reason),
    )
}
