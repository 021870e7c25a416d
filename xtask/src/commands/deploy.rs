//! `cargo xtask deploy`: one release, backend, frontend and a backup of the data before it.

use anyhow::Result;
use serde::Serialize;

use super::prepared::print_prepared;
use super::rollback::text::{print_plan, rollback_text};
use super::{Common, generate, undo};
use crate::approval;
use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::domain::release::{Health, Release};
use crate::domain::timeline::Timing;
use crate::error::catalogue::release as errors;
use crate::error::{ExitKind, exit_of};
use crate::operation::basis::schema_fingerprint;
use crate::operation::run::plan_sha256;
use crate::release::basis::PlanBasis;
use crate::release::deploy::plan::{self, Allowed, DeployPlan};
use crate::release::deploy::{self, Deployed, KIND};
use crate::release::on_unhealthy::roll_back_if_unhealthy;
use crate::release::releases::Releases;
use crate::release::rollback::RolledBack;
use crate::report;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the release is live and healthy
  1  failed, nothing live was changed; or unhealthy and rolled back
  2  wrong usage or configuration
  3  refused: lock, approval, confirmation or preflight
  4  stopped midway, or live and unhealthy: the error names the next command

Example:
  cargo xtask deploy --plan";

/// Options of `deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Show what would be done and every problem; change nothing
    #[arg(long)]
    plan: bool,
    /// Deploy a commit that was rolled back before
    #[arg(long)]
    allow_rolled_back: bool,
    /// Deploy although the platforms serve something else than the newest release recorded
    #[arg(long)]
    allow_drift: bool,
    /// Take the lock and the backup, stage the frontend, and stop before the first live change: --resume finishes
    #[arg(long, conflicts_with = "plan")]
    prepare: bool,
    /// Finish a deploy that stopped midway, or that was prepared
    #[arg(long, value_name = "OPERATION", conflicts_with_all = ["plan", "prepare", "undo"])]
    resume: Option<OperationId>,
    /// Undo a deploy: revert one that stopped midway, roll back a finished one
    #[arg(long, value_name = "OPERATION", conflicts_with_all = ["plan", "prepare"])]
    undo: Option<OperationId>,
}

impl Args {
    const fn allowed(&self) -> Allowed {
        Allowed {
            rolled_back: self.allow_rolled_back,
            drift: self.allow_drift,
        }
    }
}

/// The plan with its identity.
#[derive(Serialize)]
struct DeployPreview<'a> {
    plan: &'a DeployPlan,
    plan_sha256: String,
}

/// The result as JSON.
#[derive(Serialize)]
struct DeployResult {
    release: Release,
    /// What backend and frontend serve.
    live: String,
    elapsed_ms: u64,
    timeline: Vec<Timing>,
    /// The automatic rollback, where `deploy.on_unhealthy` asks for it.
    rolled_back: Option<RolledBack>,
}

/// Plans, confirms, deploys, reports.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    if let Some(id) = &args.undo {
        return undo::run(ctx, id, KIND, args.allow_drift);
    }
    if let Some(id) = &args.resume {
        return resume(ctx, id);
    }
    ctx.require_version()?;
    for line in generate::warnings(ctx) {
        report::progress(&format!(
            "warning: {line}; `cargo xtask generate` writes the workflows"
        ));
    }
    let (plan, releases) = plan::make(ctx, args.allowed())?;
    let plan_sha256 = plan_sha256(&plan)?;
    if args.plan {
        return report::emit(
            ctx.format,
            "deploy-plan/1",
            &DeployPreview {
                plan: &plan,
                plan_sha256,
            },
            || plan.text(),
        );
    }
    let basis = PlanBasis::of(&releases, schema_fingerprint(ctx));
    report::progress(&plan.text());
    // Before anything is recorded: a refusal leaves nothing behind.
    let approvers = approval::verify(ctx, &plan_sha256, None, releases.newest())?;
    confirm(ctx, &format!("the deploy to {}", ctx.env_name), &ctx.env_name)?;
    if args.prepare {
        return print_prepared(ctx, KIND, &deploy::prepare(ctx, &plan, &basis, approvers)?);
    }
    finish(ctx, deploy::start(ctx, &plan, &basis, approvers)?)
}

