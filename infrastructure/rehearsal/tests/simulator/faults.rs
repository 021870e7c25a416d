//! Programmed faults happen to the call that they name, and do or do not do what it asked.

use std::process::Stdio;

use crate::env::{SimulatorEnv, text};
use serde_json::{Value, json};

const QUERY: &str = "{ projectToken { id } }";

fn fault(env: &SimulatorEnv, id: &str, operation: &str, more: &Value) {
    let mut body = json!({"id": id, "platform": "railway", "operation": operation});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    env.control("/faults", &body);
}

#[test]
fn each_kind_is_seen_by_the_caller() {
    let env = SimulatorEnv::start();
    let cases = [
        (json!({"kind": "status", "status": 429}), "HTTP 429"),
        (json!({"kind": "close"}), "error sending request"),
        (json!({"kind": "done-then-close"}), "error sending request"),
        (json!({"kind": "done-then-status"}), "HTTP 500"),
        (json!({"kind": "cut"}), "error sending request"),
    ];
    for (more, message) in cases {
        fault(&env, "f", "projectToken", &more);
        let output = env.run("railway", &["api", QUERY]);
        assert_eq!(output.status.code(), Some(1), "{more}");
        assert!(text(&output).contains(message), "{more}: {}", text(&output));
        assert!(
            env.run("railway", &["api", QUERY]).status.success(),
            "{more}: only the first call is hit"
        );
    }
    fault(&env, "f", "projectToken", &json!({"kind": "garbage"}));
    let output = env.run("railway", &["api", QUERY]);
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_err());
}

#[test]
fn the_how_manyth_call_is_counted() {
    let env = SimulatorEnv::start();
    fault(
        &env,
        "f",
        "projectToken",
        &json!({"kind": "status", "nth": 2, "times": 2}),
    );
    let outcomes: Vec<bool> = (0..5)
        .map(|_| env.run("railway", &["api", QUERY]).status.success())
        .collect();
    assert_eq!(outcomes, [true, false, false, true, true]);
    fault(&env, "cut off", "*", &json!({"kind": "close", "times": 0}));
    assert!((0..3).all(|_| !env.run("railway", &["api", QUERY]).status.success()));
    env.control("/faults/clear", &json!({}));
    assert!(env.run("railway", &["api", QUERY]).status.success());
}

#[test]
fn an_upload_that_is_answered_with_500_was_done() {
    let env = SimulatorEnv::start();
    env.seed(60);
    fault(&env, "f", "up", &json!({"kind": "done-then-status"}));
    let folder = env.tree("v1").join("backend");
    let arguments = [
        "up",
        folder.to_str().unwrap(),
        "--path-as-root",
        "--detach",
        "--json",
        "--project",
        "prj",
        "--environment",
        "env",
        "--service",
        "svc",
        "--message",
        "release=here sha=1",
    ];
    let output = env.run("railway", &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"].is_string());
    let place = [
        "--project",
        "prj",
        "--environment",
        "env",
        "--service",
        "svc",
        "--json",
    ];
    let list = env.json("railway", &[&["deployment", "list"], &place[..]].concat());
    assert_eq!(
        list[0]["meta"]["cliMessage"], "release=here sha=1",
        "it can be found by its message"
    );
    assert_eq!(env.settled(list[0]["id"].as_str().unwrap()), "SUCCESS");
}

#[test]
fn a_held_answer_comes_when_it_is_released() {
    let env = SimulatorEnv::start();
    fault(&env, "held", "projectToken", &json!({"kind": "hold-before"}));
    let mut child = env
        .command("railway")
        .args(["api", QUERY])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let is_held = || env.report()["faults"][0]["hit"] == 1;
    let deadline = std::time::Instant::now() + crate::env::TIMEOUT;
    while !is_held() {
        assert!(std::time::Instant::now() < deadline);
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    env.control("/faults/release", &json!({"id": "held"}));
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn status_pages_and_webhook_answer() {
    let env = SimulatorEnv::start();
    let services = rehearsal::http::client::Client::for_url(&env.platform.addresses.services).unwrap();
    for page in ["vercel", "railway", "mongodb"] {
        let summary = services
            .get(&format!("/status/{page}/api/v2/summary.json"))
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(summary["status"]["indicator"], "none");
        assert!(!summary["components"].as_array().unwrap().is_empty());
    }
    let outage = json!({"page": "railway", "component": "Deployments", "status": "major_outage"});
    env.control("/services/status", &outage);
    let summary = services
        .get("/status/railway/api/v2/summary.json")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(summary["status"]["indicator"], "critical");
    assert_eq!(summary["incidents"].as_array().unwrap().len(), 1);

    assert_eq!(
        services
            .send_json("POST", "/slack/T/B/x", &json!({"text": "hello"}))
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        services
            .send_json("POST", "/slack/T/B/x", &json!({"blocks": []}))
            .unwrap()
            .status,
        400
    );
    assert_eq!(env.report()["slack"], json!([{"text": "hello"}]));
}
