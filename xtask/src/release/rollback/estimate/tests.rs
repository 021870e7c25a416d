use std::collections::BTreeMap;

use super::*;
use crate::domain::parts::{BACKEND, FRONTEND, OnRailway, OnVercel, ReleaseParts};
use crate::domain::release::{DatabaseAction, Health, RELEASE_SCHEMA};
use crate::release::rollback::backend::BackendBack;

fn release(tag: &str, restores: Option<&str>, took_s: &[(Step, u64)]) -> Release {
    let timings_ms: BTreeMap<String, u64> = took_s
        .iter()
        .map(|(step, s)| (step.name().to_owned(), s * 1_000))
        .collect();
    Release {
        schema: RELEASE_SCHEMA.into(),
        tag: tag.into(),
        environment: "production".into(),
        operation: String::new(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        commit: String::new(),
        parts: ReleaseParts::one_of_each(railway(), vercel()),
        backup: None,
        snapshot: None,
        approvers: Vec::new(),
        actor: String::new(),
        reason: None,
        health: Health::Healthy,
        variables: Vec::new(),
        schema_fingerprint: None,
        ledger: None,
        rollback_of: None,
        restores: restores.map(str::to_owned),
        timings_ms,
        health_report: None,
    }
}

fn railway() -> OnRailway {
    OnRailway {
        deployment: "d".into(),
        image_digest: None,
        commit: None,
        settings: BTreeMap::new(),
    }
}

fn vercel() -> OnVercel {
    OnVercel {
        deployment: "dpl".into(),
        commit: None,
    }
}

fn plan(backend: Backend, restores: bool) -> RollbackPlan {
    let why = String::new();
    RollbackPlan {
        environment: "production".into(),
        target: "v1".into(),
        commit: String::new(),
        from: "v2".into(),
        database: if restores {
            DatabaseAction::Restore { why }
        } else {
            DatabaseAction::Keep { why }
        },
        backup: None,
        backends: BTreeMap::from([(
            BACKEND.to_owned(),
            BackendBack {
                how: backend,
                to: railway(),
            },
        )]),
        frontends: BTreeMap::from([(FRONTEND.to_owned(), vercel())]),
        stays: None,
        migrations: Vec::new(),
        external: Vec::new(),
        notes: Vec::new(),
    }
}

const DEPLOY: [(Step, u64); 5] = [
    (Step::Backup, 20),
    (Step::UploadBackend, 10),
    (Step::BackendServes, 200),
    (Step::PromoteFrontend, 5),
    (Step::CheckRelease, 7),
];

fn told(estimate: &RollbackEstimate) -> Vec<(&str, Option<u64>, &str)> {
    let phases = estimate.phases.iter();
    phases
        .map(|phase| (phase.phase, phase.ms.map(|ms| ms / 1_000), phase.from.as_str()))
        .collect()
}

#[test]
fn before_the_first_rollback_the_deploys_tell_what_they_can_and_the_rest_is_named_as_not_measured() {
    let releases = [release("v1", None, &DEPLOY), release("v2", None, &[])];
    let kept = estimate(&plan(Backend::Image, false), &releases, 900_000);
    assert_eq!(
        told(&kept),
        [
            ("safety backup", Some(20), "the deploy v1"),
            ("backend, with its image", Some(200), "the deploy v1"),
            ("frontend", Some(5), "the deploy v1"),
            ("health checks", Some(7), "the deploy v1"),
        ]
    );
    assert_eq!((kept.total_ms, kept.is_partial()), (227_000, false));
    let restored = estimate(&plan(Backend::Rebuild, true), &releases, 900_000);
    let built = ("backend, built again", Some(210), "the deploy v1");
    assert!(told(&restored).contains(&built), "{restored:?}");
    let unknown = "no release of this environment has measured it";
    assert!(
        told(&restored).contains(&("swap of the database", None, unknown)),
        "{restored:?}"
    );
    assert!(restored.is_partial());
}

#[test]
fn an_earlier_rollback_tells_more_and_what_runs_at_the_same_time_counts_once() {
    let back = [
        (Step::SafetyBackup, 30),
        (Step::PrepareShadow, 50),
        (Step::SwapDatabase, 2),
        (Step::RollBackBackend, 60),
        (Step::RollBackFrontend, 9),
        (Step::ProveDatabase, 4),
        (Step::CheckRelease, 3),
    ];
    let releases = [
        release("v1", None, &DEPLOY),
        release("v2", None, &DEPLOY),
        release("v3", Some("v1"), &back),
        release("v4", None, &DEPLOY),
    ];
    let estimated = estimate(&plan(Backend::Image, true), &releases, 900_000);
    assert!(
        told(&estimated)
            .iter()
            .all(|(_, _, from)| *from == "the rollback v3")
    );
    assert_eq!(estimated.total_ms, (50 + 2 + 60 + 4 + 3) * 1_000);
    assert_eq!(estimated.beside_data_ms(), (60 + 3) * 1_000);
}