/// Finishes a deploy that stopped midway.
pub(super) fn resume(ctx: &Context, id: &OperationId) -> Result<()> {
    finish(ctx, deploy::resume(ctx, id)?)
}

/// Rolls an unhealthy release back where the configuration says so, and prints the result. An unhealthy release is an
/// error.
fn finish(ctx: &Context, deployed: Deployed) -> Result<()> {
    let rolled_back = match roll_back_if_unhealthy(ctx, &deployed.release, print_plan) {
        // Its error has what is live now.
        Err(error) if exit_of(&error) == ExitKind::Midway => return Err(error),
        Err(error) => {
            report::progress(&format!(
                "{} was not rolled back: {error:#}",
                deployed.release.tag
            ));
            None
        }
        Ok(rolled_back) => rolled_back,
    };
    let result = DeployResult {
        live: live(&deployed),
        rolled_back,
        release: deployed.release,
        elapsed_ms: deployed.elapsed_ms,
        timeline: deployed.timeline,
    };
    report::emit_done(ctx.format, "deploy/1", &result, || text(&result));
    let release = &result.release;
    match (release.health, &result.rolled_back) {
        (Health::Healthy, _) => Ok(()),
        (_, Some(back)) => {
            Err(errors::rolled_back_automatically(&release.tag, back.restored(), &back.release.tag).into())
        }
        (_, None) => Err(unhealthy(ctx, release, &result.live)),
    }
}

/// What each platform serves.
fn live(deployed: &Deployed) -> String {
    let Deployed {
        release, is_partial, ..
    } = deployed;
    let (tag, health) = (&release.tag, release.health.word());
    if *is_partial {
        let ids = |deployments: Vec<&String>| deployments.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let backends = release
            .parts
            .backends
            .values()
            .map(|part| &part.deployment)
            .collect();
        let frontends = release
            .parts
            .frontends
            .values()
            .map(|part| &part.deployment)
            .collect();
        return format!(
            "{} {tag} ({}), {} what {} served before ({}); {tag} is recorded as {health}",
            if release.parts.backends.len() == 1 {
                "the backend serves"
            } else {
                "the backends serve"
            },
            ids(backends),
            if release.parts.frontends.len() == 1 {
                "the frontend still serves"
            } else {
                "the frontends still serve"
            },
            if release.parts.frontends.len() == 1 {
                "it"
            } else {
                "they"
            },
            ids(frontends)
        );
    }
    let sides = match (release.parts.backends.len(), release.parts.frontends.len()) {
        (1, 1) => "backend and frontend serve",
        (1, 0) => "the backend serves",
        (0, 1) => "the frontend serves",
        _ => "all parts serve",
    };
    format!("{sides} {tag} ({health})")
}

fn text(result: &DeployResult) -> String {
    let rollback = result.rolled_back.as_ref().map(rollback_text);
    format!(
        "{}\n{}{}",
        result.live,
        report::timeline(&result.timeline),
        rollback.unwrap_or_default()
    )
}

/// The release is live and recorded, but its checks fail. Where the releases cannot be read now, it is live all the same.
fn unhealthy(ctx: &Context, release: &Release, live: &str) -> anyhow::Error {
    let next = match Releases::read(ctx) {
        Ok(releases) => releases.known_good(ctx).first().map_or_else(
            || "no earlier healthy release exists: fix the problem and deploy".to_owned(),
            |good| {
                format!(
                    "cargo xtask rollback {} --reason \"{} is unhealthy\"",
                    good.tag, release.tag
                )
            },
        ),
        Err(error) => {
            report::progress(&format!("warning: {error:#}"));
            "cargo xtask releases   (then the rollback to one that it offers)".to_owned()
        }
    };
    errors::release_unhealthy(&release.tag, live, next).into()
}
