//! Every step of a restore, and everything that can go wrong in the middle of it. After each: what is live is the one state
//! or the other in every document, index and option, what only the other one has is not lost, and the lock is free.

use serde_json::Value;
use xtask::exec::Finished;

use super::disturbed::{Then, ended_well};
use super::fault::{Asks, COLUMNS, Library, how};
use super::table::{Cell, Table};
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::crash::{CrashCase, NEW_DOCUMENTS};

/// Of so many cells one is in the sample.
const SAMPLE: usize = 11;

/// A step: what it is called, its moment, and what it asks. `BACKUP` is the folder of the backup that is restored.
pub(super) type RestoreStep = (&'static str, &'static str, Asks);

const STEPS: &[RestoreStep] = &[
    (
        "compare with what is live",
        "read:1:*/pipeline.toml",
        Asks::Database,
    ),
    ("ask the ledger", "start:1:*git", Asks::Command),
    ("safety backup", "start:1:*mongodump", Asks::Command),
    (
        "find what blocks it",
        "text:\"event\":\"planned\"",
        Asks::Database,
    ),
    ("check the backup", "read:2:BACKUP/mongodb-backup-*", Asks::File),
    ("check the renaming", "start:1:*mongorestore", Asks::Command),
    ("fill the shadow", "start:2:*mongorestore", Asks::Command),
    (
        "compare the shadow",
        "text:\"event\":\"shadow-filled\"",
        Asks::Database,
    ),
    (
        "record in the ledger that the shadow is ready",
        "text:\"event\":\"shadow-compared\"",
        Asks::Command,
    ),
    ("keep the plan", "text:\"event\":\"swap-begun\"", Asks::Database),
    ("drop a view", "text:\"do\":\"drop-view\"", Asks::Database),
    (
        "move a collection aside",
        "text:\"event\":\"before\",\"step\":{\"do\":\"aside\",\"collection\":\"users\"",
        Asks::Database,
    ),
    (
        "bring a collection",
        "text:\"event\":\"before\",\"step\":{\"do\":\"bring\",\"collection\":\"users\"",
        Asks::Database,
    ),
    ("make a view", "text:\"do\":\"make-view\"", Asks::Database),
    (
        "compare what is live",
        "text:\"event\":\"swapped\"",
        Asks::Database,
    ),
    (
        "rescue what only the old state has",
        "text:\"event\":\"compared\"",
        Asks::Database,
    ),
    (
        "record in the ledger that it is done",
        "text:\"event\":\"rescued\"",
        Asks::Command,
    ),
];

/// Those that only a restore has whose documents are put back in place.
const STEPS_IN_PLACE: &[RestoreStep] = &[
    (
        "compare what is put back",
        "text:\"event\":\"verified\"",
        Asks::Database,
    ),
    (
        "compare it once more",
        "text:\"entry\":\"begun\",\"step\":\"swap database\"",
        Asks::Database,
    ),
    (
        "export what is overwritten",
        "create:1:*/rescue-before/*",
        Asks::File,
    ),
    (
        "keep the changes",
        "text:\"event\":\"rescued-before\"",
        Asks::Database,
    ),
    ("keep the plan", "text:\"event\":\"swap-begun\"", Asks::Database),
    (
        "put documents back",
        "text:\"event\":\"before\",\"step\":{\"do\":\"put-back\"",
        Asks::Database,
    ),
    (
        "compare what is live",
        "text:\"event\":\"swapped\"",
        Asks::Database,
    ),
    (
        "rescue what only the old state has",
        "text:\"event\":\"compared\"",
        Asks::Database,
    ),
];

