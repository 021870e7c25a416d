//! A backend that programs of the team deploy: a small server that runs, and the example adapter.

mod pages;
mod team;

use std::process::{Command, Output};
use std::time::Instant;

use rehearsal::test_env::git::command;
use serde_json::Value;
use xtask::config::{AfterConfig, Config};
use xtask::context::Context;
use xtask::domain::step::Step;
use xtask::operation::after::AfterFailures;
use xtask::operation::run::Operation;
use xtask::report::Format;

use team::{KEY, Team, example, python, told};

const PIPELINE: &str = r#"schema = "pipeline/2"
default_environment = "production"

[git]
require_ci = false

[approval]
required = 0

[[rollback.after]]
name = "purge"
command = ["sh", "-c", "test -e {{state}}/cdn-is-up && echo \"$CDN_KEY\" >> {{state}}/purged"]
env = ["CDN_KEY"]
deadline_s = 10
[[rollback.after]]
name = "notice"
command = ["sh", "-c", "echo back >> {{state}}/noticed"]
deadline_s = 10

[environments.production]
tag_prefix = "prod"
protected = true

[[environments.production.external]]
name = "Stripe"
on_rollback = "deliver the webhooks of the last minutes again"

[[environments.production.backends]]
name = "api"
platform = "command"
folder = "app"
url = "http://127.0.0.1:{{port}}"
deploy_s = 40
[environments.production.backends.command]
current = ["python3", "{{adapter}}", "current", "{{state}}", "{{port}}"]
deploy = ["python3", "{{adapter}}", "deploy", "{{state}}", "{{port}}"]
rollback = ["python3", "{{adapter}}", "rollback", "{{state}}", "{{port}}"]
wait = ["python3", "{{adapter}}", "wait", "{{state}}", "{{port}}"]
env = ["DEPLOY_KEY"]
"#;
const HEALTH: &str = r#"schema = "health/1"
[check.health]
group = "features"
[check.health.http]
url = "${backend}/health"
[check.health.http.expect]
json = [{ path = "$.commit", equals = "${release.commit}" }]
[check.serving]
group = "release"
[check.serving.serving]
"#;
/// A release that answers with its commit and its version.
const START: &str = r#"#!{{python}}
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"status": "ok", "commit": os.environ["COMMIT"], "version": "{{version}}"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;
/// The server that runs, beside the team's repository.
struct Server(Team);

impl std::ops::Deref for Server {
    type Target = Team;

    fn deref(&self) -> &Team {
        &self.0
    }
}

impl Server {
    fn new() -> Self {
        Self(Team::new(PIPELINE, HEALTH, "server.py"))
    }

    fn commit(&self, version: &str) {
        self.write(
            "app/start",
            &START
                .replace("{{python}}", python())
                .replace("{{version}}", version),
        );
        self.push();
    }

    /// A rollback that does what the plan in this file showed.
    fn rolled_back_as_planned(&self, tag: &str, planned: &str) -> Output {
        let why = "the second one is wrong";
        self.xtask(&["rollback", tag, "--reason", why, "--planned", planned, "--yes"])
    }

