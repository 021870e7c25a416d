//! Each figure against the lists of the generator.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use xtask::domain::verdict::HealthStatus;

use rehearsal::test_env::history::{History, Planned, RELEASES};

/// The value below which so many percent lie, by counting.
fn at(values: &[i64], percent: usize) -> i64 {
    let below = |value: i64| values.iter().filter(|other| **other <= value).count();
    let enough = values
        .iter()
        .filter(|value| below(**value) * 100 >= percent * values.len());
    *enough.min().unwrap()
}

fn same_spread(name: &str, found: &Value, values: &[i64]) {
    let wanted = [
        i64::try_from(values.len()).unwrap(),
        at(values, 50),
        at(values, 95),
        *values.iter().max().unwrap(),
    ];
    for (field, wanted) in ["count", "p50_ms", "p95_ms", "max_ms"].iter().zip(wanted) {
        assert_eq!(
            found[field].as_i64(),
            Some(wanted),
            "{name}: {field} of {found:#}"
        );
    }
}

fn same_share(name: &str, found: &Value, count: usize, of: usize) {
    assert_eq!(found["count"].as_u64(), Some(count as u64), "{name}: {found:#}");
    assert_eq!(found["of"].as_u64(), Some(of as u64), "{name}: {found:#}");
    let percent = found["percent"].as_f64().unwrap();
    assert!(
        (percent - 100.0 * count as f64 / of as f64).abs() < 1e-9,
        "{name}: {found:#}"
    );
}

fn ms(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to - from).num_milliseconds()
}

#[test]
fn thirty_releases_give_the_figures_that_a_naive_computation_gives() {
    let history = History::generate();
    let found = history.json();
    let counted = history.counted();
    assert_eq!(counted.len(), RELEASES);
    same_delivery(&history, &found, &counted);
    same_operations(&history, &found, &counted);
    same_observations(&history, &found);
    let newest = history.releases.last().unwrap();
    assert_eq!(
        found["newest_backup"]["id"],
        newest.began.format("%Y%m%d-%H%M%S").to_string()
    );
    let until: DateTime<Utc> = found["until"].as_str().unwrap().parse().unwrap();
    assert_eq!(found["recovery_point_ms"].as_i64(), Some(ms(newest.began, until)));
    assert_eq!(found["not_recorded"], Value::Array(vec![]));
}

fn same_delivery(history: &History, found: &Value, counted: &[Planned]) {
    let deployed: Vec<&Planned> = counted.iter().filter(|release| !release.is_rollback).collect();
    let rollbacks = counted.len() - deployed.len();
    assert_eq!(rollbacks, 3, "the generator makes some");
    assert_eq!(found["deployments"].as_u64(), Some(deployed.len() as u64));
    let until: DateTime<Utc> = found["until"].as_str().unwrap().parse().unwrap();
    let weeks = ms(history.since, until) as f64 / (7.0 * 24.0 * 3_600_000.0);
    let per_week = found["deployments_per_week"].as_f64().unwrap();
    assert!((per_week - deployed.len() as f64 / weeks).abs() < 1e-9);
    let mut lead = Vec::new();
    for release in &deployed {
        for commit in &release.commits {
            lead.push(ms(*commit, release.created));
        }
    }
    same_spread("lead time", &found["lead_time"], &lead);
    let bad: Vec<&&Planned> = deployed.iter().filter(|release| !release.healthy).collect();
    same_share(
        "change fail rate",
        &found["change_fail"],
        bad.len(),
        deployed.len(),
    );
    let recovered: Vec<i64> = bad
        .iter()
        .map(|bad| {
            let later = counted
                .iter()
                .find(|release| release.created > bad.created && release.healthy);
            ms(bad.created, later.unwrap().created)
        })
        .collect();
    same_spread("recovery time", &found["recovery_time"], &recovered);
    assert_eq!(found["not_recovered"], 0);
    // Each rollback, and the deployment that came after each of them.
    same_share("rework", &found["rework"], rollbacks * 2, counted.len());
    same_share(
        "rollback rate",
        &found["rollback_rate"],
        rollbacks,
        deployed.len(),
    );
}

