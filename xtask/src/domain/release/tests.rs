use super::super::parts::{OnRailway, OnVercel};
use super::*;

fn release(tag: &str) -> Release {
    Release {
        schema: RELEASE_SCHEMA.into(),
        tag: tag.into(),
        environment: "production".into(),
        operation: "20250101-000000-abcd".into(),
        created: "2025-01-01T00:00:00Z".parse().unwrap(),
        commit: "0123456789abcdef".into(),
        parts: ReleaseParts::one_of_each(
            OnRailway {
                deployment: "d".into(),
                image_digest: None,
                commit: None,
                settings: std::collections::BTreeMap::new(),
            },
            OnVercel {
                deployment: "dpl".into(),
                commit: None,
            },
        ),
        backup: Some(BackupRef {
            id: format!("before-{tag}"),
            hash: "h".into(),
        }),
        snapshot: None,
        approvers: vec![],
        actor: "ann".into(),
        reason: None,
        health: Health::Healthy,
        variables: vec![],
        schema_fingerprint: Some("s".into()),
        ledger: None,
        rollback_of: None,
        restores: None,
        timings_ms: BTreeMap::new(),
        health_report: None,
    }
}

#[test]
fn a_record_survives_its_tag_and_a_wrong_one_is_refused() {
    let mut original = release("prod-20250101-000000");
    original.reason = Some("prices\nare `null`; $(rm -rf ~)".into());
    let message = original.message().unwrap();
    assert_eq!(Release::from_message(&original.tag, &message).unwrap(), original);
    let cases = [
        ("prod-20250101-000001", message.clone(), "is that of"),
        (
            "prod-20250101-000000",
            "Release\n\nno record".into(),
            "has no release record",
        ),
        (
            "prod-20250101-000000",
            message.replace("release/1", "release/9"),
            "schema",
        ),
        (
            "prod-20250101-000000",
            message.replace("\"commit\"", "\"comit\""),
            "not readable",
        ),
    ];
    for (tag, message, expected) in cases {
        let error = format!("{:#}", Release::from_message(tag, &message).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

/// A number that changed in its last digit while it was read would make the ledger refuse the record.
#[test]
fn measured_times_do_not_change_a_records_hash() {
    for step in 1..10_000_u32 {
        let mut written = release("prod-20250101-000000");
        written.health_report = Some(serde_json::json!({ "p95_ms": f64::from(step) / 7.3 }));
        let read = ReleaseRecord::from_message(&written.tag, &written.message().unwrap()).unwrap();
        assert_eq!(
            (read.sha256, &read.release),
            (written.sha256().unwrap(), &written)
        );
    }
}

#[test]
fn tag_names_are_times() {
    let time = tag_time("prod", "prod-20250131-235959").unwrap();
    assert_eq!(tag_name("prod", time), "prod-20250131-235959");
    for wrong in [
        "prod-20250131-235960x",
        "prod-20251331-000000",
        "staging-20250131-235959",
        "prod20250131-235959",
        "prod-2025",
    ] {
        assert!(tag_time("prod", wrong).is_err(), "{wrong}");
    }
}

/// A release of a commit of its own.
fn of_commit(tag: &str, commit: &str) -> Release {
    Release {
        commit: commit.into(),
        ..release(tag)
    }
}

fn offered(releases: &[Release]) -> Vec<&str> {
    known_good(releases, |release| release.health == Health::Healthy)
        .iter()
        .map(|release| release.tag.as_str())
        .collect()
}

#[test]
fn offered_are_healthy_releases_of_other_code_that_nobody_took_back() {
    let mut sick = of_commit("b", "2");
    sick.health = Health::Unhealthy;
    let taken_back = of_commit("c", "3");
    let mut back = of_commit("d", "1");
    back.rollback_of = Some("c".into());
    back.restores = Some("a".into());
    let mut releases = vec![of_commit("a", "1"), sick, taken_back, back];
    // What is live now is the code of `a`.
    assert!(offered(&releases).is_empty(), "{:?}", offered(&releases));
    releases.push(of_commit("e", "5"));
    // The rollback to `a` has the newer data of the same code.
    assert_eq!(offered(&releases), ["d"]);
    releases.push(of_commit("f", "6"));
    assert_eq!(offered(&releases), ["e", "d"]);
    // A later check found `b` healthy.
    let good = known_good(&releases, |release| {
        release.health == Health::Healthy || release.tag == "b"
    });
    let good: Vec<&str> = good.iter().map(|release| release.tag.as_str()).collect();
    assert_eq!(good, ["e", "d", "b"]);
}

#[test]
fn the_database_goes_back_unless_it_is_known_to_be_the_same() {
    let facts =
        |changed: Option<&[&str]>, target: Option<&'static str>, live: Option<&'static str>| SchemaFacts {
            changed_migrations: changed.map(|paths| paths.iter().map(ToString::to_string).collect()),
            additive_migrations: Vec::new(),
            taken_away: None,
            target_schema: target,
            live_schema: live,
        };
    let adds = |taken: Option<&[&str]>| SchemaFacts {
        additive_migrations: vec!["m/3.js".into()],
        taken_away: taken.map(|taken| taken.iter().map(ToString::to_string).collect()),
        ..facts(Some(&[]), Some("s"), Some("t"))
    };
    let cases = [
        (facts(Some(&[]), Some("s"), Some("s")), false),
        (facts(Some(&["m/2.json"]), Some("s"), Some("s")), true),
        (facts(Some(&[]), Some("s"), Some("t")), true),
        (facts(Some(&[]), None, Some("s")), true),
        (facts(Some(&[]), Some("s"), None), true),
        (facts(None, Some("s"), Some("s")), true),
        (adds(Some(&[])), false),
        (adds(Some(&["`a`: is missing"])), true),
        (adds(None), true),
    ];
    for (facts, restores) in cases {
        let verdict = database_action(DatabaseChoice::Auto, &facts);
        assert_eq!(
            matches!(verdict, DatabaseAction::Restore { .. }),
            restores,
            "{facts:?}: {verdict:?}"
        );
    }
    let unknown = facts(None, None, None);
    assert!(matches!(
        database_action(DatabaseChoice::Keep, &unknown),
        DatabaseAction::Keep { .. }
    ));
}
