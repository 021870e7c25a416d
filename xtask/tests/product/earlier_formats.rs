//! What an earlier version recorded stays readable: its ledger, its release tags, its journals. The fixtures were written
//! by a whole pipeline; three of its operations were killed midway, and of those the records at that moment are kept too.

use std::path::{Path, PathBuf};

use mongodb::bson::{Document, doc};
use serde_json::Value;
use xtask::domain::ledger::{LedgerState, OperationOutcome};
use xtask::domain::release::{Health, Release};
use xtask::operation::journal::{STEP_TAG, read_file};
use xtask::operation::ledger::{Ledger, LockTiming};
use xtask::tools::git::Git;

use rehearsal::test_env::git::git;
use rehearsal::test_env::restore::RestoreEnv;

const LEDGER: &str = "refs/xtask/ledger/production";

/// A clone whose remote holds what the earlier version pushed.
struct Earlier {
    dir: tempfile::TempDir,
}

impl Earlier {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "--quiet", "--bare", "remote.git"]);
        fetch_bundle(&dir.path().join("remote.git"));
        git(dir.path(), &["init", "--quiet", "clone"]);
        let earlier = Self { dir };
        git(
            &earlier.clone_dir(),
            &["remote", "add", "origin", "../remote.git"],
        );
        earlier
    }

    /// The ledger as it was when the operation of this name had been killed.
    fn midway(name: &str) -> Self {
        let earlier = Self::new();
        let then = format!("refs/midway/{name}");
        let remote = earlier.dir.path().join("remote.git");
        git(&remote, &["update-ref", LEDGER, &then]);
        earlier
    }

    fn clone_dir(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    fn git(&self) -> Git {
        Git::at(&self.clone_dir(), "origin")
    }

    fn state(&self) -> LedgerState {
        Ledger::with_timing(self.git(), "production", LockTiming::default())
            .state()
            .unwrap()
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/first-version")
}

fn fetch_bundle(repository: &Path) {
    let bundle = fixtures().join("remote.bundle");
    let bundle = bundle.to_str().unwrap();
    git(repository, &["fetch", "--quiet", bundle, "refs/*:refs/*"]);
}

/// The operations that were killed, with the folder of each as it was then.
fn killed(name: &str) -> (String, PathBuf) {
    let folder = fixtures().join("midway").join(name);
    let mut entries = std::fs::read_dir(folder).unwrap();
    let entry = entries.next().unwrap().unwrap();
    (entry.file_name().into_string().unwrap(), entry.path())
}

/// The facts of every step that a journal shows as done.
fn journalled(operation: &Path) -> Vec<(String, Value)> {
    let entries: Vec<Value> = read_file(&operation.join("steps.jsonl"), STEP_TAG).unwrap();
    let done = entries.iter().filter(|entry| entry["entry"] == "done");
    done.map(|entry| (entry["step"].as_str().unwrap().to_owned(), entry["facts"].clone()))
        .collect()
}

#[test]
fn the_ledger_replays_to_the_operations_that_were_made() {
    let state = Earlier::new().state();
    assert_eq!(state.void, []);
    let operations: Vec<_> = state
        .operations
        .iter()
        .map(|operation| {
            let outcome = operation.ended.as_ref().unwrap().outcome;
            (operation.id.as_str(), operation.started.kind.as_str(), outcome)
        })
        .collect();
    let expected = [
        ("20261127-044347-8a77", "deploy", OperationOutcome::Done),
        ("20261127-044351-8ce3", "deploy", OperationOutcome::Done),
        ("20261127-044422-7be3", "rollback", OperationOutcome::Undone),
        ("20261127-044440-e9a7", "rollback", OperationOutcome::Done),
        ("20261127-044453-958f", "rollback", OperationOutcome::Done),
        ("20261127-044529-eb35", "deploy", OperationOutcome::Done),
        ("20261127-044543-7f1e", "restore", OperationOutcome::Done),
        ("20261127-044551-f75a", "restore", OperationOutcome::Done),
        ("20261127-044554-4068", "restore", OperationOutcome::Done),
        ("20261127-044600-5851", "restore", OperationOutcome::Done),
        ("20261127-044606-2d3e", "restore", OperationOutcome::Undone),
    ];
    assert_eq!(operations, expected);
}

#[test]
fn an_operation_that_was_killed_can_be_taken_over_from_the_step_it_had_reached() {
    let cases = [
        ("rollback", "frontend back"),
        ("deploy", "check staged frontend"),
        ("restore", "swap begins"),
    ];
    for (kind, last_step) in cases {
        let state = Earlier::midway(kind).state();
        assert_eq!(state.void, [], "{kind}");
        let unfinished = state.unfinished().expect(kind);
        assert_eq!(unfinished.id.as_str(), killed(kind).0);
        assert_eq!(unfinished.started.kind, kind);
        assert_eq!(unfinished.steps.last().unwrap().name, last_step);
        assert!(state.holds(&unfinished.id, unfinished.fence), "{kind}");
    }
}

#[test]
fn every_release_tag_gives_its_record() {
    let recorded = Earlier::new().git().recorded_releases("prod").unwrap();
    let releases: Vec<_> = recorded
        .iter()
        .map(|one| Release::from_message(&one.name, &one.message).unwrap())
        .collect();
    let found: Vec<_> = releases
        .iter()
        .map(|release| {
            let (tag, restores) = (release.tag.as_str(), release.restores.as_deref());
            (tag, release.operation.as_str(), release.health, restores)
        })
        .collect();
    let (first, second) = ("prod-20261127-044350", "prod-20261127-044353");
    let expected = [
        (first, "20261127-044347-8a77", Health::Healthy, None),
        (second, "20261127-044351-8ce3", Health::Unhealthy, None),
        (
            "prod-20261127-044450",
            "20261127-044440-e9a7",
            Health::Healthy,
            Some(first),
        ),
        (
            "prod-20261127-044526",
            "20261127-044453-958f",
            Health::Unhealthy,
            Some(second),
        ),
        (
            "prod-20261127-044537",
            "20261127-044529-eb35",
            Health::Healthy,
            None,
        ),
    ];
    assert_eq!(found, expected);
    assert!(
        releases
            .iter()
            .all(|release| release.backup.is_some() && release.health_report.is_some())
    );
}

#[test]
fn a_journal_of_steps_has_what_the_ledger_has_with_the_same_facts() {
    let state = Earlier::new().state();
    for operation in state
        .operations
        .iter()
        .filter(|one| one.started.kind != "restore")
    {
        let journal = journalled(&fixtures().join("operations").join(operation.id.as_str()));
        for step in &operation.steps {
            // What marks the way back stands in the ledger only.
            let marks = step.name == "going back";
            let same = journal.contains(&(step.name.clone(), step.facts.clone()));
            assert!(marks || same, "{}: {}", operation.id, step.name);
        }
    }
}

#[test]
fn a_step_that_did_not_reach_the_ledger_stands_in_the_journal() {
    let state = Earlier::midway("deploy").state();
    let ledger = &state.unfinished().unwrap().steps;
    let journal = journalled(&killed("deploy").1);
    let (last, before) = journal.split_last().unwrap();
    assert_eq!(last.0, "upload backend");
    let recorded: Vec<_> = ledger
        .iter()
        .map(|step| (step.name.clone(), step.facts.clone()))
        .collect();
    assert_eq!(before, recorded);
}

/// A repository and a server, with these folders of operations.
fn environment(operations: &[PathBuf]) -> RestoreEnv {
    let env = RestoreEnv::start();
    // Only the restores of the configured database are listed.
    env.configure(|pipeline| pipeline.replace("database = \"shop\"", "database = \"sample\""));
    let folder = env.root().join(".xtask/operations");
    for operation in operations {
        let copy = folder.join(operation.file_name().unwrap());
        std::fs::create_dir_all(&copy).unwrap();
        for entry in std::fs::read_dir(operation).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    env
}

/// Operation and phase of each restore that the program lists.
fn phases(env: &RestoreEnv) -> Vec<(String, String)> {
    let listed = env.ok(&["restore", "--list"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let restores = listed["restores"].as_array().unwrap().iter();
    restores
        .map(|one| (text(&one["operation"]), text(&one["phase"])))
        .collect()
}

#[test]
fn the_program_shows_what_was_recorded() {
    let folders = std::fs::read_dir(fixtures().join("operations")).unwrap();
    let folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    let env = environment(&folders);
    fetch_bundle(&env.dir.path().join("remote.git"));
    // Without what a restore keeps beside the live data, another machine has dropped it.
    let database = env.live().with_database("sample").database().clone();
    for id in [
        "20261127-044440-e9a7",
        "20261127-044453-958f",
        "20261127-044600-5851",
    ] {
        let kept = database.collection::<Document>(&format!("__old_{id}_users"));
        kept.insert_one(doc! { "_id": 1 }).run().unwrap();
    }
    let ledger = env.ok(&["ledger"]);
    assert_eq!(ledger["operations"].as_array().unwrap().len(), 11);
    let metrics = env.ok(&["metrics"]);
    assert_eq!(
        (&metrics["deployments"], &metrics["rollbacks"]),
        (&3.into(), &2.into())
    );
    let expected = [
        ("20261127-044422-7be3", "undone"),
        ("20261127-044440-e9a7", "swapped"),
        ("20261127-044453-958f", "swapped"),
        ("20261127-044543-7f1e", "undone"),
        ("20261127-044554-4068", "forgotten"),
        ("20261127-044600-5851", "swapped"),
        ("20261127-044606-2d3e", "undone"),
    ];
    assert_eq!(
        phases(&env),
        expected.map(|(id, phase)| (id.to_owned(), phase.to_owned()))
    );
}

#[test]
fn the_program_shows_a_restore_that_was_killed_midway_as_such() {
    let killed = ["rollback", "restore"].map(killed);
    // Without the ledger, which has how they ended later.
    let env = environment(&killed.clone().map(|(_, folder)| folder));
    let expected = killed.map(|(id, _)| (id, "swapping".to_owned()));
    assert_eq!(phases(&env), expected);
}
