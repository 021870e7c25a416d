//! The same of a restore, and of what follows on one: its undo, `--forget`, `--reinsert`. A holder is stopped for longer than its lease,
//! and somebody else acts on the database. When it wakes, it changes nothing there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Child;

use mongodb::bson::doc;
use rehearsal::test_env::git::clone_empty;
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::crash::CrashCase;
use serde_json::Value;
use xtask::domain::inventory::Inventory;

use super::fault::Library;
use super::zombie::{LATER_S, stopped, wake};

/// A database with a backup, and two machines.
struct TwoMachines {
    case: CrashCase,
    library: Library,
    elsewhere: PathBuf,
}

/// Every collection with its documents, those beside the live ones too.
#[derive(Debug, PartialEq)]
struct Everything {
    live: Inventory,
    counts: BTreeMap<String, u64>,
}

impl TwoMachines {
    fn with(case: CrashCase) -> Self {
        let folder = case.env.dir.path();
        clone_empty(folder, "remote.git", "elsewhere");
        let elsewhere = folder.join("elsewhere");
        let configuration = "infrastructure/pipeline.toml";
        std::fs::create_dir_all(elsewhere.join("infrastructure")).unwrap();
        std::fs::copy(case.env.root().join(configuration), elsewhere.join(configuration)).unwrap();
        Self {
            library: Library::compile(folder),
            elsewhere,
            case,
        }
    }

    fn backup(&self) -> &str {
        self.case.backup.to_str().unwrap()
    }

    /// Starts the command, and waits until it is stopped at this moment. Its clocks show `slept_s` when it wakes.
    fn stopped(&self, args: &[&str], at: &str, slept_s: u32) -> Child {
        let at = self.library.env("/steps.jsonl", at, &format!("stop:{slept_s}"));
        stopped(self.case.env.xtask(&[args, &["--yes"]].concat()).envs(at))
    }

    /// Somebody else, on whose machine more than a lease has passed.
    fn somebody(&self, args: &[&str]) -> Value {
        let hurry = self
            .library
            .env("/steps.jsonl", "nothing", &format!("hurry:{LATER_S}"));
        let args = [args, &["--yes", "--format", "json"]].concat();
        let mut command = self.case.env.xtask(&args);
        let output = command.envs(hurry).current_dir(&self.elsewhere).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn last_operation(&self) -> Value {
        let shown = self.case.env.ok(&["ledger"]);
        shown["operations"].as_array().unwrap().last().unwrap().clone()
    }

    fn everything(&self) -> Everything {
        let database = self.case.env.database();
        let names = database.list_collection_names().run().unwrap();
        let count = |name: &String| {
            let collection = database.collection::<mongodb::bson::Document>(name);
            collection.count_documents(doc! {}).run().unwrap()
        };
        Everything {
            live: self.case.env.inventory(),
            counts: names.iter().map(|name| (name.clone(), count(name))).collect(),
        }
    }

    /// What somebody else made of it stays as it is.
    fn wakes(&self, stopped: Child, what: &str) {
        let (before, ledger) = (self.everything(), self.last_operation());
        let said = wake(stopped, what);
        assert_eq!(self.everything(), before, "{what}: it woke: {said}");
        assert_eq!(self.last_operation(), ledger, "{what}: it woke: {said}");
    }

    fn assert_changed(&self, what: &str) {
        let differences = self.case.changed.compare(&self.case.env.inventory());
        assert_eq!(differences, [], "{what}");
        self.case.forget_all();
    }

    /// A restore is stopped there, and undone by somebody else.
    fn restore_stopped_and_undone(&self, args: &[&str], at: &str, slept_s: u32) {
        let stopped = self.stopped(&[&["restore", self.backup()], args].concat(), at, slept_s);
        let operation = self.last_operation()["id"].as_str().unwrap().to_owned();
        self.somebody(&["restore", "--undo", &operation]);
        let what = format!("restore at {at}");
        self.wakes(stopped, &what);
        self.assert_changed(&what);
    }
}

/// The last collection has its name when it is stopped: what it compares when it wakes is what the undo made live.
#[test]
fn a_restore_that_wakes_after_its_last_change_was_undone_ends_with_who_took_it_over() {
    let machines = TwoMachines::with(CrashCase::new(RestoreEnv::start()));
    let case = &machines.case;
    // Half of the clocks show how long it slept; the others stand still.
    for slept_s in [0, LATER_S] {
        machines.restore_stopped_and_undone(&[], "text:\"event\":\"swapped\"", slept_s);
    }

    // An undo, whose work somebody else finishes.
    let restored = case.env.ok(&["restore", machines.backup()]);
    let operation = restored["operation"].as_str().unwrap();
    let undo = ["restore", "--undo", operation];
    let at = "text:\"event\":\"undoing\",\"step\":{\"do\":\"bring\",\"collection\":\"users\"";
    let stopped = machines.stopped(&undo, at, 0);
    machines.somebody(&undo);
    machines.wakes(stopped, "the undo of a restore");
    machines.assert_changed("the undo of a restore");

    // Documents of a rescue file, and somebody restores the data without them.
    let restored = case.env.ok(&["restore", machines.backup()]);
    let operation = restored["operation"].as_str().unwrap();
    let rescue = restored["rescue"]["path"].as_str().unwrap();
    let stopped = machines.stopped(
        &["restore", "--reinsert", rescue],
        "read:2:*/rescue/mongodb-backup-*",
        0,
    );
    let again = machines.somebody(&["restore", machines.backup()]);
    machines.wakes(stopped, "--reinsert");
    assert_eq!(case.backed_up.compare(&case.env.inventory()), []);
    case.env
        .ok(&["restore", "--undo", again["operation"].as_str().unwrap()]);

    // What was kept beside the live collections, of which somebody makes more.
    let forget = ["restore", "--forget", operation];
    let stopped = machines.stopped(&forget, "text:\"event\":\"forget-begun\"", 0);
    let again = machines.somebody(&["restore", machines.backup()]);
    machines.wakes(stopped, "--forget");
    for operation in [operation, again["operation"].as_str().unwrap()] {
        case.env.ok(&["restore", "--forget", operation]);
    }
    case.forget_all();
}

#[test]
fn a_holder_that_wakes_puts_no_document_back_in_place_after_its_restore_was_undone() {
    let machines = TwoMachines::with(CrashCase::in_place(RestoreEnv::start()));
    let delta = ["--method", "delta", "--conflicts", "stop"];
    for (event, slept_s) in [("before", 0), ("after", LATER_S)] {
        let at = format!("text:\"event\":\"{event}\",\"step\":{{\"do\":\"put-back\"");
        machines.restore_stopped_and_undone(&delta, &at, slept_s);
    }
}
