//! A rollback: code and data of an earlier release, as one unit. Everything that can be prepared is prepared in parallel
//! before the first live change. Then the database is swapped, and only after that backend and frontend are rolled back: code
//! never goes back beside data that could not. What the replaced release wrote in between is found by the proof at the end.

pub mod backend;
mod checked;
mod data;
mod estimate;
mod facts;
pub mod plan;
mod steps;
mod targets;

use anyhow::{Context as _, Result};
use serde::Serialize;

pub use self::checked::{CheckedPlan, keep_to};
pub use self::data::RestoredData;
pub use self::estimate::RollbackEstimate;
use self::plan::{Made, RollbackPlan};
use self::steps::{Executed, Rollback, Wanted, execute, external_step};
use super::basis::PlanBasis;
use super::checkout;
use super::external::{TickedExternal, TickedHow};
use super::releases::Releases;
use crate::backup::{self, off_machine};
use crate::context::Context;
use crate::domain::ledger::OperationOutcome;
use crate::domain::operation::OperationId;
use crate::domain::release::{DatabaseChoice, Release};
use crate::domain::timeline::Timing;
use crate::error::{ExitKind, exit_of};
use crate::operation::preflight::Preflight;
use crate::operation::run::{Operation, ResumeMode, is_taken_over};
use crate::report;
use crate::restore::{
    self, CollectionMethod, ConflictChoice, DataCapacity, DeltaChoice, LossDetail, LossPreview, RestoreMethod,
};

/// The kind of the operation in the ledger.
pub const KIND: &str = "rollback";

/// Which releases may be the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredHealth {
    /// Only one that was healthy after its deploy.
    Healthy,
    /// Any: the undo of a release leads to what was live before, whatever its health.
    Any,
}

/// The release to roll back to.
#[derive(Debug, Clone, Copy)]
pub struct RollbackTarget<'a> {
    pub tag: &'a str,
    pub database: DatabaseChoice,
    pub health: RequiredHealth,
    /// Whether the platforms may serve something else than the newest release recorded.
    pub allow_drift: bool,
    /// Whether the target's code may run on data that later migrations changed.
    pub over_migrations: bool,
    /// How closely the backup is compared with the live data, to show what would be lost.
    pub delta: LossDetail,
    /// How collections are restored.
    pub method: RestoreMethod,
    /// What becomes of documents that are changed while they are put back in place.
    pub conflicts: ConflictChoice,
}

impl<'a> RollbackTarget<'a> {
    /// A release that was healthy; whether the database is restored follows from the schema.
    pub const fn healthy(tag: &'a str) -> Self {
        Self {
            tag,
            database: DatabaseChoice::Auto,
            health: RequiredHealth::Healthy,
            allow_drift: false,
            over_migrations: false,
            delta: LossDetail::Full,
            method: RestoreMethod::Auto,
            conflicts: ConflictChoice::Restore,
        }
    }
}

/// A rollback as planned: nothing is changed yet.
#[derive(Debug)]
pub struct PlannedRollback {
    pub plan: RollbackPlan,
    /// What would be lost; `None` where the database is kept.
    pub loss: Option<LossPreview>,
    /// How each collection is restored; no part of the plan's identity.
    pub methods: Vec<CollectionMethod>,
    pub delta: DeltaChoice,
    /// How long it will take; no part of the plan's identity.
    pub estimate: RollbackEstimate,
    /// How much data the time holds that the platforms and the health checks leave; `None` where the database is kept.
    pub capacity: Option<DataCapacity>,
    /// What was confirmed of the systems outside.
    pub ticked: Vec<TickedExternal>,
    pub basis: PlanBasis,
}

/// What a rollback did.
#[derive(Debug, Serialize)]
pub struct RolledBack {
    pub release: Release,
    /// From the start of the command to the end of the checks.
    pub recovery_ms: u64,
    /// Of that, the time of mongorestore and then of the slower platform.
    pub unavoidable_ms: u64,
    /// The rest: what plan, checks and proofs cost, in percent of the whole recovery.
    pub overhead_percent: f64,
    pub budget_ms: u64,
    pub timeline: Vec<Timing>,
    /// What shows that the replaced release migrated the restored data before it ended; normally nothing.
    pub migrated: Vec<String>,
    #[serde(flatten)]
    pub data: RestoredData,
    /// Systems outside, which were not rolled back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<TickedExternal>,
}

impl RolledBack {
    /// The release that is live again.
    pub fn restored(&self) -> &str {
        self.release.restores.as_deref().unwrap_or_default()
    }
}

/// Plans the rollback, with every problem, and compares the backup with the live data as closely as it is asked for.
///
/// # Errors
/// Exit 2 or 3 where the rollback is not possible. Nothing is changed.
pub fn plan(ctx: &Context, target: &RollbackTarget<'_>) -> Result<PlannedRollback> {
    let Made {
        plan,
        releases,
        live_schema,
    } = plan::make(ctx, target)?;
    let basis = PlanBasis::of(&releases, live_schema);
    let (mut data_bytes, mut methods) = (None, Vec::new());
    let loss = match plan.backup.as_ref().filter(|_| plan.restores()) {
        None => None,
        Some(wanted) => {
            let backup = backup::find(ctx, &wanted.id)?;
            data_bytes = Some(backup.metadata.archive_bytes);
            let loss = restore::preview(ctx, &backup, target.delta, false);
            let loss = loss.context("cannot determine what would be lost")?;
            let chosen = restore::methods(ctx, &backup, target.method, &loss)?;
            require_room(chosen.problems)?;
            methods = chosen.methods;
            Some(loss)
        }
    };
    let budget_ms = ctx.config.budgets.limits().total_ms;
    let estimate = estimate::estimate(&plan, &releases.all, budget_ms);
    let data_ms = budget_ms.saturating_sub(estimate.beside_data_ms());
    let ledger = releases.ledger.as_ref();
    Ok(PlannedRollback {
        capacity: data_bytes.map(|bytes| DataCapacity::of(ledger, data_ms, bytes)),
        plan,
        loss,
        delta: restore::delta_of(&methods, target.conflicts),
        methods,
        estimate,
        ticked: TickedExternal::all(ctx, &ctx.env().external, TickedHow::NotAsked),
        basis,
    })
}

