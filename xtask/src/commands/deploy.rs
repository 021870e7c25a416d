//! `cargo xtask deploy`: one release, backend, frontend and a backup of the data before it.

mod execute;
mod plan;

use anyhow::Result;
use serde::Serialize;

pub use execute::{backup_step, schema_fingerprint, told};
use plan::Plan;

use super::Common;
use crate::context::Context;
use crate::domain::ledger::Outcome;
use crate::domain::operation::OperationId;
use crate::domain::release::{Health, Release, known_good};
use crate::domain::timeline::Timing;
use crate::engine::approval;
use crate::engine::confirm::confirm;
use crate::engine::operation::{Operation, plan_sha256};
use crate::engine::releases::Releases;
use crate::error::Stop;
use crate::report;

const KIND: &str = "deploy";

/// Options of `deploy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what would be done and every problem; change nothing
    #[arg(long)]
    plan: bool,
    /// Deploy a commit that was rolled back before
    #[arg(long)]
    allow_rolled_back: bool,
    /// Finish a deploy that stopped midway
    #[arg(long, value_name = "OPERATION", conflicts_with_all = ["plan", "undo"])]
    resume: Option<OperationId>,
    /// Go back from a deploy that stopped midway
    #[arg(long, value_name = "OPERATION", conflicts_with = "plan")]
    undo: Option<OperationId>,
}

/// The plan with its identity.
#[derive(Serialize)]
struct Planned<'a> {
    plan: &'a Plan,
    plan_sha256: String,
}

/// What a deploy did.
#[derive(Serialize)]
struct Deployed<'a> {
    release: &'a Release,
    elapsed_ms: u64,
    timeline: Vec<Timing>,
}

/// Observes, plans, confirms, executes, reports.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    if let Some(id) = &args.undo {
        return super::rollback::undo_stopped(ctx, id, KIND);
    }
    if let Some(id) = &args.resume {
        let (operation, plan) = Operation::resume(ctx, id, KIND)?;
        return carry_out(ctx, &plan, operation, &Releases::read(ctx)?);
    }
    let (plan, releases) = plan::make(ctx, args.allow_rolled_back)?;
    let plan_sha256 = plan_sha256(&plan)?;
    if args.plan {
        return report::emit(
            ctx.format,
            "deploy-plan/1",
            &Planned {
                plan: &plan,
                plan_sha256,
            },
            || plan.text(),
        );
    }
    report::progress(&plan.text());
    // Asked before anything is recorded: a refusal leaves nothing behind.
    approval::verify(ctx, &plan_sha256, None)?;
    confirm(ctx, &format!("the deploy to {}", ctx.env_name), &ctx.env_name)?;
    let operation = Operation::begin(ctx, KIND, &plan.commit, "deploy", &plan)?;
    carry_out(ctx, &plan, operation, &releases)
}

fn carry_out(ctx: &Context, plan: &Plan, operation: Operation, releases: &Releases) -> Result<()> {
    let release = match execute::execute(ctx, plan, &operation, releases) {
        Ok(release) => release,
        Err(error) => return Err(operation.fail(error)),
    };
    let done = Deployed {
        release: &release,
        elapsed_ms: operation.elapsed_ms(),
        timeline: operation.timeline(),
    };
    let facts = serde_json::json!({ "tag": release.tag, "record_sha256": release.sha256()?, "health": release.health });
    operation.finish(Outcome::Done, facts)?;
    report::emit(ctx.format, "deploy/1", &done, || {
        format!(
            "{} is live ({:?})\n{}",
            release.tag,
            release.health,
            report::timeline(&done.timeline)
        )
    })?;
    if release.health == Health::Healthy {
        Ok(())
    } else {
        Err(unhealthy(releases, &release))
    }
}

/// The release is live and recorded, but its checks say no.
fn unhealthy(releases: &Releases, release: &Release) -> anyhow::Error {
    let mut all = releases.all.clone();
    all.push(release.clone());
    let back = known_good(&all).first().map(|good| good.tag.clone());
    let next = back.map_or_else(
        || "there is no earlier healthy release to go back to: mend and deploy".to_owned(),
        |tag| {
            format!(
                "cargo xtask rollback {tag} --reason \"{} is unhealthy\"",
                release.tag
            )
        },
    );
    Stop::midway(format!("the checks after the release of {} failed", release.tag))
        .live(format!("{} is live and recorded as {:?}", release.tag, release.health).to_lowercase())
        .next(next)
        .into()
}
