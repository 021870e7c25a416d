//! What a first run of the checks of health.toml finds, one line for each: before a release depends on them.

use super::Line;
use crate::context::Context;
use crate::domain::verdict::{CheckResult, Severity};
use crate::health::{self, CheckReport, HEALTH_FILE, HealthOptions};

/// Each check, made once.
pub(super) fn first_checks(ctx: &Context) -> Vec<Line> {
    let options = HealthOptions {
        once: true,
        ..HealthOptions::default()
    };
    match health::run(ctx, &options) {
        Ok(report) => report.checks.iter().map(line).collect(),
        Err(error) => vec![Line::error(
            "health checks",
            &error,
            "fix infrastructure/health.toml",
        )],
    }
}

fn line(check: &CheckReport) -> Line {
    let subject = format!("health check {}", check.name);
    let status = check.attempts.last().and_then(|attempt| attempt.status);
    let status = status.map_or_else(String::new, |status| format!(" (status {status})"));
    let found = format!("{}{status}", check.message);
    let fix = format!(
        "correct what it asks, or the check `{}` in {HEALTH_FILE}",
        check.name
    );
    match (check.outcome, check.severity) {
        (CheckResult::Passed | CheckResult::NotAsked, _) => Line::ok(subject, found),
        (_, Severity::Critical) => Line::problem(subject, found, fix),
        (_, Severity::Warning) => Line::warning(subject, found, fix),
    }
}
