//! The backend's way beyond the happy one: failed builds, crashes, retention, variables, tokens.

use crate::env::{SimulatorEnv, text};
use chrono::DateTime;
use serde_json::json;

const PLACE: [&str; 6] = ["--project", "prj", "--environment", "env", "--service", "svc"];

fn roll_back(env: &SimulatorEnv, id: &str) -> std::process::Output {
    let mutation = "mutation($id:String!){deploymentRollback(id:$id)}";
    env.run(
        "railway",
        &["api", mutation, "--raw-var", &format!("id={id}"), "--compact"],
    )
}

#[test]
fn an_upload_that_cannot_run_leaves_what_is_live() {
    let env = SimulatorEnv::start();
    env.seed(100);
    let good = env.up("v1", "release=a sha=1");
    assert_eq!(env.settled(&good), "SUCCESS");

    let tree = env.tree("v2").join("backend");
    std::fs::remove_file(tree.join("app.toml")).unwrap();
    let arguments = [
        "up",
        tree.to_str().unwrap(),
        "--path-as-root",
        "--detach",
        "--json",
    ];
    let up = || {
        env.json("railway", &[&arguments[..], &PLACE].concat())["deploymentId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(env.settled(&up()), "FAILED", "no application in it");
    std::fs::write(tree.join("app.toml"), "name = \"x\"\n").unwrap();
    assert_eq!(env.settled(&up()), "CRASHED", "the application ends at its start");

    assert_eq!(env.deployment(&good)["status"], "SUCCESS");
    assert_eq!(env.backend("/api/health").1["version"], "1.0.0");
    assert!(text(&roll_back(&env, &up())).contains("not available for rollback"));
}

#[test]
fn a_start_takes_at_least_what_it_was_told_to() {
    const START_MS: i64 = 400;
    let env = SimulatorEnv::start();
    env.seed(100);
    env.control("/railway/start", &json!({"at_least_ms": START_MS}));
    let id = env.up("v1", "release=a sha=1");
    assert_eq!(env.settled(&id), "SUCCESS");
    let report = env.report();
    let entered = |status: &str| {
        let history = report["railway"]["deployments"][0]["history"].as_array().unwrap();
        let entry = history.iter().find(|entry| entry["status"] == status).unwrap();
        DateTime::parse_from_rfc3339(entry["at"].as_str().unwrap()).unwrap()
    };
    let took = entered("SUCCESS") - entered("DEPLOYING");
    assert!(took.num_milliseconds() >= START_MS, "{took}");
}

#[test]
fn an_image_is_kept_for_its_retention_only() {
    let env = SimulatorEnv::start();
    env.seed(100);
    let first = env.up("v1", "release=a sha=1");
    assert_eq!(env.settled(&first), "SUCCESS");
    let second = env.up("v3", "release=b sha=2");
    assert_eq!(env.settled(&second), "SUCCESS");
    assert_eq!(env.settled(&first), "REMOVED");
    assert_eq!(env.deployment(&first)["canRollback"], true);
    env.control("/clock", &json!({"advance_ms": 3_600_001}));
    assert_eq!(env.deployment(&first)["canRollback"], false);
    let refused = roll_back(&env, &first);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused).contains("not available for rollback"),
        "{}",
        text(&refused)
    );
    assert_eq!(
        env.deployment(&second)["canRollback"],
        true,
        "what is live does not age"
    );
    env.control("/railway/purge-image", &json!({"deployment": second}));
    assert_eq!(env.deployment(&second)["canRollback"], false);
}

