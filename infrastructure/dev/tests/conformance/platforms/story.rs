//! What is played: releases, a rollback, its undo, a rebuild, a refusal; and all that is left of it to compare.

use std::collections::BTreeMap;

use rehearsal::test_env::TestEnv;
use rehearsal::test_env::programs::repository;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use xtask::exec::Finished;

use super::outcome;
use crate::compare::Told;
use crate::names::Names;
use crate::requests;

/// The value of the variable that the second release changes.
const CHANGED_SECRET: &str = "another-secret-of-the-test";
/// Its name in what is compared.
const SHOWN_SECRET: &str = "(the changed secret)";
/// How long the platform takes to start a backend that comes back.
const BACKEND_START_MS: u32 = 15_000;
const DOCUMENTS: u32 = 100;

/// Plays the story with these programs in place of their stand-ins.
pub fn play(programs: &[(&str, std::path::PathBuf)]) -> Told {
    let mut case = Case::set(programs);
    case.test_env.commit_release("v1").unwrap();
    let first = case.ok("1 first release", &["deploy"]);
    case.test_env.commit_release("v3").unwrap();
    case.env = vec![("PROD_JWT_SECRET", CHANGED_SECRET)];
    case.ok("2 release with a changed variable", &["deploy"]);
    // A real platform takes longer than the swap of the data. A backend that starts in the middle of it may fail and is
    // then started once more, which would be another story.
    let start = json!({"at_least_ms": BACKEND_START_MS});
    case.test_env.control("/railway/start", &start).unwrap();
    let tag = text(&first, "/release/tag");
    let back = case.ok("3 rollback", &["rollback", &tag, "--reason", "conformance"]);
    let operation = text(&back, "/release/operation");
    case.ok("4 undo", &["rollback", "--undo", &operation]);
    case.refused_rollback(&tag);
    case.rebuild(&first, &tag);
    case.ok("8 listing", &["releases"]);
    case.told()
}

struct Case {
    test_env: TestEnv,
    /// What every command from here on has in its environment.
    env: Vec<(&'static str, &'static str)>,
    steps: Vec<Step>,
    // Last: the test environment ends before its folder goes.
    _folder: TempDir,
}

/// One command: what came of it, and how many requests had been made when it ended.
struct Step {
    title: &'static str,
    outcome: Value,
    requests: usize,
}

impl Case {
    fn set(programs: &[(&str, std::path::PathBuf)]) -> Self {
        let folder = tempfile::Builder::new().prefix("xtask-conf-").tempdir().unwrap();
        let mut test_env = TestEnv::start(repository(), folder.path()).unwrap();
        for (name, path) in programs {
            test_env.use_program(name, path).unwrap();
        }
        test_env.seed(DOCUMENTS, 1).unwrap();
        give_to_the_frontend_too(&test_env);
        Self {
            test_env,
            env: Vec::new(),
            steps: Vec::new(),
            _folder: folder,
        }
    }

    fn run(&mut self, title: &'static str, args: &[&str]) -> Finished {
        let args = [args, &["--yes", "--format", "json"]].concat();
        let log = title.replace(' ', "-");
        let clone = self.test_env.clone_dir();
        let ended = self.test_env.xtask_in(&clone, &log, &args, &self.env).unwrap();
        let served = self.test_env.served().unwrap();
        self.steps.push(Step {
            title,
            outcome: json!({
                "code": ended.code,
                "report": serde_json::from_str::<Value>(&ended.stdout).unwrap_or_default(),
                "served": served,
            }),
            requests: self.requests().len(),
        });
        ended
    }

    fn ok(&mut self, title: &'static str, args: &[&str]) -> Value {
        let ended = self.run(title, args);
        assert_eq!(ended.code, Some(0), "{title}: {}", ended.error());
        serde_json::from_str(&ended.stdout).expect("a report as JSON")
    }

    /// Vercel's cheapest plan takes back only the previous deployment; the operation goes back then.
    fn refused_rollback(&mut self, tag: &str) {
        let refusal = json!({"error": {"code": "upgrade_required", "message": "This plan goes back one deployment only"}});
        let fault = json!({
            "id": "plan", "platform": "vercel", "operation": "POST /v9/projects/{project}/rollback/{deployment}",
            "kind": "status", "status": 402, "body": refusal.to_string(), "times": 0,
        });
        self.test_env.control("/faults", &fault).unwrap();
        let refused = self.run(
            "5 rollback that Vercel's plan refuses",
            &["rollback", tag, "--reason", "conformance"],
        );
        self.test_env.control("/faults/clear", &json!({})).unwrap();
        let said = refused.error().to_string();
        let (_, undo) = said
            .split_once("rollback --undo ")
            .expect("the way back is named");
        let operation = undo.split([')', '\n']).next().unwrap();
        self.ok(
            "6 undo of the refused rollback",
            &["rollback", "--undo", operation],
        );
    }

