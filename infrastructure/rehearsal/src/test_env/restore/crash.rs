//! A small restore that is killed again and again, and what must be true afterwards.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;

use mongodb::bson::doc;
use xtask::backup::read_metadata;
use xtask::domain::inventory::Inventory;
use xtask::domain::ledger::OperationOutcome;
use xtask::domain::manifest::METADATA_FILE;
use xtask::domain::operation::OperationId;
use xtask::domain::step::Step;
use xtask::operation::ledger::{Ledger, LockTiming, Start};
use xtask::tools::git::Git;

use super::super::sample::every_line;
use super::RestoreEnv;
use crate::test_env::process::{program, told};

/// Longer than every other file of a run, so that a limit on the size of files strikes in the journal.
const PADDING_BYTES: usize = 200_000;

/// So many documents are not in the backup: a user and a payment.
pub const NEW_DOCUMENTS: u64 = 2;

/// A backup, what has become of the database since, and operations that restore it.
#[derive(Debug)]
pub struct CrashCase {
    pub env: RestoreEnv,
    pub backup: PathBuf,
    pub backed_up: Inventory,
    pub changed: Inventory,
    users: i32,
    /// When the operations began: before the safety backup.
    began: chrono::DateTime<chrono::Utc>,
    first_line: String,
    /// Only these collections are restored; all of them where none is named.
    only: &'static [&'static str],
    method: &'static str,
    conflicts: &'static str,
    operations: u16,
    /// The journal of a restore, and of its undo, line by line.
    pub restore_lines: Vec<String>,
    pub undo_lines: Vec<String>,
}

impl CrashCase {
    /// A small database, so that there are many crashes in little time; every kind of step occurs.
    pub fn new(env: RestoreEnv) -> Self {
        Self::with_users(env, 20)
    }

    /// With so many documents in the collection that is restored.
    pub fn with_users(env: RestoreEnv, users: i32) -> Self {
        let mut case = Self::prepared(env, users);
        case.reference();
        assert!(case.restore_lines.len() > 20 && case.undo_lines.len() > 6);
        case
    }

    /// What can be is put back in place: the users; the others are swapped.
    pub fn in_place(env: RestoreEnv) -> Self {
        Self::in_place_with(env, "stop")
    }

    /// The same, with what becomes of documents that are changed meanwhile.
    pub fn in_place_with(env: RestoreEnv, conflicts: &'static str) -> Self {
        let mut case = Self::prepared(env, 20);
        case.method = "delta";
        case.conflicts = conflicts;
        case.reference();
        case
    }

