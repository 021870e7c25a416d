//! A report for people: a table with bars of times against budgets, and Markdown for the step summary.

use std::fmt::Write as _;

use super::report::{CheckReport, HealthReport};
use crate::domain::verdict::{CheckResult, Severity};
use crate::report;

/// Cells of a full bar: the budget.
const BAR_CELLS: usize = 5;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The table, and the verdict below it.
pub fn text(report: &HealthReport) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut group = None;
    for check in &report.checks {
        if group.replace(check.group) != Some(check.group) {
            rows.push(vec![check.group.word().to_owned()]);
        }
        let bar = check.measured_ms.zip(check.budget_ms);
        let bar = bar
            .map(|(ms, budget_ms)| bar_of(ms, budget_ms))
            .unwrap_or_default();
        rows.push(vec![
            format!("  {}", sign(check)),
            check.name.clone(),
            time(check),
            bar,
            message(check),
        ]);
    }
    let mut text = report::table(&["", "check", "time", "of budget", ""], &rows);
    writeln!(text, "\n{}", report.summary).expect("writing to a string");
    writeln!(
        text,
        "{} checks in {}; the slowest chain took {}",
        report.checks.len(),
        duration(report.duration_ms),
        duration(report.slowest_chain_ms)
    )
    .expect("writing to a string");
    text
}

/// The step summary.
pub fn markdown(report: &HealthReport) -> String {
    let mut text = format!(
        "### Health of {}: {}\n\n{}\n\n| | group | check | time | of budget | |\n|---|---|---|---|---|---|\n",
        report.environment,
        report.verdict.word(),
        escape(&report.summary)
    );
    for check in &report.checks {
        let mark = match check.outcome {
            CheckResult::Passed => "✅",
            CheckResult::Failed if check.severity == Severity::Critical => "❌",
            CheckResult::Failed | CheckResult::Unknown => "⚠️",
            CheckResult::Skipped | CheckResult::NotAsked => "⏭️",
        };
        let bar = check
            .measured_ms
            .zip(check.budget_ms)
            .map(|(ms, budget_ms)| format!("`{}`", bar_of(ms, budget_ms)))
            .unwrap_or_default();
        writeln!(
            text,
            "| {mark} | {} | {} | {} | {bar} | {} |",
            check.group.word(),
            escape(&check.name),
            time(check),
            escape(&message(check))
        )
        .expect("writing to a string");
    }
    text.push('\n');
    text
}

const fn sign(check: &CheckReport) -> &'static str {
    match (check.outcome, check.severity) {
        (CheckResult::Passed, _) => "ok",
        (CheckResult::Failed, Severity::Critical) => "FAILED",
        (CheckResult::Failed, Severity::Warning) => "warning",
        (CheckResult::Unknown, _) => "unknown",
        (CheckResult::Skipped, _) => "skipped",
        (CheckResult::NotAsked, _) => "-",
    }
}

fn message(check: &CheckReport) -> String {
    let mut message = check.message.clone();
    if check.attempts_total > 1 {
        write!(message, " ({} attempts)", check.attempts_total).expect("writing to a string");
    }
    if let Some(link) = check
        .link
        .as_ref()
        .filter(|_| check.outcome != CheckResult::Passed)
    {
        write!(message, " {link}").expect("writing to a string");
    }
    message
}

fn time(check: &CheckReport) -> String {
    check.measured_ms.map(duration).unwrap_or_default()
}

/// Whole milliseconds, or a tenth below ten.
pub fn duration(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a duration is never negative"
        )]
        report::duration_ms(ms.round() as u64)
    }
}

/// A full bar is the budget; what is over it is drawn as an arrow.
fn bar_of(ms: f64, budget_ms: f64) -> String {
    let share = if budget_ms > 0.0 {
        ms / budget_ms
    } else {
        f64::INFINITY
    };
    let percent = format!("{:>4.0} %", (share * 100.0).min(9_999.0));
    if share > 1.0 {
        return format!("{}▶{percent}", "█".repeat(BAR_CELLS));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and all eighths"
    )]
    let eighths = (share * (BAR_CELLS * 8) as f64).round() as usize;
    let drawn = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
    let empty = BAR_CELLS + 1 - eighths.div_ceil(8);
    format!("{drawn}{}{percent}", " ".repeat(empty))
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_the_share_of_the_budget() {
        assert_eq!(bar_of(250.0, 500.0), "██▌     50 %");
        assert_eq!(bar_of(0.0, 500.0), "         0 %");
        assert_eq!(bar_of(500.0, 500.0), "█████  100 %");
        assert_eq!(bar_of(501.0, 500.0), "█████▶ 100 %");
        assert_eq!(bar_of(12.0, 500.0), "▏        2 %");
    }
}
