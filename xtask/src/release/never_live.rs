//! Whether a deploy that failed has changed nothing after all: its upload never went live. Such a deploy has failed and ends,
//! so that the next one can begin; there is nothing to resume or to undo.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::deploy::plan::DeployPlan;
use super::platforms::Platforms;
use super::release_tag::schema_fingerprint;
use super::releases::Releases;
use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::exec::interrupted;

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
    if ctx.env().mongodb.is_none() {
        return Ok(true);
    }
    // A backend that never served may have started, and have run its migrations.
    let schema = before.and_then(|before| before.schema_fingerprint.clone());
    let no_migration = plan.migrations.is_empty() && schema.is_some() && schema_fingerprint(ctx) == schema;
    Ok(!arrived || no_migration)
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
