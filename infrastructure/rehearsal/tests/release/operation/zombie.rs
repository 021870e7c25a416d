//! A holder is stopped (SIGSTOP, a suspended laptop) for longer than its lease, and somebody else undoes its operation. When it
//! wakes, it changes nothing: not the data, not a platform, not the ledger. It ends with its own message and offers no resume.
//!
//! A sample of the lines of the journal; `XTASK_LINES=all` stops at each of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rehearsal::test_env::git::clone_empty;
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::sample::sampled;
use serde_json::Value;

use super::disturbed::{Disturbed, Kind};
use super::fault::Library;

/// One of so many lines is in the sample; the two kinds take turns.
const ONE_OF: usize = 20;
/// Longer than the lease and what two clocks may be apart.
const LATER_S: u32 = 200;
const DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

impl Disturbed {
    /// Starts the operation, and waits until it is stopped at this line.
    fn stopped_at(&self, kind: Kind, line: usize) -> Child {
        let env = &self.case.env;
        let mut command = Command::new(env.program());
        match kind {
            Kind::Deploy => {
                env.commit_release("v3").unwrap();
                command.args(["deploy", "--yes"]);
            }
            Kind::Rollback => {
                command.args(["rollback", &self.case.old_tag, "--reason", "stopped", "--yes"]);
            }
        }
        // Half of the clocks show how long it slept; the others stand still.
        let how = format!("stop:{}", if line.is_multiple_of(2) { LATER_S } else { 0 });
        let stopped = command
            .current_dir(env.clone_dir())
            .env_clear()
            .envs(env.environment())
            .envs(self.library.env("/steps.jsonl", &format!("line:{line}"), &how))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the stop", || state_of(stopped.id()) == Some('T'));
        stopped
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

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let since = Instant::now();
    while !happened() {
        assert!(since.elapsed() < DEADLINE, "{what} did not happen");
        std::thread::sleep(POLL);
    }
}

/// The letter that the kernel shows for the state of a process.
fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn wake(stopped: Child) -> String {
    let pid = stopped.id().to_string();
    let woken = Command::new("kill").args(["-CONT", &pid]).status().unwrap();
    assert!(woken.success());
    let ended = stopped.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(4), "{told}");
    told
}

fn stopped_and_undone(disturbed: &Disturbed, clone: &Path, kind: Kind, line: usize) {
    let told = format!("{}, line {line}", kind.name());
    disturbed.set(kind);
    let before = disturbed.case.seen();
    let stopped = disturbed.stopped_at(kind, line);
    let operation = disturbed.case.last_operation()["id"].as_str().unwrap().to_owned();
    disturbed.undone_by_somebody(clone, kind, &operation);
    let undone = disturbed.case.seen();
    assert_eq!(undone, before, "{told}: undone");
    let ledger = disturbed.case.last_operation();
    let platforms = platforms_of(disturbed);

    let said = wake(stopped);
    assert_eq!(disturbed.case.seen(), undone, "{told}: it woke: {said}");
    assert_eq!(platforms_of(disturbed), platforms, "{told}: it woke: {said}");
    assert_eq!(disturbed.case.last_operation(), ledger, "{told}: it woke: {said}");
    assert!(said.contains("was taken over by"), "{told}: {said}");
    assert!(!said.contains("--resume"), "{told}: {said}");
    let listed = disturbed.case.ok(&["restore", "--list"]).stdout;
    assert!(!listed.contains("stopped midway"), "{told}: {listed}");
    disturbed.forget();
}

/// What each platform serves and has under way.
fn platforms_of(disturbed: &Disturbed) -> Value {
    let report = disturbed.case.env.platform_report().unwrap();
    serde_json::json!([report["railway"]["deployments"], report["vercel"]["deployments"]])
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
    for line in sampled(1..=disturbed.deploy.len(), ONE_OF, 6) {
        stopped_and_undone(&disturbed, clone(line), Kind::Deploy, line);
    }
    for line in sampled(1..=disturbed.rollback.len(), ONE_OF, 14) {
        stopped_and_undone(&disturbed, clone(line), Kind::Rollback, line);
    }
}

/// The last collection has its name when it is stopped: what it compares when it wakes is what the undo made live.
#[test]
fn a_restore_that_wakes_after_its_last_change_was_undone_ends_with_who_took_it_over() {
    let case = CrashCase::new(RestoreEnv::start());
    let library = Library::compile(case.env.dir.path());
    clone_empty(case.env.dir.path(), "remote.git", "elsewhere");
    let elsewhere = case.env.dir.path().join("elsewhere");
    let configuration = "infrastructure/pipeline.toml";
    std::fs::create_dir_all(elsewhere.join("infrastructure")).unwrap();
    std::fs::copy(case.env.root().join(configuration), elsewhere.join(configuration)).unwrap();
    // Half of the clocks show how long it slept; the others stand still.
    for slept_s in [0, LATER_S] {
        let at = library.env(
            "/steps.jsonl",
            "text:\"event\":\"swapped\"",
            &format!("stop:{slept_s}"),
        );
        let stopped = case
            .env
            .xtask(&["restore", case.backup.to_str().unwrap(), "--yes"])
            .envs(at)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the stop", || state_of(stopped.id()) == Some('T'));
        let shown = case.env.ok(&["ledger"]);
        let operation = shown["operations"].as_array().unwrap().last().unwrap()["id"].clone();
        let hurry = library.env("/steps.jsonl", "nothing", &format!("hurry:{LATER_S}"));
        let undone = case
            .env
            .xtask(&["restore", "--undo", operation.as_str().unwrap(), "--yes"])
            .envs(hurry)
            .current_dir(&elsewhere)
            .output()
            .unwrap();
        assert!(
            undone.status.success(),
            "{}",
            String::from_utf8_lossy(&undone.stderr)
        );
        let said = wake(stopped);
        assert!(said.contains("was taken over by"), "{said}");
        assert!(!said.contains("--resume"), "{said}");
        assert_eq!(case.changed.compare(&case.env.inventory()), [], "{said}");
        case.forget_all();
    }
}
