//! GitHub: is the gate really a gate.

use anyhow::Result;

use super::Line;
use crate::commands::setup;
use crate::config::ApprovalMethod;
use crate::context::Context;
use crate::tools::gh::GitHub;

const FIX: &str = "cargo xtask setup";

pub(super) fn github(ctx: &Context) -> Vec<Line> {
    if ctx.config.github.is_none() {
        return vec![Line::warning(
            "github",
            "pipeline.toml names no repository",
            "add [github] repository = \"owner/name\"",
        )];
    }
    look(ctx).unwrap_or_else(|error| {
        vec![Line::error(
            "github",
            &error,
            "check GH_TOKEN, or run `gh auth login`",
        )]
    })
}

fn look(ctx: &Context) -> Result<Vec<Line>> {
    let github = GitHub::open(ctx)?;
    let mut lines = Vec::new();
    if ctx.config.approval.method == ApprovalMethod::Github && ctx.config.approval.required > 0 {
        let mut people = Vec::new();
        for name in &ctx.config.approval.environments {
            match github.environment(name)? {
                None => lines.push(Line::problem(
                    format!("environment {name}"),
                    "does not exist: a job that names it would make it, without any reviewer",
                    FIX,
                )),
                Some(found) => {
                    lines.extend(faults(name, &found));
                    people.extend(found.reviewers());
                }
            }
        }
        people.sort();
        people.dedup();
        let required = ctx.config.approval.required as usize;
        if people.len() < required {
            lines.push(Line::problem(
                "reviewers",
                format!("{} distinct, {required} approvals are required", people.len()),
                FIX,
            ));
        }
    }
    let wanted = setup::wanted(ctx, &github)?;
    lines.extend(
        wanted
            .iter()
            .map(|change| Line::warning("github settings", change.to_string(), FIX)),
    );
    if lines.is_empty() {
        lines.push(Line::ok(
            "github",
            format!("{} is set up as configured", github.repository()),
        ));
    }
    Ok(lines)
}

fn faults(name: &str, found: &crate::tools::gh::Protection) -> Vec<Line> {
    let subject = format!("environment {name}");
    let mut lines = Vec::new();
    if found.reviewers().is_empty() {
        lines.push(Line::problem(&subject, "has no reviewers", FIX));
    } else if !found.prevents_self_review() {
        lines.push(Line::problem(&subject, "lets people approve their own run", FIX));
    }
    if found.can_admins_bypass {
        lines.push(Line::problem(&subject, "can be bypassed by administrators", FIX));
    }
    lines
}
