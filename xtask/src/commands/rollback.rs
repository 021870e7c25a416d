//! `cargo xtask rollback [TAG] --reason TEXT`: code and data of an earlier release, as one unit.

pub(super) mod text;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use text::{plan_text, print_plan, print_result};

use super::prepared::print_prepared;
use super::{Common, undo};
use crate::commands::confirm::{confirm, tick};
use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::domain::release::DatabaseChoice;
use crate::error::catalogue::release as errors;
use crate::release::break_glass;
use crate::release::releases::Releases;
use crate::release::rollback::plan::offered;
use crate::release::rollback::{
    self, CheckedPlan, KIND, PlannedRollback, RequiredHealth, RollbackEstimate, RollbackTarget, RolledBack,
};
use crate::report;
use crate::restore::{
    CollectionMethod, ConflictChoice, DataCapacity, LossDetail, LossPreview, RestoreMethod,
};

const PLAN_SCHEMA: &str = "rollback-plan/1";

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the target is live again and healthy
  1  failed, nothing live was changed
  2  wrong usage or configuration
  3  refused: lock, confirmation or preflight
  4  stopped midway, or live and unhealthy: the error names the next command

Example:
  cargo xtask rollback prod-20260101-120000 --reason \"login fails\"";

/// Options of `rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The release to roll back to; without it, the error lists the candidates
    tag: Option<String>,
    /// Reason for the rollback (recorded, and sent to the configured channels)
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Whether to restore the database
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["resume", "undo"])]
    database: DatabaseOption,
    /// With `--database keep`: accept that the older code runs on data that later migrations changed
    #[arg(long, conflicts_with_all = ["resume", "undo"])]
    over_migrations: bool,
    /// Roll back although the platforms serve something else than the newest release recorded
    #[arg(long)]
    allow_drift: bool,
    /// Accept a release that no check has found healthy
    #[arg(long, requires = "reason")]
    allow_unhealthy_target: bool,
    /// Roll back while the git remote does not answer, by the records of this clone; the lock is in the database. The name of
    /// the environment confirms that nobody else deploys or rolls back
    #[arg(long, value_name = "ENVIRONMENT", conflicts_with = "prepare")]
    break_glass: Option<String>,
    /// A copy of the records in place of this clone's: a mirror of the remote, or a bundle of all its references
    #[arg(long, value_name = "PATH", requires = "break_glass")]
    records: Option<PathBuf>,
    /// Compare every document with the backup to show what would be lost, only counts, or nothing [default: full, with
    /// --planned none]
    #[arg(long, value_enum, conflicts_with_all = ["resume", "undo"])]
    delta: Option<LossDetail>,
    /// How collections are restored: changed documents put back in place, or all of it beside the live one and swapped. With
    /// --prepare and --planned all are swapped
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["resume", "undo"])]
    method: RestoreMethod,
    /// What becomes of a document that is changed after it was compared and before it is put back in place
    #[arg(long, value_enum, default_value_t = ConflictChoice::Restore, conflicts_with_all = ["resume", "undo"])]
    conflicts: ConflictChoice,
    /// With --plan: also write it to this file as JSON, for --planned in another job
    #[arg(long, value_name = "FILE", requires = "plan")]
    plan_file: Option<PathBuf>,
    /// Only as planned before: the file of --plan-file, or of what --plan --format json printed. Refused where anything of it has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "resume", "undo"])]
    planned: Option<PathBuf>,
    /// Show what would be done, what would be lost, and every problem; change nothing
    #[arg(long)]
    plan: bool,
    /// Take the lock and the safety backup, restore beside the live data, and stop before the first live change: --resume
    /// finishes
    #[arg(long, conflicts_with = "plan")]
    prepare: bool,
    /// Finish a rollback that stopped midway, or that was prepared
    #[arg(long, value_name = "OPERATION", conflicts_with_all = ["tag", "plan", "prepare", "undo"])]
    resume: Option<OperationId>,
    /// Undo a rollback: revert an interrupted one; after a finished one, roll back to the release that was live before it
    #[arg(long, value_name = "OPERATION", conflicts_with_all = ["tag", "plan", "prepare"])]
    undo: Option<OperationId>,
}

impl Args {
    /// What was compared when the plan was checked is not compared again.
    fn delta(&self) -> LossDetail {
        let usual = if self.planned.is_some() {
            LossDetail::None
        } else {
            LossDetail::Full
        };
        self.delta.unwrap_or(usual)
    }
}

/// `--database`.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum DatabaseOption {
    /// Keep it when migrations and schema are the same in both releases, or only add; else restore it
    #[default]
    Auto,
    Restore,
    Keep,
}

impl From<DatabaseOption> for DatabaseChoice {
    fn from(option: DatabaseOption) -> Self {
        match option {
            DatabaseOption::Auto => Self::Auto,
            DatabaseOption::Restore => Self::Restore,
            DatabaseOption::Keep => Self::Keep,
        }
    }
}