/// The steps of an undo, of what was swapped and of what was put back in place.
const STEPS_OF_UNDO: &[RestoreStep] = &[
    ("ask the ledger", "start:1:*git", Asks::Command),
    (
        "read what was live before",
        "read:1:*/pipeline.toml",
        Asks::Database,
    ),
    (
        "drop a view",
        "text:\"event\":\"undoing\",\"step\":{\"do\":\"make-view\"",
        Asks::Database,
    ),
    (
        "rename a restored collection",
        "text:\"event\":\"undoing\",\"step\":{\"do\":\"bring\"",
        Asks::Database,
    ),
    (
        "make a view",
        "text:\"event\":\"undoing\",\"step\":{\"do\":\"drop-view\"",
        Asks::Database,
    ),
    (
        "rename a previous collection",
        "text:\"event\":\"undoing\",\"step\":{\"do\":\"aside\"",
        Asks::Database,
    ),
    (
        "put documents back as they were",
        "text:\"event\":\"undoing\",\"step\":{\"do\":\"put-back\"",
        Asks::Database,
    ),
    (
        "export what was written since",
        "text:\"event\":\"undone\"",
        Asks::Database,
    ),
];

/// A backup, and what has become of the database since.
pub(super) struct Restored {
    pub(super) case: CrashCase,
    library: Library,
    steps: &'static [RestoreStep],
    method: &'static str,
}

impl Restored {
    fn by_swap() -> Self {
        Self::with(CrashCase::new(RestoreEnv::behind_proxy()), STEPS, "auto")
    }

    pub(super) fn in_place(steps: &'static [RestoreStep]) -> Self {
        Self::with(CrashCase::in_place(RestoreEnv::behind_proxy()), steps, "delta")
    }

    fn with(case: CrashCase, steps: &'static [RestoreStep], method: &'static str) -> Self {
        let library = Library::compile(case.env.dir.path());
        Self {
            case,
            library,
            steps,
            method,
        }
    }

    fn rows(&self) -> Vec<String> {
        self.steps.iter().map(|(step, _, _)| (*step).to_owned()).collect()
    }

    /// The environment in which the step of the cell is disturbed.
    pub(super) fn disturbance(&self, cell: &Cell) -> Vec<(&'static str, String)> {
        let (_, at, asks) = self.steps[cell.row];
        let proxy = self.case.env.proxy.as_ref().unwrap();
        let at = at.replace("BACKUP", self.case.backup.to_str().unwrap());
        self.library
            .env("/steps.jsonl", &at, &how(cell.column, asks, proxy))
    }

    /// What restores the backup.
    pub(super) fn restore(&self) -> [&str; 4] {
        let backup = self.case.backup.to_str().unwrap();
        ["restore", backup, "--method", self.method]
    }

