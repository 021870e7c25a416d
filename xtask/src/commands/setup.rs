//! `cargo xtask setup`: makes the GitHub repository what the pipeline needs, shows the difference first, verifies after.

use std::fmt;
use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::Common;
use crate::commands::confirm::confirm;
use crate::config::ApprovalMethod;
use crate::context::Context;
use crate::error::CliError;
use crate::report;
use crate::secret::Secret;
use crate::tools::gh::GitHub;

/// The longest secret that is read from standard input.
const SECRET_LIMIT_BYTES: usize = 48 * 1024;

/// Options of `setup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the differences only
    #[arg(long)]
    plan: bool,
    /// Set this one secret to what standard input holds
    #[arg(long, value_name = "NAME", conflicts_with = "plan")]
    secret: Option<String>,
}

/// One difference between the repository and the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    Environment { name: String, reviewers: Vec<String> },
    Branch { environment: String, branch: String },
    Retention { days: u32, now: u32 },
    ProtectTags { name: String, pattern: String },
    Secret { name: String },
}

#[derive(Serialize)]
struct Outcome {
    repository: String,
    changes: Vec<Change>,
    applied: bool,
}

/// Compares, shows, asks, changes, compares again.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    let github = GitHub::open(&ctx)?;
    if let Some(name) = &args.secret {
        return set_from_stdin(&ctx, &github, name);
    }
    let changes = wanted(&ctx, &github)?;
    let apply = !args.plan && !changes.is_empty();
    if apply {
        for change in &changes {
            report::progress(&format!("will: {change}"));
        }
        confirm(
            &ctx,
            &format!("setting up {}", github.repository()),
            github.repository(),
        )?;
        for change in &changes {
            change
                .apply(&ctx, &github)
                .with_context(|| format!("cannot {change}"))
                .map_err(|error| explain(&ctx, error))?;
        }
        verify(&ctx, &github)?;
    }
    let outcome = Outcome {
        repository: github.repository().to_owned(),
        changes,
        applied: apply,
    };
    report::emit(common.format, "setup/1", &outcome, || text(&outcome))
}

fn verify(ctx: &Context, github: &GitHub) -> Result<()> {
    let left = wanted(ctx, github)?;
    if left.is_empty() {
        return Ok(());
    }
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    Err(CliError::failed(format!("still to do: {}", left.join("; ")))
        .live("everything else is set up")
        .next("set the secrets as environment variables, or each by `cargo xtask setup --secret NAME < FILE`; then run `cargo xtask setup` again")
        .into())
}

/// What differs now. Nothing is changed.
pub fn wanted(ctx: &Context, github: &GitHub) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let gates = match ctx.config.approval.method {
        ApprovalMethod::Github => ctx.config.approval.environments.as_slice(),
        ApprovalMethod::SignedTag => &[],
    };
    let names = gates.iter().map(String::as_str).chain([ctx.env_name.as_str()]);
    for name in names {
        environment(ctx, github, name, &mut changes)?;
    }
    if let Some(retention) = github.retention()? {
        let most = retention.maximum_allowed_days.unwrap_or(u32::MAX);
        let days = ctx.config.backup.retention_days.min(most);
        if retention.days < days {
            changes.push(Change::Retention {
                days,
                now: retention.days,
            });
        }
    }
    let pattern = format!("{}-*", ctx.env().tag_prefix);
    let name = format!("release tags {pattern}");
    let active = |rule: &crate::tools::gh::Ruleset| rule.name == name && rule.enforcement == "active";
    if !github.rulesets()?.iter().any(active) {
        changes.push(Change::ProtectTags { name, pattern });
    }
    let mut known = github.secret_names(None)?;
    known.extend(github.secret_names(Some(&ctx.env_name))?);
    let missing = super::doctor::required_secrets(ctx);
    changes.extend(
        missing
            .into_iter()
            .filter(|name| !known.contains(name))
            .map(|name| Change::Secret { name }),
    );
    Ok(changes)
}

fn environment(ctx: &Context, github: &GitHub, name: &str, changes: &mut Vec<Change>) -> Result<()> {
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
        now.sort();
        wanted.sort();
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
        changes.push(Change::Environment {
            name: name.to_owned(),
            reviewers,
        });
    }
    let branch = &ctx.config.git.branch;
    if !right || !github.environment_branches(name)?.contains(branch) {
        changes.push(Change::Branch {
            environment: name.to_owned(),
            branch: branch.clone(),
        });
    }
    Ok(())
}

impl Change {
    fn apply(&self, ctx: &Context, github: &GitHub) -> Result<()> {
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
                    return github.set_secret(name, &value);
                }
                report::progress(&format!("{name} is not set here: it stays missing"));
                Ok(())
            }
        }
    }
}

impl fmt::Display for Change {
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
            Self::ProtectTags { pattern, .. } => write!(f, "forbid to move or delete tags {pattern}"),
            Self::Secret { name } => write!(f, "set the secret {name}"),
        }
    }
}

/// GitHub has required reviewers in private repositories only with Enterprise.
fn explain(ctx: &Context, error: anyhow::Error) -> anyhow::Error {
    if !format!("{error:#}").contains("required reviewers") {
        return error;
    }
    CliError::failed(format!(
        "GitHub offers no required reviewers for this repository (private, without Enterprise): {error:#}"
    ))
    .live("what came before is set up; running the command again is harmless")
    .next(format!(
        "set approval.method = \"signed-tag\" in {}, list the keys in {}, and run `cargo xtask setup` again",
        crate::context::PIPELINE_FILE,
        ctx.root.join(crate::approval::APPROVERS_FILE).display()
    ))
    .into()
}

fn set_from_stdin(ctx: &Context, github: &GitHub, name: &str) -> Result<()> {
    let known = super::doctor::required_secrets(ctx);
    let optional = super::doctor::optional_secrets(ctx);
    if !known.iter().chain(&optional).any(|one| one == name) {
        return Err(CliError::usage(format!("pipeline.toml names no secret {name}"))
            .next(format!("choose from: {}", [known, optional].concat().join(", ")))
            .into());
    }
    let bytes = crate::exec::read_bounded(std::io::stdin().by_ref(), SECRET_LIMIT_BYTES)?;
    let value = String::from_utf8(bytes).context("the secret is not UTF-8")?;
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        bail!("standard input is empty: write the secret {name} to it");
    }
    github.set_secret(name, &Secret::new(value))?;
    report::progress(&format!("{name} is set"));
    Ok(())
}

fn text(outcome: &Outcome) -> String {
    if outcome.changes.is_empty() {
        return format!("{} is set up as configured\n", outcome.repository);
    }
    let word = if outcome.applied { "did" } else { "would" };
    let rows = outcome.changes.iter();
    let rows: Vec<String> = rows.map(|change| format!("{word}: {change}")).collect();
    report::lines(&rows)
}
