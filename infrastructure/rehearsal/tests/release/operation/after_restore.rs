//! What follows a restore, and everything that can go wrong in the middle of it: what it kept beside is dropped, and documents
//! of its rescue file are put back. After each: the same command ends it, no document of the old state is lost, and none is
//! there twice.

use serde_json::Value;

use super::disturbed::ended_well;
use super::fault::Asks;
use super::restore::{RestoreStep, Restored, all_steps};
use super::table::Cell;
use rehearsal::test_env::restore::crash::NEW_DOCUMENTS;

/// The first rows are those of `--forget`, so many.
const OF_FORGET: usize = 6;

const STEPS: &[RestoreStep] = &[
    (
        "forget: read what is kept",
        "read:1:*/pipeline.toml",
        Asks::Database,
    ),
    ("forget: ask the ledger", "start:1:*git", Asks::Command),
    (
        "forget: check that each document is elsewhere",
        "read:1:BACKUP/mongodb-backup-*",
        Asks::File,
    ),
    (
        "forget: check the rescue file",
        "read:1:*/rescue/mongodb-backup-*",
        Asks::File,
    ),
    (
        "forget: drop a collection",
        "text:\"event\":\"forget-begun\"",
        Asks::Database,
    ),
    (
        "forget: record that it is done",
        "text:\"event\":\"forgotten\"",
        Asks::Command,
    ),
    (
        "reinsert: read what is live",
        "read:1:*/pipeline.toml",
        Asks::Database,
    ),
    ("reinsert: ask the ledger", "start:1:*git", Asks::Command),
    (
        "reinsert: check the rescue file",
        "read:1:*/rescue/mongodb-backup-*",
        Asks::File,
    ),
    (
        "reinsert: insert documents",
        "read:2:*/rescue/mongodb-backup-*",
        Asks::Database,
    ),
];

fn disturb(restored: &Restored, cell: &Cell) -> String {
    let env = &restored.case.env;
    let report = env.ok(&restored.restore());
    let operation = report["operation"].as_str().unwrap();
    let rescue = report["rescue"]["path"].as_str().unwrap();
    if cell.row < OF_FORGET {
        let verdict = disturb_verb(restored, &["restore", "--forget", operation], cell);
        assert_forgotten(restored, rescue, &cell.told);
        restored.case.begin_anew();
        return verdict;
    }
    let verdict = disturb_verb(restored, &["restore", "--reinsert", rescue], cell);
    assert_reinserted(restored, rescue, &cell.told);
    env.ok(&["restore", "--undo", operation]);
    assert_eq!(
        restored.case.changed.compare(&env.inventory()),
        [],
        "{}",
        cell.told
    );
    restored.case.forget_all();
    verdict
}

/// The command is disturbed, and run again where it did not end.
fn disturb_verb(restored: &Restored, verb: &[&str], cell: &Cell) -> String {
    let ended = restored.run(verb, &restored.disturbance(cell));
    restored.case.env.proxy.as_ref().unwrap().mend();
    let verdict = ended_well(&ended, &cell.told);
    if ended.code == Some(0) {
        return verdict;
    }
    // Nobody else was there: a database that does not answer has not changed.
    assert!(
        !ended.error().to_string().contains("changed-since-plan"),
        "{}: {}",
        cell.told,
        ended.error()
    );
    let again = restored.run(verb, &[]);
    let told = format!("{}, again: {}", cell.told, again.error());
    if told.contains("error[forgotten-before]") {
        return format!("{verdict}, all was dropped");
    }
    assert_eq!(again.code, Some(0), "{told}");
    let outcome = &restored.last_operation()["ended"]["outcome"];
    assert_eq!(outcome, "done", "{told}");
    format!("{verdict}, run again")
}

/// What was restored is live, nothing is beside it, and what only the old state had is in the rescue file.
fn assert_forgotten(restored: &Restored, rescue: &str, told: &str) {
    let (case, env) = (&restored.case, &restored.case.env);
    assert_eq!(case.backed_up.compare(&env.inventory()), [], "{told}");
    case.assert_nothing_beside();
    assert_eq!(
        documents(&env.ok(&["restore", "--reinsert", rescue])),
        NEW_DOCUMENTS,
        "{told}"
    );
}

/// Each document of the rescue file is live once: a second time all of them are conflicts.
fn assert_reinserted(restored: &Restored, rescue: &str, told: &str) {
    let again = restored.case.env.ok(&["restore", "--reinsert", rescue]);
    assert_eq!(
        (documents(&again), &again["conflicts"]),
        (0, &NEW_DOCUMENTS.into()),
        "{told}"
    );
}

fn documents(reinserted: &Value) -> u64 {
    let inserted = reinserted["inserted"].as_object().unwrap().values();
    inserted.map(|count| count.as_u64().unwrap()).sum()
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn every_step_after_a_restore_is_disturbed() {
    let start = || Restored::in_place(STEPS);
    all_steps("steps after a restore", 1, start, disturb);
}
