//! A rollback: code and data of an earlier release, as one unit. Everything that can be prepared is prepared in parallel
//! before the first live change. Then the database is swapped, and only after that backend and frontend are rolled back: code
//! never goes back beside data that could not. What the replaced release wrote in between is found by the proof at the end.

pub mod backend;
mod checked;
mod data;
mod estimate;
mod facts;
pub mod plan;
mod targets;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use self::backend::{Backend, BackendBack, slowest};
pub use self::checked::{CheckedPlan, keep_to};
pub use self::data::RestoredData;
pub use self::estimate::RollbackEstimate;
use self::plan::{Made, RollbackPlan};
use super::basis::PlanBasis;
use super::checkout;
use super::external::{TickedExternal, TickedHow};
use super::platforms::{Platforms, each_at_once, frontend_back, join, on_railway};
use super::release_tag::{HealthSnapshot, LiveRelease, record};
use super::releases::Releases;
use super::steps::{KeptData, backend_back, backend_up, check_release, keep_data, require_off_machine};
use crate::backup::{self, BackupFile, off_machine};
use crate::context::Context;
use crate::domain::ledger::OperationOutcome;
use crate::domain::operation::OperationId;
use crate::domain::parts::{OnRailway, OnVercel, ReleaseParts};
use crate::domain::release::{DatabaseChoice, Health, Release};
use crate::domain::step::Step;
use crate::domain::timeline::Timing;
use crate::error::{CliError, ExitKind};
use crate::health::ExpectedRelease;
use crate::operation::after::AfterFailures;
use crate::operation::run::{Operation, ResumeMode, is_taken_over};
use crate::report;
use crate::restore::{
    self, CollectionMethod, ConflictChoice, DataCapacity, DeltaChoice, InPlace, LossDetail, LossPreview,
    Prepared, Restore, RestoreMethod, ShadowFacts, Swapped,
};
use crate::tools::backend::BackendService;

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
            methods = restore::methods(ctx, &backup, target.method, &loss)?;
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

/// Records what was confirmed of the systems outside; gives what was recorded first.
fn external_step(
    plan: &RollbackPlan,
    operation: &Operation,
    ticked: &[TickedExternal],
) -> Result<Vec<TickedExternal>> {
    if plan.external.is_empty() {
        return Ok(Vec::new());
    }
    operation.step(Step::External, || Ok(ticked.to_vec()))
}

/// What is to be carried out.
struct Wanted<'a> {
    plan: &'a RollbackPlan,
    /// What is put back in place.
    delta: &'a DeltaChoice,
    ticked: &'a [TickedExternal],
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
    let refused = error
        .downcast_ref::<CliError>()
        .is_some_and(|stop| stop.exit == ExitKind::Refused);
    let untouched = plan.restores() && !operation.was_resumed() && restore::is_untouched(ctx, &operation.id);
    if refused && untouched && !is_taken_over(&error) {
        return operation.fail_unchanged(&error);
    }
    operation.fail(error)
}

/// Everything that the steps share.
struct Rollback<'a> {
    ctx: &'a Context,
    plan: &'a RollbackPlan,
    operation: &'a Operation,
    delta: &'a DeltaChoice,
    platforms: Platforms,
    snapshot: HealthSnapshot,
}

/// The database beside the live one.
enum Shadow<'a> {
    NotNeeded,
    Ready(Box<Prepared<'a>>),
    /// An earlier process of this operation prepared it.
    Earlier,
}

/// What the checks and the comparison of the restored database found.
struct Proved {
    health: Health,
    migrated: Vec<String>,
    database: Option<Swapped>,
}

/// What carrying out the plan gave.
struct Executed {
    release: Release,
    external: Vec<TickedExternal>,
    /// Of mongorestore, then of the slower platform.
    unavoidable_ms: u64,
    migrated: Vec<String>,
    database: Option<Swapped>,
}

