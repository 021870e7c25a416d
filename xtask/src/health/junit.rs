//! A report as JUnit XML, for CI systems that draw such files.

use std::fmt::Write as _;

use super::report::{CheckReport, HealthReport};
use crate::domain::verdict::{CheckResult, Severity};

/// The whole file. What could not be looked at is an error, not a failure; a warning does not fail the suite.
pub fn xml(report: &HealthReport) -> String {
    let count = |wanted: CheckResult| {
        let is = |check: &&CheckReport| check.severity == Severity::Critical && check.outcome == wanted;
        report.checks.iter().filter(is).count()
    };
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    writeln!(
        text,
        "<testsuite name=\"health of {}\" timestamp=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">",
        escape(&report.environment),
        escape(&report.started_at),
        report.checks.len(),
        count(CheckResult::Failed),
        count(CheckResult::Unknown) + count(CheckResult::Skipped),
        report.duration_ms / 1_000.0
    )
    .expect("writing to a string");
    for check in &report.checks {
        writeln!(
            text,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">{}</testcase>",
            check.group.word(),
            escape(&check.name),
            check.duration_ms / 1_000.0,
            outcome_element(check)
        )
        .expect("writing to a string");
    }
    text.push_str("</testsuite>\n");
    text
}

fn outcome_element(check: &CheckReport) -> String {
    let message = escape(&check.message);
    match (check.outcome, check.severity) {
        (CheckResult::Passed, _) => format!("<system-out>{message}</system-out>"),
        (CheckResult::NotAsked, _) => format!("<skipped message=\"{message}\"/>"),
        (_, Severity::Warning) => format!("<skipped message=\"warning: {message}\"/>"),
        (CheckResult::Failed, _) => format!("<failure message=\"{message}\"/>"),
        (CheckResult::Unknown | CheckResult::Skipped, _) => format!("<error message=\"{message}\"/>"),
    }
}

/// XML has no way to write most control characters: they are left out.
fn escape(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || "\n\t".contains(*c))
        .fold(String::new(), |mut escaped, c| {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\n' | '\t' => escaped.push(' '),
                other => escaped.push(other),
            }
            escaped
        })
}