fn same_operations(history: &History, found: &Value, counted: &[Planned]) {
    let deployed: Vec<&Planned> = counted.iter().filter(|release| !release.is_rollback).collect();
    let healthy = deployed.iter().filter(|release| release.healthy).count();
    same_share(
        "success",
        &found["success"],
        healthy,
        deployed.len() + history.failed_deploys,
    );
    let waited: Vec<i64> = counted.iter().filter_map(|release| release.waited_ms).collect();
    same_spread("approvals", &found["approval_waiting"], &waited);
    let back: Vec<&Planned> = counted.iter().filter(|release| release.is_rollback).collect();
    let took: Vec<i64> = back
        .iter()
        .map(|release| ms(release.began, release.ended))
        .collect();
    same_spread("rollback time", &found["rollback_time"], &took);
    for (run, planned) in found["rollback_runs"].as_array().unwrap().iter().zip(&back) {
        for step in run["steps"].as_array().unwrap() {
            let name = step["step"].as_str().unwrap();
            let planned_ms = planned.steps.get(name).copied().unwrap_or(0);
            assert_eq!(step["duration_ms"].as_u64(), Some(planned_ms), "{step:#}");
        }
        assert_eq!(
            run["steps"][0]["start_ms"], 0,
            "the first step begins with the operation"
        );
    }
    let mut steps: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for release in counted {
        let kind = if release.is_rollback { "rollback" } else { "deploy" };
        for (step, duration_ms) in &release.steps {
            steps
                .entry((kind, step))
                .or_default()
                .push(i64::try_from(*duration_ms).unwrap());
        }
    }
    let measured = found["steps"].as_array().unwrap();
    assert_eq!(measured.len(), steps.len());
    for step in measured {
        let key = (
            step["operation"].as_str().unwrap(),
            step["step"].as_str().unwrap(),
        );
        same_spread(key.1, step, &steps[&key]);
    }
    let budget =
        |name: &str| measured.iter().find(|step| step["step"] == name).unwrap()["budget_ms"].as_u64();
    assert_eq!(budget("safety backup"), Some(180_000));
    assert_eq!(budget("swap database"), Some(300_000));
    assert_eq!(budget("check release"), None);
}

fn same_observations(history: &History, found: &Value) {
    let count = |wanted| {
        history
            .looks
            .iter()
            .filter(|(at, verdict)| *at >= history.since && *verdict == wanted)
            .count()
    };
    let (healthy, unhealthy) = (count(HealthStatus::Healthy), count(HealthStatus::Unhealthy));
    same_share(
        "availability",
        &found["availability"]["healthy"],
        healthy,
        healthy + unhealthy,
    );
    assert_eq!(
        found["availability"]["unknown"].as_u64(),
        Some(count(HealthStatus::Unknown) as u64)
    );
    let good = history.drills.iter().filter(|(good, _)| *good).count();
    same_share("drills", &found["drills"]["good"], good, history.drills.len());
    let times: Vec<i64> = history
        .drills
        .iter()
        .map(|(_, ms)| i64::try_from(*ms).unwrap())
        .collect();
    same_spread("drills", &found["drills"], &times);
}

#[test]
fn the_table_fits_a_terminal_and_the_page_needs_nothing_from_elsewhere() {
    let history = History::generate();
    let text = String::from_utf8(history.metrics("text").stdout).unwrap();
    let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(longest.chars().count() <= 80, "{longest}");
    assert!(
        text.contains("change fail rate") && text.contains("swap database"),
        "{text}"
    );
    let page = String::from_utf8(history.metrics("html").stdout).unwrap();
    for outside in ["http:", "https:", "<script", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "the page holds {outside}");
    }
    for figure in [
        "11.1 %",
        "rollback: swap database",
        "prefers-color-scheme: dark",
        "width=device-width",
    ] {
        assert!(page.contains(figure), "the page lacks {figure}");
    }
}
