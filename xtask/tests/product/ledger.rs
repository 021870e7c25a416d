//! The ledger as a lock: many processes, random kills, silent holders, a remote that loses answers.

mod race;

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::json;
use xtask::domain::commit::CommitId;
use xtask::domain::ledger::{Body, Holder, LedgerEvent, OperationOutcome, Started};
use xtask::domain::operation::OperationId;
use xtask::error::{CliError, ExitKind};
use xtask::operation::ledger::{Ledger, LockTiming, OperationLock, Start};
use xtask::tools::git::{Git, message_with};

/// The longest that a lock is waited for.
const DEADLINE: Duration = Duration::from_mins(20);

/// A holder that is alive but never says so.
const SILENT: LockTiming = LockTiming {
    lease: Duration::from_millis(1_500),
    heartbeat: Duration::from_hours(1),
    skew: Duration::ZERO,
    remote_deadline: Duration::from_mins(1),
};

fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git").args(args).current_dir(dir).status().unwrap();
    assert!(status.success(), "git {args:?}");
}

fn world() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet", "--bare", "remote.git"]);
    // Housekeeping of the remote would only take time here.
    git(
        &dir.path().join("remote.git"),
        &["config", "receive.autogc", "false"],
    );
    dir
}

fn ledger(world: &Path, clone: &str, timing: LockTiming) -> Ledger {
    let dir = world.join(clone);
    if !dir.exists() {
        git(world, &["init", "--quiet", clone]);
        git(&dir, &["remote", "add", "origin", "../remote.git"]);
    }
    Ledger::with_timing(Git::at(&dir, "origin"), "production", timing)
}

fn start(kind: &str) -> Start {
    Start {
        kind: kind.into(),
        reason: "\"; rm -rf ~ #$(id)\n::set-output name=x::`y`".into(),
        target: "prod-20260102-030405".into(),
        plan_sha256: "ab".repeat(32),
        plan: json!({"steps": ["one"]}),
        over: None,
    }
}

fn ending(error: &anyhow::Error) -> Option<ExitKind> {
    error.downcast_ref::<CliError>().map(|stop| stop.exit)
}

#[test]
fn what_was_recorded_is_read_by_any_clone_unchanged() {
    let world = world();
    let mut ours = ledger(world.path(), "a", LockTiming::default());
    let held = ours.begin(start("rollback")).unwrap();
    held.check().unwrap();
    held.step("swap", json!({"collections": 5})).unwrap();
    let id = held.id().clone();

    let mut theirs = ledger(world.path(), "b", LockTiming::default());
    let refused = theirs.begin(start("deploy")).unwrap_err();
    assert_eq!(ending(&refused), Some(ExitKind::Refused));
    let shown = xtask::error::render(&refused);
    assert!(
        shown.contains("rollback of production is under way") && shown.contains("rm -rf ~"),
        "{shown}"
    );

    held.finish(OperationOutcome::Done, json!({"healthy": true}))
        .unwrap();
    let state = theirs.state().unwrap();
    let operation = &state.operations[0];
    assert_eq!(operation.id, id);
    assert_eq!(operation.started.reason, start("").reason);
    assert_eq!(operation.steps[0].facts, json!({"collections": 5}));
    assert_eq!(operation.ended.as_ref().unwrap().outcome, OperationOutcome::Done);
    assert_eq!(
        ending(&theirs.resume(&id, "again").unwrap_err()),
        Some(ExitKind::Refused)
    );
    theirs.begin(start("deploy")).unwrap();
}

/// Whoever may push can append anything, and nobody can take it away again.
#[test]
fn a_commit_that_is_no_event_costs_one_line_and_an_event_of_another_version_stops() {
    let world = world();
    let mut ours = ledger(world.path(), "a", LockTiming::default());
    let held = ours.begin(start("deploy")).unwrap();
    held.finish(OperationOutcome::Done, json!(null)).unwrap();
    let git = Git::at(&world.path().join("a"), "origin");
    let reference = "refs/xtask/ledger/production";
    let append = |text: &str| {
        let before = git.remote_ref(reference).unwrap();
        let commit = git.commit_message(before.as_ref(), text).unwrap();
        git.push_commit(&commit, reference).unwrap();
    };
    for text in [
        "hello\n",
        "x\n\n{\"schema\":\"ledger-event/1\"}\n",
        "x\n\n{\"schema\":\"release/1\"}\n",
    ] {
        append(text);
    }
    let mut theirs = ledger(world.path(), "b", LockTiming::default());
    let state = theirs.state().unwrap();
    let void: Vec<u64> = state.void.iter().map(|void| void.seq).collect();
    assert_eq!((state.operations.len(), &void[..]), (1, &[3, 4, 5][..]));
    let held = theirs.begin(start("rollback")).unwrap();
    held.finish(OperationOutcome::Done, json!(null)).unwrap();
    assert_eq!(ours.state().unwrap().operations.len(), 2);

    append(
        "x\n\n{\"schema\":\"ledger-event/2\",\"seq\":8,\"operation\":\"20260102-030405-ab12\",\"fence\":8,\"event\":\"frozen\"}\n",
    );
    let stopped = xtask::error::render(&theirs.state().unwrap_err());
    assert!(
        stopped.contains("was written by another version") && stopped.contains("next:"),
        "{stopped}"
    );
}

