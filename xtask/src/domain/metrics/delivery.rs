//! What the release tags alone tell.

use super::{Goal, Records, ReleasePoint, Share, ms_between};
use crate::domain::release::{Health, Release};
use crate::domain::spread::Spread;

/// Deployments and rollbacks of the time looked at.
pub(super) fn counted(history: &Records) -> (usize, usize) {
    let rollbacks = in_time(history).filter(|release| is_rollback(release)).count();
    (in_time(history).count() - rollbacks, rollbacks)
}

/// From each commit to the release that brought it.
pub(super) fn lead_time(history: &Records) -> Option<Spread> {
    let deployed = in_time(history).filter(|release| !is_rollback(release));
    let times_ms = deployed.flat_map(|release| {
        let commits = history.commits.get(&release.tag).into_iter().flatten();
        commits.map(|made| ms_between(*made, release.created))
    });
    Spread::of(times_ms.collect())
}

/// Deployed releases that failed.
pub(super) fn change_fail(history: &Records) -> Option<Share> {
    let deployed: Vec<&Release> = in_time(history).filter(|release| !is_rollback(release)).collect();
    let failed = deployed.iter().filter(|release| failed(history, release)).count();
    Share::of(failed, deployed.len(), None)
}

/// Deployments that a rollback took back. Rollbacks themselves are not counted: one deployment may see several, and what is rolled
/// back may be a rollback.
pub(super) fn rollback_rate(history: &Records) -> Option<Share> {
    let deployed: Vec<&Release> = in_time(history).filter(|release| !is_rollback(release)).collect();
    let back = deployed
        .iter()
        .filter(|release| was_rolled_back(history, release))
        .count();
    Share::of(back, deployed.len(), Some(Goal::BelowPercent(5.0)))
}

/// From each failed release to the next healthy one, and how many wait for it.
pub(super) fn recovery(history: &Records) -> (Option<Spread>, usize) {
    let mut times_ms = Vec::new();
    let mut waiting = 0;
    for (at, release) in history.releases.iter().enumerate() {
        if !history.within(release.created) || is_rollback(release) || !failed(history, release) {
            continue;
        }
        let later = &history.releases[at + 1..];
        match later
            .iter()
            .find(|later| later.health == Health::Healthy && !failed(history, later))
        {
            Some(healthy) => times_ms.push(ms_between(release.created, healthy.created)),
            None => waiting += 1,
        }
    }
    (Spread::of(times_ms), waiting)
}

/// Releases that repair: rollbacks, and the deployments right after a failed release or after a rollback.
pub(super) fn rework(history: &Records) -> Option<Share> {
    let mut repairs = 0;
    for (at, release) in history.releases.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &history.releases[before]);
        let repairs_one = before.is_some_and(|before| is_rollback(before) || failed(history, before));
        if history.within(release.created) && (is_rollback(release) || repairs_one) {
            repairs += 1;
        }
    }
    Share::of(repairs, in_time(history).count(), None)
}

/// Every release of the time looked at.
pub(super) fn points(history: &Records) -> Vec<ReleasePoint> {
    let total_ms = |release: &Release| {
        let operation = history
            .operations
            .iter()
            .find(|one| one.id.as_str() == release.operation)?;
        Some(ms_between(operation.started_at, operation.ended.as_ref()?.at))
    };
    in_time(history)
        .map(|release| ReleasePoint {
            tag: release.tag.clone(),
            at: release.created,
            is_rollback: is_rollback(release),
            failed: failed(history, release),
            total_ms: total_ms(release),
        })
        .collect()
}

fn in_time(history: &Records) -> impl Iterator<Item = &Release> {
    history
        .releases
        .iter()
        .filter(|release| history.within(release.created))
}

fn is_rollback(release: &Release) -> bool {
    release.restores.is_some()
}

/// Found unhealthy, or taken back later, however healthy it looked at first.
fn failed(history: &Records, release: &Release) -> bool {
    release.health == Health::Unhealthy || was_rolled_back(history, release)
}

fn was_rolled_back(history: &Records, release: &Release) -> bool {
    let taken_back = |later: &Release| later.rollback_of.as_ref() == Some(&release.tag);
    history.releases.iter().any(taken_back)
}
