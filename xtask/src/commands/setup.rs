//! `cargo xtask setup`: configures the GitHub repository; shows the difference first, verifies after.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::Common;
use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::error::catalogue::setup as errors;
use crate::report;
use crate::secret::Secret;
use crate::setup::required_secrets;
use crate::setup::settings::{self, SettingChange};
use crate::tools::gh::GitHub;

/// The longest secret that is read from standard input.
const SECRET_LIMIT_BYTES: usize = 48 * 1024;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the repository is set up as configured
  1  failed, or some settings are still missing
  2  wrong usage or configuration
  3  not confirmed

Example:
  cargo xtask setup --plan";

/// Options of `setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Show the differences only
    #[arg(long)]
    plan: bool,
    /// Set this one secret of the environment to what standard input holds
    #[arg(long, value_name = "NAME", conflicts_with = "plan")]
    secret: Option<String>,
}

#[derive(Serialize)]
struct SetupResult {
    repository: String,
    changes: Vec<SettingChange>,
    applied: bool,
}

/// Compares, shows, asks, changes, compares again.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    let github = GitHub::open(&ctx)?;
    if let Some(name) = &args.secret {
        return set_from_stdin(&ctx, &github, name);
    }
    let changes = settings::changes(&ctx, &github)?;
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
    let outcome = SetupResult {
        repository: github.repository().to_owned(),
        changes,
        applied: apply,
    };
    if apply {
        report::emit_done(common.format, "setup/1", &outcome, || text(&outcome));
        return Ok(());
    }
    report::emit(common.format, "setup/1", &outcome, || text(&outcome))
}

fn verify(ctx: &Context, github: &GitHub) -> Result<()> {
    let left = settings::changes(ctx, github)?;
    if left.is_empty() {
        return Ok(());
    }
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    Err(errors::settings_missing(left.join("; ")).into())
}

/// GitHub has required reviewers in private repositories only with Enterprise.
fn explain(ctx: &Context, error: anyhow::Error) -> anyhow::Error {
    if !format!("{error:#}").contains("required reviewers") {
        return error;
    }
    let approvers = ctx.root.join(crate::approval::APPROVERS_FILE);
    errors::no_required_reviewers(
        format!("{error:#}"),
        crate::context::PIPELINE_FILE,
        approvers.display(),
    )
    .into()
}

fn set_from_stdin(ctx: &Context, github: &GitHub, name: &str) -> Result<()> {
    let known = required_secrets(ctx);
    let optional = ctx.config.optional_secret_names();
    if !known.iter().chain(&optional).any(|one| one == name) {
        return Err(errors::unknown_secret(name, [known, optional].concat().join(", ")).into());
    }
    let bytes = crate::exec::read_bounded(std::io::stdin().by_ref(), SECRET_LIMIT_BYTES)?;
    let value = String::from_utf8(bytes).context("the secret is not UTF-8")?;
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        bail!("standard input is empty: write the secret {name} to it");
    }
    if github.environment(&ctx.env_name)?.is_none() {
        return Err(errors::environment_missing(&ctx.env_name, github.repository()).into());
    }
    github.set_secret(&ctx.env_name, name, &Secret::new(value))?;
    report::progress(&format!("{name} is set"));
    Ok(())
}

fn text(outcome: &SetupResult) -> String {
    if outcome.changes.is_empty() {
        return format!("{} is set up as configured\n", outcome.repository);
    }
    let word = if outcome.applied { "did" } else { "would" };
    let rows = outcome.changes.iter();
    let rows: Vec<String> = rows.map(|change| format!("{word}: {change}")).collect();
    report::lines(&rows)
}