    /// What users see.
    fn version(&self) -> String {
        let url = format!("http://127.0.0.1:{}/health", self.port);
        let answer = ureq::get(&url)
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["version"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn deployments(&self) -> Vec<Value> {
        let text = std::fs::read(self.state().join("deployments.json")).unwrap_or_else(|_| b"[]".to_vec());
        serde_json::from_slice(&text).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for deployment in self.deployments() {
            if let Some(pid) = deployment["pid"].as_i64() {
                Command::new("kill")
                    .arg("--")
                    .arg(format!("-{pid}"))
                    .output()
                    .ok();
            }
        }
    }
}

#[test]
fn a_server_of_ones_own_is_deployed_and_rolled_back_by_programs_of_the_team() {
    let team = Server::new();
    team.commit("1");
    let plan = told(&team.xtask(&["deploy", "--plan"]));
    assert!(
        plan.contains("no frontend is part of a release")
            && plan.contains("no database is part of a release"),
        "{plan}"
    );
    assert!(team.deployments().is_empty(), "a plan deploys nothing");
    let first = team.json(&["deploy", "--yes"]);
    assert_eq!(first["release"]["health"], "healthy", "{first:#}");
    assert_eq!(team.version(), "1");

    team.commit("2");
    let second = team.json(&["deploy", "--yes"]);
    assert_eq!(team.version(), "2");
    let tag = first["release"]["tag"].as_str().unwrap();
    let plan = told(&team.xtask(&["rollback", tag, "--plan"]));
    assert!(
        plan.contains("Stripe: deliver the webhooks of the last minutes again"),
        "{plan}"
    );
    let planned = team.dir.path().join("planned.json");
    let plan = team.json(&["rollback", tag, "--plan"]);
    std::fs::write(&planned, plan.to_string()).unwrap();
    let planned = planned.to_str().unwrap();
    // The purge fails: what is live stays, the other command runs, and a resume runs the missing one only.
    let stopped = team.rolled_back_as_planned(tag, planned);
    let text = told(&stopped);
    assert_eq!(
        (stopped.status.code(), team.version()),
        (Some(4), "1".to_owned()),
        "{text}"
    );
    assert!(
        text.contains("commands after it failed: purge:") && text.contains("nothing of that was undone"),
        "{text}"
    );
    let id = text
        .split("--resume ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    std::fs::write(team.state().join("cdn-is-up"), "").unwrap();
    let back = team.json(&["rollback", "--resume", &id]);
    let ran = |file: &str| std::fs::read_to_string(team.state().join(file)).unwrap_or_default();
    assert_eq!(
        (ran("purged"), ran("noticed")),
        ("key-of-the-cdn\n".into(), "back\n".into())
    );
    let external = &back["external"][0];
    assert_eq!(
        (&external["name"], &external["how"], &external["by"]),
        (&"Stripe".into(), &"yes".into(), &"ann".into())
    );
    assert_eq!(team.version(), "1");
    assert_eq!(back["release"]["restores"], tag);
    let image = |release: &Value| release["release"]["backends"]["api"]["image_digest"].clone();
    assert_eq!(
        image(&back),
        image(&first),
        "the program of the first release runs again: {back:#}"
    );
    assert_ne!(image(&second), image(&first));

    // What was shown and checked is what runs, or nothing.
    let of_second = second["release"]["tag"].as_str().unwrap();
    let text = told(&team.rolled_back_as_planned(of_second, planned));
    let newest = back["release"]["tag"].as_str().unwrap();
    assert_eq!(team.version(), "1");
    let newest = format!("the newest release is {newest}, it was {of_second}");
    let target = format!("`target` of the plan is \"{of_second}\", it was \"{tag}\"");
    assert!(text.contains(&newest) && text.contains(&target), "{text}");

    // Somebody starts another release past the program: that is drift, and refused.
    let state = team.deployments();
    let of_second = state.iter().find(|one| one["number"] == 2).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let port = team.port.to_string();
    let past = |action: &str| {
        let question = serde_json::json!({"schema": "adapter/1", "part": "api", "action": action, "deployment": of_second});
        let adapter = example("server.py");
        let script = format!(
            "echo '{question}' | {} {} {action} {} {port}",
            python(),
            adapter.display(),
            team.state().display()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)))
    };
    let started = past("rollback")["deployment"].as_str().unwrap().to_owned();
    let tag = second["release"]["tag"].as_str().unwrap();
    let drift = told(&team.xtask(&["rollback", tag, "--plan"]));
    assert!(
        drift.contains("the backend api serves") && drift.contains("recorded"),
        "{started}: {drift}"
    );
}

#[test]
fn the_conformance_check_asks_what_can_be_asked_and_finds_programs_that_do_not_keep_to_the_form() {
    let team = Server::new();
    team.commit("1");
    let checked = team.xtask(&["doctor", "--adapter", "api"]);
    assert!(checked.status.success(), "{}", told(&checked));
    assert_eq!(team.xtask(&["doctor", "--adapter", "web"]).status.code(), Some(2));
    let page = told(&team.xtask(&["doctor"]));
    for unused in [
        "railway: ",
        "vercel: ",
        "mongodump: ",
        "gh: ",
        "last verified backup",
        "last drill",
    ] {
        assert!(!page.contains(unused), "{unused} is of no use here: {page}");
    }

    let cases = [
        ("print('{\"deployments\":[]}')", "missing field `serves`"),
        (
            "print('{\"serves\":null,\"deployments\":[],\"more\":1}')",
            "unknown field `more`",
        ),
        (
            "print('{\"serves\":\"x\",\"deployments\":[]}')",
            "which is not in the list",
        ),
        ("print('{\"serves\":null,\"deployments\":[')", "cannot be used"),
        ("print('ok')", "cannot be used"),
        ("pass", "it printed nothing"),
        (
            "import os, sys; print(os.environ['DEPLOY_KEY'], file=sys.stderr); sys.exit(3)",
            "exit code 3",
        ),
    ];
    for (program, expected) in cases {
        let file = team.dir.path().join("broken.py");
        std::fs::write(&file, program).unwrap();
        team.configure(&file);
        let checked = team.xtask(&["doctor", "--adapter", "api"]);
        let text = told(&checked);
        assert_eq!(checked.status.code(), Some(1), "{program}: {text}");
        assert!(
            text.contains(expected) && !text.contains(KEY),
            "{program}: {text}"
        );
    }
    // The same before anything is live.
    team.push();
    let refused = team.xtask(&["deploy", "--yes"]);
    let text = told(&refused);
    assert!(
        !refused.status.success()
            && text.contains("nothing was changed")
            && text.contains("the adapter of api failed at `current`")
            && !text.contains(KEY),
        "{text}"
    );
    let tags = command(&team.clone())
        .args(["ls-remote", "origin", "refs/xtask/*"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&tags.stdout), "", "nothing was recorded");
}

#[test]
fn a_command_that_fails_keeps_those_of_no_other_list_from_running() {
    let team = Server::new();
    std::fs::create_dir(team.state()).unwrap();
    team.commit("1");
    let ctx = Context {
        config: Config::read(&team.clone().join("infrastructure/pipeline.toml")).unwrap(),
        root: team.clone(),
        env_name: "production".into(),
        format: Format::Text,
        yes: true,
        started: Instant::now(),
    };
    let target = "prod-20260102-030405";
    let operation = Operation::begin(&ctx, "rollback", target, "test", &target).unwrap();
    let ran = team.state().join("ran");
    let after = |name: &str, program: &str| AfterConfig {
        name: name.into(),
        command: vec![program.into(), ran.to_str().unwrap().into()],
        env: Vec::new(),
        deadline_s: 10,
    };
    let of_restore = [after("flush", "false")];
    let of_rollback = [after("purge", "touch")];
    let lists = [&of_restore[..], &of_rollback[..]].map(|commands| (Step::UndoAfter, commands));
    let failed = AfterFailures::of_all(&ctx, &operation, &lists).unwrap();
    assert!(ran.exists(), "the list after the one that failed");
    let error = failed.require_none(&operation).unwrap_err().to_string();
    assert!(error.contains("flush") && !error.contains("purge"), "{error}");
}
