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
