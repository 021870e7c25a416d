//! Runs the checks: as many at once as allowed, each after those it depends on, again where its retry says so.

use std::panic::AssertUnwindSafe;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::plan::{HealthCheck, HealthPlan};
use super::probe::{ProbeResult, RunContext};
use super::problem::Problem;
use super::report::{Attempt, CheckReport, ms};
use crate::domain::verdict::CheckResult;
use crate::{sync, wait};

/// Attempts that a report keeps: the first ones show the start, the last ones the end.
const KEPT_FIRST: usize = 5;
const KEPT_LAST: usize = 15;

enum Progress {
    Waiting,
    Running,
    Done(Box<CheckReport>),
}

/// Runs all checks; the reports are in the plan's order.
pub(super) fn run(plan: &HealthPlan, run: &RunContext<'_>, started: Instant) -> Vec<CheckReport> {
    let progress: Mutex<Vec<Progress>> = Mutex::new(plan.checks.iter().map(|_| Progress::Waiting).collect());
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        for _ in 0..plan.parallel.min(plan.checks.len()) {
            scope.spawn(|| {
                while let Some((index, blocked_by)) = next(plan, &progress, &changed) {
                    let check = &plan.checks[index];
                    let report = match blocked_by {
                        Some(why) => skipped(check, why, started),
                        None => guarded(check, run, started),
                    };
                    let mut all = sync::lock(&progress);
                    all[index] = Progress::Done(Box::new(report));
                    drop(all);
                    changed.notify_all();
                }
            });
        }
    });
    let done = sync::into_inner(progress);
    done.into_iter()
        .filter_map(|progress| match progress {
            Progress::Done(report) => Some(*report),
            Progress::Waiting | Progress::Running => None,
        })
        .collect()
}

/// Waits for a check whose dependencies have ended and takes it, with the reason why it cannot run, if there is one;
/// `None` once nothing is left to take.
fn next(
    plan: &HealthPlan,
    progress: &Mutex<Vec<Progress>>,
    changed: &Condvar,
) -> Option<(usize, Option<(CheckResult, String)>)> {
    let mut all = sync::lock(progress);
    loop {
        let mut is_waiting = false;
        for index in 0..all.len() {
            if !matches!(all[index], Progress::Waiting) {
                continue;
            }
            is_waiting = true;
            let needed: Option<Vec<&CheckReport>> = plan.checks[index]
                .depends_on
                .iter()
                .map(|&needed| match &all[needed] {
                    Progress::Done(report) => Some(report.as_ref()),
                    _ => None,
                })
                .collect();
            if let Some(needed) = needed {
                let blocked_by = needed
                    .iter()
                    .find(|report| report.outcome != CheckResult::Passed)
                    .map(|report| blocked(report));
                all[index] = Progress::Running;
                return Some((index, blocked_by));
            }
        }
        if !is_waiting {
            return None;
        }
        all = changed.wait(all).unwrap_or_else(PoisonError::into_inner);
    }
}

fn blocked(by: &CheckReport) -> (CheckResult, String) {
    match by.outcome {
        CheckResult::NotAsked => (CheckResult::NotAsked, format!("`{}` was not asked for", by.name)),
        CheckResult::Failed => (
            CheckResult::Skipped,
            format!("skipped because `{}` failed", by.name),
        ),
        CheckResult::Skipped => (CheckResult::Skipped, format!("skipped because `{}` was", by.name)),
        _ => (
            CheckResult::Skipped,
            format!(
                "skipped because `{}` is unknown: its check could not run",
                by.name
            ),
        ),
    }
}

fn skipped(check: &HealthCheck, (outcome, message): (CheckResult, String), started: Instant) -> CheckReport {
    let mut report = report_of(check, started);
    report.outcome = outcome;
    report.message = message;
    report
}

fn report_of(check: &HealthCheck, started: Instant) -> CheckReport {
    CheckReport {
        name: check.name.clone(),
        group: check.group,
        severity: check.severity,
        outcome: CheckResult::Unknown,
        message: String::new(),
        link: None,
        measured_ms: None,
        budget_ms: None,
        started_ms: ms(started.elapsed()),
        duration_ms: 0.0,
        attempts_total: 0,
        attempts: Vec::new(),
        facts: serde_json::Map::new(),
    }
}

/// A panic in one check must not leave the others waiting for it.
fn guarded(check: &HealthCheck, run: &RunContext<'_>, started: Instant) -> CheckReport {
    std::panic::catch_unwind(AssertUnwindSafe(|| repeat(check, run, started))).unwrap_or_else(|_| {
        let mut report = report_of(check, started);
        report.message = "the check itself broke; this is a fault of the program".into();
        report
    })
}

/// Looks until there were enough successes one after the other, or the time for retries is over.
fn repeat(check: &HealthCheck, run: &RunContext<'_>, started: Instant) -> CheckReport {
    let mut report = report_of(check, started);
    let begun = Instant::now();
    let give_up = (begun + Duration::from_secs(check.retry.for_s)).min(run.deadline);
    let mut pause = Duration::from_millis(check.retry.first_ms);
    let mut successes = 0;
    loop {
        let at_ms = ms(started.elapsed());
        let result = if Instant::now() < run.deadline {
            check.probe.probe(run)
        } else {
            ProbeResult::of(&Problem::Unknown(
                "the time for all checks was over before this one".into(),
            ))
        };
        let (outcome, is_final) = (result.outcome, result.is_final);
        take(&mut report, result, at_ms, run);
        if outcome == CheckResult::Passed {
            successes += 1;
            pause = Duration::from_millis(check.retry.first_ms);
        } else {
            successes = 0;
        }
        let is_last = match outcome {
            CheckResult::Passed => successes >= check.consecutive,
            _ if is_final => true,
            _ => Instant::now() + pause > give_up,
        };
        if is_last || Instant::now() >= run.deadline || crate::exec::interrupted() {
            break;
        }
        wait::pause(pause.min(run.deadline.saturating_duration_since(Instant::now())));
        if outcome != CheckResult::Passed {
            pause = (pause * check.retry.factor).min(Duration::from_millis(check.retry.max_ms.max(1)));
        }
    }
    if report.outcome == CheckResult::Passed && successes < check.consecutive {
        report.outcome = CheckResult::Failed;
        report.message = format!(
            "passed {successes} times in a row, {} are wanted: {}",
            check.consecutive, report.message
        );
    }
    report.duration_ms = ms(begun.elapsed());
    report
}

fn take(report: &mut CheckReport, result: ProbeResult, at_ms: f64, run: &RunContext<'_>) {
    let message = run.values.scrub(&result.message);
    let attempt = Attempt {
        at_ms,
        outcome: result.outcome,
        message: message.clone(),
        status: result.status,
        bytes: result.bytes,
        timings: result.timings,
    };
    if report.attempts.len() == KEPT_FIRST + KEPT_LAST {
        report.attempts.remove(KEPT_FIRST);
    }
    report.attempts.push(attempt);
    report.attempts_total += 1;
    report.outcome = result.outcome;
    report.message = message;
    report.link = result.link;
    report.measured_ms = result.measured_ms.or(report.measured_ms);
    report.budget_ms = result.budget_ms;
    report.facts = result
        .facts
        .into_iter()
        .map(|(name, fact)| (name, scrub_value(fact, run)))
        .collect();
}

fn scrub_value(value: serde_json::Value, run: &RunContext<'_>) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::from(run.values.scrub(&text)),
        Value::Array(items) => items.into_iter().map(|item| scrub_value(item, run)).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, scrub_value(member, run)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}