#[test]
fn a_process_that_dies_is_seen() {
    let env = SimulatorEnv::start();
    env.seed(100);
    let id = env.up("v1", "release=a sha=1");
    assert_eq!(env.settled(&id), "SUCCESS");
    env.control("/railway/crash", &json!({"deployment": id}));
    let deadline = std::time::Instant::now() + crate::env::TIMEOUT;
    while env.deployment(&id)["status"] != "CRASHED" {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(env.backend("/api/health").0, 502);
}

#[test]
fn variables_are_set_without_a_deployment_and_go_back_with_one() {
    let env = SimulatorEnv::start();
    env.seed(100);
    let first = env.up("v1", "release=a sha=1");
    assert_eq!(env.settled(&first), "SUCCESS");
    let set = [
        &[
            "variable",
            "set",
            "SESSION_SECRET",
            "--stdin",
            "--skip-deploys",
            "--json",
        ],
        &PLACE[..],
    ]
    .concat();
    let output = env.run_with_input("railway", &set, b"marked-value\n");
    assert_eq!(text(&output).trim(), r#"{"keys":["SESSION_SECRET"],"set":true}"#);
    let list = env.json("railway", &[&["variable", "list", "--json"], &PLACE[..]].concat());
    assert_eq!(list["SESSION_SECRET"], "marked-value");
    assert_eq!(list["JWT_SECRET"], json!(null), "sealed");
    assert_eq!(
        env.report()["railway"]["deployments"].as_array().unwrap().len(),
        1
    );
    assert!(
        !env.report()["requests"].to_string().contains("marked-value"),
        "the report shows no secret"
    );
    assert!(
        !env.run_with_input("railway", &set, b"\n").status.success(),
        "an empty value is refused"
    );

    let second = env.up("v3", "release=b sha=2");
    assert_eq!(env.settled(&second), "SUCCESS");
    assert!(roll_back(&env, &first).status.success());
    let list = env.json("railway", &[&["variable", "list", "--json"], &PLACE[..]].concat());
    assert!(
        list.get("SESSION_SECRET").is_none(),
        "the old deployment's variables are back"
    );

    let without_flag = [&["variable", "set", "X", "--stdin"], &PLACE[..]].concat();
    let before = env.report()["railway"]["deployments"].as_array().unwrap().len();
    assert!(
        env.run_with_input("railway", &without_flag, b"1")
            .status
            .success()
    );
    let after = env.report()["railway"]["deployments"].as_array().unwrap().len();
    assert_eq!(after, before + 1, "a set without --skip-deploys deploys");
}

#[test]
fn what_is_wrong_is_refused() {
    let env = SimulatorEnv::start();
    let folder = env.tree("v1").join("backend");
    let folder = folder.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 10] = [
        (&["redeploy"], 2, "unrecognized subcommand"),
        (
            &["up", folder, "--path-as-root", "--ci"],
            2,
            "unexpected argument '--ci'",
        ),
        (&["up", folder, "--path-as-root"], 2, "only `up --detach`"),
        (
            &["up", folder, "--path-as-root", "--detach", "--project", "prj"],
            1,
            "--environment is required",
        ),
        (
            &[
                "up",
                folder,
                "--path-as-root",
                "--detach",
                "--json",
                "--environment",
                "env",
            ],
            1,
            "No service specified",
        ),
        (
            &[
                "deployment",
                "list",
                "--project",
                "no",
                "--environment",
                "env",
                "--service",
                "svc",
            ],
            1,
            "Project not found",
        ),
        (
            &[
                "deployment",
                "list",
                "--project",
                "prj",
                "--environment",
                "no",
                "--service",
                "svc",
            ],
            1,
            "'no' not found",
        ),
        (
            &["variable", "set", "A=b", "--skip-deploys"],
            2,
            "a value in argv",
        ),
        (&["whoami"], 1, "Unauthorized"),
        (&["api", "{ nothing }"], 1, "HTTP 501"),
    ];
    env.refuses("railway", &cases);
    let missing = env.report()["unimplemented"].clone();
    assert_eq!(
        missing,
        json!(["railway: POST /graphql/v2"]),
        "a call that nobody simulates is reported"
    );
}

#[test]
fn tokens_count_as_for_the_real_program() {
    let env = SimulatorEnv::start();
    let with = |name: &str, value: &str| {
        let mut command = env.command("railway");
        command.arg("whoami").env_remove("RAILWAY_TOKEN").env(name, value);
        command
    };
    assert!(
        with("RAILWAY_API_TOKEN", crate::env::ACCOUNT)
            .status()
            .unwrap()
            .success()
    );
    assert!(
        !with("RAILWAY_API_TOKEN", "wrong")
            .output()
            .unwrap()
            .status
            .success()
    );
    let empty_beats = with("RAILWAY_API_TOKEN", crate::env::ACCOUNT)
        .env("RAILWAY_TOKEN", "")
        .output()
        .unwrap();
    assert!(
        !empty_beats.status.success(),
        "an empty RAILWAY_TOKEN counts as set"
    );
}
