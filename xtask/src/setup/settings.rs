//! What the GitHub repository's settings must be, compared with what they are.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::{all_secrets, backup_key, required_secrets};
use crate::config::ApprovalMethod;
use crate::context::Context;
use crate::report;
use crate::tools::gh::{GitHub, Ruleset};

/// One difference between the repository and the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum SettingChange {
    Environment { name: String, reviewers: Vec<String> },
    Branch { environment: String, branch: String },
    Retention { days: u32, now: u32 },
    ProtectTags { name: String, pattern: String },
    Secret { name: String },
    BackupKey { secret: String, file: String },
    DropRepositorySecret { name: String },
}

/// The settings that differ now. Nothing is changed.
pub fn changes(ctx: &Context, github: &GitHub) -> Result<Vec<SettingChange>> {
    let mut changes = Vec::new();
    let gates = match ctx.config.approval.method {
        ApprovalMethod::Github => ctx.config.approval.environments.as_slice(),
        ApprovalMethod::SignedTag => &[],
    };
    let rollback = ctx.config.approval.rollback.as_ref();
    let names = gates.iter().chain(rollback).chain([&ctx.env_name]);
    for name in names {
        environment(ctx, github, name, &mut changes)?;
    }
    if let Some(retention) = github.retention()? {
        let most = retention.maximum_allowed_days.unwrap_or(u32::MAX);
        let days = ctx.config.backup.retention_days.min(most);
        if retention.days < days {
            changes.push(SettingChange::Retention {
                days,
                now: retention.days,
            });
        }
    }
    let pattern = format!("{}-*", ctx.env().tag_prefix);
    let name = format!("release tags {pattern}");
    let active = |rule: &Ruleset| rule.name == name && rule.enforcement == "active";
    if !github.rulesets()?.iter().any(active) {
        changes.push(SettingChange::ProtectTags { name, pattern });
    }
    secrets(ctx, github, &mut changes)?;
    Ok(changes)
}

/// Secrets belong to the environment, which only the release branch may use. One of the repository is readable by a
/// workflow that anybody pushes to a branch of his own; it goes once the environment has one of that name.
fn secrets(ctx: &Context, github: &GitHub, changes: &mut Vec<SettingChange>) -> Result<()> {
    let known = github.environment_secrets(&ctx.env_name)?;
    let of_repository = github.repository_secrets()?.unwrap_or_default();
    // The drill's workflow needs its server; a release does not.
    let mut required = required_secrets(ctx);
    required.extend(ctx.config.backup.drill_uri.clone());
    let set_here = |name: &str| ctx.secret_if_set(name).is_some();
    for name in all_secrets(ctx) {
        let exposed = of_repository.contains(&name);
        if !known.contains(&name) && (exposed || required.contains(&name)) {
            changes.push(if !set_here(&name) && backup_key::can_be_made(ctx, &name) {
                SettingChange::BackupKey {
                    file: backup_key::file(ctx).display().to_string(),
                    secret: name.clone(),
                }
            } else {
                SettingChange::Secret { name: name.clone() }
            });
        }
        if exposed && (known.contains(&name) || set_here(&name)) {
            changes.push(SettingChange::DropRepositorySecret { name });
        }
    }
    Ok(())
}

fn environment(ctx: &Context, github: &GitHub, name: &str, changes: &mut Vec<SettingChange>) -> Result<()> {
    let found = github.environment(name)?;
    let reviewers = ctx
        .config
        .approval
        .reviewers
        .get(name)
        .cloned()
        .unwrap_or_default();
    let right = found.as_ref().is_some_and(|found| {
        let mut now = found.reviewers();
        let mut wanted = reviewers.clone();
        // GitHub writes a login as its owner does, and takes it in any case.
        for names in [&mut now, &mut wanted] {
            for name in names.iter_mut() {
                *name = name.to_lowercase();
            }
            names.sort();
        }
        // Who approves may be set by hand: only what pipeline.toml names is enforced.
        (wanted.is_empty() || now == wanted)
            && (now.is_empty() || found.prevents_self_review())
            && !found.can_admins_bypass
            && found.limits_branches()
    });
    if !right {
        // The call replaces the whole list: reviewers set by hand are kept.
        let by_hand = found.map(|found| found.reviewers()).unwrap_or_default();
        let reviewers = if reviewers.is_empty() { by_hand } else { reviewers };
        changes.push(SettingChange::Environment {
            name: name.to_owned(),
            reviewers,
        });
    }
    let branch = &ctx.config.git.branch;
    if !right || !github.environment_branches(name)?.contains(branch) {
        changes.push(SettingChange::Branch {
            environment: name.to_owned(),
            branch: branch.clone(),
        });
    }
    Ok(())
}

impl SettingChange {
    /// Makes the change on GitHub.
    pub fn apply(&self, ctx: &Context, github: &GitHub) -> Result<()> {
        match self {
            Self::Environment { name, reviewers } => github.put_environment(name, reviewers),
            // The change before may have kept it.
            Self::Branch { environment, branch } => {
                if github.environment_branches(environment)?.contains(branch) {
                    return Ok(());
                }
                github.add_environment_branch(environment, branch)
            }
            Self::Retention { days, .. } => github.set_retention(*days),
            Self::ProtectTags { name, pattern } => github.protect_tags(name, pattern),
            Self::Secret { name } => {
                if let Some(value) = ctx.secret_if_set(name) {
                    return github.set_secret(&ctx.env_name, name, &value);
                }
                report::progress(&format!(
                    "{name} is not set in this environment: it stays missing"
                ));
                Ok(())
            }
            Self::BackupKey { secret, .. } => backup_key::make(ctx, github, secret),
            Self::DropRepositorySecret { name } => github.delete_repository_secret(name),
        }
    }
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment { name, reviewers } if reviewers.is_empty() => write!(
                f,
                "protect the environment {name}: no bypass, only some branches, no reviewers (none in approval.reviewers)"
            ),
            Self::Environment { name, reviewers } => write!(
                f,
                "protect the environment {name}: reviewers {}, no self-review, no bypass, only some branches",
                reviewers.join(", ")
            ),
            Self::Branch { environment, branch } => {
                write!(f, "let {branch} use the environment {environment}")
            }
            Self::Retention { days, now } => {
                write!(f, "keep artifacts for {days} days instead of {now}")
            }
            Self::ProtectTags { pattern, .. } => {
                write!(f, "protect tags {pattern} against update and deletion")
            }
            Self::Secret { name } => write!(f, "set the secret {name}"),
            Self::BackupKey { secret, file } => {
                write!(
                    f,
                    "make the key of the backups: the secret {secret}, and the file {file} for those who keep it"
                )
            }
            Self::DropRepositorySecret { name } => {
                write!(
                    f,
                    "remove the secret {name} of the repository: any branch can read it; the environment has its own"
                )
            }
        }
    }
}
