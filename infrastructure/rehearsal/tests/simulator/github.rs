//! The GitHub side: checks, environments, approvals, runs, artifacts, releases, secrets.

use std::io::Write as _;

use crate::env::{SimulatorEnv, text};
use serde_json::{Value, json};

fn api(env: &SimulatorEnv, arguments: &[&str]) -> Value {
    env.json("gh", &[&["api"], arguments].concat())
}

#[test]
fn checks_and_approvals_are_what_was_set() {
    let env = SimulatorEnv::start();
    let checks = "repos/{owner}/{repo}/commits/abc/check-runs";
    assert_eq!(api(&env, &[checks])["check_runs"][0]["conclusion"], "success");
    let red =
        json!({"commit": "abc", "runs": [{"name": "ci", "status": "completed", "conclusion": "failure"}]});
    env.control("/github/checks", &red);
    assert_eq!(api(&env, &[checks])["check_runs"][0]["conclusion"], "failure");

    env.control(
        "/github/runs",
        &json!({"id": 5, "actor": "ann", "waiting_for": ["approval-1"]}),
    );
    let pending = api(&env, &["repos/{owner}/{repo}/actions/runs/5/pending_deployments"]);
    assert_eq!(pending[0]["environment"]["name"], "approval-1");
    env.control(
        "/github/approvals",
        &json!({"run": 5, "user": "bob", "environment": "approval-1"}),
    );
    let approvals = api(&env, &["repos/{owner}/{repo}/actions/runs/5/approvals"]);
    assert_eq!(approvals[0]["state"], "approved");
    assert_eq!(approvals[0]["user"]["login"], "bob");
    assert_eq!(
        api(&env, &["repos/{owner}/{repo}/actions/runs/5/pending_deployments"]),
        json!([])
    );

    let waiting = env.json(
        "gh",
        &[
            "run",
            "list",
            "--status",
            "waiting",
            "--json",
            "databaseId,status",
        ],
    );
    assert_eq!(waiting, json!([{"databaseId": 5, "status": "waiting"}]));
    assert!(
        env.ok("gh", &["run", "cancel", "5"])
            .contains("Request to cancel workflow 5 submitted")
    );
    assert_eq!(
        env.json("gh", &["run", "view", "5", "--json", "conclusion"]),
        json!({"conclusion": "cancelled"})
    );
    let again = env.run("gh", &["run", "cancel", "5"]);
    assert!(
        !again.status.success() && text(&again).contains("Cannot cancel"),
        "{}",
        text(&again)
    );
}

#[test]
fn environments_are_created_as_asked() {
    let env = SimulatorEnv::start();
    let path = "repos/{owner}/{repo}/environments/production";
    let missing = env.run("gh", &["api", path]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing).contains("gh: Not Found (HTTP 404)"),
        "{}",
        text(&missing)
    );

    let body = json!({
        "wait_timer": 0, "prevent_self_review": true, "reviewers": [{"type": "User", "login": "ann"}],
        "deployment_branch_policy": {"protected_branches": false, "custom_branch_policies": true},
    });
    let put = ["api", "-X", "PUT", path, "--input", "-"];
    let output = env.run_with_input("gh", &put, body.to_string().as_bytes());
    assert!(output.status.success(), "{}", text(&output));
    let found = api(&env, &[path]);
    let rule = found["protection_rules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["type"] == "required_reviewers");
    let rule = rule.unwrap();
    assert_eq!(
        (
            &rule["prevent_self_review"],
            &rule["reviewers"][0]["reviewer"]["login"]
        ),
        (&json!(true), &json!("ann"))
    );
    let policies = format!("{path}/deployment-branch-policies");
    api(&env, &[&policies, "-f", "name=main"]);
    assert_eq!(api(&env, &[&policies])["branch_policies"][0]["name"], "main");

    let private = SimulatorEnv::with(|config| config["github"]["private"] = json!(true));
    let output = private.run_with_input("gh", &put, body.to_string().as_bytes());
    assert!(
        text(&output).contains("billing plan"),
        "private repositories have no required reviewers: {}",
        text(&output)
    );
}

