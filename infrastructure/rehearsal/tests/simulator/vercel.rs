//! The frontend's way: staged, promoted, rolled back; and the ways that must be refused.

use crate::env::{SimulatorEnv, text};
use serde_json::{Value, json};

const SCOPE: [&str; 2] = ["--scope", "team_x"];

fn id(deployment: &Value) -> &str {
    deployment["id"].as_str().unwrap()
}

fn alias(env: &SimulatorEnv, kind: &str, deployment: &str) -> std::process::Output {
    env.run(
        "vercel",
        &[&[kind, deployment, "--yes", "--timeout", "5m"], &SCOPE[..]].concat(),
    )
}

#[test]
fn a_staged_deployment_goes_live_and_is_taken_back() {
    let env = SimulatorEnv::start();
    let first = env.stage("v1");
    assert_eq!(first["readyState"], "READY");
    assert_eq!(first["target"], "production");
    assert!(env.page().contains("NOT_FOUND"), "staged is not live");
    let own_address = first["url"].as_str().unwrap().replace("https://", "http://");
    let staged = rehearsal::http::client::Client::for_url(&own_address)
        .unwrap()
        .get("/")
        .unwrap();
    assert!(
        String::from_utf8(staged.body)
            .unwrap()
            .contains("content=\"1.0.0\"")
    );

    assert!(alias(&env, "promote", id(&first)).status.success());
    assert_eq!(env.domain(), id(&first));
    assert!(env.page().contains("<title>Sample properties</title>"));
    let again = alias(&env, "promote", id(&first));
    assert!(
        !again.status.success() && text(&again).contains("(409)"),
        "{}",
        text(&again)
    );

    let second = env.stage("v2");
    assert_eq!(env.domain(), id(&first));
    let never_live = alias(&env, "rollback", id(&second));
    assert!(!never_live.status.success(), "{}", text(&never_live));
    assert!(alias(&env, "promote", id(&second)).status.success());
    assert!(env.page().contains("2.0.0"));
    assert_eq!(env.report()["vercel"]["autoAssignCustomDomains"], true);

    assert!(alias(&env, "rollback", id(&first)).status.success());
    assert_eq!(env.domain(), id(&first));
    assert!(env.page().contains("1.0.0"));
    assert_eq!(
        env.report()["vercel"]["autoAssignCustomDomains"],
        false,
        "a rollback turns it off"
    );
    assert!(alias(&env, "promote", id(&second)).status.success());
    assert_eq!(
        env.report()["vercel"]["autoAssignCustomDomains"],
        true,
        "a promotion turns it on"
    );
    assert_eq!(env.report()["unimplemented"], json!([]));
}

#[test]
fn hobby_goes_back_one_step_only() {
    let env = SimulatorEnv::with(|config| config["vercel"]["hobby"] = json!(true));
    let stages: Vec<Value> = ["v1", "v2", "v3"]
        .iter()
        .map(|release| env.stage(release))
        .collect();
    for stage in &stages {
        assert!(alias(&env, "promote", id(stage)).status.success());
    }
    let refused = alias(&env, "rollback", id(&stages[0]));
    assert!(
        !refused.status.success() && text(&refused).contains("(402)"),
        "{}",
        text(&refused)
    );
    assert!(alias(&env, "rollback", id(&stages[1])).status.success());
}

#[test]
fn what_is_wrong_is_refused() {
    let env = SimulatorEnv::start();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["inspect", "dpl_none", "--json"], 1, "Can't find the deployment"),
        (&["deploy"], 2, "only `deploy --prebuilt"),
        (&["deploy", "--token", "x"], 2, "unexpected argument '--token'"),
        (&["redeploy", "x"], 2, "unrecognized subcommand"),
        (&["promote"], 2, "required arguments were not provided"),
        (
            &["promote", "dpl_none", "--scope", "team_other"],
            1,
            "scope does not exist",
        ),
        (&["build", "--prod", "--yes"], 1, "No Project Settings found"),
        (&["pull", "--environment=production"], 1, "requires confirmation"),
        (
            &["env", "add", "A", "production", "--type", "other"],
            2,
            "invalid value",
        ),
    ];
    env.refuses("vercel", &cases);
    let output = env
        .command("vercel")
        .arg("whoami")
        .env("VERCEL_TOKEN", "wrong")
        .output()
        .unwrap();
    assert!(
        !output.status.success() && text(&output).contains("Not authorized"),
        "{}",
        text(&output)
    );
    let output = env
        .command("vercel")
        .args(["env", "ls"])
        .env_remove("VERCEL_ORG_ID")
        .output()
        .unwrap();
    assert!(
        text(&output).contains("forgot to specify `VERCEL_ORG_ID`"),
        "{}",
        text(&output)
    );
}

#[test]
fn secrets_go_in_and_do_not_come_out() {
    let env = SimulatorEnv::start();
    let add = [
        "env",
        "add",
        "SESSION",
        "production",
        "--force",
        "--type",
        "secret",
        "--yes",
        "--scope",
        "team_x",
    ];
    let output = env.run_with_input("vercel", &add, b"marked-value\n");
    assert!(output.status.success(), "{}", text(&output));
    let listed = env.ok("vercel", &["env", "ls", "production", "--scope", "team_x"]);
    assert!(listed.contains("SESSION"), "{listed}");
    let pulled = env.json(
        "vercel",
        &["env", "ls", "production", "--json", "--scope", "team_x"],
    );
    assert!(!pulled.to_string().contains("marked-value"));
    assert!(
        !env.report().to_string().contains("marked-value"),
        "the report shows no secret"
    );
    let empty = env.run_with_input("vercel", &add, b"");
    assert!(!empty.status.success());
}
