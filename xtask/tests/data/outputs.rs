//! What stands behind stdout and stderr: full disks, readers that have ended; and free text that would act on a terminal.

use std::fs::File;
use std::process::{Command, Stdio};

use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::{RestoreEnv, change, seed};

/// Escape sequences, a row of its own, a mark of direction, and a length that nobody reads.
fn hostile_reason() -> String {
    let row = "prod-20260101-120000  live";
    format!(
        "why\u{1b}]0;title\u{7}\u{9b}2J\n{row}\u{202e} {}",
        "x".repeat(60_000)
    )
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has ended.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn code(mut command: Command, stdout: Stdio, stderr: Stdio) -> Option<i32> {
    command.stdout(stdout).stderr(stderr).status().unwrap().code()
}

#[test]
fn the_exit_code_reports_what_happened_to_the_data_whatever_is_behind_the_outputs() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    change(&env);
    let changed = env.inventory();

    let output = env
        .xtask(&["restore", backup, "--yes"])
        .stdout(full())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let warning = "warning: cannot write the result to stdout: No space left on device";
    assert!(told(&output).contains(warning), "{}", told(&output));
    assert!(
        !changed.compare(&env.inventory()).is_empty(),
        "the restore took place"
    );
    let ended = |kind: &str, outcome: &str| {
        let ledger = env.ok(&["ledger"]);
        let last = ledger["operations"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["kind"], kind, "{last}");
        assert_eq!(last["ended"]["outcome"], outcome, "{last}");
    };
    ended("restore", "done");
    let list = env.ok(&["restore", "--list"]);
    let operation = list["restores"][0]["operation"].as_str().unwrap();
    let undo = env.xtask(&["restore", "--undo", operation, "--yes"]);
    assert_eq!(code(undo, closed(), closed()), Some(0));
    assert_eq!(changed.compare(&env.inventory()), []);
    ended("restore", "done");
    let rescue = list["restores"][0]["rescues"][0]["id"].as_str().unwrap();
    for (args, kind) in [
        (["restore", "--reinsert", rescue, "--yes"], "reinsert"),
        (["restore", "--forget", operation, "--yes"], "forget"),
    ] {
        assert_eq!(code(env.xtask(&args), full(), closed()), Some(0), "{args:?}");
        ended(kind, "done");
    }
    assert_eq!(code(env.xtask(&["backup"]), full(), closed()), Some(0));

    // What only reads fails where its result is lost, and not where the reader has read enough.
    let reads: [&[&str]; 4] = [
        &["restore", "--list"],
        &["backup", "list"],
        &["ledger"],
        &["completions", "bash"],
    ];
    for args in reads {
        assert_eq!(code(env.xtask(args), full(), Stdio::null()), Some(1), "{args:?}");
        assert_eq!(code(env.xtask(args), closed(), closed()), Some(0), "{args:?}");
    }
    // An error has its exit code, and is no panic, where nobody can read it.
    let refused = ["restore", "--undo", operation, "--resume", operation];
    assert_eq!(code(env.xtask(&refused), closed(), closed()), Some(2));
    let absent = ["restore", "20200101-000000", "--yes"];
    let expected = env.xtask(&absent).output().unwrap().status.code();
    assert_eq!(code(env.xtask(&absent), full(), full()), expected);
    assert_ne!(expected, Some(101));
}

#[test]
fn free_text_of_others_makes_no_row_and_acts_on_no_terminal() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    let reason = hostile_reason();
    let restored = env.ok(&["restore", backup.to_str().unwrap(), "--reason", &reason]);
    let operation = restored["operation"].as_str().unwrap();
    let views: [&[&str]; 3] = [&["ledger"], &["ledger", operation], &["restore", "--list"]];
    for args in views {
        let output = env.xtask(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", told(&output));
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            !shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']),
            "{args:?}: {shown:?}"
        );
        assert!(
            !shown.lines().any(|line| line.trim_start().starts_with("prod-")),
            "{args:?}: {shown}"
        );
        assert!(
            shown.chars().count() < 5_000,
            "{args:?}: {} characters",
            shown.len()
        );
    }
    // JSON has the whole text, and nothing in it that acts.
    let output = env.xtask(&["ledger", "--format", "json"]).output().unwrap();
    let json = String::from_utf8(output.stdout).unwrap();
    assert!(!json.contains(['\u{1b}', '\u{9b}', '\u{202e}']));
    let ledger: serde_json::Value = serde_json::from_str(&json).unwrap();
    let same = |operation: &serde_json::Value| operation["reason"] == reason.as_str();
    assert!(
        ledger["operations"].as_array().unwrap().iter().any(same),
        "{json}"
    );
}