fn zip_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn artifacts_come_back_until_they_expire() {
    use base64::Engine as _;
    let env = SimulatorEnv::start();
    let zip = base64::prelude::BASE64_STANDARD.encode(zip_of("backup.age", b"bytes of the backup"));
    env.control(
        "/github/artifacts",
        &json!({"name": "backup-1", "run": 9, "zip": zip, "retention_days": 400}),
    );
    let listed = api(&env, &["repos/{owner}/{repo}/actions/artifacts?name=backup-1"]);
    assert_eq!(
        (&listed["total_count"], &listed["artifacts"][0]["expired"]),
        (&json!(1), &json!(false))
    );
    env.ok("gh", &["run", "download", "9", "-n", "backup-1", "-D", "out"]);
    assert_eq!(
        std::fs::read(env.folder.path().join("out/backup.age")).unwrap(),
        b"bytes of the backup"
    );
    let bytes = env
        .run("gh", &["api", "repos/{owner}/{repo}/actions/artifacts/1001/zip"])
        .stdout;
    assert_eq!(bytes, zip_of("backup.age", b"bytes of the backup"));

    env.control("/clock", &json!({"advance_ms": 91_i64 * 86_400_000}));
    let listed = api(&env, &["repos/{owner}/{repo}/actions/artifacts?name=backup-1"]);
    assert_eq!(
        listed["artifacts"][0]["expired"], true,
        "400 days were silently reduced to 90"
    );
    let gone = env.run("gh", &["run", "download", "9", "-n", "backup-1"]);
    assert!(text(&gone).contains("no valid artifacts"), "{}", text(&gone));
}

#[test]
fn releases_carry_files() {
    let env = SimulatorEnv::start();
    let file = env.folder.path().join("backup.age");
    std::fs::write(&file, b"12345").unwrap();
    let file = file.to_str().unwrap();
    let url = env.ok(
        "gh",
        &[
            "release",
            "create",
            "prod-1",
            file,
            "--title",
            "t",
            "--notes",
            "n",
            "--verify-tag",
        ],
    );
    assert!(url.contains("/releases/tag/prod-1"), "{url}");
    let shown = env.json(
        "gh",
        &["release", "view", "prod-1", "--json", "tagName,isDraft,assets"],
    );
    assert_eq!(
        (&shown["isDraft"], &shown["assets"][0]["size"]),
        (&json!(false), &json!(5))
    );
    env.ok(
        "gh",
        &["release", "download", "prod-1", "-p", "backup.age", "-D", "down"],
    );
    assert_eq!(
        std::fs::read(env.folder.path().join("down/backup.age")).unwrap(),
        b"12345"
    );
    let twice = env.run("gh", &["release", "upload", "prod-1", file]);
    assert!(text(&twice).contains("already_exists"), "{}", text(&twice));
    env.ok("gh", &["release", "delete", "prod-1", "--yes"]);
    let gone = env.run("gh", &["release", "view", "prod-1", "--json", "tagName"]);
    assert!(text(&gone).contains("release not found"), "{}", text(&gone));
}

#[test]
fn secrets_have_names_only() {
    let env = SimulatorEnv::start();
    let set = env.run_with_input("gh", &["secret", "set", "PROD_TOKEN"], b"marked-value");
    assert!(set.status.success(), "{}", text(&set));
    assert_eq!(
        env.json("gh", &["secret", "list", "--json", "name"]),
        json!([{"name": "PROD_TOKEN"}])
    );
    assert!(!env.report().to_string().contains("marked-value"));
}

#[test]
fn pages_are_followed() {
    let env = SimulatorEnv::start();
    for run in 0..7 {
        env.control("/github/runs", &json!({"id": run + 1}));
    }
    let path = "repos/{owner}/{repo}/actions/runs?per_page=3";
    let pages = env.json("gh", &["api", "--paginate", "--slurp", path]);
    let counts: Vec<usize> = pages
        .as_array()
        .unwrap()
        .iter()
        .map(|page| page["workflow_runs"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [3, 3, 1]);
}

#[test]
fn what_is_wrong_is_refused() {
    let env = SimulatorEnv::start();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["variable", "list"], 2, "unrecognized subcommand"),
        (&["api", "user", "--nope"], 2, "unexpected argument"),
        (&["api", "repos/other/name"], 1, "HTTP 404"),
        (&["api", "repos/{owner}/{repo}/hooks"], 1, "HTTP 501"),
        (&["release", "delete", "x"], 1, "--yes required"),
        (&["run", "view", "77", "--json", "status"], 1, "HTTP 404"),
    ];
    env.refuses("gh", &cases);
    assert_eq!(
        env.report()["unimplemented"],
        json!(["github: GET /repos/o/r/hooks"])
    );
    let wrong = env
        .command("gh")
        .args(["auth", "status"])
        .env("GH_TOKEN", "x")
        .output()
        .unwrap();
    assert!(
        !wrong.status.success() && text(&wrong).contains("invalid"),
        "{}",
        text(&wrong)
    );
}
