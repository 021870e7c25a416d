//! A deploy: its steps. What can be prepared and proved hidden comes first; what users see changes last.

mod frontends;
mod kept;
pub mod plan;
mod set;

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use self::plan::DeployPlan;
use super::basis::PlanBasis;
use super::checkout;
use super::never_live;
use super::platforms::{Platforms, built_now};
use super::release_tag::{HealthSnapshot, LiveRelease, record};
use super::releases::Releases;
use super::steps::{KeptData, backend_up, check_release, keep_data, require_off_machine};
use super::variables::Variables;
use crate::approval;
use crate::backup::off_machine;
use crate::context::Context;
use crate::domain::ledger::OperationOutcome;
use crate::domain::operation::OperationId;
use crate::domain::parts::{OnRailway, OnVercel, ReleaseParts};
use crate::domain::release::{Health, Release};
use crate::domain::step::Step;
use crate::domain::timeline::Timing;
use crate::exec::interrupted;
use crate::health::{self, CheckGroup, ExpectedRelease};
use crate::operation::run::{Operation, ResumeMode, is_taken_over, plan_sha256};
use crate::report;
use crate::sync::join;
use crate::tools::backend::BackendService;

/// The kind of the operation in the ledger.
pub const KIND: &str = "deploy";

/// What a deploy did.
#[derive(Debug)]
pub struct Deployed {
    pub release: Release,
    /// Whether the backend alone is live: it was unhealthy, so that the frontend was not promoted.
    pub is_partial: bool,
    pub elapsed_ms: u64,
    pub timeline: Vec<Timing>,
}

/// Takes the lock and deploys, where what the plan stands on is as it was. `approvers` approved the plan.
///
/// # Errors
/// Exit 1 where nothing live was changed, exit 4 where the deploy stopped midway.
pub fn start(
    ctx: &Context,
    plan: &DeployPlan,
    basis: &PlanBasis,
    approvers: Vec<String>,
) -> Result<Deployed> {
    off_machine::require_configured(ctx, KIND)?;
    checkout::sweep();
    let operation = Operation::begin(ctx, KIND, &plan.commit, "deploy", plan)?;
    match basis.require_unchanged(ctx, &operation.id) {
        Ok(releases) => run(ctx, plan, operation, &releases, Some(approvers)),
        Err(error) => Err(operation.fail(error)),
    }
}

/// Takes the lock, takes the backup and stages the frontend, then lets go before the first live change: the backup can be
/// taken off this machine, and [`resume`] finishes. Gives the operation.
///
/// # Errors
/// Exit 1; nothing live was changed.
pub fn prepare(
    ctx: &Context,
    plan: &DeployPlan,
    basis: &PlanBasis,
    approvers: Vec<String>,
) -> Result<OperationId> {
    checkout::sweep();
    let operation = Operation::begin(ctx, KIND, &plan.commit, "deploy", plan)?;
    let staged = basis
        .require_unchanged(ctx, &operation.id)
        .and_then(|releases| Deploy::open(ctx, plan, &operation)?.stage(&releases, Some(approvers)));
    operation.pause_after(Some(basis.data()), staged.map(drop))
}

/// Finishes a deploy that stopped midway.
///
/// # Errors
/// As [`start`].
pub fn resume(ctx: &Context, id: &OperationId) -> Result<Deployed> {
    let (operation, plan) = Operation::resume(ctx, id, KIND, ResumeMode::Continue)?;
    run(ctx, &plan, operation, &Releases::read(ctx)?, None)
}

fn run(
    ctx: &Context,
    plan: &DeployPlan,
    operation: Operation,
    releases: &Releases,
    approvers: Option<Vec<String>>,
) -> Result<Deployed> {
    let (release, is_partial) = match execute(ctx, plan, &operation, releases, approvers) {
        Ok(made) => made,
        Err(error) => return Err(fail(ctx, plan, operation, releases, error)),
    };
    let (elapsed_ms, timeline) = (operation.elapsed_ms(), operation.timeline());
    let facts = serde_json::json!({ "tag": release.tag, "record_sha256": release.sha256()?, "health": release.health });
    let outcome = if is_partial {
        OperationOutcome::Partial
    } else {
        OperationOutcome::Done
    };
    operation.conclude(outcome, facts)?;
    Ok(Deployed {
        release,
        is_partial,
        elapsed_ms,
        timeline,
    })
}

/// Ends a deploy after an error. Where its upload never went live, it has failed and is over.
fn fail(
    ctx: &Context,
    plan: &DeployPlan,
    operation: Operation,
    releases: &Releases,
    error: anyhow::Error,
) -> anyhow::Error {
    if operation.is_untouched() || is_taken_over(&error) || interrupted() {
        return operation.fail(error);
    }
    match never_live::is_proved(ctx, plan, &operation.id, releases) {
        Ok(true) => {
            report::progress("  proved: what served before serves still, and nothing of this deploy is live");
            operation.fail_unchanged(&error)
        }
        Ok(false) => undo_set(ctx, plan, operation, releases, error),
        Err(unknown) => {
            report::progress(&format!("  cannot determine what is live: {unknown:#}"));
            operation.fail(error)
        }
    }
}

/// Ends a deploy that made a part live, and failed with another one.
fn undo_set(
    ctx: &Context,
    plan: &DeployPlan,
    operation: Operation,
    releases: &Releases,
    error: anyhow::Error,
) -> anyhow::Error {
    match set::undo(ctx, plan, &operation, releases) {
        Ok(true) => operation.fail_undone(&error),
        Ok(false) => operation.fail(error),
        Err(failed) => {
            report::progress(&format!(
                "  not every part serves what it served before: {failed:#}"
            ));
            operation.fail(error)
        }
    }
}