    /// Only these collections are restored, of which each is live and in the backup.
    pub fn of_part(env: RestoreEnv, only: &'static [&'static str]) -> Self {
        let mut case = Self::prepared(env, 20);
        case.only = only;
        let mut restored = case.changed.clone();
        for name in only {
            let facts = case.backed_up.collections[*name].clone();
            restored.collections.insert((*name).to_owned(), facts);
        }
        case.backed_up = restored;
        case.reference();
        case
    }

    fn prepared(env: RestoreEnv, users: i32) -> Self {
        let began = chrono::Utc::now();
        fill(&env, users);
        let backed_up = env.inventory();
        let backup = env.backup();
        change(&env);
        let changed = env.inventory();
        Self {
            env,
            backup,
            backed_up,
            changed,
            users,
            began,
            first_line: String::new(),
            only: &[],
            method: "auto",
            conflicts: "stop",
            operations: 0,
            restore_lines: Vec::new(),
            undo_lines: Vec::new(),
        }
    }

    /// One restore from end to end and back: what its journal holds. Its safety backup is the one of all that follow.
    fn reference(&mut self) {
        let mut args = vec!["restore", self.backup.to_str().unwrap(), "--method", self.method];
        args.extend(["--conflicts", self.conflicts]);
        args.extend(self.only.iter().flat_map(|name| ["--collection", name]));
        let restored = self.env.ok(&args);
        let operation = restored["operation"].as_str().unwrap();
        self.restore_lines = self.lines(operation);
        self.env.ok(&["restore", "--undo", operation]);
        self.undo_lines = self.lines(operation).split_off(self.restore_lines.len());
        self.env.ok(&["restore", "--forget", operation]);
        self.first_line.clone_from(&self.restore_lines[0]);
    }

    pub fn journal(&self, operation: &str) -> PathBuf {
        let operations = self.env.root().join(".xtask/operations");
        operations.join(operation).join("steps.jsonl")
    }

    /// The lines of the restore, without those of the operation's steps.
    pub fn lines(&self, operation: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.journal(operation)).unwrap();
        let lines = text.split_inclusive('\n');
        lines
            .filter(|line| line.starts_with(r#"{"event":"#) || !line.ends_with('\n'))
            .map(str::to_owned)
            .collect()
    }

    /// An operation whose journal has its first line.
    pub fn begin(&mut self) -> String {
        self.operations += 1;
        let operation = OperationId::at(self.began, self.operations).to_string();
        self.write_first_line(&operation);
        operation
    }

    fn write_first_line(&self, operation: &str) {
        let journal = self.journal(operation);
        std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
        let padded = format!("{}{}\n", self.first_line.trim_end(), " ".repeat(PADDING_BYTES));
        std::fs::write(journal, padded).unwrap();
    }

    /// The same for an operation that the ledger has too: it stopped after its safety backup.
    pub fn begin_recorded(&self) -> String {
        let git = Git::at(&self.env.root(), "origin");
        let mut ledger = Ledger::with_timing(git, "production", LockTiming::default());
        let metadata = read_metadata(&self.backup.join(METADATA_FILE)).unwrap();
        let mut plan = serde_json::json!({
            "backup": metadata.id, "file": self.backup.join(&metadata.file), "created_changed_deleted": [0, 0, 0],
        });
        if !self.only.is_empty() {
            plan["collections"] = self.only.into();
        }
        if self.method == "delta" {
            plan["delta"] = serde_json::json!({ "collections": ["users"], "conflicts": self.conflicts });
        }
        let start = Start {
            kind: "restore".into(),
            reason: "a test".into(),
            target: metadata.id.clone(),
            plan_sha256: String::new(),
            plan,
            over: None,
        };
        let held = ledger.begin(start).unwrap();
        let operation = held.id().to_string();
        let safety = serde_json::json!({ "id": metadata.id, "hash": metadata.hash });
        held.step(Step::SafetyBackup.name(), safety).unwrap();
        held.finish(OperationOutcome::Stopped, serde_json::Value::Null)
            .unwrap();
        self.write_first_line(&operation);
        operation
    }

    /// Every line of the journal, those of the operation's steps too.
    pub fn whole_journal(&self, operation: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.journal(operation)).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    /// Runs until the line `number` of those that `args` appends to the journal is half written.
    pub fn killed_while(&self, args: &[&str], operation: &str, appended: &[String], number: usize) {
        let bytes: usize = appended[..number].iter().map(String::len).sum();
        let there = std::fs::metadata(self.journal(operation)).unwrap().len();
        let limit = usize::try_from(there).unwrap() + bytes + appended[number].len() / 2;
        self.killed_by_limit(args, limit);
        let lines = self.whole_journal(operation);
        let last = lines.iter().rfind(|line| line.ends_with('\n')).unwrap();
        let kind = |line: &str| line.chars().take(40).collect::<String>();
        assert_eq!(
            kind(last),
            kind(&appended[number - 1]),
            "killed at another line: {lines:?}"
        );
    }

    /// The kernel kills a process that writes a file beyond the limit.
    fn killed_by_limit(&self, args: &[&str], limit_bytes: usize) {
        let xtask = self.env.xtask(args);
        let mut limited = Command::new(program(&["prlimit"]));
        limited
            .args([&format!("--fsize={limit_bytes}"), "--core=0", "--"])
            .arg(xtask.get_program())
            .args(xtask.get_args());
        limited.env_clear().current_dir(self.env.root());
        limited.envs(xtask.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let crashed = limited.output().unwrap();
        assert!(crashed.status.signal().is_some(), "{args:?}: {}", told(&crashed));
    }

    /// Goes on, and then back: each must end where it should. Gives what the going on said.
    pub fn resume_and_undo(&self, operation: &str, after: &str) -> serde_json::Value {
        let resumed = self.env.ok(&["restore", "--resume", operation]);
        assert_eq!(
            self.backed_up.compare(&self.env.inventory()),
            [],
            "resumed after {after}"
        );
        self.undo(operation, after);
        resumed
    }

    /// Straight back from where it stopped.
    pub fn undo(&self, operation: &str, after: &str) {
        self.env.ok(&["restore", "--undo", operation]);
        assert_eq!(
            self.changed.compare(&self.env.inventory()),
            [],
            "undone after {after}"
        );
    }

    /// A restore is stopped by `strike` at each of these lines; then resumed, and taken back.
    pub fn stopped_at(
        &mut self,
        numbers: impl IntoIterator<Item = usize>,
        mut strike: impl FnMut(&mut Self, &str, usize),
    ) {
        for (number, first) in numbers.into_iter().zip([false, true].into_iter().cycle()) {
            let ways = [first, !first];
            for straight_back in &ways[..if every_line() { 2 } else { 1 }] {
                let operation = self.begin();
                strike(self, &operation, number);
                let line = format!("line {number}, {:?}", self.restore_lines.get(number));
                if *straight_back {
                    self.undo(&operation, &line);
                } else {
                    self.resume_and_undo(&operation, &line);
                }
            }
        }
    }

    /// An undo is stopped by `strike` at each of these lines; then it goes on.
    pub fn undo_stopped_at(
        &mut self,
        numbers: impl IntoIterator<Item = usize>,
        mut strike: impl FnMut(&mut Self, &str, usize),
    ) {
        for number in numbers {
            let operation = self.begin();
            self.env.ok(&["restore", "--resume", &operation]);
            strike(self, &operation, number);
            let line = format!("line {number} of the undo, {:?}", self.undo_lines.get(number));
            self.undo(&operation, &line);
        }
    }

    /// Goes on with the operation until the line `number` of the restore is half written.
    pub fn killed_within(&self, operation: &str, number: usize) {
        self.killed(
            &["restore", "--resume", operation, "--yes"],
            operation,
            &self.restore_lines,
            number,
        );
    }

    /// The same of an undo.
    pub fn undo_killed_within(&self, operation: &str, number: usize) {
        self.killed(
            &["restore", "--undo", operation, "--yes"],
            operation,
            &self.undo_lines,
            number,
        );
    }

    /// It is killed while it writes the line, which is then cut.
    fn killed(&self, args: &[&str], operation: &str, expected: &[String], number: usize) {
        let bytes = |lines: &[String]| lines.iter().map(String::len).sum::<usize>();
        let before = self.lines(operation);
        let limit = bytes(&before) + bytes(&expected[..number]) + expected[number].len() / 2;
        self.killed_by_limit(args, limit);
        let mut lines = self.lines(operation);
        lines.retain(|line| line.ends_with('\n'));
        assert_eq!(
            lines.len(),
            before.len() + number,
            "killed at another line: {lines:?}"
        );
    }

    /// What was live when the operations began is live again, without a restore.
    pub fn begin_anew(&self) {
        let database = self.env.database();
        for name in database.list_collection_names().run().unwrap() {
            database
                .collection::<mongodb::bson::Document>(&name)
                .drop()
                .run()
                .unwrap();
        }
        fill(&self.env, self.users);
        change(&self.env);
        assert_eq!(self.changed.compare(&self.env.inventory()), []);
    }

    /// Nothing of the operations is left once those are forgotten of which it is advised.
    pub fn forget_all(&self) {
        let listed = self.env.ok(&["restore", "--list"]);
        for restore in listed["restores"].as_array().unwrap() {
            let advised = restore["next"].as_str().unwrap_or_default();
            if advised.contains("--forget") {
                self.env
                    .ok(&["restore", "--forget", restore["operation"].as_str().unwrap()]);
            }
        }
        self.assert_nothing_beside();
    }

    /// No collection of ours is there.
    pub fn assert_nothing_beside(&self) {
        let names = self.env.database().list_collection_names().run().unwrap();
        assert!(names.iter().all(|name| !name.starts_with("__")), "{names:?}");
    }
}

/// What is backed up.
fn fill(env: &RestoreEnv, users: i32) {
    let old = mongodb::bson::DateTime::from_millis(0);
    let users = (0..users).map(|n| doc! { "_id": n, "seen": old });
    env.collection("users").insert_many(users).run().unwrap();
    let expiry = doc! { "key": { "seen": 1 }, "name": "seen", "expireAfterSeconds": 2_000_000_000_i64 };
    env.command(doc! { "createIndexes": "users", "indexes": [expiry] });
    env.collection("gone")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    env.command(doc! { "create": "seen_users", "viewOn": "users", "pipeline": [] });
}

/// What becomes of it.
fn change(env: &RestoreEnv) {
    let few = doc! { "_id": { "$lt": 3 } };
    env.collection("users").delete_many(few).run().unwrap();
    env.collection("users")
        .insert_one(doc! { "_id": "new" })
        .run()
        .unwrap();
    env.collection("payments")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    env.command(doc! { "drop": "gone" });
    env.command(doc! { "drop": "seen_users" });
    env.command(doc! { "create": "seen_users", "viewOn": "payments", "pipeline": [] });
}
