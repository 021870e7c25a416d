//! GitHub: protection of the gate, settings, and the clock.

use anyhow::Result;
use chrono::{TimeDelta, Utc};

use super::Line;
use crate::approval::asked_later;
use crate::context::Context;
use crate::report::one_line;
use crate::setup::protection;
use crate::setup::settings::{self, SettingChange};
use crate::tools::gh::GitHub;

const FIX: &str = "cargo xtask setup";
/// The ledger's leases and the age of approvals compare the clocks of different machines.
const SKEW_WARNING: TimeDelta = TimeDelta::seconds(30);
const SKEW_PROBLEM: TimeDelta = TimeDelta::minutes(2);

pub(super) fn github(ctx: &Context) -> Vec<Line> {
    if ctx.config.github.is_none() {
        return vec![Line::warning(
            "github",
            "pipeline.toml names no repository",
            "add [github] repository = \"owner/name\"",
        )];
    }
    check(ctx).unwrap_or_else(|error| {
        vec![Line::error(
            "github",
            &error,
            "check GH_TOKEN, or run `gh auth login`",
        )]
    })
}

fn check(ctx: &Context) -> Result<Vec<Line>> {
    let github = GitHub::open(ctx)?;
    let gaps = protection::gaps(ctx)?;
    let mut lines: Vec<Line> = gaps
        .into_iter()
        .map(|gap| Line::problem(gap.subject, gap.found, gap.fix))
        .collect();
    let wanted = settings::changes(ctx, &github)?;
    lines.extend(
        wanted
            .iter()
            // Short retention is a gap, named above.
            .filter(|change| !matches!(change, SettingChange::Retention { .. }))
            .map(|change| Line::warning("github settings", change.to_string(), FIX)),
    );
    if lines.is_empty() {
        lines.push(Line::ok(
            "github",
            format!("{} is set up as configured", github.repository()),
        ));
    }
    if ctx.config.approval.rollback.is_some() {
        lines.extend(reviews(&github));
    }
    lines.push(clock(&github)?);
    Ok(lines)
}

/// Rollbacks of critical urgency that nobody has reviewed yet.
fn reviews(github: &GitHub) -> Vec<Line> {
    let subject = "rollback review";
    match asked_later(github) {
        Ok(open) => {
            let lines = open.iter().map(|issue| {
                Line::warning(
                    subject,
                    format!("nobody has closed it: {}", one_line(&issue.title)),
                    format!("review it and close {}", issue.html_url),
                )
            });
            lines.collect()
        }
        Err(error) => vec![Line::warning(
            subject,
            format!("{error:#}"),
            "give the token `issues: read`",
        )],
    }
}

fn clock(github: &GitHub) -> Result<Line> {
    let skew = (Utc::now() - github.clock()?).abs();
    let found = format!("{} s from GitHub's", skew.num_seconds());
    let fix = "set this machine's clock by NTP";
    Ok(match skew {
        skew if skew > SKEW_PROBLEM => Line::problem("clock", found, fix),
        skew if skew > SKEW_WARNING => Line::warning("clock", found, fix),
        _ => Line::ok("clock", found),
    })
}
