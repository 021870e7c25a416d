//! Whether a deploy that failed has changed nothing after all: its upload never went live. Such a deploy has failed and ends,
//! so that the next one can begin; there is nothing to resume or to undo.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::deploy::plan::DeployPlan;
use super::platforms::Platforms;
use super::releases::Releases;
use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::domain::release::Release;
use crate::exec::interrupted;
use crate::operation::basis::schema_fingerprint;

/// An upload whose answer was lost may arrive after the call that made it has failed.
const APPEARS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(2);

/// Asks both platforms and the database. Whatever cannot be shown counts as changed.
///
/// # Errors
/// A platform that does not answer: nothing is proved.
pub(super) fn is_proved(
    ctx: &Context,
    plan: &DeployPlan,
    operation: &OperationId,
    releases: &Releases,
) -> Result<bool> {
    let platforms = Platforms::open(ctx)?;
    let before = plan.replaces.as_deref().and_then(|tag| releases.find(tag));
    // A release that was recorded since is not what was live before.
    let is_newest = releases.newest().map(|newest| &newest.tag) == plan.replaces.as_ref();
    if !is_newest || before.is_some() != plan.replaces.is_some() {
        return Ok(false);
    }
    let arrived = has_arrived(&platforms, operation, &plan.commit)?;
    if interrupted() {
        return Ok(false);
    }
    for railway in &platforms.backends {
        if !railway.pending()?.is_empty() || railway.has_blocked()? {
            return Ok(false);
        }
    }
    let serving = platforms.serving()?;
    let is_as_before = match releases.expected_live() {
        Some(expected) => serving.drift_from(&expected).is_empty(),
        None => serving.is_nothing(),
    };
    if !is_as_before {
        return Ok(false);
    }
    Ok(!arrived || data_is_as_before(ctx, plan, before))
}

/// Whether no migration can have changed the data: a backend that never served may have started, and have run its migrations.
pub(super) fn data_is_as_before(ctx: &Context, plan: &DeployPlan, before: Option<&Release>) -> bool {
    let schema = before.and_then(|before| before.schema_fingerprint.clone());
    ctx.env().mongodb.is_none()
        || (plan.migrations.is_empty() && schema.is_some() && schema_fingerprint(ctx) == schema)
}

/// Whether the upload reached the platform, whatever became of it.
fn has_arrived(platforms: &Platforms, operation: &OperationId, commit: &str) -> Result<bool> {
    let since = Instant::now();
    loop {
        for railway in &platforms.backends {
            if railway.has_release(operation.as_str(), commit)? {
                return Ok(true);
            }
        }
        if since.elapsed() >= APPEARS || interrupted() {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}
