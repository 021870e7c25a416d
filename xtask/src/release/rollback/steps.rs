//! The steps of a rollback: prepare in parallel, swap, code back, prove, record.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::backend::{Backend, BackendBack, slowest};
use super::plan::RollbackPlan;
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::domain::parts::{OnRailway, OnVercel, ReleaseParts};
use crate::domain::release::{Health, Release};
use crate::domain::step::Step;
use crate::health::ExpectedRelease;
use crate::operation::after::AfterFailures;
use crate::operation::run::Operation;
use crate::release::external::TickedExternal;
use crate::release::platforms::{Platforms, built_now, frontend_back};
use crate::release::release_tag::{HealthSnapshot, LiveRelease, record};
use crate::release::releases::Releases;
use crate::release::steps::{
    KeptData, backend_back, backend_up, check_release, keep_data, require_off_machine,
};
use crate::restore::{DeltaChoice, InPlace, Prepared, Restore, ShadowFacts, Swapped};
use crate::sync::{each_at_once, join};
use crate::tools::backend::BackendService;

/// What is to be carried out.
pub(super) struct Wanted<'a> {
    pub(super) plan: &'a RollbackPlan,
    /// What is put back in place.
    pub(super) delta: &'a DeltaChoice,
    pub(super) ticked: &'a [TickedExternal],
}

/// Records what was confirmed of the systems outside; gives what was recorded first.
pub(super) fn external_step(
    plan: &RollbackPlan,
    operation: &Operation,
    ticked: &[TickedExternal],
) -> Result<Vec<TickedExternal>> {
    if plan.external.is_empty() {
        return Ok(Vec::new());
    }
    operation.step(Step::External, || Ok(ticked.to_vec()))
}

/// Everything that the steps share.
pub(super) struct Rollback<'a> {
    ctx: &'a Context,
    plan: &'a RollbackPlan,
    operation: &'a Operation,
    delta: &'a DeltaChoice,
    platforms: Platforms,
    snapshot: HealthSnapshot,
}

/// The database beside the live one.
pub(super) enum Shadow<'a> {
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
pub(super) struct Executed {
    pub(super) release: Release,
    pub(super) external: Vec<TickedExternal>,
    /// Of mongorestore, then of the slower platform.
    pub(super) unavoidable_ms: u64,
    pub(super) migrated: Vec<String>,
    pub(super) database: Option<Swapped>,
}

/// Carries out the plan; a rollback is a release too and is recorded as one.
pub(super) fn execute(
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
    pub(super) fn open(
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
            platforms: Platforms::of_operation(ctx, operation)?,
            snapshot: HealthSnapshot::default(),
        })
    }

    /// Takes the safety backup and fills the shadow, in parallel; with the shadow comes the time of mongorestore in ms.
    pub(super) fn prepare(&self) -> Result<(KeptData, (Shadow<'a>, u64))> {
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
                ..built_now(railway, &serving)
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
