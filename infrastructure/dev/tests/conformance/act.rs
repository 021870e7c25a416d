//! The workflows themselves, run by `act` on this machine against the rehearsal's platforms: every job, every step.
//!
//! Run by `cargo xtask ci --conformance`. What is replaced are the actions of others: the cache (which hands out the
//! program under test) and the upload and download of artifacts (which tell the simulated GitHub).

mod day_one;
mod runner;
mod setup_action;

use std::collections::BTreeSet;

use rehearsal::test_env::TestEnv;
use serde_json::{Value, json};
use xtask::database::{Digests, Live};
use xtask::secret::Secret;

use runner::Runner;

/// What a shell, a workflow command, Markdown or Slack would each make something of.
const REASON: &str = "\"; rm -rf ~ #$(id)\n::set-output name=pwned::yes\n::error::pwned\n`touch pwned` ${{ github.token }} <!channel>";

#[test]
#[ignore = "runs act for some minutes: cargo xtask ci --conformance"]
fn both_workflows_run_to_their_end_and_a_reason_is_only_text() {
    let folder = tempfile::Builder::new().prefix("xa").tempdir().unwrap();
    let runner = Runner::start(folder.path());
    let env = &runner.env;
    env.seed(300, 1).unwrap();

    let commit = env.commit_release("v1").unwrap();
    runner.approve(1, &commit);
    let first = runner.run("push", "production-deploy", 1, &[]);
    assert!(first.passed, "{:?}\n{}", first.jobs, first.tail());
    let all = BTreeSet::from(["prepare", "test", "request", "approval-1", "approval-2", "deploy"]);
    assert_eq!(first.succeeded(), all, "{}", first.tail());
    let tag = env.release_tags().unwrap().remove(0);
    let before = inventory(env);

    // A release that its health checks refuse: the workflow is red, and its backup is kept all the same.
    let commit = env.commit_release("v2").unwrap();
    runner.approve(2, &commit);
    let second = runner.run("push", "production-deploy", 2, &[]);
    assert!(!second.passed, "{}", second.tail());
    assert_eq!(second.jobs["deploy"], "failure", "{:?}", second.jobs);
    assert_eq!(second.jobs["request"], "success", "{:?}", second.jobs);

    // The rollback's machine has no backup: it finds the one of the deploy among the artifacts.
    let canary = env.folder.join("home/canary");
    std::fs::write(&canary, "alive").unwrap();
    let inputs = [
        ("tag", tag.as_str()),
        ("reason", REASON),
        ("database", "restore"),
        ("urgency", "normal"),
    ];
    // Artifacts of a run that GitHub does not know are not taken.
    let run = json!({"id": 3, "actor": "dev", "triggering_actor": "dev"});
    env.control("/github/runs", &run).unwrap();
    let back = runner.run("workflow_dispatch", "production-rollback", 3, &inputs);
    assert!(back.passed, "{:?}\n{}", back.jobs, back.tail());
    assert_eq!(back.succeeded(), BTreeSet::from(["validate", "rollback"]));
    assert_eq!(
        inventory(env),
        before,
        "the data of before the second release are back"
    );

    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "alive");
    assert!(!back.log.contains("uid="), "{}", back.tail());
    assert!(!back.log.contains("set-output:: pwned"), "{}", back.tail());
    let ledger = env.xtask_json("ledger", &["ledger"]).unwrap();
    let operations = ledger["operations"].as_array().unwrap();
    let last = operations.iter().find(|one| one["kind"] == "rollback").unwrap();
    assert_eq!(last["reason"], REASON);
    for (name, secret) in env.secrets() {
        for ran in [&first, &second, &back] {
            assert!(!ran.log.contains(secret.as_str()), "{name} is in a log");
        }
    }
    let told = env.platform_report().unwrap()["slack"].clone();
    let told: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["text"].as_str())
        .collect();
    for wanted in [
        "waits for approval",
        "the release is live",
        "the release failed",
        "rolled back",
    ] {
        assert!(
            told.iter().any(|text| text.contains(wanted)),
            "{wanted}: {told:?}"
        );
    }
}

fn inventory(env: &TestEnv) -> Value {
    let live = Live::connect(&Secret::new(&env.uri), rehearsal::test_env::DATABASE).unwrap();
    serde_json::to_value(live.inventory(Digests::Full).unwrap()).unwrap()
}
