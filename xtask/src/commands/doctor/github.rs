//! GitHub: protection of the gate, settings, and the clock.

use anyhow::{Context as _, Result};
use chrono::{TimeDelta, Utc};

use super::Line;
use crate::approval::asked_later;
use crate::context::Context;
use crate::report::one_line;
use crate::setup::protection;
use crate::setup::settings::{self, SettingChange};
use crate::tools::gh::GitHub;
use crate::workflows::{TEMPLATES, WORKFLOWS_DIR};

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
    lines.extend(workflows(&github));
    lines.extend(default_branch(ctx, &github)?);
    lines.push(clock(&github)?);
    Ok(lines)
}

/// Workflows that GitHub does not run any more. In a public repository where nothing happened for 60 days it ends schedules
/// by itself (Actions "disabling and enabling a workflow"): then no drill is made, and nobody is notified.
fn workflows(github: &GitHub) -> Vec<Line> {
    let found = match github.workflows() {
        Ok(found) => found,
        Err(error) => {
            return vec![Line::warning(
                "workflows",
                format!("{error:#}"),
                "give the token `actions: read`",
            )];
        }
    };
    let lines = TEMPLATES.iter().filter_map(|(file, _)| {
        let path = format!("{WORKFLOWS_DIR}/{file}");
        let own = found.iter().find(|workflow| workflow.path == path)?;
        (!own.is_active()).then(|| {
            Line::problem(
                "workflows",
                format!("GitHub does not run {file} ({})", one_line(&own.state)),
                format!("gh workflow enable {file}"),
            )
        })
    });
    lines.collect()
}

/// Where releases come from another branch than the default one: GitHub starts by hand only what the default branch has
/// ("Events that trigger workflows", `workflow_dispatch`), and runs schedules there.
fn default_branch(ctx: &Context, github: &GitHub) -> Result<Option<Line>> {
    const ROLLBACK: &str = "production-rollback.yml";
    const SUBJECT: &str = "default branch";
    let branch = &ctx.config.git.branch;
    let page = github.page()?.context("GitHub has no such repository")?;
    let default = one_line(&page.default_branch);
    if default == *branch {
        return Ok(None);
    }
    if github.has_file(&format!("{WORKFLOWS_DIR}/{ROLLBACK}"))? {
        return Ok(Some(Line::warning(
            SUBJECT,
            format!(
                "schedules run as {default} has them, and releases come from {branch}: the drill needs its environment there"
            ),
            format!("let {default} use the environments too, or make {branch} the default branch on GitHub"),
        )));
    }
    Ok(Some(Line::problem(
        SUBJECT,
        format!("it is {default}, which has no {ROLLBACK}: GitHub starts no rollback by hand, and no drill"),
        format!("make {branch} the default branch on GitHub, or merge the workflows into {default} too"),
    )))
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
