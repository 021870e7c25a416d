use serde_json::json;

use super::*;
use crate::domain::ledger::{Body, Holder, LedgerEvent, Started};
use crate::domain::operation::OperationId;
use crate::domain::release::RELEASE_SCHEMA;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "1111111111abcdef0123456789abcdef01234567";

fn release(tag: &str) -> Release {
    let record = json!({
        "schema": RELEASE_SCHEMA, "tag": tag, "environment": "production", "operation": "20250101-000000-abcd",
        "created": "2025-01-01T00:00:00Z", "commit": COMMIT,
        "railway": {"deployment": "d", "image_digest": null}, "vercel": {"deployment": "dpl"},
        "backup": {"id": format!("before-{tag}"), "hash": "h"}, "approvers": [], "actor": "ann", "reason": null,
        "health": "healthy", "variables": [], "schema_fingerprint": "s", "timings_ms": {},
    });
    ReleaseRecord::from_value(tag, record).unwrap().release
}

/// The remote has the record and the tag.
fn found(release: &Release) -> RecordedRelease {
    RecordedRelease {
        name: release.tag.clone(),
        message: release.message().unwrap(),
        is_recorded: true,
        is_tagged: true,
        marks: release.commit.parse().ok(),
        problems: Vec::new(),
    }
}

fn ledger(release: &Release) -> LedgerRelease {
    LedgerRelease {
        tag: release.tag.clone(),
        sha256: Some(release.sha256().unwrap()),
        record: Some(serde_json::to_value(release).unwrap()),
    }
}

fn link(release: &Release, found: Option<&RecordedRelease>) -> ReleaseLink {
    ReleaseLink::compare("production", &ledger(release), found)
}

#[test]
fn the_backup_of_a_target_is_the_one_before_the_next_release() {
    let links = ["a", "b", "c"]
        .map(release)
        .map(|one| link(&one, Some(&found(&one))));
    let backup = |tag| backup_of(&links, tag).unwrap().map(|backup| backup.id.as_str());
    assert_eq!(backup("a"), Some("before-b"));
    assert_eq!(backup("b"), Some("before-c"));
    assert_eq!(backup("c"), None);
    assert_eq!(backup("x"), None);
}

#[test]
fn a_release_that_is_gone_or_changed_is_named_and_never_passed_over() {
    let [a, b, c] = ["a", "b", "c"].map(release);
    let whole = found(&b);
    let moved = RecordedRelease {
        marks: OTHER.parse().ok(),
        ..whole.clone()
    };
    let blob = RecordedRelease {
        marks: None,
        ..whole.clone()
    };
    let changed = RecordedRelease {
        message: whole.message.replace("ann", "bob"),
        ..whole.clone()
    };
    let newer = RecordedRelease {
        message: whole.message.replace("release/1", "release/2"),
        ..whole.clone()
    };
    let table = [
        (None, "the release b of the ledger is missing"),
        (Some(moved), "the tag b was moved: it marks 1111"),
        (Some(blob), "the tag b was moved: it marks no commit"),
        (
            Some(changed),
            "the record of b is not the one that the ledger knows",
        ),
        (Some(newer), "written by another version"),
    ];
    for (found_b, expected) in table {
        let links = [
            link(&a, Some(&found(&a))),
            link(&b, found_b.as_ref()),
            link(&c, Some(&found(&c))),
        ];
        let why = backup_of(&links, "a").unwrap_err();
        assert!(why.contains(expected), "{why}");
        assert_eq!(backup_of(&links, "b").unwrap().unwrap().id, "before-c");
        assert_eq!(
            links[1].release.as_ref(),
            Some(&b),
            "the ledger's copy: {expected}"
        );
    }
}

#[test]
fn a_record_of_another_environment_is_in_doubt() {
    let mut other = release("a");
    other.environment = "staging".into();
    let problems = link(&other, Some(&found(&other))).problems;
    assert_eq!(
        problems,
        ["the record of a is of the environment staging, not of production"]
    );
}

#[test]
fn what_a_newer_version_added_to_a_record_is_kept_and_ignored() {
    let original = release("a");
    let mut record = serde_json::to_value(&original).unwrap();
    record["canary"] = json!({"percent": 5.0});
    record["railway"]["region"] = "eu".into();
    let newer = ReleaseRecord::from_value("a", record.clone()).unwrap();
    assert_eq!(newer.release, original);
    let recorded = RecordedRelease {
        message: original.message_with(&record).unwrap(),
        ..found(&original)
    };
    let ledger = LedgerRelease {
        sha256: Some(newer.sha256.clone()),
        ..ledger(&original)
    };
    assert_eq!(
        ReleaseLink::compare("production", &ledger, Some(&recorded)).problems,
        [""; 0]
    );
    assert_ne!(
        newer.sha256,
        original.sha256().unwrap(),
        "the hash covers all of it"
    );
}

