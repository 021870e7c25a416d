//! A deploy: its steps. What can be prepared and proved hidden comes first; what users see changes last.

pub mod plan;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use self::plan::DeployPlan;
use super::basis::PlanBasis;
use super::checkout::{self, Checkout};
use super::never_live;
use super::platforms::{Platforms, join, on_railway};
use super::release_tag::{HealthSnapshot, LiveRelease, record};
use super::releases::Releases;
use super::steps::{backend_up, backup_step, check_release, failures, require_off_machine, require_storage};
use super::variables::Variables;
use crate::approval;
use crate::context::Context;
use crate::domain::ledger::OperationOutcome;
use crate::domain::operation::OperationId;
use crate::domain::release::{BackupRef, Health, OnVercel, Release};
use crate::domain::step::Step;
use crate::domain::timeline::Timing;
use crate::domain::verdict::HealthStatus;
use crate::error::catalogue::tools as errors;
use crate::exec::interrupted;
use crate::health::{self, CheckGroup, ExpectedRelease};
use crate::operation::run::{Operation, ResumeMode, is_taken_over, plan_sha256};
use crate::report;
use crate::tools::railway;

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
    require_storage(ctx, KIND)?;
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
    operation.pause_after(staged.map(drop))
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
        Ok(false) => operation.fail(error),
        Err(unknown) => {
            report::progress(&format!("  cannot determine what is live: {unknown:#}"));
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

/// Everything that the steps share.
struct Deploy<'a> {
    ctx: &'a Context,
    plan: &'a DeployPlan,
    operation: &'a Operation,
    platforms: Platforms,
    snapshot: HealthSnapshot,
}

/// Carries out the plan; the release that is live at the end is recorded, healthy or not. The second value is whether its backend
/// alone is live.
/// `approvers` are those who were found before the lock was taken; a deploy that is resumed asks for them again.
fn execute(
    ctx: &Context,
    plan: &DeployPlan,
    operation: &Operation,
    releases: &Releases,
    approvers: Option<Vec<String>>,
) -> Result<(Release, bool)> {
    let deploy = Deploy::open(ctx, plan, operation)?;
    let (approvers, backup, staged) = deploy.stage(releases, approvers)?;
    require_off_machine(ctx, operation, &backup)?;
    deploy.set_variables()?;
    // From here on users see the new backend.
    let backend = backend_up(ctx, operation, &deploy.platforms, &plan.commit)?;
    let seen = deploy.check_backend(&backend)?;
    let is_partial = seen != Health::Healthy;
    let (frontend, health) = if is_partial {
        // Not promoted: users keep the old frontend, and what is live is recorded as it is.
        (deploy.frontend_as_it_is()?, seen)
    } else {
        deploy.promote(&staged)?;
        (
            OnVercel {
                deployment: staged.deployment.clone(),
            },
            deploy.check_all(&backend, &staged)?,
        )
    };
    let live = LiveRelease {
        commit: plan.commit.clone(),
        railway: on_railway(&backend),
        vercel: frontend,
        health,
        health_report: deploy.snapshot.take(),
    };
    Ok((deploy.record(releases, live, backup, approvers)?, is_partial))
}

impl<'a> Deploy<'a> {
    fn open(ctx: &'a Context, plan: &'a DeployPlan, operation: &'a Operation) -> Result<Self> {
        Ok(Self {
            ctx,
            plan,
            operation,
            platforms: Platforms::open(ctx)?,
            snapshot: HealthSnapshot::default(),
        })
    }

    /// Everything before the first live change.
    fn stage(
        &self,
        releases: &Releases,
        approvers: Option<Vec<String>>,
    ) -> Result<(Vec<String>, BackupRef, Staged)> {
        let approvers = self.operation.step(Step::Approvals, || {
            approvers.map_or_else(
                || approval::verify(self.ctx, &plan_sha256(self.plan)?, None, releases.newest()),
                Ok,
            )
        })?;
        let (backup, staged) = self.prepare()?;
        self.check_staged(&staged)?;
        Ok((approvers, backup, staged))
    }