    pub(super) fn run(&self, args: &[&str], env: &[(&'static str, String)]) -> Finished {
        self.case.env.finished(args, env)
    }

    /// The last operation of the ledger.
    pub(super) fn last_operation(&self) -> Value {
        let shown = self.case.env.ok(&["ledger"]);
        shown["operations"].as_array().unwrap().last().unwrap().clone()
    }

    fn disturb(&self, cell: &Cell) -> String {
        let began = self.last_operation()["id"].clone();
        let ended = self.run(&self.restore(), &self.disturbance(cell));
        self.case.env.proxy.as_ref().unwrap().mend();
        let verdict = ended_well(&ended, &cell.told);
        let last = self.last_operation();
        if last["id"] == began {
            self.assert_nothing_changed(&cell.told);
            return verdict;
        }
        let (verdict, report) = self.go_on(&ended, &last, cell, verdict);
        self.assert_whole(&ended, last["id"].as_str().unwrap(), report, &cell.told);
        verdict
    }

    /// The undo of a restore is disturbed, and undone again where it did not end.
    fn disturb_undo(&self, cell: &Cell) -> String {
        let env = &self.case.env;
        let restored = env.ok(&self.restore());
        assert_eq!(
            restored["rescue"]["documents"], NEW_DOCUMENTS,
            "{}: {restored}",
            cell.told
        );
        let undo = ["restore", "--undo", restored["operation"].as_str().unwrap()];
        let ended = self.run(&undo, &self.disturbance(cell));
        env.proxy.as_ref().unwrap().mend();
        let mut verdict = ended_well(&ended, &cell.told);
        if ended.code != Some(0) {
            let again = self.run(&undo, &[]);
            assert_eq!(again.code, Some(0), "{}, again: {}", cell.told, again.error());
            verdict.push_str(", undone");
        }
        self.assert_nothing_changed(&cell.told);
        // The undo of what had ended is an operation of its own.
        let outcome = self.last_operation()["ended"]["outcome"].clone();
        assert!(
            outcome == "done" || outcome == "undone",
            "{}: {outcome}",
            cell.told
        );
        self.case.forget_all();
        verdict
    }

    /// Does what the message says. Gives the report of the process that restored, if one did.
    fn go_on(&self, ended: &Finished, last: &Value, cell: &Cell, verdict: String) -> (String, Option<Value>) {
        let report = |finished: &Finished| serde_json::from_str(&finished.stdout).ok();
        if ended.code == Some(0) {
            return (verdict, report(ended));
        }
        let unfinished = last["ended"].is_null() || last["ended"]["outcome"] == "stopped";
        if !unfinished {
            return (verdict, None);
        }
        let (flag, word) = match Then::of(cell) {
            Then::Resume => ("--resume", "resumed"),
            Then::Undo => ("--undo", "undone"),
        };
        let again = self.run(&["restore", flag, last["id"].as_str().unwrap()], &[]);
        let told = &cell.told;
        match again.code {
            Some(0) if flag == "--resume" => (format!("{verdict}, {word}"), report(&again)),
            Some(0) => (format!("{verdict}, {word}"), None),
            // It was killed before it had begun anything: the person is told so.
            Some(2) if ended.code.is_none() => {
                let said = again.stderr_tail.join("\n");
                assert!(said.contains("live: nothing was changed"), "{told}: {said}");
                (format!("{verdict}, nothing begun"), None)
            }
            code => panic!("{told}, then {flag}: {code:?}: {}", again.error()),
        }
    }

    /// One of the two states is live, and what only the old one had is in the rescue file and comes back by an undo.
    fn assert_whole(&self, ended: &Finished, operation: &str, report: Option<Value>, told: &str) {
        let env = &self.case.env;
        if let Some(report) = report {
            assert_eq!(
                self.case.backed_up.compare(&env.inventory()),
                [],
                "{told}: restored"
            );
            let rescued = &report["rescue"]["documents"];
            assert_eq!(*rescued, NEW_DOCUMENTS, "{told}: what only the old state had");
            env.ok(&["restore", "--undo", operation]);
        }
        self.assert_nothing_changed(told);
        let outcome = self.last_operation()["ended"]["outcome"].clone();
        let settled = ["done", "undone", "failed"].iter().any(|one| outcome == *one);
        let killed_early = ended.code.is_none() && outcome.is_null();
        assert!(settled || killed_early, "{told}: {outcome}");
        self.case.forget_all();
    }

    fn assert_nothing_changed(&self, told: &str) {
        let live = self.case.env.inventory();
        assert_eq!(self.case.changed.compare(&live), [], "{told}: as before");
    }
}

pub(super) fn all_steps(
    name: &str,
    offset: usize,
    start: impl Fn() -> Restored,
    run: fn(&Restored, &Cell) -> String,
) {
    let table = Table {
        name: name.to_owned(),
        columns: COLUMNS.to_vec(),
        one_of: SAMPLE,
        offset,
        is_of_parts: false,
    };
    table.run(start, Restored::rows, run);
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn every_step_of_a_restore_is_disturbed() {
    all_steps("steps of a restore", 4, Restored::by_swap, Restored::disturb);
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn every_step_of_a_restore_in_place_is_disturbed() {
    let start = || Restored::in_place(STEPS_IN_PLACE);
    all_steps("steps of a restore in place", 6, start, Restored::disturb);
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn every_step_of_an_undo_is_disturbed() {
    let start = || Restored::in_place(STEPS_OF_UNDO);
    all_steps("steps of an undo", 2, start, Restored::disturb_undo);
}
