//! The steps of a deploy. What can be prepared and proved hidden comes first; what users see changes last.

use std::path::Path;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::approval;
use crate::backup::{self, CreateOptions};
use crate::context::Context;
use crate::domain::release::{BackupRef, Health, OnVercel, Release};
use crate::domain::step::Step;
use crate::domain::verdict::{Outcome, Severity, Verdict};
use crate::exec::check_interrupted;
use crate::health::{self, ExpectedRelease, Group, HealthReport};
use crate::operation::run::{Operation, plan_sha256};
use crate::release::checkout::Checkout;
use crate::release::platforms::{Platforms, join, on_railway};
use crate::release::release_tag::{HealthSnapshot, Recorded, record};
use crate::release::releases::Releases;
use crate::release::variables::Variables;
use crate::tools::railway;

/// A staged frontend.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Staged {
    deployment: String,
    host: String,
}

/// Everything that the steps share.
struct Deploy<'a> {
    ctx: &'a Context,
    plan: &'a Plan,
    operation: &'a Operation,
    platforms: Platforms,
    look: HealthSnapshot,
}

/// Does the plan; the release that is live at the end is recorded, healthy or not.
/// `approvers` are those who were found before the lock was taken; a deploy that is resumed asks for them again.
pub fn execute(
    ctx: &Context,
    plan: &Plan,
    operation: &Operation,
    releases: &Releases,
    approvers: Option<Vec<String>>,
) -> Result<Release> {
    let deploy = Deploy {
        ctx,
        plan,
        operation,
        platforms: Platforms::open(ctx)?,
        look: HealthSnapshot::default(),
    };
    let approvers = operation.step(Step::Approvals, || {
        approvers.map_or_else(|| approval::verify(ctx, &plan_sha256(plan)?, None), Ok)
    })?;
    let (backup, staged) = deploy.prepare()?;
    deploy.check_staged(&staged)?;
    deploy.set_variables()?;
    let backend = deploy.backend_up()?;
    let seen = deploy.check_backend(&backend)?;
    let (frontend, health) = if seen == Health::Healthy {
        deploy.promote(&staged)?;
        (
            OnVercel {
                deployment: staged.deployment.clone(),
            },
            deploy.check_all(&backend, &staged)?,
        )
    } else {
        // Not promoted: users keep the old frontend, and what is live is recorded as it is.
        (deploy.frontend_as_it_is()?, seen)
    };
    let live = Recorded {
        commit: plan.commit.clone(),
        railway: on_railway(&backend),
        vercel: frontend,
        health,
        health_report: deploy.look.take(),
    };
    deploy.record(releases, live, backup, approvers)
}

impl Deploy<'_> {
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
            let folder = checkout.path(&self.ctx.env().vercel.source);
            let id = self.operation.id.as_str();
            let staged = self.platforms.vercel.stage(&folder, id, &self.plan.commit)?;
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
            let request = health::Request {
                frontend_url: Some(url),
                ..Default::default()
            };
            let report = health::run(self.ctx, &request)?;
            match report.verdict {
                Verdict::Healthy => Ok(()),
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

    /// From here on users see the new backend, and its migrations run.
    fn backend_up(&self) -> Result<railway::Deployment> {
        let id: String = self.operation.step(Step::UploadBackend, || {
            let checkout = Checkout::of(self.ctx, &self.plan.commit)?;
            let folder = checkout.path(Path::new(&self.ctx.env().railway.source));
            self.platforms
                .railway
                .up(&folder, self.operation.id.as_str(), &self.plan.commit)
        })?;
        self.operation
            .step(Step::BackendServes, || self.platforms.railway.wait(&id))
    }

    fn check_backend(&self, backend: &railway::Deployment) -> Result<Health> {
        self.operation.step(Step::CheckBackend, || {
            // Features stand on the API, the login and the data.
            let only = Some(Group::Features);
            check_health(self.ctx, only, self.expected(backend, None), &self.look)
        })
    }

    fn promote(&self, staged: &Staged) -> Result<()> {
        self.operation.step(Step::PromoteFrontend, || {
            self.platforms.vercel.promote(&staged.deployment).map(drop)
        })
    }

    fn check_all(&self, backend: &railway::Deployment, staged: &Staged) -> Result<Health> {
        self.operation.step(Step::CheckRelease, || {
            check_health(self.ctx, None, self.expected(backend, Some(staged)), &self.look)
        })
    }

    fn frontend_as_it_is(&self) -> Result<OnVercel> {
        let serving = self.platforms.vercel.serving()?;
        Ok(OnVercel {
            deployment: serving.map(|deployment| deployment.id).unwrap_or_default(),
        })
    }

    fn expected(&self, backend: &railway::Deployment, staged: Option<&Staged>) -> ExpectedRelease {
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
        live: Recorded,
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

/// A verified backup of what is live, as a step of the operation.
pub fn backup_step(ctx: &Context, operation: &Operation, step: Step, purpose: String) -> Result<BackupRef> {
    operation.step(step, || {
        let backup = backup::create(
            ctx,
            &CreateOptions {
                allow_empty: false,
                purpose,
            },
        )?;
        Ok(BackupRef {
            id: backup.metadata.id,
            hash: backup.metadata.hash,
        })
    })
}

/// What the critical checks saw, for people.
fn failures(report: &HealthReport) -> Vec<String> {
    let failed = report.checks.iter().filter(|check| {
        check.severity == Severity::Critical && matches!(check.outcome, Outcome::Failed | Outcome::Unknown)
    });
    failed
        .map(|check| format!("{}: {}", check.name, check.message))
        .collect()
}

/// Looks at the health of a release, and says what it means for the record. A look that a signal cut short means nothing:
/// it is taken again when the operation is resumed.
pub fn check_health(
    ctx: &Context,
    only: Option<Group>,
    release: ExpectedRelease,
    look: &HealthSnapshot,
) -> Result<Health> {
    let request = health::Request {
        only,
        release: Some(release),
        ..Default::default()
    };
    let report = health::run(ctx, &request)?;
    check_interrupted()?;
    look.keep(&report)?;
    for failure in failures(&report) {
        crate::report::progress(&format!("    {failure}"));
    }
    Ok(match report.verdict {
        Verdict::Healthy => Health::Healthy,
        Verdict::Unhealthy => Health::Unhealthy,
        Verdict::Unknown => Health::Unknown,
    })
}
