//! Something goes wrong in the middle of a deploy or a rollback; then the next person does what the message says.

use rehearsal::test_env::Served;
use serde_json::Value;
use xtask::exec::Finished;

use super::case::{Case, NEW, Seen};
use super::fault::Library;
use super::table::Cell;

/// What is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Deploy,
    Rollback,
}

/// What the next person does with what stopped midway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Resume,
    Undo,
}

impl Then {
    pub const fn of(cell: &Cell) -> Self {
        if cell.is_even() { Self::Resume } else { Self::Undo }
    }
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
        }
    }
}

/// A case with what disturbs it.
pub struct Disturbed {
    pub case: Case,
    pub library: Library,
    /// What is seen while the new release is live.
    pub new: Seen,
    /// The journals of one deploy and one rollback that nothing disturbed.
    pub deploy: Vec<Value>,
    pub rollback: Vec<Value>,
}

impl Disturbed {
    /// The old release is live.
    pub fn new() -> Self {
        Self::of(Case::new())
    }

    /// The same in a case of its own configuration.
    pub fn of(case: Case) -> Self {
        case.env.commit_release("v3").unwrap();
        case.ok(&["deploy"]);
        let new = case.seen();
        assert_eq!((&new.served, new.recorded.as_str()), (&Served::both(NEW), NEW));
        assert_ne!(new.data, case.old_data, "the new release migrates the data");
        let deploy = case.journal_of_last();
        case.ok(&["rollback", &case.old_tag, "--reason", "reference"]);
        assert_eq!(case.seen(), case.old());
        let rollback = case.journal_of_last();
        let library = Library::compile(&case.env.folder);
        Self {
            case,
            library,
            new,
            deploy,
            rollback,
        }
    }

    /// Makes that release live from which the operation starts.
    pub fn set(&self, kind: Kind) {
        let old_is_live = self.case.env.served().unwrap() == self.case.old().served;
        match (kind, old_is_live) {
            (Kind::Deploy, true) | (Kind::Rollback, false) => {}
            (Kind::Deploy, false) => {
                self.case
                    .ok(&["rollback", &self.case.old_tag, "--reason", "set the case"]);
                self.forget();
            }
            (Kind::Rollback, true) => {
                self.case.env.commit_release("v3").unwrap();
                self.case.ok(&["deploy"]);
            }
        }
    }

    /// Runs the operation with something in its environment, or in the test environment, that disturbs it.
    pub fn run(&self, kind: Kind, env: &[(&str, String)]) -> Finished {
        if kind == Kind::Deploy {
            self.case.env.commit_release("v3").unwrap();
        }
        let ended = self.case.run(&self.arguments(kind), env);
        self.case.proxy.mend();
        ended
    }

    /// The command line of the operation.
    pub fn arguments(&self, kind: Kind) -> Vec<&str> {
        match kind {
            Kind::Deploy => vec!["deploy"],
            Kind::Rollback => vec!["rollback", &self.case.old_tag, "--reason", "disturbed"],
        }
    }

    /// As [`Self::settle`]; then that release is whole to which the next person's choice leads.
    pub fn settle_as(&self, kind: Kind, ended: &Finished, then: Then, told: &str) {
        self.settle(kind, ended, then, told);
        let forward = (kind == Kind::Deploy) == (then == Then::Resume);
        let expected = if forward { &self.new } else { &self.case.old() };
        assert_eq!(&self.case.seen(), expected, "{told}");
    }

    /// Does what is to be done next, and checks that one release is whole. Says in a few words what happened.
    pub fn settle(&self, kind: Kind, ended: &Finished, then: Then, told: &str) -> String {
        let how = ended_well(ended, told);
        let last = self.case.last_operation();
        let unfinished = last["ended"].is_null() || last["ended"]["outcome"] == "stopped";
        let mut verdict = how;
        if unfinished && last["superseded_by"].is_null() {
            let id = last["id"].as_str().unwrap();
            let (flag, word) = match then {
                Then::Resume => ("--resume", "resumed"),
                Then::Undo => ("--undo", "undone"),
            };
            let kind = last["kind"].as_str().unwrap();
            let again = self.case.run(&[kind, flag, id, "--format", "json"], &[]);
            assert_eq!(again.code, Some(0), "{told}, then {flag}: {}", again.error());
            let report: Value = serde_json::from_str(&again.stdout)
                .unwrap_or_else(|error| panic!("{told}, then {flag}: {error} in {:?}", again.stdout));
            assert!(report["schema"].is_string(), "{told}, then {flag}: {report}");
            verdict = format!("{verdict}, {word}");
        }
        let seen = self.case.seen();
        assert!(
            seen == self.case.old() || seen == self.new,
            "{told}: neither release is whole: {seen:#?}"
        );
        if ended.code == Some(0) {
            let arrived = if kind == Kind::Deploy {
                &self.new
            } else {
                &self.case.old()
            };
            assert_eq!(&seen, arrived, "{told}: it said that it succeeded");
        }
        self.case.assert_settled(told);
        self.forget();
        verdict
    }

    /// Drops what restores keep beside the live collections: there are many of them here.
    pub fn forget(&self) {
        let id = self.case.last_operation()["id"].as_str().unwrap().to_owned();
        let journal = std::fs::read_to_string(self.case.journal(&id)).unwrap_or_default();
        if journal.contains(r#""event":"planned""#) {
            self.case.run(&["restore", "--forget", &id], &[]);
        }
    }
}

/// The exit code is one of ours, and the message says what is live and what to do.
pub fn ended_well(ended: &Finished, told: &str) -> String {
    let said = ended.stderr_tail.join("\n");
    match ended.code {
        Some(0) => "done".to_owned(),
        None => "killed".to_owned(),
        Some(code @ (1 | 3 | 4)) => {
            let is_error = said.contains("error:") || said.contains("error[");
            assert!(is_error, "{told}: {said}");
            assert!(
                said.contains("live:") || said.contains("next:"),
                "{told}: the message says neither what is live nor what to do: {said}"
            );
            format!("exit {code}")
        }
        code => panic!("{told}: ended with {code:?}: {said}"),
    }
}
