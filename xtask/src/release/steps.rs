//! Steps that a deploy and a rollback share.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::checkout::Checkout;
use super::platforms::{self, built_now};
use super::release_tag::HealthSnapshot;
use crate::backup::{self, CreateOptions, off_machine, snapshot};
use crate::context::Context;
use crate::domain::parts::OnRailway;
use crate::domain::release::{BackupRef, Health};
use crate::domain::snapshot::SnapshotRef;
use crate::domain::step::Step;
use crate::domain::verdict::{CheckResult, HealthStatus, Severity};
use crate::error::CliError;
use crate::error::catalogue::tools as errors;
use crate::exec::check_interrupted;
use crate::health::{self, CheckGroup, ExpectedRelease, HealthReport};
use crate::operation::run::Operation;
use crate::report;
use crate::sync::join;
use crate::tools::backend::BackendService;
use crate::tools::deployment::BackendDeployment;

/// What keeps the data that were live before a release.
#[derive(Debug, Clone, Default)]
pub struct KeptData {
    /// Taken and verified here.
    pub backup: Option<BackupRef>,
    /// Taken by Atlas; not restored by anybody yet.
    pub snapshot: Option<SnapshotRef>,
}

/// Keeps what is live, by what `backup.engine` names: nothing where there is no database. Atlas works while this machine does.
pub fn keep_data(ctx: &Context, operation: &Operation, step: Step, purpose: String) -> Result<KeptData> {
    if ctx.env().mongodb.is_none() {
        return Ok(KeptData::default());
    }
    let engine = ctx.config.engine(ctx.env());
    // Users wait for a rollback, and Atlas takes its time: with a backup there is none.
    let has_snapshot = engine.has_snapshot() && (step == Step::Backup || !engine.has_archive());
    let snapshot = || {
        let taken = || operation.step(Step::Snapshot, || snapshot::take(ctx, &operation.id));
        has_snapshot.then(taken).transpose()
    };
    let backup = || {
        let taken = || backup_step(ctx, operation, step, purpose);
        engine.has_archive().then(taken).transpose()
    };
    std::thread::scope(|scope| {
        let snapshot = scope.spawn(snapshot);
        let backup = backup();
        let snapshot = join(snapshot);
        Ok(KeptData {
            backup: backup?,
            snapshot: snapshot?,
        })
    })
}

/// Takes and verifies a backup of what is live.
fn backup_step(ctx: &Context, operation: &Operation, step: Step, purpose: String) -> Result<BackupRef> {
    operation.step(step, || {
        let backup = backup::create(
            ctx,
            &CreateOptions {
                allow_empty: false,
                purpose,
                within: Some(operation.id.clone()),
            },
        )?;
        Ok(backup.reference())
    })
}

/// Right before the first live change: what is live must not be lost with this machine. A snapshot is not on it.
///
/// # Errors
/// Exit 3 where a machine that vanishes has the only copy of the backup.
pub fn require_off_machine(ctx: &Context, operation: &Operation, backup: Option<&BackupRef>) -> Result<()> {
    match backup {
        Some(backup) if !operation.has_recorded_live() => off_machine::require(ctx, backup),
        _ => Ok(()),
    }
}

/// Uploads the backend of a commit and waits until it serves. From here on users see it, and its migrations run.
pub fn backend_up(
    ctx: &Context,
    operation: &Operation,
    railway: &BackendService,
    commit: &str,
) -> Result<BackendDeployment> {
    let (began, name) = (Instant::now(), railway.name());
    let uploaded = Step::UploadBackend.of(name);
    let earlier = operation.done(&uploaded).map(|_| operation.backend_age(name));
    let id: String = operation.step(uploaded, || upload(ctx, operation, railway, commit))?;
    operation.step(Step::BackendServes.of(name), || {
        let age = earlier.unwrap_or_else(|| began.elapsed());
        railway.wait(&id, age)
    })
}

/// Brings an earlier backend back with its image; where the platform refuses that, builds it again from its commit, which
/// takes longer.
pub fn backend_back(
    ctx: &Context,
    operation: &Operation,
    railway: &BackendService,
    to: &OnRailway,
    release_commit: &str,
) -> Result<OnRailway> {
    match platforms::backend_back(railway, to, operation.backend_age(railway.name())) {
        Err(error) if is_refusal(&error) => {
            let commit = to.commit.as_deref().unwrap_or(release_commit);
            report::progress(&format!("  {error:#}: building {commit} again"));
            let id = upload(ctx, operation, railway, commit)?;
            Ok(OnRailway {
                commit: to.commit.clone(),
                ..built_now(railway, &railway.wait(&id, Duration::ZERO)?)
            })
        }
        other => other,
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let refused = errors::railway_rollback_refused("", "").code;
    error
        .downcast_ref::<CliError>()
        .is_some_and(|error| error.code == refused)
}

fn upload(ctx: &Context, operation: &Operation, railway: &BackendService, commit: &str) -> Result<String> {
    let checkout = Checkout::of(ctx, commit)?;
    let folder = checkout.backend(railway.backend(), &railway.service()?)?;
    railway.up(&folder, operation.id.as_str(), commit)
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
        // Only the new backends are live where not all is checked.
        before_promotion: only.is_some(),
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
