//! Steps that a deploy and a rollback share.

use std::path::Path;

use anyhow::Result;

use super::checkout::Checkout;
use super::platforms::Platforms;
use super::release_tag::HealthSnapshot;
use crate::backup::{self, CreateOptions};
use crate::context::Context;
use crate::domain::release::{BackupRef, Health};
use crate::domain::step::Step;
use crate::domain::verdict::{CheckResult, HealthStatus, Severity};
use crate::exec::check_interrupted;
use crate::health::{self, CheckGroup, ExpectedRelease, HealthReport};
use crate::operation::run::Operation;
use crate::report;
use crate::tools::railway::RailwayDeployment;

/// Takes and verifies a backup of what is live.
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

/// Uploads the backend of a commit and waits until it serves. From here on users see it, and its migrations run.
pub fn backend_up(
    ctx: &Context,
    operation: &Operation,
    platforms: &Platforms,
    commit: &str,
) -> Result<RailwayDeployment> {
    let id: String = operation.step(Step::UploadBackend, || {
        let checkout = Checkout::of(ctx, commit)?;
        let folder = checkout.path(Path::new(&ctx.env().railway.source));
        platforms.railway.up(&folder, operation.id.as_str(), commit)
    })?;
    operation.step(Step::BackendServes, || platforms.railway.wait(&id))
}

/// Checks the health of a release and gives what the record says about it. A check that a signal interrupted has no
/// result: it runs again when the operation is resumed.
pub fn check_release(
    ctx: &Context,
    only: Option<CheckGroup>,
    release: ExpectedRelease,
    snapshot: &HealthSnapshot,
) -> Result<Health> {
    let request = health::HealthOptions {
        only,
        release: Some(release),
        ..Default::default()
    };
    let report = health::run(ctx, &request)?;
    check_interrupted()?;
    snapshot.keep(&report)?;
    for failure in failures(&report) {
        report::progress(&format!("    {failure}"));
    }
    Ok(match report.verdict {
        HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Unhealthy => Health::Unhealthy,
        HealthStatus::Unknown => Health::Unknown,
    })
}

/// The critical checks that did not pass, with their messages.
pub fn failures(report: &HealthReport) -> Vec<String> {
    let failed = report.checks.iter().filter(|check| {
        check.severity == Severity::Critical
            && matches!(check.outcome, CheckResult::Failed | CheckResult::Unknown)
    });
    failed
        .map(|check| format!("{}: {}", check.name, check.message))
        .collect()
}
