//! Whether what GitHub is to guard is really guarded: the approvals of others, and backups for as long as promised.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::approval::{APPROVERS_FILE, known_signers};
use crate::config::ApprovalMethod;
use crate::context::Context;
use crate::setup::all_secrets;
use crate::tools::gh::{GitHub, Protection};

/// Names of the workflows' artifacts with backups begin so.
const BACKUP_ARTIFACTS: &str = "mongodb-backup-";

/// Something that is not guarded as the configuration demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionGap {
    pub subject: String,
    pub found: String,
    /// How to fix it.
    pub fix: String,
}

impl ProtectionGap {
    fn new(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            found: found.into(),
            fix: "cargo xtask setup".into(),
        }
    }
}

/// Every gap; none where pipeline.toml names no repository.
pub fn gaps(ctx: &Context) -> Result<Vec<ProtectionGap>> {
    if ctx.config.github.is_none() {
        return Ok(Vec::new());
    }
    let github = GitHub::open(ctx)?;
    let mut gaps = Vec::new();
    if ctx.config.approval.required > 0 {
        match ctx.config.approval.method {
            ApprovalMethod::Github => environments(ctx, &github, &mut gaps)?,
            ApprovalMethod::SignedTag => signers(ctx, &mut gaps)?,
        }
    }
    if let Some(name) = &ctx.config.approval.rollback {
        reviewers(&github, name, &mut gaps)?;
    }
    retention(ctx, &github, &mut gaps)?;
    secrets(ctx, &github, &mut gaps)?;
    Ok(gaps)
}

fn environments(ctx: &Context, github: &GitHub, gaps: &mut Vec<ProtectionGap>) -> Result<()> {
    let mut people = BTreeSet::new();
    for name in &ctx.config.approval.environments {
        people.extend(reviewers(github, name, gaps)?);
    }
    let required = ctx.config.approval.required as usize;
    if people.len() < required {
        gaps.push(ProtectionGap::new(
            "reviewers",
            format!("{} distinct, {required} approvals are required", people.len()),
        ));
    }
    Ok(())
}

/// Who reviews for an environment, and what is wrong with it.
fn reviewers(github: &GitHub, name: &str, gaps: &mut Vec<ProtectionGap>) -> Result<Vec<String>> {
    let subject = format!("environment {name}");
    let Some(found) = github.environment(name)? else {
        // The gate would disappear unnoticed.
        gaps.push(ProtectionGap::new(
            subject,
            "does not exist: a job that names it would make it, without any reviewer",
        ));
        return Ok(Vec::new());
    };
    gaps.extend(faults(&found).map(|fault| ProtectionGap::new(&subject, fault)));
    Ok(found.reviewers().iter().map(|name| name.to_lowercase()).collect())
}

fn faults(found: &Protection) -> impl Iterator<Item = &'static str> {
    let reviewed = !found.reviewers().is_empty();
    let faults = [
        (!reviewed, "has no reviewers"),
        (
            reviewed && !found.prevents_self_review(),
            "lets people approve their own run",
        ),
        (found.can_admins_bypass, "can be bypassed by administrators"),
    ];
    faults
        .into_iter()
        .filter_map(|(holds, text)| holds.then_some(text))
}

fn signers(ctx: &Context, gaps: &mut Vec<ProtectionGap>) -> Result<()> {
    let (known, required) = (known_signers(ctx)?, ctx.config.approval.required as usize);
    if known < required {
        gaps.push(ProtectionGap {
            subject: "approvers".into(),
            found: format!("{APPROVERS_FILE} lists {known} people, {required} approvals are required"),
            fix: format!(
                "add a line `ann@example.com ssh-ed25519 AAAA…` for each approver to {APPROVERS_FILE}"
            ),
        });
    }
    Ok(())
}

/// A secret of the repository is readable by a workflow that anybody pushes to a branch of his own.
fn secrets(ctx: &Context, github: &GitHub, gaps: &mut Vec<ProtectionGap>) -> Result<()> {
    let exposed = github.repository_secrets()?.unwrap_or_default();
    let ours = all_secrets(ctx).into_iter().filter(|name| exposed.contains(name));
    gaps.extend(ours.map(|name| {
        ProtectionGap::new(
            format!("secret {name}"),
            format!(
                "belongs to the repository, so that a workflow of any branch can read it, and not to the environment {}",
                ctx.env_name
            ),
        )
    }));
    Ok(())
}

fn retention(ctx: &Context, github: &GitHub, gaps: &mut Vec<ProtectionGap>) -> Result<()> {
    let wanted = ctx.config.backup.retention_days;
    if let Some(retention) = github.retention()?
        && retention.days < wanted
    {
        gaps.push(ProtectionGap::new(
            "artifacts",
            format!(
                "GitHub keeps them for {} days instead of {wanted}",
                retention.days
            ),
        ));
    } else if let Some(days) = github.artifact_days(BACKUP_ARTIFACTS)?
        && days < i64::from(wanted)
    {
        // The setting cannot be read with a job's own token, and asking for more than it allows is cut without a word.
        gaps.push(ProtectionGap::new(
            "artifacts",
            format!("GitHub keeps the newest backup for {days} days instead of {wanted}"),
        ));
    }
    Ok(())
}
