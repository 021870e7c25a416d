//! What an earlier version recorded stays readable: its ledger, its release tags, its journals. The fixtures were written
//! by a whole pipeline; three of its operations were killed midway, and of those the records at that moment are kept too.

mod common;

use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::domain::ledger::{Operation, Outcome, State};
use xtask::domain::release::Health;
use xtask::operation::journal::read_file;
use xtask::operation::ledger::{Ledger, Timing};
use xtask::tools::git::Git;

use common::{World, git};

const LEDGER: &str = "refs/xtask/ledger/production";

/// A clone whose remote holds what the earlier version pushed.
struct Earlier {
    dir: tempfile::TempDir,
}

impl Earlier {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "--quiet", "--bare", "remote.git"]);
        fetch_bundle(&dir.path().join("remote.git"));
        git(dir.path(), &["init", "--quiet", "clone"]);
        let earlier = Self { dir };
        git(&earlier.clone_dir(), &["remote", "add", "origin", "../remote.git"]);
        earlier
    }

    /// The ledger as it was when the operation of this name had been killed.
    fn midway(name: &str) -> Self {
        let earlier = Self::new();
        let then = format!("refs/midway/{name}");
        let remote = earlier.dir.path().join("remote.git");
        git(&remote, &["update-ref", LEDGER, &then]);
        earlier
    }

    fn clone_dir(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    fn git(&self) -> Git {
        Git::at(&self.clone_dir(), "origin")
    }

    fn state(&self) -> State {
        Ledger::with_timing(self.git(), "production", Timing::default())
            .state()
            .unwrap()
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/first-version")
}

fn fetch_bundle(repository: &Path) {
    let bundle = fixtures().join("remote.bundle");
    let bundle = bundle.to_str().unwrap();
    git(repository, &["fetch", "--quiet", bundle, "refs/*:refs/*"]);
}

/// The operations that were killed, with the folder of each as it was then.
fn killed(name: &str) -> (String, PathBuf) {
    let folder = fixtures().join("midway").join(name);
    let mut entries = std::fs::read_dir(folder).unwrap();
    let entry = entries.next().unwrap().unwrap();
    (entry.file_name().into_string().unwrap(), entry.path())
}

/// The facts of every step that a journal shows as done.
fn journalled(operation: &Path) -> Vec<(String, Value)> {
    let entries: Vec<Value> = read_file(&operation.join("steps.jsonl")).unwrap();
    let done = entries.iter().filter(|entry| entry["entry"] == "done");
    done.map(|entry| (entry["step"].as_str().unwrap().to_owned(), entry["facts"].clone()))
        .collect()
}

fn recorded(operation: &Operation) -> Vec<(String, Value)> {
    let steps = operation.steps.iter();
    steps.map(|step| (step.name.clone(), step.facts.clone())).collect()
}
