//! What the ledger tells, together with the durations in the release records.

use std::collections::BTreeMap;

use super::{Goal, Records, RollbackRun, Share, StepTimes, ms_between};
use crate::domain::ledger::{LedgerOperation, OperationOutcome};
use crate::domain::release::{Health, Release};
use crate::domain::spread::Spread;
use crate::domain::step::Step;
use crate::domain::timeline::{Timing, mark_critical};

/// Deploys that ended with a healthy release, of all that ended.
pub(super) fn success(history: &Records) -> Option<Share> {
    let ended: Vec<&LedgerOperation> = ended(history, "deploy").collect();
    let good = ended.iter().filter(|operation| {
        let is_done = operation
            .ended
            .as_ref()
            .is_some_and(|end| end.outcome == OperationOutcome::Done);
        is_done && release_of(history, operation).is_some_and(|release| release.health == Health::Healthy)
    });
    Share::of(good.count(), ended.len(), Some(Goal::AbovePercent(95.0)))
}

/// From the request for approval to the beginning of the deploy that was approved.
pub(super) fn approval_waiting(history: &Records) -> Option<Spread> {
    let deploys = history
        .operations
        .iter()
        .filter(|operation| operation.started.kind == "deploy" && history.within(operation.started_at));
    let waited = deploys.filter_map(|operation| {
        let plan = &operation.started.plan_sha256;
        let request = history
            .requests
            .iter()
            .find(|request| request.plan_sha256 == *plan)?;
        Some(ms_between(request.requested_at, operation.started_at))
    });
    Spread::of(waited.collect())
}

/// The times of every step, in the order in which operations do them.
pub(super) fn steps(history: &Records) -> Vec<StepTimes> {
    let mut times: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for release in history
        .releases
        .iter()
        .filter(|release| history.within(release.created))
    {
        let operation = if release.restores.is_some() {
            "rollback"
        } else {
            "deploy"
        };
        for (step, ms) in &release.timings_ms {
            times
                .entry((operation.into(), step.clone()))
                .or_default()
                .push(*ms);
        }
    }
    let place = |operation: &str, step: &str| {
        let of_kind = history
            .operations
            .iter()
            .filter(|one| one.started.kind == operation);
        of_kind
            .filter_map(|one| one.steps.iter().position(|done| done.name == step))
            .max()
    };
    let mut steps: Vec<StepTimes> = times
        .into_iter()
        .filter_map(|((operation, step), values_ms)| {
            let budget_ms = budget_ms(history, &step);
            let over_budget = values_ms
                .iter()
                .filter(|ms| budget_ms.is_some_and(|budget| **ms > budget))
                .count();
            Some(StepTimes {
                times: Spread::of(values_ms)?,
                operation,
                step,
                budget_ms,
                over_budget,
            })
        })
        .collect();
    steps.sort_by_cached_key(|one| {
        let place = place(&one.operation, &one.step);
        (
            one.operation.clone(),
            place.unwrap_or(usize::MAX),
            one.step.clone(),
        )
    });
    steps
}

/// The rollbacks that ended, each with its steps in time.
pub(super) fn rollback_runs(history: &Records) -> Vec<RollbackRun> {
    ended(history, "rollback")
        .filter_map(|operation| {
            let end = operation.ended.as_ref()?;
            Some(RollbackRun {
                operation: operation.id.to_string(),
                target: operation.started.target.clone(),
                started_at: operation.started_at,
                outcome: end.outcome.to_string(),
                total_ms: ms_between(operation.started_at, end.at),
                steps: timeline(history, operation),
            })
        })
        .collect()
}

/// The ledger has when each step was done, the release's record how long it took.
fn timeline(history: &Records, operation: &LedgerOperation) -> Vec<Timing> {
    let durations = release_of(history, operation).map(|release| &release.timings_ms);
    let steps = operation.steps.iter().map(|step| {
        let end_ms = ms_between(operation.started_at, step.at);
        let duration_ms = durations
            .and_then(|known| known.get(&step.name))
            .copied()
            .unwrap_or(0);
        Timing {
            step: step.name.clone(),
            start_ms: end_ms.saturating_sub(duration_ms),
            duration_ms: duration_ms.min(end_ms),
            budget_ms: budget_ms(history, &step.name),
            critical: false,
        }
    });
    mark_critical(steps.collect())
}

/// The budget of a recorded step; a step of a version that we do not know has none.
fn budget_ms(history: &Records, name: &str) -> Option<u64> {
    Step::named(name)?.budget_ms(&history.budgets)
}

fn ended<'a>(history: &'a Records, kind: &'a str) -> impl Iterator<Item = &'a LedgerOperation> {
    let of_kind = history
        .operations
        .iter()
        .filter(move |operation| operation.started.kind == kind);
    of_kind.filter(|operation| operation.ended.is_some() && history.within(operation.started_at))
}

fn release_of<'a>(history: &'a Records, operation: &LedgerOperation) -> Option<&'a Release> {
    history
        .releases
        .iter()
        .find(|release| release.operation == operation.id.as_str())
}