/// Carries out the plan; a rollback is a release too and is recorded as one.
fn execute(
    ctx: &Context,
    wanted: &Wanted<'_>,
    operation: &Operation,
    releases: &Releases,
) -> Result<Executed> {
    let plan = wanted.plan;
    let rollback = Rollback::open(ctx, plan, operation, wanted.delta)?;
    let external = external_step(plan, operation, wanted.ticked)?;
    let (safety, (shadow, mongorestore_ms)) = rollback.prepare()?;
    require_off_machine(ctx, operation, safety.backup.as_ref())?;
    let in_place = rollback.swap(shadow)?;
    let mut parts = rollback.code_back()?;
    let stays = plan.stays.clone().unwrap_or_default();
    parts.backends.extend(stays.backends);
    parts.frontends.extend(stays.frontends);
    let parts = parts.of_release(&plan.commit);
    let (proved, after) = rollback.prove(&parts, in_place)?;
    let live = LiveRelease {
        commit: plan.commit.clone(),
        parts,
        health: proved.health,
        health_report: rollback.snapshot.take(),
    };
    let release = rollback.record(releases, live, safety)?;
    after.require_none(operation)?;
    Ok(Executed {
        release,
        external,
        unavoidable_ms: mongorestore_ms + rollback.platforms_ms(),
        migrated: proved.migrated,
        database: proved.database,
    })
}

impl<'a> Rollback<'a> {
    fn open(
        ctx: &'a Context,
        plan: &'a RollbackPlan,
        operation: &'a Operation,
        delta: &'a DeltaChoice,
    ) -> Result<Self> {
        Ok(Self {
            ctx,
            plan,
            operation,
            delta,
            platforms: Platforms::open(ctx)?,
            snapshot: HealthSnapshot::default(),
        })
    }

