//! What follows an unhealthy deploy: nothing, or a rollback, as `deploy.on_unhealthy` says.

use anyhow::Result;

use super::releases::Releases;
use super::rollback::{self, PlannedRollback, RollbackTarget, RolledBack};
use crate::config::OnUnhealthy;
use crate::context::Context;
use crate::domain::release::{Health, Release};
use crate::report;

/// Rolls an unhealthy release back without a prompt, where the configuration says so and there is a release to roll back
/// to. `show` prints the plan and what would be lost.
pub fn roll_back_if_unhealthy(
    ctx: &Context,
    release: &Release,
    show: impl FnOnce(&PlannedRollback),
) -> Result<Option<RolledBack>> {
    if release.health == Health::Healthy || ctx.config.deploy.on_unhealthy == OnUnhealthy::Stop {
        return Ok(None);
    }
    let releases = Releases::read(ctx)?;
    let Some(good) = releases.known_good(ctx).first().map(|good| good.tag.clone()) else {
        return Ok(None);
    };
    report::progress(&format!(
        "{} is {}: rolling back to {good}",
        release.tag,
        release.health.word()
    ));
    let reason = format!("{} was {} after its deploy", release.tag, release.health.word());
    let planned = rollback::plan(ctx, &RollbackTarget::healthy(&good))?;
    show(&planned);
    rollback::start(ctx, &planned, &reason).map(Some)
}
