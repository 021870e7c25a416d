//! The steps of a rollback. Everything that can be prepared is prepared in parallel before the first live change; then
//! database, backend and frontend go back in parallel.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::plan::{Backend, Plan};
use crate::backup;
use crate::commands::deploy::{backup_step, check_health};
use crate::context::Context;
use crate::domain::release::{BackupRef, Health, OnRailway, OnVercel, Release};
use crate::domain::step::Step;
use crate::exec::interrupted;
use crate::health::ExpectedRelease;
use crate::operation::run::Operation;
use crate::release::checkout::Checkout;
use crate::release::platforms::{Platforms, join, on_railway};
use crate::release::release_tag::{HealthSnapshot, Recorded, record};
use crate::release::releases::Releases;
use crate::report;
use crate::restore::{self, Prepared};

/// Everything that the steps share.
struct Rollback<'a> {
    ctx: &'a Context,
    plan: &'a Plan,
    operation: &'a Operation,
    platforms: Platforms,
    look: HealthSnapshot,
}

/// What is recorded of the shadow.
#[derive(Serialize, Deserialize)]
struct Filled {
    mongorestore_ms: u64,
}

/// The database beside the live one.
enum Shadow {
    NotNeeded,
    Ready(Box<Prepared>),
    /// An earlier process of this operation prepared it.
    Earlier,
}

/// Does the plan; a rollback is a release too and is recorded as one. Gives it with the time in ms that nobody could have
/// saved: mongorestore's, then the slower platform's.
pub fn execute(
    ctx: &Context,
    plan: &Plan,
    operation: &Operation,
    releases: &Releases,
) -> Result<(Release, u64)> {
    let rollback = Rollback {
        ctx,
        plan,
        operation,
        platforms: Platforms::open(ctx)?,
        look: HealthSnapshot::default(),
    };
    let (safety, (shadow, mongorestore_ms)) = rollback.prepare()?;
    let (backend, frontend) = rollback.go_back(shadow)?;
    let health = rollback.check(&backend, &frontend)?;
    let live = Recorded {
        commit: plan.commit.clone(),
        railway: backend,
        vercel: frontend,
        health,
        health_report: rollback.look.take(),
    };
    let release = rollback.record(releases, live, safety)?;
    Ok((release, mongorestore_ms + rollback.platforms_ms()))
}

impl Rollback<'_> {
    /// The safety backup of what is live, and the shadow of what comes back with the time that mongorestore ran.
    fn prepare(&self) -> Result<(BackupRef, (Shadow, u64))> {
        std::thread::scope(|scope| {
            let prepared = scope.spawn(|| self.prepare_database());
            let purpose = format!("before the rollback to {}", self.plan.target);
            let safety = backup_step(self.ctx, self.operation, Step::SafetyBackup, purpose);
            let prepared = join(prepared);
            Ok((safety?, prepared?))
        })
    }

    fn prepare_database(&self) -> Result<(Shadow, u64)> {
        let Some(wanted) = self.plan.backup.as_ref().filter(|_| self.plan.restores()) else {
            return Ok((Shadow::NotNeeded, 0));
        };
        let mut shadow = Shadow::Earlier;
        let filled: Filled = self.operation.step(Step::PrepareShadow, || {
            let backup = backup::find(self.ctx, &wanted.id)?;
            ensure!(
                backup.metadata.hash == wanted.hash,
                "the backup {} has another hash than recorded",
                wanted.id
            );
            let prepared = restore::prepare(self.ctx, &backup, &self.operation.id)?;
            let mongorestore_ms = prepared.restore_ms;
            shadow = Shadow::Ready(Box::new(prepared));
            Ok(Filled { mongorestore_ms })
        })?;
        Ok((shadow, filled.mongorestore_ms))
    }

    /// From here on users see the rollback.
    fn go_back(&self, shadow: Shadow) -> Result<(OnRailway, OnVercel)> {
        std::thread::scope(|scope| {
            let backend = scope.spawn(|| self.backend_back());
            let frontend = scope.spawn(|| self.frontend_back());
            let database = self.swap(shadow);
            let (backend, frontend) = (join(backend), join(frontend));
            database?;
            Ok((self.backend_after_swap(backend)?, frontend?))
        })
    }

    fn swap(&self, shadow: Shadow) -> Result<()> {
        let swap: Box<dyn FnOnce() -> Result<restore::Swapped> + '_> = match shadow {
            Shadow::NotNeeded => return Ok(()),
            Shadow::Ready(prepared) => Box::new(move || restore::swap(*prepared)),
            Shadow::Earlier => Box::new(|| restore::resume(self.ctx, &self.operation.id)),
        };
        self.operation
            .step(Step::SwapDatabase, || Ok(serde_json::to_value(swap()?)?))
            .map(|_: serde_json::Value| ())
    }

    fn backend_back(&self) -> Result<OnRailway> {
        self.operation
            .step(Step::RollBackBackend, || match self.plan.backend {
                Backend::Image => self.platforms.backend_back(&self.plan.railway),
                Backend::Rebuild => {
                    let checkout = Checkout::of(self.ctx, &self.plan.commit)?;
                    let folder = checkout.path(Path::new(&self.ctx.env().railway.source));
                    let id =
                        self.platforms
                            .railway
                            .up(&folder, self.operation.id.as_str(), &self.plan.commit)?;
                    Ok(on_railway(&self.platforms.railway.wait(&id)?))
                }
            })
    }

    /// A backend that starts while collections change their names may fail for just that reason: it gets a second chance
    /// once they stand.
    fn backend_after_swap(&self, first: Result<OnRailway>) -> Result<OnRailway> {
        match first {
            Err(error) if self.plan.restores() && !interrupted() => {
                report::progress(&format!("  once more, now that the data are back: {error:#}"));
                self.backend_back()
            }
            first => first,
        }
    }

    fn frontend_back(&self) -> Result<OnVercel> {
        self.operation.step(Step::RollBackFrontend, || {
            self.platforms.frontend_back(&self.plan.vercel)
        })
    }

    /// How long the slower platform took.
    fn platforms_ms(&self) -> u64 {
        let platforms = [Step::RollBackBackend, Step::RollBackFrontend];
        let durations_ms = platforms
            .into_iter()
            .filter_map(|step| self.operation.duration_ms(step));
        durations_ms.max().unwrap_or(0)
    }

    fn check(&self, backend: &OnRailway, frontend: &OnVercel) -> Result<Health> {
        self.operation.step(Step::CheckRelease, || {
            let release = ExpectedRelease {
                commit: self.plan.commit.clone(),
                tag: None,
                version: None,
                railway_deployment: Some(backend.deployment.clone()),
                vercel_deployment: Some(frontend.deployment.clone()),
            };
            check_health(self.ctx, None, release, &self.look)
        })
    }

    fn record(&self, releases: &Releases, live: Recorded, safety: BackupRef) -> Result<Release> {
        record(self.ctx, self.operation, releases, live, |draft| {
            // With its image the platform brings back the variables of the target; a new build takes those of now.
            let ran_with = match self.plan.backend {
                Backend::Image => &self.plan.target,
                Backend::Rebuild => &self.plan.from,
            };
            let ran_with = releases
                .find(ran_with)
                .with_context(|| format!("the tag {ran_with} is gone"))?;
            Ok(Release {
                backup: Some(safety),
                reason: Some(self.operation.reason().to_owned()),
                variables: ran_with.variables.clone(),
                rollback_of: Some(self.plan.from.clone()),
                restores: Some(self.plan.target.clone()),
                ..draft
            })
        })
    }
}
