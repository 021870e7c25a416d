use super::*;

fn nothing() -> Records {
    Records {
        environment: "production".into(),
        since: DateTime::UNIX_EPOCH,
        until: DateTime::UNIX_EPOCH + TimeDelta::weeks(2),
        releases: Vec::new(),
        operations: Vec::new(),
        commits: BTreeMap::new(),
        requests: Vec::new(),
        status_records: Vec::new(),
        newest_backup: None,
        budgets: Budgets {
            backup_ms: 1,
            restore_ms: 2,
            redeploy_ms: 3,
            total_ms: 4,
        },
    }
}

fn look(hour: i64, verdict: HealthStatus) -> StatusRecord {
    StatusRecord {
        at: DateTime::UNIX_EPOCH + TimeDelta::hours(hour),
        by: "clock".into(),
        result: StatusResult::Health {
            verdict,
            summary: String::new(),
        },
    }
}

#[test]
fn without_records_every_figure_is_missing_and_says_why() {
    let metrics = nothing().measure();
    assert_eq!(metrics.deployments_per_week, Some(0.0));
    assert_eq!(
        (metrics.change_fail, metrics.success, metrics.availability),
        (None, None, None)
    );
    assert_eq!(metrics.not_recorded.len(), 9, "{:#?}", metrics.not_recorded);
}

#[test]
fn looks_that_could_not_tell_and_those_of_other_times_do_not_count() {
    let mut history = nothing();
    history.status_records = vec![
        look(-1, HealthStatus::Unhealthy),
        look(1, HealthStatus::Healthy),
        look(2, HealthStatus::Unknown),
        look(3, HealthStatus::Unhealthy),
        look(4, HealthStatus::Healthy),
    ];
    let availability = history.measure().availability.unwrap();
    assert_eq!(
        (
            availability.healthy.count,
            availability.healthy.of,
            availability.unknown
        ),
        (2, 3, 1)
    );
    assert_eq!(availability.healthy.met(), Some(false));
}

#[test]
fn goals_are_strict() {
    let share = |count, goal| Share::of(count, 100, Some(goal)).unwrap().met();
    assert_eq!(share(95, Goal::AbovePercent(95.0)), Some(false));
    assert_eq!(share(96, Goal::AbovePercent(95.0)), Some(true));
    assert_eq!(share(5, Goal::BelowPercent(5.0)), Some(false));
    assert_eq!(share(4, Goal::BelowPercent(5.0)), Some(true));
}

#[test]
fn no_share_is_more_than_the_whole_however_often_a_deployment_was_rolled_back() {
    let mut history = nothing();
    // One deployment, rolled back, brought back by an undo, and rolled back again, many times over.
    for at in 0..23 {
        history.releases.push(release(at));
    }
    let metrics = history.measure();
    let rate = metrics.rollback_rate.unwrap();
    assert_eq!((rate.count, rate.of, metrics.rollbacks), (1, 1, 22));
    for share in [metrics.rollback_rate, metrics.change_fail, metrics.rework] {
        assert!(share.unwrap().percent <= 100.0, "{share:?}");
    }
}

fn release(at: i64) -> Release {
    let tag = |at: i64| format!("prod-{at:02}");
    let record = serde_json::json!({
        "schema": "release/1", "tag": tag(at), "environment": "production", "operation": tag(at),
        "created": DateTime::UNIX_EPOCH + TimeDelta::hours(at), "commit": tag(at),
        "railway": {"deployment": "d"}, "vercel": {"deployment": "dpl"}, "backup": null, "approvers": [],
        "actor": "ann", "reason": null, "health": "healthy", "variables": [], "schema_fingerprint": null,
        "rollback_of": (at > 0).then(|| tag(at - 1)), "restores": (at > 0).then(|| tag((at - 2).max(0))),
        "timings_ms": {},
    });
    serde_json::from_value(record).unwrap()
}
