//! What an onlooker sees, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::{Document, doc};
use mongodb::sync::{Client, Database};
use rehearsal::test_env::DATABASE;
use serde_json::Value;
use xshell::{Shell, cmd};
use xtask::domain::inventory::Inventory;

use super::super::case::Case;
use super::{Act, Model};

/// The collection that people write to.
const NOTES: &str = "notes";
/// Where the sample application records its migrations.
const MIGRATIONS: &str = "_migrations";
/// A tag of the future, which sorts behind all others.
const FORGED: &str = "prod-29991231-235959";

/// What serves, and the data.
#[derive(Debug, PartialEq)]
pub(super) struct LiveNow {
    backend_commit: String,
    frontend_version: String,
    data: Inventory,
}

/// All of it at one moment.
#[derive(Debug)]
pub(super) struct Observed {
    pub live: LiveNow,
    /// Oldest first.
    pub releases: Vec<String>,
    newest: Value,
    drift: Vec<String>,
    /// Where ledger, records and tags differ.
    pub problems: Vec<String>,
    /// Kind and id of the last operations that are deploys or rollbacks.
    pub operations: Vec<(String, String)>,
    pub unfinished: Option<String>,
    outcome_of_newest: String,
}

impl Model {
    pub(super) fn observe(&self) -> Observed {
        let case = &self.case;
        let json = |args: &[&str]| -> Value {
            let shown = case.ok(&[args, &["--format", "json"]].concat());
            serde_json::from_str(&shown.stdout).unwrap()
        };
        let (listed, ledger) = std::thread::scope(|scope| {
            let ledger = scope.spawn(|| json(&["ledger"]));
            (json(&["releases"]), ledger.join().unwrap())
        });
        let strings = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        let mut releases = listed["releases"].as_array().unwrap().clone();
        releases.reverse();
        let newest = releases.last().unwrap()["release"].clone();
        let operations = ledger["operations"].as_array().unwrap();
        let last = operations.last().unwrap();
        let is_open = last["ended"].is_null() || last["ended"]["outcome"] == "stopped";
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let releasing = operations
            .iter()
            .rev()
            .filter(|one| one["kind"] == "deploy" || one["kind"] == "rollback");
        let outcome = operations.iter().find(|one| one["id"] == newest["operation"]);
        Observed {
            live: LiveNow {
                backend_commit: backend_commit(case),
                frontend_version: case.env.served().unwrap().frontend,
                data: case.data(),
            },
            releases: releases.iter().map(|one| text(&one["release"]["tag"])).collect(),
            drift: strings(&listed["drift"]),
            problems: strings(&listed["problems"]),
            operations: releasing
                .take(3)
                .map(|one| (text(&one["kind"]), text(&one["id"])))
                .collect(),
            unfinished: is_open.then(|| text(&last["id"])),
            outcome_of_newest: outcome.map_or_else(String::new, |one| text(&one["ended"]["outcome"])),
            newest,
        }
    }

    /// One release is whole, or an operation is reported as unfinished.
    pub(super) fn assert_told(&self, observed: &Observed) {
        self.assert_nothing_lost();
        if observed.unfinished.is_some() {
            return;
        }
        assert_eq!(
            observed.drift,
            [] as [String; 0],
            "nobody changed a platform by hand"
        );
        let (commit, tag) = (text(&observed.newest["commit"]), text(&observed.newest["tag"]));
        assert_eq!(
            observed.live.backend_commit, commit,
            "the backend is not that of {tag}"
        );
        let healthy = observed.newest["health"] == "healthy";
        assert_eq!(
            observed.outcome_of_newest == "partial",
            !healthy && observed.newest["restores"].is_null(),
            "{tag}"
        );
        if healthy {
            assert_eq!(
                observed.live.frontend_version,
                self.version(&commit),
                "frontend of {tag}"
            );
            assert_eq!(
                self.applied(),
                self.migrations(&commit),
                "the data are not those of {tag}"
            );
        }
    }

    /// Every document is live, or kept beside the live collections.
    fn assert_nothing_lost(&self) {
        let database = self.database();
        let names = database.list_collection_names().run().unwrap();
        let mut found = BTreeSet::new();
        for name in names.iter().filter(|name| name.ends_with(NOTES)) {
            let all = database.collection::<Document>(name).find(doc! {}).run().unwrap();
            found.extend(all.map(|one| one.unwrap().get_i32("_id").unwrap()));
        }
        let written: BTreeSet<i32> = self.written.borrow().iter().copied().collect();
        let lost: Vec<&i32> = written.difference(&found).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }

