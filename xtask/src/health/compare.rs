//! What got slower or broke since an earlier report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::render::duration;
use super::report::{CheckReport, HealthReport, SCHEMA};
use crate::domain::verdict::{CheckResult, HealthStatus};
use crate::error::catalogue::health as errors;

/// The largest report that is read.
const LIMIT_BYTES: usize = 32 << 20;
/// Times differ from run to run: slower is at least this factor and this difference.
const SLOWER_FACTOR: f64 = 1.25;
const SLOWER_MS: f64 = 20.0;

/// The difference between two reports.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub earlier_at: String,
    pub earlier_verdict: HealthStatus,
    pub changes: Vec<HealthChange>,
}

/// One check that is not as it was.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum HealthChange {
    /// It passed, and does not any more.
    Broke {
        check: String,
        now: CheckResult,
        message: String,
    },
    /// It did not pass, and does now.
    Fixed {
        check: String,
    },
    Slower {
        check: String,
        before_ms: f64,
        now_ms: f64,
    },
    Faster {
        check: String,
        before_ms: f64,
        now_ms: f64,
    },
    Added {
        check: String,
    },
    Removed {
        check: String,
    },
}

#[derive(Deserialize)]
struct Stored {
    schema: String,
    #[serde(flatten)]
    report: HealthReport,
}

/// Reads a report that `health --format json` wrote.
pub fn read(path: &Path) -> Result<HealthReport> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let bytes = crate::exec::read_bounded(file, LIMIT_BYTES)?;
    let wrong = |why: String| errors::not_a_report(path.display(), why);
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if stored.schema != SCHEMA {
        return Err(wrong(format!("its schema is {:?}", stored.schema)).into());
    }
    Ok(stored.report)
}

impl Comparison {
    pub fn of(earlier: &HealthReport, now: &HealthReport) -> Self {
        let before: BTreeMap<&str, &CheckReport> = earlier
            .checks
            .iter()
            .map(|check| (check.name.as_str(), check))
            .collect();
        let mut changes = Vec::new();
        for check in &now.checks {
            match before.get(check.name.as_str()) {
                None => changes.push(HealthChange::Added {
                    check: check.name.clone(),
                }),
                Some(before) => changes.extend(change(before, check)),
            }
        }
        for check in &earlier.checks {
            if !now.checks.iter().any(|other| other.name == check.name) {
                changes.push(HealthChange::Removed {
                    check: check.name.clone(),
                });
            }
        }
        Self {
            earlier_at: earlier.started_at.clone(),
            earlier_verdict: earlier.verdict,
            changes,
        }
    }

    /// One line for each change.
    pub fn text(&self) -> String {
        let mut text = format!("\nsince {} ({}):\n", self.earlier_at, self.earlier_verdict.word());
        if self.changes.is_empty() {
            text.push_str("  nothing broke, nothing got slower\n");
        }
        for change in &self.changes {
            let times = |before: f64, now: f64| format!("{} → {}", duration(before), duration(now));
            match change {
                HealthChange::Broke { check, message, .. } => writeln!(text, "  broke    {check}: {message}"),
                HealthChange::Fixed { check } => writeln!(text, "  fixed    {check}"),
                HealthChange::Slower {
                    check,
                    before_ms,
                    now_ms,
                } => {
                    writeln!(text, "  slower   {check}: {}", times(*before_ms, *now_ms))
                }
                HealthChange::Faster {
                    check,
                    before_ms,
                    now_ms,
                } => {
                    writeln!(text, "  faster   {check}: {}", times(*before_ms, *now_ms))
                }
                HealthChange::Added { check } => writeln!(text, "  added    {check}"),
                HealthChange::Removed { check } => writeln!(text, "  removed  {check}"),
            }
            .expect("writing to a string");
        }
        text
    }
}

fn change(before: &CheckReport, now: &CheckReport) -> Option<HealthChange> {
    let passed = |check: &CheckReport| check.outcome == CheckResult::Passed;
    let said_nothing = |check: &CheckReport| check.outcome == CheckResult::NotAsked;
    if said_nothing(before) || said_nothing(now) {
        return None;
    }
    let check = now.name.clone();
    match (passed(before), passed(now)) {
        (true, false) => Some(HealthChange::Broke {
            check,
            now: now.outcome,
            message: now.message.clone(),
        }),
        (false, true) => Some(HealthChange::Fixed { check }),
        (false, false) => None,
        (true, true) => {
            let (before_ms, now_ms) = before.measured_ms.zip(now.measured_ms)?;
            let is_more = |a: f64, b: f64| a > b * SLOWER_FACTOR && a > b + SLOWER_MS;
            if is_more(now_ms, before_ms) {
                Some(HealthChange::Slower {
                    check,
                    before_ms,
                    now_ms,
                })
            } else if is_more(before_ms, now_ms) {
                Some(HealthChange::Faster {
                    check,
                    before_ms,
                    now_ms,
                })
            } else {
                None
            }
        }
    }
}
