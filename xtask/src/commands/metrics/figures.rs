//! The figures in words, for the table and for the page.

use crate::domain::metrics::{Goal, Metrics, Share};
use crate::domain::spread::Spread;
use crate::report::duration_ms;

/// One figure.
#[derive(Debug)]
pub(super) struct Figure {
    pub name: &'static str,
    pub value: String,
    /// What it was made of.
    pub detail: String,
    /// What it should be; empty where nothing was promised.
    pub goal: String,
    /// Whether the goal is met, where there is one.
    pub good: Option<bool>,
}

const NOT_RECORDED: &str = "not recorded";

/// All of them; what no record tells says so.
pub(super) fn all(metrics: &Metrics) -> Vec<Figure> {
    let mut figures = delivery(metrics);
    figures.extend(reliability(metrics));
    figures
}

/// The five of DORA.
pub(super) fn delivery(metrics: &Metrics) -> Vec<Figure> {
    let per_week = metrics.deployments_per_week;
    let mut recovery = spread("recovery time", metrics.recovery_time);
    if metrics.not_recovered > 0 {
        recovery.detail = format!("{} failed, not recovered yet", metrics.not_recovered);
        recovery.good = Some(false);
    }
    vec![
        Figure {
            name: "deployment frequency",
            value: per_week.map_or_else(|| NOT_RECORDED.into(), |count| format!("{count:.1} a week")),
            detail: format!("{} and {} rollbacks", metrics.deployments, metrics.rollbacks),
            goal: String::new(),
            good: None,
        },
        spread("lead time", metrics.lead_time),
        share("change fail rate", metrics.change_fail, "deployments"),
        recovery,
        share("rework rate", metrics.rework, "releases"),
    ]
}

/// Whether what was promised is kept.
pub(super) fn reliability(metrics: &Metrics) -> Vec<Figure> {
    let mut rollback_time = spread("rollback time", metrics.rollback_time);
    rollback_time.good = metrics
        .rollback_time
        .map(|times| times.max_ms <= metrics.rollback_budget_ms);
    if let Some(times) = metrics.rollback_time {
        rollback_time.goal = format!("< {}", duration_ms(metrics.rollback_budget_ms));
        rollback_time.detail = format!("longest of {}: {}", times.count, duration_ms(times.max_ms));
    }
    let backup = metrics.newest_backup.as_ref().map(|backup| backup.id.clone());
    let mut drills = share(
        "drills",
        metrics.drills.as_ref().map(|drills| drills.good),
        "good",
    );
    if let Some(known) = &metrics.drills {
        drills.detail = format!("{}, last {}", drills.detail, known.last.format("%F"));
    }
    let availability = metrics.availability.as_ref();
    let mut available = share("availability", availability.map(|known| known.healthy), "looks");
    if let Some(known) = availability.filter(|known| known.unknown > 0) {
        available.detail += &format!(", {} unknown", known.unknown);
    }
    vec![
        share("success rate", metrics.success, "deploys"),
        share("rollback rate", metrics.rollback_rate, "deployments"),
        rollback_time,
        Figure {
            name: "backup age",
            value: metrics.recovery_point_ms.map_or_else(|| NOT_RECORDED.into(), age),
            detail: backup.unwrap_or_default(),
            goal: String::new(),
            good: None,
        },
        drills,
        available,
        spread("approval waiting", metrics.approval_waiting),
    ]
}

fn share(name: &'static str, share: Option<Share>, what: &str) -> Figure {
    let Some(share) = share else {
        return unknown(name);
    };
    let goal = match share.goal {
        Some(Goal::AbovePercent(least)) => format!("> {least} %"),
        Some(Goal::BelowPercent(most)) => format!("< {most} %"),
        None => String::new(),
    };
    Figure {
        name,
        value: format!("{:.1} %", share.percent),
        detail: format!("{} of {} {what}", share.count, share.of),
        goal,
        good: share.met(),
    }
}

fn spread(name: &'static str, times: Option<Spread>) -> Figure {
    let Some(times) = times else {
        return unknown(name);
    };
    Figure {
        name,
        value: age(times.p50_ms),
        detail: format!("median of {}, p95 {}", times.count, age(times.p95_ms)),
        goal: String::new(),
        good: None,
    }
}

fn unknown(name: &'static str) -> Figure {
    Figure {
        name,
        value: NOT_RECORDED.into(),
        detail: String::new(),
        goal: String::new(),
        good: None,
    }
}

/// Long durations in hours and days, which `duration_ms` leaves in minutes.
fn age(ms: u64) -> String {
    let hours = ms as f64 / 3_600_000.0;
    match hours {
        0.0..2.0 => duration_ms(ms),
        2.0..48.0 => format!("{hours:.1} h"),
        _ => format!("{:.1} days", hours / 24.0),
    }
}
