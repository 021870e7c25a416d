//! The figures as a page.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::figures;
use crate::domain::metrics::{Metrics, ReleasePoint, RollbackRun, StepTimes};
use crate::report::duration_ms;
use crate::report::page::{self, card, legend};
use crate::report::plot::{self, Column, Dot};

/// Columns of the course of time are weeks, unless that makes too many.
const MOST_COLUMNS: i64 = 30;
/// Rollbacks that are drawn, the newest first.
const MOST_ROLLBACKS: usize = 12;

/// The whole page.
pub(super) fn page(metrics: &Metrics) -> String {
    let subtitle = format!(
        "{} to {}, made {} UTC from the release tags, the ledger and the history on the git remote",
        metrics.since.format("%F"),
        metrics.until.format("%F"),
        metrics.until.format("%F %H:%M")
    );
    let body = html! {
        h2 { "Delivery" }
        div.cards { @for figure in figures::delivery(metrics) { (shown(&figure)) } }
        h2 { "Reliability" }
        div.cards { @for figure in figures::reliability(metrics) { (shown(&figure)) } }
        (course(metrics))
        (rollbacks(metrics))
        (steps(metrics))
        (gaps(metrics))
    };
    page::page(&format!("Releases of {}", metrics.environment), &subtitle, &body)
}

fn shown(figure: &figures::Figure) -> Markup {
    let goal = if figure.goal.is_empty() {
        String::new()
    } else {
        format!(" (goal {})", figure.goal)
    };
    card(
        figure.name,
        &figure.value,
        &format!("{}{goal}", figure.detail),
        figure.good,
    )
}

fn course(metrics: &Metrics) -> Markup {
    let durations: Vec<Dot> = metrics.releases.iter().filter_map(dot).collect();
    let entries = [("bar", "deployed"), ("failed", "failed"), ("back", "rollback")];
    html! {
        @if !metrics.releases.is_empty() {
            h2 { "Releases over time" }
            (legend(&entries))
            (plot::columns(&weeks(metrics)))
        }
        @if !durations.is_empty() {
            h3 { "How long each took" }
            (plot::dots(&durations, metrics.since, metrics.until))
        }
    }
}

fn class(release: &ReleasePoint) -> &'static str {
    match (release.is_rollback, release.failed) {
        (true, _) => "back",
        (false, true) => "failed",
        (false, false) => "bar",
    }
}

fn dot(release: &ReleasePoint) -> Option<Dot> {
    Some(Dot {
        at: release.at,
        value_ms: release.total_ms?,
        class: class(release),
        name: release.tag.clone(),
    })
}

/// Releases by week, or by several weeks where the time is long.
fn weeks(metrics: &Metrics) -> Vec<Column> {
    let weeks = ((metrics.until - metrics.since).num_days() / 7 + 1).max(1);
    let span = TimeDelta::weeks((weeks + MOST_COLUMNS - 1) / MOST_COLUMNS);
    let mut columns = Vec::new();
    let mut from = metrics.since;
    while from <= metrics.until {
        columns.push(column(metrics, from, from + span));
        from += span;
    }
    columns
}

fn column(metrics: &Metrics, from: DateTime<Utc>, to: DateTime<Utc>) -> Column {
    let count = |wanted: &str| {
        let within = metrics
            .releases
            .iter()
            .filter(|release| (from..to).contains(&release.at));
        within.filter(|release| class(release) == wanted).count()
    };
    let parts = ["bar", "failed", "back"].map(|class| (class, count(class)));
    Column {
        name: from.format("%F").to_string(),
        parts: parts.to_vec(),
    }
}

fn rollbacks(metrics: &Metrics) -> Markup {
    let newest = metrics.rollback_runs.iter().rev().take(MOST_ROLLBACKS);
    html! {
        @if !metrics.rollback_runs.is_empty() {
            h2 { "Rollbacks against " (duration_ms(metrics.rollback_budget_ms)) }
            (legend(&[("bar", "decided the time"), ("light", "beside it"), ("failed", "over its budget")]))
            @for run in newest { (rollback(run, metrics.rollback_budget_ms)) }
            @if metrics.rollback_runs.len() > MOST_ROLLBACKS {
                p.soft { (metrics.rollback_runs.len() - MOST_ROLLBACKS) " earlier ones are in the JSON form." }
            }
        }
    }
}

fn rollback(run: &RollbackRun, budget_ms: u64) -> Markup {
    html! {
        h3 { (run.started_at.format("%F %H:%M")) " UTC to " (run.target) ": " (run.outcome) }
        (plot::against_budget("whole", run.total_ms, budget_ms))
        (plot::gantt(&run.steps, run.total_ms))
    }
}

fn steps(metrics: &Metrics) -> Markup {
    let slowest_ms = metrics
        .steps
        .iter()
        .map(|step| step.times.max_ms)
        .max()
        .unwrap_or(0);
    html! {
        @if !metrics.steps.is_empty() {
            h2 { "Steps against their budgets" }
            (legend(&[("bar", "median"), ("light", "95th percentile")]))
            @for step in &metrics.steps { (step_row(step, slowest_ms)) }
        }
    }
}

fn step_row(step: &StepTimes, slowest_ms: u64) -> Markup {
    let (p50_ms, p95_ms) = (step.times.p50_ms, step.times.p95_ms);
    let budget = step
        .budget_ms
        .map(|ms| format!(" of {}", duration_ms(ms)))
        .unwrap_or_default();
    html! {
        div.row {
            span { (step.operation) ": " (step.step) }
            span {
                (step.times.count) " times, " (duration_ms(p50_ms)) ", " (duration_ms(p95_ms)) (budget)
                @if step.over_budget > 0 { span.bad { ", " (step.over_budget) " over" } }
            }
        }
        (plot::spread(p50_ms, p95_ms, step.budget_ms, slowest_ms))
    }
}

fn gaps(metrics: &Metrics) -> Markup {
    html! {
        @if !metrics.not_recorded.is_empty() {
            h2 { "Not recorded" }
            ul { @for gap in &metrics.not_recorded { li { (gap) } } }
        }
    }
}
