//! Plots of inline SVG in percent of their place, so that they fit every screen; words are HTML beside them, so that
//! they keep their size.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::duration_ms;
use crate::domain::timeline::Timing;

/// Bars are at least this wide: what was done must be seen.
const LEAST_PERCENT: f64 = 0.6;
const COLUMNS_HEIGHT_PX: u32 = 120;

fn share(part_ms: u64, whole_ms: u64) -> f64 {
    (part_ms as f64 / whole_ms.max(1) as f64 * 100.0).min(100.0)
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

/// A time beside what it may be.
pub fn against_budget(name: &str, took_ms: u64, budget_ms: u64) -> Markup {
    let class = if took_ms > budget_ms { "failed" } else { "bar" };
    let said = format!("{} of {}", duration_ms(took_ms), duration_ms(budget_ms));
    html! {
        div.row { span { (name) } span { (said) } }
        svg height="14" role="img" {
            title { (name) ": " (said) }
            rect.track x="0" y="1" width="100%" height="12" rx="3" {}
            rect class=(class) x="0" y="1" width=(percent(share(took_ms, budget_ms).max(LEAST_PERCENT))) height="12" rx="3" {}
        }
    }
}

/// Steps one below the other, each where it was in time; strong where it decided the whole.
pub fn gantt(steps: &[Timing], total_ms: u64) -> Markup {
    html! {
        @for step in steps { (gantt_row(step, total_ms)) }
        div.axis { span { "0" } span { (duration_ms(total_ms / 2)) } span { (duration_ms(total_ms)) } }
    }
}

fn gantt_row(step: &Timing, total_ms: u64) -> Markup {
    let over = step
        .budget_ms
        .is_some_and(|budget_ms| step.duration_ms > budget_ms);
    let class = match (over, step.critical) {
        (true, _) => "failed",
        (false, true) => "bar",
        (false, false) => "light",
    };
    let took = match step.budget_ms {
        // Its end is known, how long it took is not.
        _ if step.duration_ms == 0 => format!("at +{}", duration_ms(step.start_ms)),
        Some(budget_ms) => format!("{} of {}", duration_ms(step.duration_ms), duration_ms(budget_ms)),
        None => duration_ms(step.duration_ms),
    };
    let width = share(step.duration_ms, total_ms).max(LEAST_PERCENT);
    let left = share(step.start_ms, total_ms).min(100.0 - width);
    html! {
        div.row { span { (step.step) } span { (took) } }
        svg height="12" role="img" {
            title { (step.step) ": " (took) }
            rect.track x="0" y="5" width="100%" height="2" {}
            rect class=(class) x=(percent(left)) y="0" width=(percent(width)) height="12" rx="2" {}
        }
    }
}

/// The median and the 95th percentile of a step beside its budget, or beside the slowest of all where it has none.
pub fn spread(p50_ms: u64, p95_ms: u64, budget_ms: Option<u64>, slowest_ms: u64) -> Markup {
    let whole_ms = budget_ms.unwrap_or(slowest_ms).max(p95_ms);
    html! {
        svg height="12" role="img" {
            title { "median " (duration_ms(p50_ms)) ", 95th percentile " (duration_ms(p95_ms)) }
            rect.track x="0" y="1" width="100%" height="10" rx="2" {}
            rect.light x="0" y="1" width=(percent(share(p95_ms, whole_ms).max(LEAST_PERCENT))) height="10" rx="2" {}
            rect.bar x="0" y="1" width=(percent(share(p50_ms, whole_ms).max(LEAST_PERCENT))) height="10" rx="2" {}
            @if let Some(budget_ms) = budget_ms.filter(|budget_ms| *budget_ms < p95_ms) {
                line.mark x1=(percent(share(budget_ms, whole_ms))) x2=(percent(share(budget_ms, whole_ms))) y1="0" y2="12" {}
            }
        }
    }
}

/// One column of a course of time, from below to above.
#[derive(Debug, Clone, Default)]
pub struct Column {
    pub name: String,
    /// Class of colour, and how many.
    pub parts: Vec<(&'static str, usize)>,
}

/// Stacked columns.
pub fn columns(columns: &[Column]) -> Markup {
    let height = |column: &Column| column.parts.iter().map(|(_, count)| count).sum::<usize>();
    let highest = columns.iter().map(height).max().unwrap_or(0).max(1);
    let width = 100.0 / columns.len().max(1) as f64;
    html! {
        svg height=(COLUMNS_HEIGHT_PX) role="img" {
            title { "at most " (highest) " in one column" }
            line x1="0" x2="100%" y1="100%" y2="100%" stroke="currentColor" {}
            @for (at, column) in columns.iter().enumerate() {
                @for (class, below, count) in stacked(column) {
                    rect class=(class) x=(percent(at as f64 * width + width * 0.1)) width=(percent(width * 0.8))
                        y=(percent(100.0 - (below + count) as f64 / highest as f64 * 100.0))
                        height=(percent(count as f64 / highest as f64 * 100.0)) {
                        title { (column.name) ": " (count) }
                    }
                }
            }
        }
        div.axis {
            span { (columns.first().map_or("", |column| column.name.as_str())) }
            span { "highest: " (highest) }
            span { (columns.last().map_or("", |column| column.name.as_str())) }
        }
    }
}

fn stacked(column: &Column) -> Vec<(&'static str, usize, usize)> {
    let mut below = 0;
    let parts = column.parts.iter().filter(|(_, count)| *count > 0);
    parts
        .map(|(class, count)| {
            below += count;
            (*class, below - count, *count)
        })
        .collect()
}

/// A dot of a course of time.
#[derive(Debug, Clone)]
pub struct Dot {
    pub at: DateTime<Utc>,
    pub value_ms: u64,
    pub class: &'static str,
    pub name: String,
}

/// Durations over time.
pub fn dots(dots: &[Dot], since: DateTime<Utc>, until: DateTime<Utc>) -> Markup {
    let highest_ms = dots.iter().map(|dot| dot.value_ms).max().unwrap_or(0).max(1);
    let span_ms = (until - since).num_milliseconds().max(1) as f64;
    let left = |at: DateTime<Utc>| 1.0 + (at - since).num_milliseconds() as f64 / span_ms * 98.0;
    html! {
        svg height=(COLUMNS_HEIGHT_PX) role="img" {
            title { "at most " (duration_ms(highest_ms)) }
            line x1="0" x2="100%" y1="100%" y2="100%" stroke="currentColor" {}
            @for dot in dots {
                circle class=(dot.class) cx=(percent(left(dot.at)))
                    cy=(percent(96.0 - share(dot.value_ms, highest_ms) * 0.9)) r="4" {
                    title { (dot.name) ": " (duration_ms(dot.value_ms)) }
                }
            }
        }
        div.axis {
            span { (since.format("%F")) }
            span { "highest: " (duration_ms(highest_ms)) }
            span { (until.format("%F")) }
        }
    }
}
