//! What stands behind the outputs of a deploy and a rollback: a full disk, a reader that has read one line and ended. The exit code and
//! the ledger report what happened to production all the same; and the free text of a reason acts on no terminal.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use super::case::Case;

/// Less than any operation takes.
const BUDGETS: &str = "\n[budgets]\ntotal_s = 1\n";
/// A title, a cleared screen, a row of a table, and a mark of direction.
const HOSTILE: &str = "why\u{1b}]0;title\u{7}\u{9b}2J\n live  prod-20990101-000000\u{202e} and more";

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has ended.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

fn command(case: &Case, args: &[&str]) -> Command {
    let env = &case.env;
    let mut command = Command::new(env.program());
    command
        .args([args, &["--yes"]].concat())
        .current_dir(env.clone_dir())
        .env_clear()
        .envs(env.environment());
    command
}

/// As `2>&1 | head -1`.
fn head_of(mut command: Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut running = command.spawn().unwrap();
    drop(command);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    (running.wait().unwrap().code(), line)
}

fn shown(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Exit code 0 is what the ledger has too. Gives the operation.
fn assert_done(case: &Case, kind: &str, code: Option<i32>) -> String {
    assert_outcome(case, kind, "done", code, "")
}

fn assert_outcome(case: &Case, kind: &str, outcome: &str, code: Option<i32>, told: &str) -> String {
    let last = case.last_operation();
    assert_eq!(
        (code, &last["ended"]["outcome"], &last["kind"]),
        (Some(0), &outcome.into(), &kind.into()),
        "{told}\n{last:#}"
    );
    last["id"].as_str().unwrap().to_owned()
}

fn assert_ended(case: &Case, kind: &str, outcome: &str, ended: &Output) -> String {
    assert_outcome(case, kind, outcome, ended.status.code(), &shown(ended).1)
}

#[test]
fn the_exit_code_reports_what_happened_to_production_whatever_is_behind_the_outputs() {
    let case = Case::with(|pipeline| pipeline.to_owned() + BUDGETS);
    case.env.commit_release("v3").unwrap();
    let deployed = command(&case, &["deploy"]).stdout(full()).output().unwrap();
    assert_done(&case, "deploy", deployed.status.code());
    let (_, told) = shown(&deployed);
    let warning = "warning: cannot write the result to stdout: No space left on device";
    assert!(told.contains(warning), "{told}");
    assert!(
        told.contains("the whole operation") && told.contains("over its budget of 1.0 s"),
        "{told}"
    );
    let new = case.seen();
    assert_ne!(new, case.old());
    let deployed = case.newest_record().tag;

    let back = command(&case, &["rollback", &case.old_tag, "--reason", HOSTILE]);
    let (code, line) = head_of(back);
    assert!(!line.is_empty(), "it has printed a line");
    let rollback = assert_done(&case, "rollback", code);
    assert_eq!(case.seen(), case.old());

    for args in [
        &["releases"][..],
        &["ledger"],
        &[
            "rollback",
            &deployed,
            "--reason",
            HOSTILE,
            "--plan",
            "--allow-drift",
        ],
    ] {
        let viewed = command(&case, args).output().unwrap();
        let (result, progress) = shown(&viewed);
        assert_eq!(viewed.status.code(), Some(0), "{args:?}: {progress}");
        for text in [&result, &progress] {
            assert!(
                !text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']),
                "{args:?}: {text:?}"
            );
            let row = text
                .lines()
                .any(|line| line.trim_start().starts_with("live  prod-2099"));
            assert!(!row, "{args:?}: {text}");
        }
    }

    let undone = command(&case, &["rollback", "--undo", &rollback])
        .stderr(full())
        .output()
        .unwrap();
    assert_done(&case, "rollback", undone.status.code());
    let (result, _) = shown(&undone);
    assert!(result.contains("over the budget of 1.0 s"), "{result}");
    assert_eq!(case.seen(), new);
}

#[test]
fn what_is_prepared_finished_and_undone_is_so_whatever_is_behind_stdout() {
    let case = Case::new();
    for behind in [full, closed] {
        let run = |args: &[&str]| command(&case, args).stdout(behind()).output().unwrap();
        case.env.commit_release("v3").unwrap();
        let prepared = run(&["deploy", "--prepare"]);
        let deploy = assert_ended(&case, "deploy", "stopped", &prepared);
        assert_eq!(case.seen(), case.old());
        let deployed = run(&["deploy", "--resume", &deploy]);
        assert_ended(&case, "deploy", "done", &deployed);
        let new = case.seen();
        assert_ne!(new, case.old());

        let prepared = run(&["rollback", &case.old_tag, "--reason", "test", "--prepare"]);
        let rollback = assert_ended(&case, "rollback", "stopped", &prepared);
        assert_eq!(case.seen(), new);
        let abandoned = run(&["rollback", "--undo", &rollback]);
        assert_ended(&case, "rollback", "undone", &abandoned);
        assert_eq!(case.seen(), new);

        // It ended: its undo is a rollback to what was live before.
        let undone = run(&["deploy", "--undo", &deploy]);
        assert_ended(&case, "rollback", "done", &undone);
        assert_eq!(case.seen(), case.old());
    }
}