#[test]
fn a_rollback_to_a_rollback_restores_the_original() {
    let mut chain = ["a", "b", "c", "d"].map(release);
    chain[2].restores = Some("a".into());
    chain[3].restores = Some("c".into());
    assert!(restores(&chain, &chain[3], "a") && restores(&chain, &chain[3], "c"));
    assert!(!restores(&chain, &chain[3], "b") && !restores(&chain, &chain[0], "a"));
}

/// The ledger after a deploy and what followed it.
fn state(then: &[(Step, Value)], outcome: OperationOutcome) -> LedgerState {
    let mut events = Vec::new();
    let ids = ["20250101-000000-abcd", "20250102-000000-abcd"].map(|id| id.parse::<OperationId>().unwrap());
    let record = (Step::RecordRelease, serde_json::to_value(release("a")).unwrap());
    for (id, steps, outcome) in [
        (&ids[0], &[record][..], OperationOutcome::Done),
        (&ids[1], then, outcome),
    ] {
        let fence = events.len() as u64 + 1;
        let mut add = |body| {
            events.push(LedgerEvent {
                seq: events.len() as u64 + 1,
                at: "2025-01-01T00:00:00Z".parse().unwrap(),
                operation: id.clone(),
                fence,
                body,
            });
        };
        add(Body::Started(Started {
            kind: "deploy".into(),
            reason: String::new(),
            target: String::new(),
            plan_sha256: String::new(),
            plan: json!({}),
            holder: Holder {
                user: "ann".into(),
                host: "here".into(),
                pid: 1,
                run: None,
                process: None,
            },
            lease_ms: 1,
            supersedes: None,
        }));
        for (step, facts) in steps {
            add(Body::Step {
                name: step.name().into(),
                facts: facts.clone(),
            });
        }
        add(Body::Finished {
            outcome,
            facts: json!({}),
        });
    }
    LedgerState::replay(&events)
}

#[test]
fn an_undo_moves_what_should_be_live_to_the_deployments_that_it_made() {
    let undo = [
        (
            Step::UndoBackend,
            json!({"deployment": "d2", "image_digest": "i"}),
        ),
        (Step::UndoFrontend, json!({"deployment": "dpl"})),
    ];
    let newest = release("a");
    let undone = expected_live(&state(&undo, OperationOutcome::Undone), &newest);
    assert_eq!(undone.parts.backends["backend"].deployment, "d2");
    let failed = expected_live(&state(&[], OperationOutcome::Failed), &newest);
    assert_eq!(failed.parts, newest.parts);
}

#[test]
fn the_ledger_gives_the_releases_with_and_without_their_records() {
    let recorded = releases_of(&state(&[], OperationOutcome::Failed));
    assert_eq!(recorded.len(), 1);
    assert_eq!((recorded[0].tag.as_str(), &recorded[0].sha256), ("a", &None));
    assert!(recorded[0].record.is_some());
}

#[test]
fn every_release_that_has_worked_on_the_live_data_counts_for_what_differs_from_the_target() {
    let links_of = |releases: &[Release]| -> Vec<ReleaseLink> {
        releases.iter().map(|one| link(one, Some(&found(one)))).collect()
    };
    let tags = |links: &[ReleaseLink], target: &str| -> Vec<String> {
        let since = data_since(links, target, |release| release.restores.is_some()).unwrap();
        since.iter().map(|release| release.tag.clone()).collect()
    };
    // The third migrates, and the first is deployed again over its data.
    let [first, third, again] = ["a-v1", "b-v3", "c-v1"].map(release);
    let links = links_of(&[first.clone(), third.clone(), again.clone()]);
    assert_eq!(tags(&links, "a-v1"), ["c-v1", "b-v3"]);
    assert_eq!(tags(&links, "c-v1"), [""; 0]);
    // A rollback that restored the database has taken away what the third did.
    let back = Release {
        restores: Some("a-v1".into()),
        ..again.clone()
    };
    let next = release("d-v4");
    let chain = [first.clone(), third.clone(), back, next];
    assert_eq!(tags(&links_of(&chain), "a-v1"), ["d-v4", "c-v1"]);
    // One that kept the database has not.
    let kept = data_since(&links_of(&chain), "a-v1", |_| false).unwrap().len();
    assert_eq!(kept, 3);
    // To a release that came after what was restored, all that is on the way counts.
    assert_eq!(tags(&links_of(&chain), "b-v3"), ["d-v4", "c-v1"]);
    let gone = [
        link(&first, Some(&found(&first))),
        link(&third, None),
        link(&again, Some(&found(&again))),
    ];
    let doubt = data_since(&gone, "a-v1", |_| false).unwrap_err();
    assert_eq!(doubt, "the record of b-v3 is in doubt");
}
