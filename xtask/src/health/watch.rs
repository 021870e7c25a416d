//! Looking again and again: only changes are said, and at the end how available and how quick it was.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::render::duration;
use super::report::{CheckReport, HealthReport};
use super::{HealthOptions, run};
use crate::context::Context;
use crate::domain::spread::percentile;
use crate::domain::verdict::{CheckResult, HealthStatus};
use crate::report::Format;

/// Name of the summary's schema.
pub const SCHEMA: &str = "health-watch/1";
/// Durations that are kept for each check: a watch may run for weeks.
const KEPT_TIMES: usize = 100_000;

/// How a watch runs.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From the start of one round to the start of the next.
    pub every: Duration,
    /// Until interrupted where it is not given.
    pub for_at_most: Option<Duration>,
}

/// What a watch saw.
#[derive(Debug, Serialize)]
pub struct WatchSummary {
    pub environment: String,
    pub rounds: u64,
    pub healthy: u64,
    pub unhealthy: u64,
    pub unknown: u64,
    /// Healthy rounds in percent of those that could tell.
    pub availability_percent: Option<f64>,
    pub last: Option<HealthStatus>,
    pub checks: Vec<CheckTimes>,
}

/// How quick one check was.
#[derive(Debug, Serialize)]
pub struct CheckTimes {
    pub name: String,
    pub rounds: u64,
    pub passed: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

#[derive(Debug, Default)]
struct CheckTally {
    outcome: Option<CheckResult>,
    rounds: u64,
    passed: u64,
    times_ms: VecDeque<f64>,
}

#[derive(Debug, Default)]
struct Tally {
    verdict: Option<HealthStatus>,
    healthy: u64,
    unhealthy: u64,
    unknown: u64,
    order: Vec<String>,
    checks: BTreeMap<String, CheckTally>,
}

/// Runs rounds until interrupted. An error of a round (the file became wrong) ends it.
pub fn watch(ctx: &Context, request: &HealthOptions, pace: Pace) -> Result<WatchSummary> {
    let started = Instant::now();
    let mut tally = Tally::default();
    while !crate::exec::interrupted() {
        let begun = Instant::now();
        let report = run(ctx, request)?;
        // A round that was cut short by the interruption says nothing about the system.
        if crate::exec::interrupted() {
            break;
        }
        for line in tally.take(&report) {
            print_change(ctx.format, &line)?;
        }
        let next = pace.every.saturating_sub(begun.elapsed());
        if pace
            .for_at_most
            .is_some_and(|limit| started.elapsed() + next >= limit)
        {
            break;
        }
        crate::wait::pause(next);
    }
    Ok(tally.summary(ctx.env_name.clone()))
}

/// Changes are the result in text; in JSON only the summary is.
fn print_change(format: Format, line: &str) -> Result<()> {
    match format {
        // Also a reader that has ended is an error here: it ends the watch.
        Format::Text => {
            writeln!(std::io::stdout(), "{}", crate::report::clean(line))
                .context("cannot write to stdout")?;
        }
        Format::Json | Format::Html => crate::report::progress(line),
    }
    Ok(())
}

impl Tally {
    /// Counts a round and gives a line for each change.
    fn take(&mut self, report: &HealthReport) -> Vec<String> {
        let mut lines = Vec::new();
        let at = report.started_at.get(..19).unwrap_or(&report.started_at);
        if self.verdict != Some(report.verdict) {
            lines.push(format!("{at}  {}", report.summary));
        }
        self.verdict = Some(report.verdict);
        match report.verdict {
            HealthStatus::Healthy => self.healthy += 1,
            HealthStatus::Unhealthy => self.unhealthy += 1,
            HealthStatus::Unknown => self.unknown += 1,
        }
        for check in &report.checks {
            lines.extend(self.take_check(check).map(|line| format!("{at}  {line}")));
        }
        lines
    }

    fn take_check(&mut self, check: &CheckReport) -> Option<String> {
        if !self.checks.contains_key(&check.name) {
            self.order.push(check.name.clone());
        }
        let seen = self.checks.entry(check.name.clone()).or_default();
        seen.rounds += 1;
        if check.outcome == CheckResult::Passed {
            seen.passed += 1;
            if let Some(ms) = check.measured_ms {
                if seen.times_ms.len() == KEPT_TIMES {
                    seen.times_ms.pop_front();
                }
                seen.times_ms.push_back(ms);
            }
        }
        let before = seen.outcome.replace(check.outcome);
        // The first round tells only what is wrong: the rest is as it should be.
        let is_change = match before {
            None => !matches!(check.outcome, CheckResult::Passed | CheckResult::NotAsked),
            Some(before) => before != check.outcome,
        };
        is_change.then(|| {
            let link = check
                .link
                .as_ref()
                .filter(|_| check.outcome != CheckResult::Passed);
            let link = link.map(|link| format!(" {link}")).unwrap_or_default();
            format!("{} {}: {}{link}", check.name, word(check.outcome), check.message)
        })
    }

    fn summary(self, environment: String) -> WatchSummary {
        let told = self.healthy + self.unhealthy;
        let checks = self
            .order
            .iter()
            .map(|name| {
                let seen = &self.checks[name];
                let mut sorted: Vec<f64> = seen.times_ms.iter().copied().collect();
                sorted.sort_by(f64::total_cmp);
                CheckTimes {
                    name: name.clone(),
                    rounds: seen.rounds,
                    passed: seen.passed,
                    p50_ms: percentile(&sorted, 50),
                    p95_ms: percentile(&sorted, 95),
                    p99_ms: percentile(&sorted, 99),
                }
            })
            .collect();
        WatchSummary {
            environment,
            rounds: told + self.unknown,
            healthy: self.healthy,
            unhealthy: self.unhealthy,
            unknown: self.unknown,
            availability_percent: (told > 0).then(|| self.healthy as f64 / told as f64 * 100.0),
            last: self.verdict,
            checks,
        }
    }
}

impl WatchSummary {
    pub fn text(&self) -> String {
        let availability = self.availability_percent.map_or_else(
            || "availability unknown".to_owned(),
            |percent| format!("availability {percent:.3} %"),
        );
        let mut text = format!(
            "\n{availability} over {} rounds: {} healthy, {} unhealthy, {} unknown\n",
            self.rounds, self.healthy, self.unhealthy, self.unknown
        );
        let ms = |ms: Option<f64>| ms.map(duration).unwrap_or_default();
        let rows: Vec<Vec<String>> = self
            .checks
            .iter()
            .map(|check| {
                vec![
                    check.name.clone(),
                    format!("{}/{}", check.passed, check.rounds),
                    ms(check.p50_ms),
                    ms(check.p95_ms),
                    ms(check.p99_ms),
                ]
            })
            .collect();
        let table = crate::report::table(&["check", "passed", "p50", "p95", "p99"], &rows);
        write!(text, "{table}").expect("writing to a string");
        text
    }
}

const fn word(outcome: CheckResult) -> &'static str {
    match outcome {
        CheckResult::Passed => "passes",
        CheckResult::Failed => "FAILS",
        CheckResult::Unknown => "is unknown",
        CheckResult::Skipped => "is skipped",
        CheckResult::NotAsked => "is not asked for",
    }
}
