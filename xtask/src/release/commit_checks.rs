//! The checks of a commit must have passed before it is released.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::context::Context;
use crate::domain::checks::ChecksVerdict;
use crate::exec::check_interrupted;
use crate::operation::preflight::Preflight;
use crate::report;
use crate::tools::gh::GitHub;

/// The pauses between two queries grow from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Waits for what is pending, at most `ci.wait_s`; what failed, or does not end in time, is a problem.
pub fn require(ctx: &Context, commit: &str, preflight: &mut Preflight) {
    if !ctx.config.git.require_ci {
        return;
    }
    let problem = match preflight.check("the commit's checks on GitHub", settled(ctx, commit)) {
        None | Some(ChecksVerdict::Passed) => return,
        Some(ChecksVerdict::Failed(which)) => which.join(", "),
        Some(ChecksVerdict::Pending(which)) => {
            format!(
                "after {} s: {} (`[ci] required` names the checks that count, `wait_s` how long they may take)",
                ctx.config.ci.wait_s,
                which.join(", ")
            )
        }
    };
    preflight.require(false, || {
        format!("the checks of {commit} are not green: {problem}")
    });
}

/// The verdict when nothing is pending, or when the time is up.
fn settled(ctx: &Context, commit: &str) -> Result<ChecksVerdict> {
    let github = GitHub::open(ctx)?;
    let asking = std::env::var("GITHUB_RUN_ID").ok().and_then(|id| id.parse().ok());
    let (started, limit) = (Instant::now(), Duration::from_secs(ctx.config.ci.wait_s));
    let mut pause = FIRST_PAUSE;
    loop {
        let verdict = github
            .commit_checks(commit)?
            .judge(asking, &ctx.config.ci.required);
        let left = limit.saturating_sub(started.elapsed());
        let ChecksVerdict::Pending(which) = &verdict else {
            return Ok(verdict);
        };
        if left.is_zero() {
            return Ok(verdict);
        }
        check_interrupted()?;
        report::progress(&format!("waiting for checks: {}", which.join(", ")));
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
