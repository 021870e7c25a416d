//! `cargo xtask rollback [TAG] --reason TEXT`: code and data of an earlier release, as one unit.

mod execute;
mod facts;
mod plan;
mod undo;

use anyhow::{Context as _, Result};
use serde::Serialize;

use plan::Plan;
pub use undo::undo;

use super::Common;
use crate::backup;
use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::domain::ledger::Outcome;
use crate::domain::operation::OperationId;
use crate::domain::release::{DatabaseChoice, Health, Release};
use crate::domain::timeline::Timing;
use crate::error::CliError;
use crate::operation::run::{Operation, ResumeMode, plan_sha256};
use crate::release::releases::Releases;
use crate::report;
use crate::restore::{self, LossDetail, LossPreview};

const KIND: &str = "rollback";

/// Options of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release to go back to; without it, the ones to choose from are listed
    tag: Option<String>,
    /// Why: it is recorded, and told to everyone
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Whether the database goes back too
    #[arg(long, value_enum, default_value_t)]
    database: DatabaseChoice,
    /// Show what would be done, what would be lost, and every problem; change nothing
    #[arg(long)]
    plan: bool,
    /// Finish a rollback that stopped midway
    #[arg(long, value_name = "OPERATION", conflicts_with_all = ["tag", "plan", "undo"])]
    resume: Option<OperationId>,
    /// Go back from a rollback: one that stopped midway is taken back, from one that ended the release before it comes
    /// back by another rollback
    #[arg(long, value_name = "OPERATION", conflicts_with_all = ["tag", "plan"])]
    undo: Option<OperationId>,
}

/// The plan with its identity, and what would be lost.
#[derive(Serialize)]
struct Planned<'a> {
    plan: &'a Plan,
    plan_sha256: String,
    loss: Option<&'a LossPreview>,
}

/// What a rollback did.
#[derive(Debug, Serialize)]
pub struct RolledBack {
    pub release: Release,
    /// From the start of the command to the end of the checks.
    recovery_ms: u64,
    /// Of that, what mongorestore and then the slower platform took.
    unavoidable_ms: u64,
    /// The rest: what plan, checks and proofs cost, in percent of what was unavoidable.
    overhead_percent: f64,
    budget_ms: u64,
    timeline: Vec<Timing>,
}

/// What is to be gone back to.
struct Wanted<'a> {
    tag: &'a str,
    database: DatabaseChoice,
    /// Whether the target must have been healthy once; going back from a rollback, it need not.
    healthy: bool,
}

/// Observes, plans, shows what will be lost, confirms, executes, reports.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    if let Some(id) = &args.undo {
        return undo(ctx, id, KIND);
    }
    if let Some(id) = &args.resume {
        return told(ctx, &resume(ctx, id)?);
    }
    let Some(tag) = &args.tag else {
        return Err(which(ctx)?);
    };
    let wanted = Wanted {
        tag,
        database: args.database,
        healthy: true,
    };
    let (plan, releases, loss) = observed(ctx, &wanted)?;
    if args.plan {
        let planned = Planned {
            plan: &plan,
            plan_sha256: plan_sha256(&plan)?,
            loss: loss.as_ref(),
        };
        return report::emit(ctx.format, "rollback-plan/1", &planned, || {
            text(&plan, loss.as_ref())
        });
    }
    report::progress(&text(&plan, loss.as_ref()));
    let reason = reason(args)?;
    confirm(ctx, &format!("the rollback to {tag}"), tag)?;
    told(ctx, &begin(ctx, &plan, &releases, &reason)?)
}

/// Goes back without asking: the configuration of an unhealthy deploy has said yes.
pub fn at_once(ctx: &Context, tag: &str, reason: &str) -> Result<RolledBack> {
    go_back(ctx, tag, reason, true, || Ok(()))
}

/// Shows what will be lost, and goes back where that is agreed to.
fn go_back(
    ctx: &Context,
    tag: &str,
    reason: &str,
    healthy: bool,
    agreed: impl FnOnce() -> Result<()>,
) -> Result<RolledBack> {
    let wanted = Wanted {
        tag,
        database: DatabaseChoice::Auto,
        healthy,
    };
    let (plan, releases, loss) = observed(ctx, &wanted)?;
    report::progress(&text(&plan, loss.as_ref()));
    agreed()?;
    begin(ctx, &plan, &releases, reason)
}

fn observed(ctx: &Context, wanted: &Wanted) -> Result<(Plan, Releases, Option<LossPreview>)> {
    let (plan, releases) = plan::make(ctx, wanted)?;
    let loss = preview(ctx, &plan)?;
    Ok((plan, releases, loss))
}

fn begin(ctx: &Context, plan: &Plan, releases: &Releases, reason: &str) -> Result<RolledBack> {
    let operation = Operation::begin(ctx, KIND, &plan.target, reason, plan)?;
    carry_out(ctx, plan, operation, releases)
}

