//! A holder is stopped (SIGSTOP, a suspended laptop) for longer than its lease, and somebody else undoes its operation. When it
//! wakes, it changes nothing: not the data, not a platform, not the ledger. It ends with its own message and offers no resume.
//!
//! Where a change of a platform begins, and a sample of the other lines of the journal; `XTASK_LINES=all` stops at each of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rehearsal::test_env::process::told;
use rehearsal::test_env::sample::sampled;
use serde_json::Value;

use super::disturbed::{Disturbed, Kind};

/// One of so many lines is in the sample; the two kinds take turns.
const ONE_OF: usize = 30;
/// The line of a rollback's journal after which its shadow is compared.
const SHADOW_FILLED: usize = 7;
/// Longer than the lease and what two clocks may be apart.
pub(super) const LATER_S: u32 = 200;
const DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

impl Disturbed {
    /// The operation, ready to start.
    pub(super) fn command(&self, kind: Kind) -> Command {
        let env = &self.case.env;
        if kind == Kind::Deploy {
            env.commit_release("v3").unwrap();
        }
        let mut command = Command::new(env.program());
        command
            .args(self.arguments(kind))
            .arg("--yes")
            .current_dir(env.clone_dir())
            .env_clear()
            .envs(env.environment());
        command
    }

    /// Starts the operation, and waits until it is stopped at this line.
    fn stopped_at(&self, kind: Kind, line: usize) -> Child {
        // Half of the clocks show how long it slept; the others stand still.
        let how = format!("stop:{}", if line.is_multiple_of(2) { LATER_S } else { 0 });
        let at = self.library.env("/steps.jsonl", &format!("line:{line}"), &how);
        stopped(self.command(kind).envs(at))
    }

    /// Somebody else, on whose machine more than a lease has passed.
    fn undone_by_somebody(&self, clone: &Path, kind: Kind, operation: &str) {
        let args = [kind.name(), "--undo", operation, "--yes", "--format", "json"];
        let hurry = self
            .library
            .env("/steps.jsonl", "nothing", &format!("hurry:{LATER_S}"));
        let hurry: Vec<(&str, &str)> = hurry
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let undone = self.case.env.xtask_in(clone, "undo", &args, &hurry).unwrap();
        assert_eq!(undone.code, Some(0), "{}", undone.error());
    }
}

/// Starts the command, and waits until it is stopped.
pub(super) fn stopped(command: &mut Command) -> Child {
    let mut stopped = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while state_of(stopped.id()) != Some('T') {
        if stopped.try_wait().unwrap().is_some() {
            let ended = stopped.wait_with_output().unwrap();
            panic!("it was not stopped: {}", told(&ended));
        }
        assert!(since.elapsed() < DEADLINE, "the stop did not happen");
        std::thread::sleep(POLL);
    }
    stopped
}

/// The letter that the kernel shows for the state of a process.
fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Wakes a process that somebody else has replaced, and gives what it reports.
pub(super) fn wake(stopped: Child, told: &str) -> String {
    let pid = stopped.id().to_string();
    let woken = Command::new("kill").args(["-CONT", &pid]).status().unwrap();
    assert!(woken.success());
    let ended = stopped.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(4), "{told}: {said}");
    assert!(said.contains("was taken over by"), "{told}: {said}");
    assert!(!said.contains("--resume"), "{told}: {said}");
    said
}

/// `stop` starts the operation and stops it; somebody undoes it in this clone, and it wakes.
pub(super) fn stopped_and_undone(
    disturbed: &Disturbed,
    clone: &Path,
    (kind, at): (Kind, &str),
    stop: impl FnOnce() -> Child,
) {
    let told = format!("{}, {at}", kind.name());
    disturbed.set(kind);
    let before = disturbed.case.seen();
    let stopped = stop();
    let operation = disturbed.case.last_operation()["id"].as_str().unwrap().to_owned();
    disturbed.undone_by_somebody(clone, kind, &operation);
    let undone = disturbed.case.seen();
    assert_eq!(undone, before, "{told}: undone");
    let ledger = disturbed.case.last_operation();
    let platforms = platforms_of(disturbed);

    let said = wake(stopped, &told);
    assert_eq!(disturbed.case.seen(), undone, "{told}: it woke: {said}");
    assert_eq!(platforms_of(disturbed), platforms, "{told}: it woke: {said}");
    assert_eq!(disturbed.case.last_operation(), ledger, "{told}: it woke: {said}");
    let listed = disturbed.case.ok(&["restore", "--list"]).stdout;
    assert!(!listed.contains("stopped midway"), "{told}: {listed}");
    disturbed.forget();
}

/// What each platform serves and has under way.
fn platforms_of(disturbed: &Disturbed) -> Value {
    let report = disturbed.case.env.platform_report().unwrap();
    serde_json::json!([report["railway"]["deployments"], report["vercel"]["deployments"]])
}

/// The line after which the platform is asked to change something.
fn line_where_begins(journal: &[Value], step: &str) -> usize {
    let mut lines = journal.iter();
    let begins = lines.position(|line| line["entry"] == "begun" && line["step"] == step);
    begins.expect("the step is in the journal") + 1
}

#[test]
fn a_holder_that_wakes_after_its_operation_was_undone_changes_nothing() {
    let disturbed = Disturbed::new();
    let elsewhere = disturbed.case.env.clone_of("somebody").unwrap();
    let here = disturbed.case.env.clone_dir();
    // In turns: whoever takes over in the same clone meets the journal that the stopped process has open.
    let clone = |line: usize| {
        if (line / ONE_OF).is_multiple_of(2) {
            &here
        } else {
            &elsewhere
        }
    };
    let stopped_at = |kind: Kind, line: usize| {
        let stop = || disturbed.stopped_at(kind, line);
        stopped_and_undone(&disturbed, clone(line), (kind, &format!("line {line}")), stop);
    };
    let deploy = sampled(1..=disturbed.deploy.len(), ONE_OF, 6);
    let uploads = line_where_begins(&disturbed.deploy, "upload backend");
    for line in deploy.into_iter().chain([uploads]) {
        stopped_at(Kind::Deploy, line);
    }
    // Where it is stopped beside a filled shadow, it wakes without one.
    let rollback = sampled(1..=disturbed.rollback.len(), ONE_OF, 14);
    // Where the platforms go back, another part's line may stop one of them between its question to the ledger and its change, which
    // no program can exclude: only `XTASK_LINES=all` stops there.
    for line in rollback.into_iter().chain([SHADOW_FILLED]) {
        stopped_at(Kind::Rollback, line);
    }
}