    /// What is no command of ours.
    pub(super) fn outside(&self, act: &Act, before: &Observed) {
        match act {
            Act::Write => {
                let mut written = self.written.borrow_mut();
                let next = i32::try_from(written.len()).unwrap();
                let id = written.last().map_or(next, |last| last + 1);
                let notes = self.database().collection::<Document>(NOTES);
                notes.insert_one(doc! { "_id": id }).run().unwrap();
                written.push(id);
            }
            Act::DeleteTag { tag } => self.delete(&format!("refs/tags/{tag}")),
            Act::DeleteRecord { tag } => {
                self.delete(&format!("refs/tags/{tag}"));
                self.delete(&format!("refs/xtask/releases/{tag}"));
            }
            Act::MoveTag { tag } => self.move_tag(tag),
            Act::Forge { environment } => self.forge(&before.newest, environment),
            _ => unreachable!("a command"),
        }
    }

    fn delete(&self, reference: &str) {
        self.case.git(&format!("git update-ref -d {reference}"));
    }

    fn move_tag(&self, tag: &str) {
        let reference = format!("refs/tags/{tag}");
        // It may have been deleted.
        let object = self
            .case
            .git(&format!("git for-each-ref --format=%(objectname) {reference}"));
        if !object.is_empty() {
            self.case.git(&format!("git update-ref {reference} main"));
            self.moved.borrow_mut().push((reference, object));
        }
    }

    /// The last one first: a tag may have been moved twice.
    pub(super) fn move_back(&self) {
        for (reference, object) in self.moved.borrow_mut().drain(..).rev() {
            self.case.git(&format!("git update-ref {reference} {object}"));
        }
    }

    fn forge(&self, newest: &Value, environment: &str) {
        let mut forged = newest.clone();
        forged["environment"] = environment.into();
        let tag = text(&newest["tag"]);
        let message = serde_json::to_string(&forged).unwrap().replace(&tag, FORGED);
        let file = self.case.env.folder.join("forged");
        std::fs::write(&file, format!("Release {FORGED}\n\n{message}\n")).unwrap();
        self.case.git(&format!(
            "git tag --force --annotate --cleanup=verbatim --file={} {FORGED} main",
            file.display()
        ));
    }

    pub(super) fn remove_forged(&self) {
        self.delete(&format!("refs/tags/{FORGED}"));
    }

    /// Drops what restores keep, and starts to count documents from what is live.
    pub(super) fn forget(&self) {
        let listed = self.case.ok(&["restore", "--list", "--format", "json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        for known in listed["restores"].as_array().unwrap() {
            if !known["next"].is_null() {
                self.case
                    .ok(&["restore", "--forget", known["operation"].as_str().unwrap()]);
            }
        }
        let notes = self.database().collection::<Document>(NOTES);
        let live = notes.find(doc! {}).run().unwrap();
        let mut live: Vec<i32> = live.map(|one| one.unwrap().get_i32("_id").unwrap()).collect();
        live.sort_unstable();
        let mut written = self.written.borrow_mut();
        let highest = written.last().copied();
        *written = live;
        // No number is used twice.
        if let Some(highest) = highest.filter(|highest| written.last() < Some(highest)) {
            notes.insert_one(doc! { "_id": highest + 1 }).run().unwrap();
            written.push(highest + 1);
        }
    }

    /// Commits a release whose files are those of the sample alone.
    pub(super) fn commit(&self, sample: &str) {
        let sh = Shell::new().unwrap();
        sh.change_dir(self.case.env.clone_dir());
        self.case
            .env
            .in_env(cmd!(sh, "git rm -r --quiet backend frontend"))
            .run()
            .unwrap();
        self.case.env.commit_release("v1").unwrap();
        if sample != "v1" {
            self.case.env.commit_release(sample).unwrap();
        }
    }

    fn database(&self) -> Database {
        Client::with_uri_str(&self.case.env.uri)
            .unwrap()
            .database(DATABASE)
    }

    fn applied(&self) -> BTreeSet<String> {
        let database = self.database();
        let all = database
            .collection::<Document>(MIGRATIONS)
            .find(doc! {})
            .run()
            .unwrap();
        all.map(|one| one.unwrap().get_str("_id").unwrap().to_owned())
            .collect()
    }

    fn migrations(&self, commit: &str) -> BTreeSet<String> {
        let listed = self
            .case
            .git(&format!("git ls-tree --name-only {commit} backend/migrations/"));
        let names = listed.lines().filter_map(|line| line.rsplit('/').next());
        names
            .map(|name| name.trim_end_matches(".json").to_owned())
            .collect()
    }

    fn version(&self, commit: &str) -> String {
        let manifest = self.case.git(&format!("git show {commit}:backend/app.toml"));
        let manifest: BTreeMap<String, toml::Value> = toml::from_str(&manifest).unwrap();
        manifest["version"].as_str().unwrap().to_owned()
    }
}

fn backend_commit(case: &Case) -> String {
    let url = format!("{}/api/health", case.env.addresses.backend);
    let answer: Value = ureq::get(&url).call().unwrap().body_mut().read_json().unwrap();
    text(&answer["commit"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
