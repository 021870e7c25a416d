//! `cargo xtask rollback [TAG] --reason TEXT`: code and data of an earlier release, as one unit.

mod execute;
mod plan;

use anyhow::{Context as _, Result};
use serde::Serialize;

use plan::Plan;

use super::Common;
use crate::commands::backup;
use crate::context::Context;
use crate::domain::ledger::{self, Outcome};
use crate::domain::operation::OperationId;
use crate::domain::release::{BackupRef, DatabaseChoice, Health, Release};
use crate::domain::timeline::Timing;
use crate::engine::confirm::confirm;
use crate::engine::ledger::Ledger;
use crate::engine::operation::{Operation, plan_sha256};
use crate::engine::releases::Releases;
use crate::error::Stop;
use crate::report;
use crate::restore::{self, Delta, LossPreview};
use crate::tools::railway::Railway;

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
    /// Go back from a rollback that stopped midway; an operation that was finished is gone back from with a rollback to
    /// the release before it
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
#[derive(Serialize)]
struct RolledBack<'a> {
    release: &'a Release,
    /// From the start of the command to the end of the checks.
    recovery_ms: u64,
    budget_ms: u64,
    timeline: Vec<Timing>,
}

/// Observes, plans, shows what will be lost, confirms, executes, reports.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    if let Some(id) = &args.undo {
        return undo_stopped(ctx, id, KIND);
    }
    if let Some(id) = &args.resume {
        let (operation, plan) = Operation::resume(ctx, id, KIND)?;
        let reason = operation.reason().to_owned();
        return carry_out(ctx, &plan, operation, &Releases::read(ctx)?, &reason);
    }
    let Some(tag) = &args.tag else {
        return Err(which(ctx)?);
    };
    let (plan, releases) = plan::make(ctx, tag, args.database)?;
    let loss = preview(ctx, &plan)?;
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
    let operation = Operation::begin(ctx, KIND, tag, &reason, &plan)?;
    carry_out(ctx, &plan, operation, &releases, &reason)
}

fn carry_out(
    ctx: &Context,
    plan: &Plan,
    operation: Operation,
    releases: &Releases,
    reason: &str,
) -> Result<()> {
    let release = match execute::execute(ctx, plan, &operation, releases, reason) {
        Ok(release) => release,
        Err(error) => return Err(operation.fail(error)),
    };
    let done = RolledBack {
        release: &release,
        recovery_ms: operation.elapsed_ms(),
        budget_ms: ctx.config.budgets.total_s * 1_000,
        timeline: operation.timeline(),
    };
    let id = operation.id.clone();
    let facts = serde_json::json!({
        "tag": release.tag, "record_sha256": release.sha256()?, "health": release.health, "recovery_ms": done.recovery_ms,
    });
    operation.finish(Outcome::Done, facts)?;
    report::emit(ctx.format, "rollback/1", &done, || {
        format!(
            "{} restores {} ({:?}); recovered in {} of {}\n{}",
            release.tag,
            plan.target,
            release.health,
            report::duration_ms(done.recovery_ms),
            report::duration_ms(done.budget_ms),
            report::timeline(&done.timeline)
        )
    })?;
    if plan.restores() {
        report::progress(&format!(
            "the replaced collections are kept: cargo xtask restore --forget {id} drops them"
        ));
    }
    if release.health == Health::Healthy {
        Ok(())
    } else {
        Err(still_unhealthy(&release, &plan.from))
    }
}

/// Goes back from an operation that stopped midway: the release that it began from serves again, with its data.
pub fn undo_stopped(ctx: &Context, id: &OperationId, kind: &str) -> Result<()> {
    let state = Ledger::open(ctx).state()?;
    let recorded = state
        .operations
        .iter()
        .find(|known| known.id == *id)
        .ok_or_else(|| {
            Stop::usage(format!("the ledger of {} knows no operation {id}", ctx.env_name))
                .live("nothing was changed")
                .next("cargo xtask ledger")
        })?;
    let releases = Releases::read(ctx)?;
    let before = release_before(&releases, recorded)?;
    confirm(ctx, &format!("going back from {id}"), &before.tag)?;
    let (operation, _): (Operation, serde_json::Value) = Operation::resume(ctx, id, kind)?;
    if let Err(error) = take_back(ctx, recorded, before) {
        return Err(operation.fail(error));
    }
    operation.finish(Outcome::Undone, serde_json::json!({ "tag": before.tag }))?;
    report::progress(&format!("{} serves again, with the data that it had", before.tag));
    Ok(())
}

/// The release that was live when the operation began: `from` of a rollback's plan, `replaces` of a deploy's.
fn release_before<'a>(releases: &'a Releases, operation: &ledger::Operation) -> Result<&'a Release> {
    let plan = &operation.started.plan;
    let tag = plan["from"]
        .as_str()
        .or(plan["replaces"].as_str())
        .ok_or_else(|| {
            Stop::refused(format!("there was no release before {}", operation.id))
                .live("as the operation left it")
                .next(format!(
                    "cargo xtask {} --resume {}",
                    operation.started.kind, operation.id
                ))
        })?;
    releases
        .find(tag)
        .with_context(|| format!("the tag {tag} is gone from the remote"))
}

/// A stopped rollback is undone by renaming its collections back. A stopped deploy has no shadow: where its backend
/// was uploaded, migrations may have run, and the backup taken before it is restored.
fn take_back(ctx: &Context, operation: &ledger::Operation, before: &Release) -> Result<()> {
    if operation.started.kind == KIND {
        restore::undo(ctx, &operation.id)?;
        return execute::platforms_back(ctx, before);
    }
    let taken = operation.steps.iter().find(|done| done.name == "backup");
    let commit = operation.started.plan["commit"]
        .as_str()
        .context("the plan names no commit")?;
    // The platform is asked, not the record: we may have died between the upload and its record.
    if let (Some(taken), true) = (
        taken,
        Railway::open(ctx)?.has_release(operation.id.as_str(), commit)?,
    ) {
        let taken: BackupRef = serde_json::from_value(taken.facts.clone())?;
        let backup = backup::find(ctx, &taken.id)?;
        restore::swap(restore::prepare(ctx, &backup, &operation.id)?)?;
    }
    execute::platforms_back(ctx, before)
}

/// Compares every document of the backup with what is live now.
fn preview(ctx: &Context, plan: &Plan) -> Result<Option<LossPreview>> {
    let Some(wanted) = plan.backup.as_ref().filter(|_| plan.restores()) else {
        return Ok(None);
    };
    let backup = backup::find(ctx, &wanted.id)?;
    restore::preview(ctx, &backup, Delta::Full, false)
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
        Stop::usage("a rollback needs a reason")
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
    Ok(Stop::usage("which release shall be gone back to?")
        .live("nothing was changed")
        .next(next)
        .into())
}

fn still_unhealthy(release: &Release, from: &str) -> anyhow::Error {
    Stop::midway(format!("the checks after the rollback failed ({})", release.tag))
        .live(format!(
            "{} is live with the code and data asked for",
            release.tag
        ))
        .next(format!(
            "cargo xtask health   (to go back: cargo xtask rollback {from} --reason \"…\")"
        ))
        .into()
}