    /// Backup and frontend have nothing to do with each other: both at once.
    fn prepare(&self) -> Result<(BackupRef, Staged)> {
        let checkout = Checkout::of(self.ctx, &self.plan.commit)?;
        std::thread::scope(|scope| {
            let staged = scope.spawn(|| {
                self.set_frontend_variables()?;
                self.stage_frontend(&checkout)
            });
            let purpose = format!("before the release of {}", self.plan.commit);
            let backup = backup_step(self.ctx, self.operation, Step::Backup, purpose);
            let staged = join(staged);
            Ok((backup?, staged?))
        })
    }

    /// The build takes them in.
    fn set_frontend_variables(&self) -> Result<()> {
        let names = &self.plan.frontend_variables;
        if names.is_empty() {
            return Ok(());
        }
        self.operation.step(Step::SetFrontendVariables, || {
            Variables::read(self.ctx)?.set_on_vercel(&self.platforms.vercel, names)
        })
    }

    fn stage_frontend(&self, checkout: &Checkout) -> Result<Staged> {
        self.operation.step(Step::StageFrontend, || {
            let vercel = &self.platforms.vercel;
            let folder = checkout.frontend(self.ctx, &vercel.project()?)?;
            let (id, known) = (
                self.operation.id.as_str(),
                Variables::read(self.ctx)?.of_frontend(),
            );
            let staged = vercel.stage(&folder, &known, id, &self.plan.commit)?;
            Ok(Staged {
                deployment: staged.id,
                host: staged.url,
            })
        })
    }

    /// A page that does not load is found while nobody sees it.
    fn check_staged(&self, staged: &Staged) -> Result<()> {
        self.operation.step(Step::CheckStagedFrontend, || {
            let url = self.ctx.env().vercel.staged_url(&staged.host);
            let request = health::HealthOptions {
                frontend_url: Some(url),
                ..Default::default()
            };
            let report = health::run(self.ctx, &request)?;
            match report.verdict {
                HealthStatus::Healthy => Ok(()),
                _ if failures(&report).iter().any(|failure| failure.contains("401")) => {
                    Err(errors::vercel_staged_protected(&staged.host).into())
                }
                verdict => bail!(
                    "the staged frontend is {}: {}",
                    verdict.word(),
                    failures(&report).join("; ")
                ),
            }
        })
    }

    fn set_variables(&self) -> Result<()> {
        let names = &self.plan.variables;
        if names.is_empty() {
            return Ok(());
        }
        self.operation.step(Step::SetVariables, || {
            Variables::read(self.ctx)?.set_on_railway(&self.platforms.railway, names)
        })
    }

    fn check_backend(&self, backend: &railway::RailwayDeployment) -> Result<Health> {
        self.operation.step(Step::CheckBackend, || {
            // Features stand on the API, the login and the data.
            let only = Some(CheckGroup::Features);
            check_release(self.ctx, only, self.expected(backend, None), &self.snapshot)
        })
    }

    fn promote(&self, staged: &Staged) -> Result<()> {
        self.operation.step(Step::PromoteFrontend, || {
            self.platforms.vercel.promote(&staged.deployment).map(drop)
        })
    }

    fn check_all(&self, backend: &railway::RailwayDeployment, staged: &Staged) -> Result<Health> {
        self.operation.step(Step::CheckRelease, || {
            check_release(
                self.ctx,
                None,
                self.expected(backend, Some(staged)),
                &self.snapshot,
            )
        })
    }

    fn frontend_as_it_is(&self) -> Result<OnVercel> {
        let serving = self.platforms.vercel.serving()?;
        Ok(OnVercel {
            deployment: serving.map(|deployment| deployment.id).unwrap_or_default(),
        })
    }

    fn expected(&self, backend: &railway::RailwayDeployment, staged: Option<&Staged>) -> ExpectedRelease {
        ExpectedRelease {
            commit: self.plan.commit.clone(),
            tag: None,
            version: None,
            railway_deployment: Some(backend.id.clone()),
            vercel_deployment: staged.map(|staged| staged.deployment.clone()),
        }
    }

    fn record(
        &self,
        releases: &Releases,
        live: LiveRelease,
        backup: BackupRef,
        approvers: Vec<String>,
    ) -> Result<Release> {
        record(self.ctx, self.operation, releases, live, |draft| {
            Ok(Release {
                backup: Some(backup),
                approvers,
                variables: Variables::read(self.ctx)?.fingerprints()?,
                ..draft
            })
        })
    }
}