    /// The platform has dropped the image: the backend is built again from the tag.
    fn rebuild(&mut self, first: &Value, tag: &str) {
        let deployment = text(first, "/release/railway/deployment");
        self.test_env
            .control("/railway/purge-image", &json!({ "deployment": deployment }))
            .unwrap();
        self.ok(
            "7 rollback without the image",
            &["rollback", tag, "--reason", "conformance"],
        );
        let report = self.test_env.platform_report().unwrap();
        let newest = report["railway"]["deployments"]
            .as_array()
            .unwrap()
            .last()
            .unwrap();
        assert_eq!(newest["meta"]["reason"], "deploy", "it was built again");
    }

    fn requests(&self) -> Vec<Value> {
        let report = self.test_env.platform_report().unwrap();
        report["requests"].as_array().unwrap().clone()
    }

    fn told(&self) -> Told {
        let report = self.test_env.platform_report().unwrap();
        assert_eq!(report["unimplemented"], json!([]));
        let names = self.names(&report);
        let mut sections = BTreeMap::new();
        let (all, mut from) = (self.requests(), 0);
        for step in &self.steps {
            for (what, lines) in requests::asked(&all[from..step.requests], &names) {
                sections.insert(format!("{}: {what}", step.title), lines);
            }
            from = step.requests;
            let outcome = names.apply(&outcome::without_times(&step.outcome));
            sections.insert(format!("{}: comes to", step.title), pretty(&outcome));
        }
        let left = names.apply(&outcome::left(&report));
        assert_eq!(
            left["railway"]["deployments"][1]["variables"]["JWT_SECRET"], SHOWN_SECRET,
            "the second release runs with the changed value"
        );
        assert_eq!(left["vercel"]["variables"][0]["value"], SHOWN_SECRET);
        sections.insert("9 what the platforms have".to_owned(), pretty(&left));
        let platform = self.test_env.folder.join("platform");
        for (title, folder) in [("9 images", "railway/images"), ("9 pages", "vercel")] {
            let files = outcome::files(&platform.join(folder));
            let mut files: Vec<String> = files.iter().map(|file| names.text(file)).collect();
            files.sort();
            sections.insert(title.to_owned(), files);
        }
        Told { sections }
    }

    /// Everything that is new in every run, in the order in which it came to be.
    fn names(&self, report: &Value) -> Names {
        let mut names = Names::default();
        let backends = &report["railway"]["deployments"];
        let frontends = &report["vercel"]["deployments"];
        number(&mut names, "backend", all(backends, "/id"));
        number(&mut names, "image", all(backends, "/meta/imageDigest"));
        number(&mut names, "frontend", all(frontends, "/id"));
        number(&mut names, "frontend's host", all(frontends, "/url"));
        let reports = || self.steps.iter().map(|step| &step.outcome["report"]);
        let releases = reports().map(|report| report["release"].clone()).collect();
        for (kind, pointer) in [
            ("tag", "/tag"),
            ("operation", "/operation"),
            ("commit", "/commit"),
            ("backup", "/backup/id"),
            ("schema", "/schema_fingerprint"),
            ("fingerprint", "/variables/0/fingerprint"),
        ] {
            number(&mut names, kind, all(&releases, pointer));
        }
        // What is taken back makes no release.
        let taken_back = reports().cloned().collect();
        number(&mut names, "operation taken back", all(&taken_back, "/operation"));
        number(&mut names, "rescue file", all(&taken_back, "/rescue/id"));
        names.add(self.test_env.folder.to_str().unwrap(), "(folder)");
        for (value, name) in [
            (
                self.test_env.secrets()["PROD_JWT_SECRET"].as_str(),
                "(the first secret)",
            ),
            (CHANGED_SECRET, SHOWN_SECRET),
            (&self.test_env.uri, "(the database's address)"),
        ] {
            names.add(&hex::encode(Sha256::digest(value)), name);
        }
        names
    }
}

/// The one variable of the rehearsal, on both platforms.
fn give_to_the_frontend_too(env: &TestEnv) {
    let file = env.clone_dir().join("infrastructure/pipeline.toml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    let backend = "railway = \"JWT_SECRET\"";
    assert!(pipeline.contains(backend));
    let both = format!("{backend}\nvercel = \"FRONTEND_KEY\"");
    std::fs::write(&file, pipeline.replace(backend, &both)).unwrap();
}

/// `(kind 1)`, `(kind 2)` and so on, in this order.
fn number(names: &mut Names, kind: &str, found: Vec<&str>) {
    for (index, id) in found.into_iter().enumerate() {
        names.add(id, &format!("({kind} {})", index + 1));
    }
}

/// What the items of a list have there, each value once.
fn all<'a>(list: &'a Value, pointer: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let items = list.as_array().expect("a list").iter();
    for text in items.filter_map(|item| item.pointer(pointer)?.as_str()) {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

fn pretty(value: &Value) -> Vec<String> {
    let text = serde_json::to_string_pretty(value).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}