#[test]
fn a_holder_whose_lease_was_taken_over_can_do_nothing_more() {
    let world = world();
    let silent = ledger(world.path(), "a", SILENT)
        .begin(start("rollback"))
        .unwrap();
    silent.step("swap", json!(null)).unwrap();
    let mut second = ledger(world.path(), "b", SILENT);
    let taken = until_free(|| second.resume(silent.id(), "the first is silent"));
    assert!(taken.fence() > silent.fence());
    assert_eq!(taken.steps().len(), 1);

    for refused in [
        silent.proof()().unwrap_err(),
        silent.check().unwrap_err(),
        silent.step("late", json!(null)).unwrap_err(),
        silent.finish(OperationOutcome::Done, json!(null)).unwrap_err(),
    ] {
        assert_eq!(ending(&refused), Some(ExitKind::Midway), "{refused:#}");
    }
    taken.finish(OperationOutcome::Undone, json!(null)).unwrap();
    let state = second.state().unwrap();
    assert!(state.void.is_empty(), "{:?}", state.void);
    assert_eq!(state.operations[0].steps.len(), 1);
}

/// A holder that lives, on a machine whose clock is ten minutes behind: for it, the taker's clock is as far ahead.
#[test]
fn a_wrong_clock_takes_no_live_lock() {
    let world = world();
    let mut taker = ledger(world.path(), "taker", SILENT);
    ledger(world.path(), "holder", SILENT);
    let git = Git::at(&world.path().join("holder"), "origin");
    let began = Utc::now() - TimeDelta::minutes(10);
    let id = OperationId::at(began, 7);
    let holder = Holder {
        user: "ann".into(),
        host: "elsewhere".into(),
        pid: 1,
        run: None,
        process: None,
    };
    let started = Started {
        kind: "rollback".into(),
        reason: "x".into(),
        target: "prod-20260102-030405".into(),
        plan_sha256: "ab".repeat(32),
        plan: json!({}),
        holder,
        lease_ms: 1_500,
        supersedes: None,
    };
    let add = |parent: Option<&CommitId>, seq: u64, body: Body| {
        let event = LedgerEvent {
            seq,
            at: Utc::now() - TimeDelta::minutes(10),
            operation: id.clone(),
            fence: 1,
            body,
        };
        let text = message_with("x", "ledger-event/1", &event).unwrap();
        let commit = git.commit_message(parent, &text).unwrap();
        git.push_commit(&commit, "refs/xtask/ledger/production").unwrap();
        commit
    };
    let first = add(None, 1, Body::Started(started));
    let (stop, stopped) = mpsc::channel::<()>();
    let head = std::thread::scope(|scope| {
        let beating = scope.spawn(move || {
            let (mut head, mut seq) = (first, 1);
            while stopped.recv_timeout(Duration::from_millis(300)) == Err(RecvTimeoutError::Timeout) {
                seq += 1;
                head = add(Some(&head), seq, Body::Heartbeat);
            }
            head
        });
        for refused in [
            taker.resume(&id, "the first seems dead").map(drop),
            taker.begin(start("deploy")).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(ending(&error), Some(ExitKind::Refused), "{error:#}");
            assert!(
                error.to_string().contains("is under way: ann on elsewhere"),
                "{error:#}"
            );
        }
        drop(stop);
        beating.join().unwrap()
    });
    assert_eq!(taker.state().unwrap().void, [], "{head}");
    // Silent for a whole lease, it is taken over.
    taker.resume(&id, "it is dead").unwrap();
}

#[test]
fn a_lease_that_ran_out_is_renewed_before_a_live_change_or_the_change_is_refused() {
    let world = world();
    let held = ledger(world.path(), "a", SILENT).begin(start("deploy")).unwrap();
    std::thread::sleep(SILENT.lease);
    held.check().unwrap();
    std::fs::rename(world.path().join("remote.git"), world.path().join("away.git")).unwrap();
    std::thread::sleep(SILENT.lease);
    held.check().unwrap_err();
}

#[test]
fn an_operation_left_after_a_step_is_not_forgotten_by_accident() {
    let world = world();
    let mut ledger = ledger(world.path(), "a", LockTiming::default());
    let held = ledger.begin(start("rollback")).unwrap();
    held.step("swap", json!(null)).unwrap();
    let left = held.id().clone();
    held.finish(OperationOutcome::Stopped, json!(null)).unwrap();

    let refused = ledger.begin(start("backup")).unwrap_err();
    let shown = xtask::error::render(&refused);
    assert!(
        shown.contains(&format!("cargo xtask rollback --resume {left}")),
        "{shown}"
    );
    let resumed = ledger.resume(&left, "go on").unwrap();
    resumed.finish(OperationOutcome::Stopped, json!(null)).unwrap();
    let over = Start {
        over: Some(left),
        ..start("rollback")
    };
    ledger.begin(over).unwrap();
    assert!(ledger.state().unwrap().operations[0].superseded_by.is_some());
}

#[test]
fn a_push_whose_answer_is_lost_counts_once() {
    let world = world();
    let mut ledger = ledger(world.path(), "a", LockTiming::default());
    let held = ledger.begin(start("deploy")).unwrap();
    // Runs when the reference has moved; killing the server then loses its answer.
    let hook = world.path().join("remote.git/hooks/post-receive");
    std::fs::write(&hook, "#!/bin/sh\nrm \"$0\"\nkill -9 $PPID\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    held.step("promote", json!(null)).unwrap();
    assert!(!hook.exists(), "the hook did not run");
    held.finish(OperationOutcome::Done, json!(null)).unwrap();
    assert_eq!(ledger.state().unwrap().operations[0].steps.len(), 1);
}

fn until_free(mut take: impl FnMut() -> anyhow::Result<OperationLock>) -> OperationLock {
    let since = Instant::now();
    loop {
        match take() {
            Ok(held) => return held,
            Err(error) => assert!(
                ending(&error) == Some(ExitKind::Refused) && since.elapsed() < DEADLINE,
                "{error:#}"
            ),
        }
    }
}
