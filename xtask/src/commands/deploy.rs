//! `cargo xtask deploy`: one release, backend, frontend and a backup of the data before it.

mod execute;
mod plan;

use anyhow::Result;
use serde::Serialize;

pub use execute::{backup_step, check_health};
use plan::Plan;

use super::Common;
use super::rollback::{self, RolledBack};
use crate::approval;
use crate::commands::confirm::confirm;
use crate::config::OnUnhealthy;
use crate::context::Context;
use crate::domain::ledger::Outcome;
use crate::domain::operation::OperationId;
use crate::domain::release::{Health, Release, known_good};
use crate::domain::timeline::Timing;
use crate::error::CliError;
use crate::operation::run::{Operation, ResumeMode, plan_sha256};
use crate::release::releases::Releases;
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
    /// Go back from a deploy: one that stopped midway is taken back, one that ended is rolled back
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
#[derive(Debug, Serialize)]
pub struct Deployed {
    release: Release,
    elapsed_ms: u64,
    timeline: Vec<Timing>,
    /// The rollback that followed at once, where `deploy.on_unhealthy` says so.
    rolled_back: Option<RolledBack>,
}

/// Observes, plans, confirms, executes, reports.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    if let Some(id) = &args.undo {
        return rollback::undo(ctx, id, KIND);
    }
    if let Some(id) = &args.resume {
        return told(ctx, &resume(ctx, id)?);
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
    let approvers = approval::verify(ctx, &plan_sha256, None)?;
    confirm(ctx, &format!("the deploy to {}", ctx.env_name), &ctx.env_name)?;
    let operation = Operation::begin(ctx, KIND, &plan.commit, "deploy", &plan)?;
    told(
        ctx,
        &carry_out(ctx, &plan, operation, &releases, Some(approvers))?,
    )
}

/// Finishes a deploy that stopped midway.
pub fn resume(ctx: &Context, id: &OperationId) -> Result<Deployed> {
    let (operation, plan) = Operation::resume(ctx, id, KIND, ResumeMode::Continue)?;
    carry_out(ctx, &plan, operation, &Releases::read(ctx)?, None)
}

fn carry_out(
    ctx: &Context,
    plan: &Plan,
    operation: Operation,
    releases: &Releases,
    approvers: Option<Vec<String>>,
) -> Result<Deployed> {
    let release = match execute::execute(ctx, plan, &operation, releases, approvers) {
        Ok(release) => release,
        Err(error) => return Err(operation.fail(&error)),
    };
    let (elapsed_ms, timeline) = (operation.elapsed_ms(), operation.timeline());
    let facts = serde_json::json!({ "tag": release.tag, "record_sha256": release.sha256()?, "health": release.health });
    operation.finish(Outcome::Done, facts)?;
    Ok(Deployed {
        rolled_back: answer(ctx, &release)?,
        release,
        elapsed_ms,
        timeline,
    })
}

/// Reports; a release that is not healthy is an error.
fn told(ctx: &Context, done: &Deployed) -> Result<()> {
    report::emit(ctx.format, "deploy/1", done, || done.text())?;
    let release = &done.release;
    match (release.health, &done.rolled_back) {
        (Health::Healthy, _) => Ok(()),
        (_, Some(back)) => Err(CliError::failed(format!(
            "{} was unhealthy and was rolled back",
            release.tag
        ))
        .live(format!(
            "{} is live again, as {}",
            back.restored(),
            back.release.tag
        ))
        .next("cargo xtask releases")
        .into()),
        (_, None) => Err(unhealthy(&Releases::read(ctx)?, release)),
    }
}

impl Deployed {
    fn text(&self) -> String {
        let followed = self.rolled_back.as_ref().map(RolledBack::text);
        format!(
            "{} is live ({})\n{}{}",
            self.release.tag,
            self.release.health.word(),
            report::timeline(&self.timeline),
            followed.unwrap_or_default()
        )
    }
}

/// What follows on an unhealthy release: nothing, or a rollback at once where the configuration says so and there is
/// a release to go back to.
fn answer(ctx: &Context, release: &Release) -> Result<Option<RolledBack>> {
    if release.health == Health::Healthy || ctx.config.deploy.on_unhealthy == OnUnhealthy::Stop {
        return Ok(None);
    }
    let releases = Releases::read(ctx)?;
    let Some(good) = known_good(&releases.all).first().map(|good| good.tag.clone()) else {
        return Ok(None);
    };
    report::progress(&format!(
        "{} is {}: going back to {good}",
        release.tag,
        release.health.word()
    ));
    let reason = format!("{} was {} after its deploy", release.tag, release.health.word());
    rollback::at_once(ctx, &good, &reason).map(Some)
}

/// The release is live and recorded, but its checks say no.
fn unhealthy(releases: &Releases, release: &Release) -> anyhow::Error {
    let next = known_good(&releases.all).first().map_or_else(
        || "there is no earlier healthy release to go back to: mend and deploy".to_owned(),
        |good| {
            format!(
                "cargo xtask rollback {} --reason \"{} is unhealthy\"",
                good.tag, release.tag
            )
        },
    );
    CliError::midway(format!("the checks after the release of {} failed", release.tag))
        .live(format!(
            "{} is live and recorded as {}",
            release.tag,
            release.health.word()
        ))
        .next(next)
        .into()
}