/// How much is copied is known only now: what is put back in place needs no room.
fn require_room(problems: Vec<String>) -> Result<()> {
    let mut preflight = Preflight::default();
    for problem in problems {
        preflight.require(false, || format!("the restore: {problem}"));
    }
    preflight.finish("the rollback")
}

/// Takes the lock and rolls back.
///
/// # Errors
/// Exit 1 where nothing live was changed, exit 4 where the rollback stopped midway.
pub fn start(ctx: &Context, planned: &PlannedRollback, reason: &str) -> Result<RolledBack> {
    let plan = &planned.plan;
    off_machine::require_configured(ctx, KIND)?;
    checkout::sweep();
    let operation = Operation::begin(ctx, KIND, &plan.target, reason, plan)?;
    match planned.basis.require_unchanged(ctx, &operation.id) {
        Ok(releases) => {
            let wanted = Wanted {
                plan,
                delta: &planned.delta,
                ticked: &planned.ticked,
            };
            run(ctx, &wanted, operation, &releases)
        }
        Err(error) => Err(operation.fail(error)),
    }
}

/// Takes the lock, takes the safety backup and fills the shadow, then lets go before the first live change: the backup can
/// be taken off this machine, and [`resume`] finishes. Gives the operation.
///
/// # Errors
/// Exit 1; nothing live was changed.
pub fn prepare(ctx: &Context, planned: &PlannedRollback, reason: &str) -> Result<OperationId> {
    let plan = &planned.plan;
    checkout::sweep();
    let operation = Operation::begin(ctx, KIND, &plan.target, reason, plan)?;
    let prepared = planned.basis.require_unchanged(ctx, &operation.id).and_then(|_| {
        external_step(plan, &operation, &planned.ticked)?;
        // Another process makes it live, later: what would have been compared is not what it finds.
        let whole = DeltaChoice::default();
        Rollback::open(ctx, plan, &operation, &whole)?.prepare().map(drop)
    });
    // Restored data have the schema of the backup, and what the faulty release made since is kept beside them: a release that makes
    // collections all the time must not keep its own rollback away. Where the data stay, the verdict was about this schema.
    let basis = (!plan.restores()).then(|| planned.basis.data());
    operation.pause_after(basis, prepared)
}

/// Finishes a rollback that stopped midway.
///
/// # Errors
/// As [`start`].
pub fn resume(ctx: &Context, id: &OperationId) -> Result<RolledBack> {
    let (operation, plan): (_, RollbackPlan) = Operation::resume(ctx, id, KIND, ResumeMode::Continue)?;
    let wanted = Wanted {
        plan: &plan,
        // What an earlier process has begun is in the journal; otherwise all is swapped.
        delta: &DeltaChoice::default(),
        ticked: &TickedExternal::all(ctx, &plan.external, TickedHow::NotAsked),
    };
    run(ctx, &wanted, operation, &Releases::read(ctx)?)
}

fn run(ctx: &Context, wanted: &Wanted<'_>, operation: Operation, releases: &Releases) -> Result<RolledBack> {
    let plan = wanted.plan;
    let Executed {
        release,
        external,
        unavoidable_ms,
        migrated,
        database,
    } = match execute(ctx, wanted, &operation, releases) {
        Ok(done) => done,
        Err(error) => return Err(end_of(ctx, plan, operation, error)),
    };
    let recovery_ms = operation.elapsed_ms();
    let unavoidable_ms = unavoidable_ms.min(recovery_ms);
    let data = database.map_or_else(RestoredData::default, RestoredData::of);
    let done = RolledBack {
        release,
        recovery_ms,
        unavoidable_ms,
        overhead_percent: report::overhead_percent(recovery_ms, unavoidable_ms),
        budget_ms: ctx.config.budgets.limits().total_ms,
        timeline: operation.timeline(),
        migrated,
        data,
        external,
    };
    let id = operation.id.clone();
    let facts = serde_json::json!({
        "tag": done.release.tag, "record_sha256": done.release.sha256()?, "health": done.release.health,
        "recovery_ms": done.recovery_ms, "rescue": done.data.rescue, "newer": done.data.newer,
        "in_place": done.data.in_place, "conflicts": done.data.conflicts,
    });
    operation.conclude(OperationOutcome::Done, facts)?;
    if plan.restores() {
        report::progress(&format!(
            "the previous collections are kept: cargo xtask restore --forget {id} drops them"
        ));
    }
    Ok(done)
}

/// Ends the operation after an error. The database comes first: where its swap was refused before the first rename, nothing at all
/// was changed.
fn end_of(ctx: &Context, plan: &RollbackPlan, operation: Operation, error: anyhow::Error) -> anyhow::Error {
    let refused = exit_of(&error) == ExitKind::Refused;
    let untouched = plan.restores() && !operation.was_resumed() && restore::is_untouched(ctx, &operation.id);
    if refused && untouched && !is_taken_over(&error) {
        return operation.fail_unchanged(&error);
    }
    operation.fail(error)
}
