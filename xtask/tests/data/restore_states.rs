//! Every command in every state of a restore, on the machine that made it or on another one: the table of docs/RESTORE.md.
//! The states take turns between the two; `XTASK_LINES=all` tries each on both.

use std::path::{Path, PathBuf};

use mongodb::bson::{Bson, doc};
use rehearsal::test_env::git::git;
use rehearsal::test_env::process::told as told_of;
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::sample::every_line;
use xtask::domain::inventory::{Aspect, Inventory};

const BEGIN: &str =
    "<!-- states: printed by `XTASK_BLESS=1 cargo test -p xtask --test data restore_states` -->\n";
const END: &str = "<!-- end of states -->\n";
const VERBS: [&str; 4] = ["--resume", "--undo", "--forget", "--reinsert"];

/// A restore up to some point.
#[derive(Debug, Clone, Copy)]
enum State {
    /// The process was killed while it wrote the line of the journal that has this.
    Killed(&'static str),
    /// It has ended, or was undone or forgotten since; what the last of them recorded in the ledger may be missing.
    Ended {
        then: &'static [&'static str],
        recorded: bool,
    },
    /// Its undo was killed while it wrote the line that has this.
    UndoKilled(&'static str),
}

const STATES: [(&str, State); 11] = [
    (
        "begun: the shadow is being filled",
        State::Killed(r#""event":"shadow-filled""#),
    ),
    ("shadow ready", State::Killed(r#""event":"swap-begun""#)),
    (
        "a collection is aside, its successor not yet live",
        State::Killed(r#""event":"before","step":{"do":"bring","collection":"users""#),
    ),
    ("swapped", State::Killed(r#""event":"compared""#)),
    ("compared with the backup", State::Killed(r#""event":"rescued""#)),
    (
        "rescued, the end not recorded",
        State::Ended {
            then: &[],
            recorded: false,
        },
    ),
    (
        "ended",
        State::Ended {
            then: &[],
            recorded: true,
        },
    ),
    (
        "undo under way",
        State::UndoKilled(r#""event":"undoing","step":{"do":"bring","collection":"users""#),
    ),
    (
        "undone, the end not recorded",
        State::Ended {
            then: &["--undo"],
            recorded: false,
        },
    ),
    (
        "undone",
        State::Ended {
            then: &["--undo"],
            recorded: true,
        },
    ),
    (
        "forgotten",
        State::Ended {
            then: &["--forget"],
            recorded: true,
        },
    ),
];

/// Where a collection is put back in place, its documents are in the place of its renaming.
const RENAMED: &str = r#"{"do":"bring","collection":"users""#;
const PUT_BACK: &str = r#"{"do":"put-back","batch":0"#;

struct Case {
    crash: CrashCase,
    /// A backup of what was live before the restores.
    changed: PathBuf,
    /// The rescue file of one of them: two documents that the backup does not have.
    rescue: String,
    /// What a restore, and its undo, write into the journal behind its first line.
    restore: Vec<String>,
    undo: Vec<String>,
}

impl Case {
    fn new(make: impl FnOnce(RestoreEnv) -> CrashCase) -> Self {
        let env = RestoreEnv::start();
        env.storage_elsewhere(false);
        let crash = make(env);
        let operation = crash.begin_recorded();
        let restored = crash.env.ok(&["restore", "--resume", &operation]);
        let restore = crash.whole_journal(&operation).split_off(1);
        crash.env.ok(&["restore", "--undo", &operation]);
        let undo = crash.whole_journal(&operation).split_off(1 + restore.len());
        Self {
            changed: crash.env.backup(),
            rescue: restored["rescue"]["id"].as_str().unwrap().to_owned(),
            crash,
            restore,
            undo,
        }
    }

    fn env(&self) -> &RestoreEnv {
        &self.crash.env
    }

    /// A new restore in this state.
    fn reach(&self, state: State) -> String {
        let operation = self.crash.begin_recorded();
        let line = |lines: &[String], text: &str| {
            let put_back = text.replace(RENAMED, PUT_BACK);
            let wanted = |line: &String| line.contains(text) || line.contains(&put_back);
            lines.iter().position(wanted).unwrap()
        };
        let resume = ["restore", "--resume", &operation, "--yes"];
        if let State::Killed(text) = state {
            let number = line(&self.restore, text);
            self.crash
                .killed_while(&resume, &operation, &self.restore, number);
            return operation;
        }
        self.env().ok(&["restore", "--resume", &operation]);
        match state {
            State::UndoKilled(text) => {
                let undo = ["restore", "--undo", &operation, "--yes"];
                let number = line(&self.undo, text);
                self.crash.killed_while(&undo, &operation, &self.undo, number);
            }
            State::Ended { then, recorded } => {
                for verb in then {
                    self.env().ok(&["restore", verb, &operation]);
                }
                if !recorded {
                    let remote = self.env().dir.path().join("remote.git");
                    let ledger = "refs/xtask/ledger/production";
                    git(&remote, &["update-ref", ledger, &format!("{ledger}^")]);
                }
            }
            State::Killed(_) => {}
        }
        operation
    }

    /// What all the collections are, those beside the live ones by name.
    fn everything(&self) -> (Inventory, Vec<String>) {
        let mut names = self.env().database().list_collection_names().run().unwrap();
        names.sort();
        (self.env().inventory(), names)
    }

    /// The outcome of a command; `None` in the second place where it has changed nothing.
    fn outcome(&self, verb: &str, operation: &str) -> (String, Option<&'static str>) {
        let before = self.everything();
        let what = if verb == "--reinsert" {
            self.rescue.as_str()
        } else {
            operation
        };
        let output = self.env().run(&["restore", verb, what]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(3), "{verb}: {}", told_of(&output));
            assert_eq!(before, self.everything(), "{verb}: {}", told_of(&output));
            let code = stderr.split_once("error[").unwrap().1.split(']').next().unwrap();
            return (format!("refused ({code})"), None);
        }
        let (found, names) = self.everything();
        match verb {
            "--resume" => assert_eq!(self.crash.backed_up.compare(&found), []),
            "--undo" => assert_eq!(self.crash.changed.compare(&found), []),
            "--forget" => assert_eq!(before.0.compare(&found), []),
            _ => self.require_reinserted(&before.0, &found),
        }
        let own = names.iter().any(|name| name.contains(operation));
        assert!(verb != "--forget" || !own, "{names:?}");
        let done = match verb {
            "--resume" => "restores",
            "--undo" => "undoes",
            "--forget" => "drops what was kept",
            _ => "inserts what is missing",
        };
        (done.to_owned(), Some(done))
    }

    /// Both documents are live, and nothing else is otherwise than before.
    fn require_reinserted(&self, before: &Inventory, found: &Inventory) {
        for (name, id) in [("users", Bson::from("new")), ("payments", Bson::from(1))] {
            let collection = self.env().collection(name);
            let found = collection.count_documents(doc! { "_id": id }).run();
            assert_eq!(found.unwrap(), 1, "{name}");
        }
        let mut others = before.compare(found);
        others.retain(|other| match other.collection.as_str() {
            "users" => !other.aspect.is_data(),
            "payments" => other.aspect != Aspect::Unexpected,
            _ => true,
        });
        assert_eq!(others, []);
    }

    /// What `restore --list` advises to do with it.
    fn advised(&self, operation: &str) -> Vec<&'static str> {
        let listed = self.env().ok(&["restore", "--list"]);
        let mut restores = listed["restores"].as_array().unwrap().iter();
        let known = restores.find(|known| known["operation"] == operation);
        let next = known.and_then(|known| known["next"].as_str()).unwrap_or_default();
        let verbs = VERBS
            .into_iter()
            .filter(|verb| next.contains(&format!("{verb} {operation}")));
        verbs.collect()
    }

    /// Whether another restore may begin, as its plan shows.
    fn another(&self) -> &'static str {
        let plan = self
            .env()
            .ok(&["restore", self.crash.backup.to_str().unwrap(), "--plan"]);
        if plan["problems"].as_array().unwrap().is_empty() {
            "may begin"
        } else {
            "refused (blocked)"
        }
    }

    /// Whatever the state was, what was live before the restore is live again and nothing is under way.
    fn settle(&self, operation: &str) {
        let undone = self.env().run(&["restore", "--undo", operation]);
        if !undone.status.success() && !self.crash.changed.compare(&self.env().inventory()).is_empty() {
            self.env().ok(&["restore", self.changed.to_str().unwrap()]);
        }
        let changed = self.crash.changed.compare(&self.env().inventory());
        assert_eq!(changed, [], "{}", told_of(&undone));
    }

    /// The first state is tried here, or on another machine.
    fn table(&self, first_elsewhere: bool) -> String {
        let mut table = String::from(
            "| state | `--resume` | `--undo` | `--forget` | `--reinsert` | another restore | `--list` advises |\n\
             |---|---|---|---|---|---|---|\n",
        );
        let turns = [first_elsewhere, !first_elsewhere].into_iter().cycle();
        for ((name, state), elsewhere) in STATES.into_iter().zip(turns) {
            let cells = self.row(state, elsewhere);
            if every_line() {
                assert_eq!(cells, self.row(state, !elsewhere), "{name}");
            }
            table += &format!("| {name} | {} |\n", cells.join(" | "));
        }
        table
    }

    fn row(&self, state: State, elsewhere: bool) -> Vec<String> {
        let fresh = || {
            let operation = self.reach(state);
            if elsewhere {
                self.env().replace_machine();
            }
            operation
        };
        let mut operation = fresh();
        let another = self.another().to_owned();
        let advised = self.advised(&operation);
        let mut cells = Vec::new();
        let mut changed = false;
        for verb in VERBS {
            if changed {
                self.settle(&operation);
                operation = fresh();
            }
            let (cell, done) = self.outcome(verb, &operation);
            assert!(
                done.is_some() || !advised.contains(&verb),
                "{verb} is advised and {cell}"
            );
            changed = done.is_some();
            cells.push(cell);
        }
        self.settle(&operation);
        let advised: Vec<String> = advised.iter().map(|verb| format!("`{verb}`")).collect();
        let nothing = if advised.is_empty() { "nothing" } else { "" };
        cells.extend([another, format!("{nothing}{}", advised.join(" or "))]);
        cells
    }
}

fn printed() -> (PathBuf, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/RESTORE.md");
    let text = std::fs::read_to_string(&file).unwrap();
    (file, text)
}

#[test]
fn every_command_in_every_state_here_and_on_another_machine() {
    let table = Case::new(CrashCase::new).table(false);
    let (file, text) = printed();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (printed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("XTASK_BLESS").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(printed, table, "run this test with XTASK_BLESS=1");
}

#[test]
fn the_same_table_holds_where_documents_are_put_back_in_place() {
    let table = Case::new(CrashCase::in_place).table(true);
    assert!(printed().1.contains(&table), "{table}");
}
