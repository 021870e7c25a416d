//! What a workflow does where only its artifacts outlive the job: prepare, upload the backup, resume.

use std::path::{Path, PathBuf};

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::sync::{Client, Collection};
use rehearsal::test_env::{DATABASE, zipped};
use serde_json::{Value, json};
use xtask::exec::Finished;

use super::case::Case;
use super::fault::Library;

/// The run whose artifacts are taken.
const RUN: u64 = 7;

fn job() -> Vec<(&'static str, String)> {
    vec![("GITHUB_ACTIONS", "true".to_owned())]
}

fn refused(ended: &Finished, why: &str) {
    let told = ended.stderr_tail.join("\n");
    assert_eq!(ended.code, Some(3), "{told}");
    assert!(told.contains(why), "{why}: {told}");
}

/// Prepares an operation: its id, and the folder of its backup.
fn prepare(case: &Case, args: &[&str]) -> (String, PathBuf) {
    let outputs = case.env.folder.join("outputs");
    std::fs::remove_file(&outputs).ok();
    let mut env = job();
    env.push(("GITHUB_OUTPUT", outputs.display().to_string()));
    let prepared = case.run(&[args, &["--prepare", "--format", "json"]].concat(), &env);
    assert_eq!(prepared.code, Some(0), "{}", prepared.error());
    let report: Value = serde_json::from_str(&prepared.stdout).unwrap();
    let outputs = std::fs::read_to_string(outputs).unwrap();
    let output = |name: &str| {
        let (_, rest) = outputs.split_once(&format!("{name}<<")).unwrap();
        rest.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(report["operation"], output("operation").as_str());
    (output("operation"), output("backup-path").into())
}

/// What the upload step of a workflow leaves.
fn upload(case: &Case, id: &str, folder: &Path) {
    let run = json!({"id": RUN, "event": "push"});
    case.env.control("/github/runs", &run).unwrap();
    let artifact = json!({"name": format!("mongodb-backup-{id}"), "run": RUN, "zip": zipped(folder)});
    case.env.control("/github/artifacts", &artifact).unwrap();
}

fn name_of(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
}

#[test]
fn nothing_is_live_in_a_job_before_its_backup_is_elsewhere_and_was_read_back() {
    let case = Case::new();
    let before = case.seen();
    case.env.commit_release("v3").unwrap();
    refused(
        &case.run(&["deploy"], &job()),
        "no storage of pipeline.toml outlives it",
    );

    // One that was only prepared is in nobody's way.
    let (first, other) = prepare(&case, &["deploy"]);
    let (second, folder) = prepare(&case, &["deploy"]);
    let replaced = case.run(&["deploy", "--resume", &first], &job());
    assert_ne!(replaced.code, Some(0), "{}", replaced.error());
    // Another backup under its name is not it.
    upload(&case, name_of(&folder), &other);
    refused(
        &case.run(&["deploy", "--resume", &second], &job()),
        "is only on this machine",
    );
    assert_eq!(case.last_operation()["ended"]["outcome"], "failed");
    assert_eq!(case.seen(), before);

    // What is left of the job, and the age of the backup, are checked right before the first live step.
    let (third, folder) = prepare(&case, &["deploy"]);
    upload(&case, name_of(&folder), &folder);
    let late = Library::compile(&case.env.folder).env("", "start:1:*git", "clock:7200");
    refused(&case.run(&["deploy", "--resume", &third], &late), "minutes ago");
    let mut soon = job();
    let ends = (chrono::Utc::now() + chrono::TimeDelta::seconds(90)).timestamp();
    soon.push(("XTASK_JOB_ENDS", ends.to_string()));
    refused(
        &case.run(&["deploy", "--resume", &third], &soon),
        "the job ends in ",
    );
    assert_eq!(case.last_operation()["ended"]["outcome"], "failed");
    assert_eq!(case.seen(), before);

    let (deploy, folder) = prepare(&case, &["deploy"]);
    upload(&case, name_of(&folder), &folder);
    let live = case.run(&["deploy", "--resume", &deploy], &job());
    assert_eq!(live.code, Some(0), "{}", live.error());

    // The machine that prepared the rollback is gone: the next job has neither its clone nor its folder of backups.
    let (rollback, safety) = prepare(&case, &["rollback", &case.old_tag, "--reason", "test"]);
    upload(&case, name_of(&safety), &safety);
    upload(&case, name_of(&folder), &folder);
    // The faulty release goes on making collections: its rollback is not refused for them.
    notes(&case).insert_one(doc! { "_id": 1 }).run().unwrap();
    std::fs::remove_dir_all(case.env.folder.join("backups")).unwrap();
    let next = case.env.clone_of("next-job").unwrap();
    let back = case.run_in(&next, &["rollback", "--resume", &rollback], &job());
    assert_eq!(back.code, Some(0), "{}", back.error());
    let told = back.stderr_tail.join("\n");
    assert!(told.contains("of an earlier process are the backup's"), "{told}");
    assert_eq!(case.seen(), before);
}

fn notes(case: &Case) -> Collection<Document> {
    let client = Client::with_uri_str(&case.env.uri).unwrap();
    client.database(DATABASE).collection("notes")
}

#[test]
fn a_restore_that_was_prepared_is_finished_by_another_job_and_not_over_another_schema() {
    let case = Case::new();
    notes(&case).insert_one(doc! { "_id": 1 }).run().unwrap();
    let (before, backup) = (case.data(), case.ok(&["backup", "create", "--format", "json"]));
    let backup: Value = serde_json::from_str(&backup.stdout).unwrap();
    let backup = PathBuf::from(backup["path"].as_str().unwrap());
    let backup = backup.parent().unwrap();
    let id = name_of(backup).to_owned();
    notes(&case).insert_one(doc! { "_id": 2 }).run().unwrap();
    let changed = case.data();
    refused(
        &case.run(&["restore", &id], &job()),
        "no storage of pipeline.toml outlives it",
    );

    let (first, _) = prepare(&case, &["restore", &id]);
    refused(
        &case.run(&["restore", "--resume", &first], &job()),
        "is only on this machine",
    );
    assert_eq!(case.last_operation()["ended"]["outcome"], "failed");
    assert_eq!(case.data(), changed);

    // Between the two jobs the application makes an index: nobody was shown that it would be lost.
    let (second, safety) = prepare(&case, &["restore", &id]);
    upload(&case, name_of(&safety), &safety);
    upload(&case, &id, backup);
    let index = IndexModel::builder().keys(doc! { "by": 1 }).build();
    let made = notes(&case).create_index(index).run().unwrap();
    refused(
        &case.run(&["restore", "--resume", &second], &job()),
        "the schema of the data (collections, options or indexes) has changed",
    );
    notes(&case).drop_index(made.index_name).run().unwrap();
    assert_eq!(case.data(), changed);

    // The next job has neither the clone of the one that prepared it nor its folder of backups.
    std::fs::remove_dir_all(case.env.folder.join("backups")).unwrap();
    let next = case.env.clone_of("next-job").unwrap();
    let done = case.run_in(&next, &["recover", "--resume"], &job());
    assert_eq!(done.code, Some(0), "{}", done.error());
    let told = done.stderr_tail.join("\n");
    assert!(told.contains("of an earlier process are the backup's"), "{told}");
    assert_eq!(case.last_operation()["id"], second.as_str());
    assert_eq!(case.data(), before);
}