/// The plan with its identity, what would be lost, and how long it will take.
#[derive(Serialize)]
struct RollbackPreview<'a> {
    #[serde(flatten)]
    checked: CheckedPlan<'a>,
    loss: Option<&'a LossPreview>,
    /// How each collection is restored.
    methods: &'a [CollectionMethod],
    estimate: &'a RollbackEstimate,
    capacity: Option<&'a DataCapacity>,
}

/// Plans, shows what will be lost, confirms, rolls back, reports.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &context(args, common)?;
    if args.resume.is_some() || args.undo.is_some() {
        lock(ctx, args, "resumed or undone")?;
    }
    if let Some(id) = &args.undo {
        return undo::run(ctx, id, KIND, args.allow_drift);
    }
    if let Some(id) = &args.resume {
        return finish(ctx, args, &rollback::resume(ctx, id)?);
    }
    let Some(tag) = &args.tag else {
        return Err(missing_tag_error(ctx)?);
    };
    let target = RollbackTarget {
        tag,
        database: args.database.into(),
        health: if args.allow_unhealthy_target {
            RequiredHealth::Any
        } else {
            RequiredHealth::Healthy
        },
        allow_drift: args.allow_drift,
        over_migrations: args.over_migrations,
        delta: args.delta(),
        method: args.method,
        conflicts: args.conflicts,
    };
    let mut planned = rollback::plan(ctx, &target)?;
    if args.plan {
        return show_plan(ctx, &planned, args.plan_file.as_deref());
    }
    if let Some(file) = &args.planned {
        rollback::keep_to(&mut planned, file)?;
    }
    print_plan(&planned);
    let reason = reason(args)?;
    confirm(ctx, &format!("the rollback to {tag}"), tag)?;
    planned.ticked = tick(ctx, &planned.plan.external)?;
    lock(ctx, args, &reason)?;
    if args.prepare {
        return print_prepared(ctx, KIND, &rollback::prepare(ctx, &planned, &reason)?);
    }
    finish(ctx, args, &rollback::start(ctx, &planned, &reason)?)
}

/// Prints the plan. A file of it is for another job: an output of the job would not do, because GitHub leaves one out that
/// has the letters of any secret ("Skip output 'plan' since it may contain secret", actions/runner, `JobExtension.cs`).
fn show_plan(ctx: &Context, planned: &PlannedRollback, file: Option<&Path>) -> Result<()> {
    let preview = RollbackPreview {
        checked: CheckedPlan::of(planned)?,
        loss: planned.loss.as_ref(),
        methods: &planned.methods,
        estimate: &planned.estimate,
        capacity: planned.capacity.as_ref(),
    };
    if let Some(file) = file {
        let text = report::to_json(PLAN_SCHEMA, &preview)?;
        std::fs::write(file, text).with_context(|| format!("cannot write the plan to {}", file.display()))?;
    }
    report::emit(ctx.format, PLAN_SCHEMA, &preview, || plan_text(planned))
}

/// The remote's place is taken by a copy where the glass is broken.
fn context(args: &Args, common: &Common) -> Result<Context> {
    let ctx = common.context()?;
    let Some(given) = &args.break_glass else {
        return Ok(ctx);
    };
    ensure!(
        *given == ctx.env_name,
        errors::glass_not_broken(given, &ctx.env_name)
    );
    break_glass::open(&ctx, args.records.as_deref())
}

/// Without the ledger, its lock is that of the database.
fn lock(ctx: &Context, args: &Args, reason: &str) -> Result<()> {
    match args.break_glass {
        Some(_) => break_glass::lock(ctx, reason),
        None => Ok(()),
    }
}

fn finish(ctx: &Context, args: &Args, done: &RolledBack) -> Result<()> {
    if args.break_glass.is_some() {
        break_glass::note_release(ctx, &done.release)?;
    }
    print_result(ctx, done)
}

/// Finishes a rollback that stopped midway.
pub(super) fn resume(ctx: &Context, id: &OperationId) -> Result<()> {
    print_result(ctx, &rollback::resume(ctx, id)?)
}

fn reason(args: &Args) -> Result<String> {
    let given = args.reason.as_deref().map(str::trim);
    let given = given.filter(|reason| !reason.is_empty());
    given
        .map(str::to_owned)
        .ok_or_else(|| errors::no_reason_given().into())
}

/// The error lists the releases to choose from.
fn missing_tag_error(ctx: &Context) -> Result<anyhow::Error> {
    let offered = offered(ctx, &Releases::read(ctx)?);
    let next = match offered.first() {
        Some(tag) => format!(
            "cargo xtask rollback {tag} --reason \"…\"   (known good: {})",
            offered.join(", ")
        ),
        None => "no earlier healthy release exists: fix the problem and deploy".into(),
    };
    Ok(errors::no_release_given(next).into())
}
