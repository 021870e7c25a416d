//! The server, or mongorestore, is killed under a restore; then it is resumed, and taken back. Nothing may be lost on the way.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use mongodb::bson::{Document, doc};

use rehearsal::test_env::process::{Owned, program, told, wait_until};
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::sample::sampled;

/// SIGKILL to the server as soon as the journal of `xtask args` has so many lines, whatever the server is doing then, and to
/// xtask too: as when the machine of both loses its power.
fn server_killed_at(case: &mut CrashCase, args: &[&str], operation: &str, lines: usize) {
    let journal = case.journal(operation);
    let mut xtask = case.env.xtask(args);
    let mut xtask = Owned::start(xtask.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("the journal to grow", || {
        let ended = xtask.child.try_wait().unwrap().is_some();
        ended || std::fs::read_to_string(&journal).unwrap().lines().count() >= lines
    });
    case.env.server.kill();
    xtask.kill();
    case.env.server.restart();
}

/// While the operation goes on, with its line `number` behind the one that it was begun with.
fn server_killed_within(case: &mut CrashCase, operation: &str, number: usize) {
    let args = ["restore", "--resume", operation, "--yes"];
    server_killed_at(case, &args, operation, number + 1);
}

fn server_killed_within_undo(case: &mut CrashCase, operation: &str, number: usize) {
    let lines = case.lines(operation).len() + number;
    let args = ["restore", "--undo", operation, "--yes"];
    server_killed_at(case, &args, operation, lines);
}

/// Of so many lines one is tried each time; `XTASK_LINES=all` tries them all. Those at which xtask alone is killed are all tried
/// each time.
const ONE_OF: usize = 2;

#[test]
fn the_server_is_killed_at_lines_of_the_journal() {
    let mut case = CrashCase::new(RestoreEnv::durable());
    let lines = sampled(0..=case.restore_lines.len(), ONE_OF, 0);
    case.stopped_at(lines, server_killed_within);
    case.forget_all();
}

#[test]
fn the_server_is_killed_at_lines_of_an_undo() {
    let mut case = CrashCase::new(RestoreEnv::durable());
    let lines = sampled(1..=case.undo_lines.len(), ONE_OF, 0);
    case.undo_stopped_at(lines, server_killed_within_undo);
    case.forget_all();
}

/// Before, within and after the transaction that puts documents back in place.
#[test]
fn the_server_is_killed_around_and_within_a_transaction() {
    let mut case = CrashCase::in_place(RestoreEnv::durable());
    let of_batch = |lines: &[String], event: &str| {
        let start = format!(r#"{{"event":"{event}","step":{{"do":"put-back""#);
        lines.iter().position(|line| line.starts_with(&start)).unwrap()
    };
    let there = of_batch(&case.restore_lines, "before");
    let back = of_batch(&case.undo_lines, "undoing");
    case.stopped_at(there - 1..there + 3, server_killed_within);
    case.undo_stopped_at(back..back + 3, server_killed_within_undo);
    case.forget_all();
}

/// The local server copies when it renames, for about 50 µs a document: these are killed within the copy.
#[test]
fn the_server_is_killed_within_each_rename_of_a_larger_collection() {
    let mut case = CrashCase::with_users(RestoreEnv::durable(), 1_500);
    let of_users = |lines: &[String], event: &str| -> Vec<usize> {
        let renames = |line: &&String| line.contains(event) && line.contains(r#""collection":"users""#);
        let numbers = lines.iter().enumerate().filter(|(_, line)| renames(line));
        numbers.map(|(number, _)| number + 1).collect()
    };
    let there = of_users(&case.restore_lines, r#""event":"before""#);
    let back = of_users(&case.undo_lines, r#""event":"undoing""#);
    assert!(there.len() >= 2 && back.len() >= 2, "{there:?} {back:?}");
    case.stopped_at(there, server_killed_within);
    case.undo_stopped_at(back, server_killed_within_undo);
}

/// The command that does it, for the operation's id.
type Loss<'a> = &'a dyn Fn(&str) -> Document;

/// What a server that loses acknowledged work does to a stopped operation, done by hand; each must be found and mended.
#[test]
fn what_the_server_lost_in_a_crash_is_built_anew() {
    let mut case = CrashCase::new(RestoreEnv::start());
    // Killed after the step before; both collections stand where this line of the journal says.
    let line = |case: &CrashCase, event: &str, what: &str| {
        let lines = case.restore_lines.iter();
        let mut found = lines
            .enumerate()
            .filter(|(_, l)| l.contains(event) && l.contains(what));
        found.next().unwrap().0
    };
    let bring = r#""do":"bring","collection":"users""#;
    let (aside_made, brought) = (
        line(&case, r#""event":"before""#, bring),
        line(&case, r#""event":"after""#, bring),
    );
    let drop_index = |name: &str| doc! { "dropIndexes": name, "index": "seen" };
    let drop = |name: &str| doc! { "drop": name };
    let losses: [(usize, Loss, &str); 7] = [
        (
            aside_made,
            &|id| drop(&format!("__old_{id}_users")),
            "from the safety backup",
        ),
        (
            aside_made,
            &|id| drop(&format!("__new_{id}_users")),
            "restored again",
        ),
        (
            aside_made,
            &|id| drop_index(&format!("__old_{id}_users")),
            "lost the indexes seen",
        ),
        (
            aside_made,
            &|id| drop_index(&format!("__new_{id}_users")),
            "restored again",
        ),
        (
            aside_made,
            &|id| doc! { "delete": format!("__new_{id}_users"), "deletes": [{ "q": { "_id": 7 }, "limit": 1 }] },
            "restored again",
        ),
        (brought, &|_| drop_index("users"), "lost the indexes seen"),
        (brought, &|_| drop("users"), "restored again"),
    ];
    for (number, loss, told) in losses {
        for straight_back in [false, true] {
            let operation = case.begin();
            case.killed_within(&operation, number);
            case.env.command(loss(&operation));
            let line = format!("{}, and {}", case.restore_lines[number], loss(&operation));
            if straight_back {
                case.undo(&operation, &line);
            } else {
                let resumed = case.resume_and_undo(&operation, &line);
                assert!(
                    resumed["repaired"].to_string().contains(told),
                    "{line}: {resumed}"
                );
            }
        }
    }
}

/// The stand-in takes the place of mongorestore, starts the real one, and both are killed.
#[test]
fn mongorestore_is_killed_and_the_restore_is_resumed_and_taken_back() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let real = program(&["mongorestore"]).display().to_string();
    let dry = |script: &str| format!("case \"$*\" in *--dryRun*) {script};; esac");
    let real_dry = dry(&format!("exec {real} \"$@\""));
    let within = format!(
        "f=$(mktemp -u); mkfifo $f; {real} \"$@\" <$f & p=$!; exec 3>$f; head -c 1200 >&3; kill -9 $p; kill -9 $$"
    );
    let points = [
        ("in the dry run", dry("kill -9 $$")),
        ("before the first document", format!("{real_dry}\nkill -9 $$")),
        ("within the documents", format!("{real_dry}\n{within}")),
        (
            "after the last document",
            format!("{real_dry}\n{real} \"$@\"\nkill -9 $$"),
        ),
    ];
    let folder = case.env.dir.path().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let stand_in = folder.join("mongorestore");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for (point, script) in points {
        std::fs::write(&stand_in, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
        for straight_back in [false, true] {
            let operation = case.begin();
            let mut resume = case.env.xtask(&["restore", "--resume", &operation, "--yes"]);
            let output = resume.env("PATH", &path).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{point}: {}", told(&output));
            assert_eq!(case.changed.compare(&case.env.inventory()), [], "killed {point}");
            let names = case.env.database().list_collection_names().run().unwrap();
            let own = format!("__new_{operation}");
            assert!(
                names.iter().all(|name| !name.starts_with(&own)),
                "{point}: {names:?}"
            );
            if straight_back {
                case.undo(&operation, point);
            } else {
                case.resume_and_undo(&operation, point);
            }
        }
    }
}