/// A staged frontend.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Staged {
    deployment: String,
    host: String,
}

/// By the name of the frontend.
type AllStaged = BTreeMap<String, Staged>;

/// Everything that the steps share.
struct Deploy<'a> {
    ctx: &'a Context,
    plan: &'a DeployPlan,
    operation: &'a Operation,
    platforms: Platforms,
    snapshot: HealthSnapshot,
}

/// Carries out the plan; the release that is live at the end is recorded, healthy or not. The second value is whether its backends
/// alone are live.
/// `approvers` are those who were found before the lock was taken; a deploy that is resumed asks for them again.
fn execute(
    ctx: &Context,
    plan: &DeployPlan,
    operation: &Operation,
    releases: &Releases,
    approvers: Option<Vec<String>>,
) -> Result<(Release, bool)> {
    let deploy = Deploy::open(ctx, plan, operation)?;
    let (approvers, kept, staged) = deploy.stage(releases, approvers)?;
    require_off_machine(ctx, operation, kept.backup.as_ref())?;
    let mut parts = plan.kept.clone().unwrap_or_default();
    // From here on users see the new backends.
    let backends = deploy.backends_up()?;
    let is_uploaded = !backends.is_empty();
    parts.backends.extend(backends);
    let seen = if is_uploaded && health::has_features(ctx)? {
        deploy.check_backend(&parts)?
    } else {
        Health::Healthy
    };
    let is_partial = seen != Health::Healthy && !staged.is_empty();
    let health = if is_partial {
        // Not promoted: users keep the old frontends, and what is live is recorded as it is.
        parts
            .frontends
            .extend(deploy.frontends_as_they_are(&staged, releases)?);
        seen
    } else {
        deploy.promote(&staged)?;
        let promoted = staged.iter().map(|(name, staged)| {
            let frontend = OnVercel {
                deployment: staged.deployment.clone(),
                commit: None,
            };
            (name.clone(), frontend)
        });
        parts.frontends.extend(promoted);
        deploy.check_all(&parts)?
    };
    let live = LiveRelease {
        commit: plan.commit.clone(),
        parts: parts.of_release(&plan.commit),
        health,
        health_report: deploy.snapshot.take(),
    };
    Ok((deploy.record(releases, live, kept, approvers)?, is_partial))
}

impl<'a> Deploy<'a> {
    fn open(ctx: &'a Context, plan: &'a DeployPlan, operation: &'a Operation) -> Result<Self> {
        Ok(Self {
            ctx,
            plan,
            operation,
            platforms: Platforms::of_operation(ctx, operation)?,
            snapshot: HealthSnapshot::default(),
        })
    }

    /// Everything before the first live change.
    fn stage(
        &self,
        releases: &Releases,
        approvers: Option<Vec<String>>,
    ) -> Result<(Vec<String>, KeptData, AllStaged)> {
        let approvers = self.operation.step(Step::Approvals, || {
            approvers.map_or_else(
                || approval::verify(self.ctx, &plan_sha256(self.plan)?, None, releases.newest()),
                Ok,
            )
        })?;
        let (kept, staged) = self.prepare()?;
        for frontend in &self.platforms.frontends {
            if let Some(staged) = staged.get(frontend.name()) {
                self.check_staged(frontend, staged)?;
            }
        }
        Ok((approvers, kept, staged))
    }

    /// Data and frontends have nothing to do with each other: both at once.
    fn prepare(&self) -> Result<(KeptData, AllStaged)> {
        std::thread::scope(|scope| {
            let staged = scope.spawn(|| self.stage_frontends());
            let purpose = format!("before the release of {}", self.plan.commit);
            let kept = keep_data(self.ctx, self.operation, Step::Backup, purpose);
            let staged = join(staged);
            Ok((kept?, staged?))
        })
    }

    /// Each backend after those that it is to come after.
    fn backends_up(&self) -> Result<BTreeMap<String, OnRailway>> {
        let is_changed = |railway: &BackendService| (!self.plan.keeps_backend(railway.name())).then_some(());
        self.platforms.backends_in_order(is_changed, |railway, ()| {
            self.set_variables(railway)?;
            let deployment = backend_up(self.ctx, self.operation, railway, &self.plan.commit)?;
            Ok(built_now(railway, &deployment))
        })
    }

    fn set_variables(&self, railway: &BackendService) -> Result<()> {
        let names = self.plan.variables_of(railway.name());
        if names.is_empty() {
            return Ok(());
        }
        self.operation.step(Step::SetVariables.of(railway.name()), || {
            Variables::read(self.ctx)?.set_on_railway(railway, names)
        })
    }

    fn check_backend(&self, parts: &ReleaseParts) -> Result<Health> {
        self.operation.step(Step::CheckBackend, || {
            // Features stand on the API, the login and the data.
            let only = Some(CheckGroup::Features);
            check_release(self.ctx, only, self.expected(parts), &self.snapshot)
        })
    }

    fn check_all(&self, parts: &ReleaseParts) -> Result<Health> {
        self.operation.step(Step::CheckRelease, || {
            check_release(self.ctx, None, self.expected(parts), &self.snapshot)
        })
    }

    fn expected(&self, parts: &ReleaseParts) -> ExpectedRelease {
        ExpectedRelease::of(&self.plan.commit, parts)
    }

    fn record(
        &self,
        releases: &Releases,
        live: LiveRelease,
        kept: KeptData,
        approvers: Vec<String>,
    ) -> Result<Release> {
        record(self.ctx, self.operation, releases, live, |draft| {
            Ok(Release {
                backup: kept.backup,
                snapshot: kept.snapshot,
                approvers,
                variables: Variables::read(self.ctx)?.fingerprints()?,
                ..draft
            })
        })
    }
}