/// Finishes a rollback that stopped midway.
fn resume(ctx: &Context, id: &OperationId) -> Result<RolledBack> {
    let (operation, plan) = Operation::resume(ctx, id, KIND, ResumeMode::Continue)?;
    carry_out(ctx, &plan, operation, &Releases::read(ctx)?)
}

fn carry_out(ctx: &Context, plan: &Plan, operation: Operation, releases: &Releases) -> Result<RolledBack> {
    let (release, unavoidable_ms) = match execute::execute(ctx, plan, &operation, releases) {
        Ok(done) => done,
        Err(error) => return Err(operation.fail(&error)),
    };
    let recovery_ms = operation.elapsed_ms();
    let done = RolledBack {
        release,
        recovery_ms,
        unavoidable_ms,
        overhead_percent: overhead_percent(recovery_ms, unavoidable_ms),
        budget_ms: ctx.config.budgets.total_s * 1_000,
        timeline: operation.timeline(),
    };
    let id = operation.id.clone();
    let facts = serde_json::json!({
        "tag": done.release.tag, "record_sha256": done.release.sha256()?, "health": done.release.health,
        "recovery_ms": done.recovery_ms,
    });
    operation.finish(Outcome::Done, facts)?;
    if plan.restores() {
        report::progress(&format!(
            "the replaced collections are kept: cargo xtask restore --forget {id} drops them"
        ));
    }
    Ok(done)
}

/// Reports; a release that is not healthy after all is an error.
fn told(ctx: &Context, done: &RolledBack) -> Result<()> {
    report::emit(ctx.format, "rollback/1", done, || done.text())?;
    if done.release.health == Health::Healthy {
        Ok(())
    } else {
        Err(still_unhealthy(&done.release))
    }
}

impl RolledBack {
    /// The release that was gone back to.
    pub fn restored(&self) -> &str {
        self.release.restores.as_deref().unwrap_or_default()
    }

    /// The report for people.
    pub fn text(&self) -> String {
        format!(
            "{} restores {} ({}); {}\n{}",
            self.release.tag,
            self.restored(),
            self.release.health.word(),
            recovered(self.recovery_ms, self.unavoidable_ms, self.budget_ms),
            report::timeline(&self.timeline)
        )
    }
}

/// How long the recovery took, and what of it was not the platforms' or mongorestore's.
pub fn recovered(recovery_ms: u64, unavoidable_ms: u64, budget_ms: u64) -> String {
    format!(
        "recovered in {} of {}: mongorestore and then the slower platform took {}, all else {} ({:.1} % more)",
        report::duration_ms(recovery_ms),
        report::duration_ms(budget_ms),
        report::duration_ms(unavoidable_ms),
        report::duration_ms(recovery_ms.saturating_sub(unavoidable_ms)),
        overhead_percent(recovery_ms, unavoidable_ms)
    )
}

fn overhead_percent(recovery_ms: u64, unavoidable_ms: u64) -> f64 {
    recovery_ms.saturating_sub(unavoidable_ms) as f64 * 100.0 / unavoidable_ms.max(1) as f64
}

/// Compares every document of the backup with what is live now.
fn preview(ctx: &Context, plan: &Plan) -> Result<Option<LossPreview>> {
    let Some(wanted) = plan.backup.as_ref().filter(|_| plan.restores()) else {
        return Ok(None);
    };
    let backup = backup::find(ctx, &wanted.id)?;
    restore::preview(ctx, &backup, LossDetail::Full, false)
        .map(Some)
        .context("cannot tell what would be lost")
}

fn text(plan: &Plan, loss: Option<&LossPreview>) -> String {
    let mut text = plan.text();
    match loss {
        Some(loss) => super::restore::loss_text(loss, &mut text),
        None => text.push_str("no data is touched\n"),
    }
    text
}

fn reason(args: &Args) -> Result<String> {
    let given = args
        .reason
        .as_deref()
        .map(str::trim)
        .filter(|reason| !reason.is_empty());
    given.map(str::to_owned).ok_or_else(|| {
        CliError::usage("a rollback needs a reason")
            .live("nothing was changed")
            .next("add --reason \"what is wrong with the release\"")
            .into()
    })
}

/// No tag was given: the error lists the releases to choose from.
fn which(ctx: &Context) -> Result<anyhow::Error> {
    let offered = plan::offered(&Releases::read(ctx)?);
    let next = match offered.first() {
        Some(tag) => format!(
            "cargo xtask rollback {tag} --reason \"…\"   (known good: {})",
            offered.join(", ")
        ),
        None => "there is no earlier healthy release: mend and deploy".into(),
    };
    Ok(CliError::usage("which release shall be gone back to?")
        .live("nothing was changed")
        .next(next)
        .into())
}

fn still_unhealthy(release: &Release) -> anyhow::Error {
    let from = release.rollback_of.as_deref().unwrap_or_default();
    CliError::midway(format!("the checks after the rollback failed ({})", release.tag))
        .live(format!(
            "{} is live with the code and data asked for",
            release.tag
        ))
        .next(format!(
            "cargo xtask health   (to go back: cargo xtask rollback {from} --reason \"…\")"
        ))
        .into()
}
