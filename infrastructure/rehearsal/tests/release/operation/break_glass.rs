//! A rollback while the git remote does not answer, from a copy of the records; its machine is lost, others act meanwhile, and the
//! ledger gets all of it.

use std::path::Path;

use serde_json::Value;
use xshell::{Shell, cmd};
use xtask::domain::ledger::OperationOutcome;
use xtask::exec::Finished;
use xtask::operation::ledger::{Ledger, LockTiming, Start};
use xtask::tools::git::Git;

use super::case::Case;

fn refused(ended: &Finished, why: &str) {
    let told = ended.stderr_tail.join("\n");
    assert_eq!(ended.code, Some(3), "{told}");
    assert!(told.contains(why), "{why}: {told}");
}

/// What a scheduled job of a team keeps somewhere else.
fn mirror(case: &Case, to: &Path) {
    let sh = Shell::new().unwrap();
    let from = case.env.folder.join("origin.git");
    case.env
        .in_env(cmd!(sh, "git clone --quiet --mirror {from} {to}"))
        .run()
        .unwrap();
}

/// An operation of somebody who reached the remote before.
fn act_meanwhile(clone: &Path) {
    let mut ledger = Ledger::with_timing(Git::at(clone, "origin"), "production", LockTiming::default());
    let start = Start {
        kind: "reinsert".into(),
        reason: "a test".into(),
        target: "20260102-030405".into(),
        plan_sha256: String::new(),
        plan: Value::Null,
        over: None,
    };
    let lock = ledger.begin(start).unwrap();
    lock.finish(OperationOutcome::Done, Value::Null).unwrap();
}

#[test]
fn a_rollback_without_the_remote_is_locked_by_the_database_and_recorded_when_it_answers() {
    let case = Case::new();
    case.env.commit_release("v3").unwrap();
    case.ok(&["deploy"]);
    let folder = &case.env.folder;
    let (remote, away, kept) = (
        folder.join("origin.git"),
        folder.join("away.git"),
        folder.join("kept.git"),
    );
    let rollback = ["rollback", &case.old_tag, "--reason", "prices are wrong"];
    let glass = |name: &'static str| [&rollback[..], &["--break-glass", name]].concat();
    refused(
        &case.run(&glass("production"), &[]),
        "there is no need for --break-glass",
    );
    mirror(&case, &kept);
    std::fs::rename(&remote, &away).unwrap();
    refused(
        &case.run(&glass("staging"), &[]),
        "not the name of the environment",
    );
    assert_ne!(case.run(&rollback, &[]).code, Some(0));

    // A machine that has read nothing of the ledger has the copy that was kept.
    let bob = case.env.clone_at("bob", &away).unwrap();
    let records = ["--records", kept.to_str().unwrap(), "--format", "json"];
    let back = case.run_in(&bob, &[&glass("production")[..], &records].concat(), &[]);
    assert_eq!(back.code, Some(0), "{}", back.error());
    let back: Value = serde_json::from_str(&back.stdout).unwrap();
    let tag = back["release"]["tag"].as_str().unwrap();
    refused(&case.run(&glass("production"), &[]), "is not in the ledger yet");

    std::fs::remove_dir_all(&bob).unwrap();
    std::fs::rename(&away, &remote).unwrap();
    refused(
        &case.run(&["deploy", "--plan"], &[]),
        "cargo xtask ledger --repair",
    );
    act_meanwhile(&case.env.clone_dir());
    let repaired = case.ok(&["ledger", "--repair"]);
    let told = repaired.stderr_tail.join("\n");
    assert!(told.contains(&format!("in it now: {tag}")), "{told}");
    assert_eq!(case.seen(), case.old());
    let last = case.last_operation();
    assert_eq!(last["kind"], "break-glass");
    assert_eq!(last["ended"]["facts"]["adopted"][0]["tag"], tag);
    let again = case.run(&[&rollback[..], &["--plan"]].concat(), &[]);
    refused(&again, &format!("is live already, as {tag}"));
    case.ok(&["deploy", "--plan", "--allow-rolled-back"]);
}