    /// Takes the safety backup and fills the shadow, in parallel; with the shadow comes the time of mongorestore in ms.
    fn prepare(&self) -> Result<(KeptData, (Shadow<'a>, u64))> {
        std::thread::scope(|scope| {
            let prepared = scope.spawn(|| self.prepare_database());
            let purpose = format!("before the rollback to {}", self.plan.target);
            let safety = keep_data(self.ctx, self.operation, Step::SafetyBackup, purpose);
            let prepared = join(prepared);
            Ok((safety?, prepared?))
        })
    }

    fn prepare_database(&self) -> Result<(Shadow<'a>, u64)> {
        if self.plan.backup.is_none() || !self.plan.restores() {
            return Ok((Shadow::NotNeeded, 0));
        }
        let mut shadow = Shadow::Earlier;
        let filled: ShadowFacts = self.operation.step(Step::PrepareShadow, || {
            let restore = Restore::of(self.ctx, self.operation)?.in_place(self.delta);
            let prepared = restore.prepare(&self.target_backup()?)?;
            let facts = prepared.facts();
            shadow = Shadow::Ready(Box::new(prepared));
            Ok(facts)
        })?;
        Ok((shadow, filled.mongorestore_ms))
    }

    /// The backup of the plan, which must be the one that was recorded.
    fn target_backup(&self) -> Result<BackupFile> {
        let wanted = self.plan.backup.as_ref().context("the plan names no backup")?;
        let backup = backup::find(self.ctx, &wanted.id)?;
        ensure!(
            backup.metadata.hash == wanted.hash,
            "the backup {} has another hash than recorded",
            wanted.id
        );
        Ok(backup)
    }

    /// From here on users see the rollback.
    fn swap(&self, shadow: Shadow<'a>) -> Result<Option<InPlace>> {
        if matches!(shadow, Shadow::NotNeeded) {
            return Ok(None);
        }
        let swap = || match shadow {
            Shadow::Ready(prepared) => prepared.put_in_place(),
            _ => Restore::of(self.ctx, self.operation)?.put_in_place(|| self.target_backup()),
        };
        self.operation.step(Step::SwapDatabase, swap).map(Some)
    }

    /// All parts at once, as far as their order allows.
    fn code_back(&self) -> Result<ReleaseParts> {
        std::thread::scope(|scope| {
            let backends = scope.spawn(|| self.backends_back());
            let frontends: Vec<_> = self.plan.frontends.iter().collect();
            let frontends = each_at_once(&frontends, |(name, to)| {
                Ok((name.clone(), self.frontend_back(name, to)?))
            });
            Ok(ReleaseParts {
                backends: join(backends)?,
                frontends: frontends?.into_iter().collect(),
            })
        })
    }

    fn backends_back(&self) -> Result<BTreeMap<String, OnRailway>> {
        let of_target = |railway: &BackendService| self.plan.backends.get(railway.name());
        let back = |railway: &BackendService, back: &BackendBack| self.backend_back(railway, back);
        self.platforms.backends_in_order(of_target, back)
    }

    /// The database, then health: a check that ran while the proof failed would have its verdict on record. Between them the
    /// commands of the team run: what a cache keeps of the replaced release is no fault of the target.
    fn prove(&self, parts: &ReleaseParts, in_place: Option<InPlace>) -> Result<(Proved, AfterFailures)> {
        let database = in_place
            .map(|in_place| self.prove_database(in_place))
            .transpose()?;
        let after = self.after(database.is_some())?;
        let health = self.check(parts)?;
        let migrated = database
            .as_ref()
            .map_or_else(Vec::new, |proved| self.migrated(proved));
        let health = if migrated.is_empty() {
            health
        } else {
            Health::Unhealthy
        };
        let proved = Proved {
            health,
            migrated,
            database,
        };
        Ok((proved, after))
    }

    fn after(&self, is_restored: bool) -> Result<AfterFailures> {
        let config = &self.ctx.config;
        let of_restore = if is_restored {
            config.restore.after.as_slice()
        } else {
            &[]
        };
        let of_rollback = config.rollback.after.as_slice();
        let lists = [
            (Step::AfterRestore, of_restore),
            (Step::AfterRollback, of_rollback),
        ];
        AfterFailures::of_all(self.ctx, self.operation, &lists)
    }

    fn prove_database(&self, in_place: InPlace) -> Result<Swapped> {
        self.operation.step(Step::ProveDatabase, || {
            let restore = Restore::of(self.ctx, self.operation)?;
            if self.operation.was_resumed() {
                restore.resume_proof()
            } else {
                restore.prove(in_place)
            }
        })
    }

    /// What shows that the release that was replaced has migrated the restored data before it ended.
    fn migrated(&self, proved: &Swapped) -> Vec<String> {
        let records = &self.ctx.config.migrations.records;
        let written = proved.written_since.iter();
        let recorded = written.filter(|written| records.contains(&written.collection));
        let recorded = recorded.map(|written| format!("`{}`: a migration was recorded", written.collection));
        proved.changed_since.iter().cloned().chain(recorded).collect()
    }

    fn backend_back(&self, railway: &BackendService, back: &BackendBack) -> Result<OnRailway> {
        let step = Step::RollBackBackend.of(railway.name());
        let rebuilt = back.how == Backend::Rebuild;
        // An earlier version recorded the rebuild as this one step.
        if rebuilt && self.operation.done(&step).is_none() {
            let commit = back.to.commit.as_ref().unwrap_or(&self.plan.commit);
            let serving = backend_up(self.ctx, self.operation, railway, commit)?;
            return Ok(OnRailway {
                commit: back.to.commit.clone(),
                ..on_railway(&serving)
            });
        }
        self.operation.step(step, || {
            backend_back(self.ctx, self.operation, railway, &back.to, &self.plan.commit)
        })
    }

    fn frontend_back(&self, name: &str, to: &OnVercel) -> Result<OnVercel> {
        let vercel = self.platforms.frontend(name)?;
        self.operation
            .step(Step::RollBackFrontend.of(name), || frontend_back(vercel, to))
    }

    /// The time of the slower platform.
    fn platforms_ms(&self) -> u64 {
        let took_ms = |steps: &[Step]| -> u64 {
            let steps = steps.iter();
            steps.filter_map(|step| self.operation.duration_ms(*step)).sum()
        };
        let backend_ms = took_ms(&[Step::RollBackBackend, Step::UploadBackend, Step::BackendServes]);
        backend_ms.max(took_ms(&[Step::RollBackFrontend]))
    }

    fn check(&self, parts: &ReleaseParts) -> Result<Health> {
        self.operation.step(Step::CheckRelease, || {
            let release = ExpectedRelease::of(&self.plan.commit, parts);
            check_release(self.ctx, None, release, &self.snapshot)
        })
    }

    fn record(&self, releases: &Releases, live: LiveRelease, safety: KeptData) -> Result<Release> {
        record(self.ctx, self.operation, releases, live, |draft| {
            // With its image the platform brings back the variables of the target; a new build takes those of now.
            // Also where the platform refused the image at the last moment.
            let same_image = self.plan.backends.iter().all(|(name, back)| {
                let now = draft.parts.backends.get(name);
                now.is_some_and(|now| now.image_digest == back.to.image_digest)
            });
            let ran_with = match slowest(self.plan.backends.values()) {
                Backend::Image if same_image => &self.plan.target,
                Backend::Image | Backend::Rebuild => &self.plan.from,
            };
            let ran_with = releases
                .find(ran_with)
                .with_context(|| format!("the tag {ran_with} is gone"))?;
            Ok(Release {
                backup: safety.backup,
                snapshot: safety.snapshot,
                reason: Some(self.operation.reason().to_owned()),
                variables: ran_with.variables.clone(),
                rollback_of: Some(self.plan.from.clone()),
                restores: Some(self.plan.target.clone()),
                ..draft
            })
        })
    }
}
