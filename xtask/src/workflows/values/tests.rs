//! What pipeline.toml has gets to the workflows.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::{generate, meaning};
use crate::config::{ApprovalMethod, BackendPlatform, Config, StorageConfig};

/// Every part that brings a secret, beside those of the template.
const MORE: &str = r#"
[[restore.after]]
name = "caches"
command = ["empty-caches"]
env = ["CACHE_TOKEN"]
deadline_s = 60

[notify.email]
server = "smtp.example.com"
from = "a@example.com"
to = ["b@example.com"]
user = "SMTP_USER"
password = "SMTP_PASSWORD"

[environments.production.atlas]
project = "5f4007f327a3bd7b6f4103c5"
cluster = "Shop"
public_key = "ATLAS_PUBLIC_KEY"
private_key = "ATLAS_PRIVATE_KEY"
"#;
const ADAPTER: &str = r#"
current = ["current"]
deploy = ["deploy"]
rollback = ["rollback"]
wait = ["wait"]
env = ["ENGINE_KEY"]
"#;
/// What a release may need, each from another place of the configuration.
const SECRETS: &[&str] = &[
    "PROD_RAILWAY_TOKEN",
    "PROD_VERCEL_TOKEN",
    "PROD_VERCEL_BYPASS",
    "BUILD_TOKEN",
    "PROD_MONGODB_URI",
    "PROD_GOOGLE_CLIENT_SECRET",
    "BACKUP_AGE_IDENTITY",
    "AZURE_CONNECTION",
    "ATLAS_PUBLIC_KEY",
    "ATLAS_PRIVATE_KEY",
    "ENGINE_KEY",
    "CACHE_TOKEN",
    "HEALTH_EMAIL",
];

fn config() -> Config {
    let text = include_str!("../../../../infrastructure/pipeline.toml")
        .replace("# protection_bypass = ", "protection_bypass = ")
        .replace("# build_env = [\"NPM_TOKEN\"]", "build_env = [\"BUILD_TOKEN\"]");
    let mut config = Config::parse(Path::new("pipeline.toml"), &(text + MORE)).unwrap();
    config.backup.storage.push(StorageConfig::Azure {
        container: "backups".into(),
        prefix: String::new(),
        connection: "AZURE_CONNECTION".into(),
        required: true,
    });
    config.backup.drill_uri = Some("DRILL_URI".into());
    config.tests.get_mut("frontend").unwrap().env = vec!["NPM_TOKEN".to_owned()];
    let backends = &mut config.environments.get_mut("production").unwrap().backends;
    let mut engine = backends[0].clone();
    engine.platform = BackendPlatform::Command(toml::from_str(ADAPTER).unwrap());
    backends.push(engine);
    config
}

/// The meaning of each workflow: deploy, rollback, sweeper, drill.
fn workflows(config: &Config) -> Vec<Value> {
    let generated = generate(config, &["HEALTH_EMAIL".to_owned()]).unwrap();
    let generated = generated.iter();
    generated
        .map(|workflow| meaning(&workflow.text).unwrap())
        .collect()
}

/// The environment of each step of a workflow whose command has this text; with the name of its job.
fn steps_with(workflow: &Value, command: &str) -> Vec<(String, Value)> {
    let jobs = workflow["jobs"].as_object().unwrap();
    let steps = jobs.iter().flat_map(|(name, job)| {
        let steps = job["steps"].as_array().unwrap().iter();
        steps.map(move |step| (name.clone(), step))
    });
    let has = |step: &Value| step["run"].as_str().is_some_and(|run| run.contains(command));
    steps
        .filter(|(_, step)| has(step))
        .map(|(job, step)| (job, step["env"].clone()))
        .collect()
}

/// Names of variables with secrets, each from the secret of its name.
fn secrets(env: &Value) -> Vec<&str> {
    let all = env.as_object().unwrap().iter();
    all.filter(|(_, value)| value.as_str().is_some_and(|value| value.contains("secrets.")))
        .map(|(name, value)| {
            assert_eq!(value, &format!("${{{{ secrets.{name} }}}}"));
            name.as_str()
        })
        .collect()
}

#[test]
fn each_secret_of_pipeline_and_health_checks_gets_to_the_steps_that_need_it() {
    let all = workflows(&config());
    let mut count = 0;
    for workflow in &all {
        for command in [
            "xtask deploy ",
            "xtask rollback ",
            "xtask recover ",
            "xtask health ",
        ] {
            for (job, env) in steps_with(workflow, command) {
                let passed = secrets(&env);
                for secret in SECRETS {
                    assert!(passed.contains(secret), "{job}: {command}: {secret}");
                }
                count += 1;
            }
        }
    }
    // One step finishes a rollback and recovers.
    assert_eq!(count, 9);

    let [deploy, _, sweeper, drill] = &all[..] else {
        panic!()
    };
    let only = |workflow: &Value, command: &str, wanted: &[&str]| {
        let found = steps_with(workflow, command);
        assert!(!found.is_empty(), "{command}");
        for (job, env) in found {
            let mut passed = secrets(&env);
            passed.sort_unstable();
            assert_eq!(passed, wanted, "{job}: {command}");
        }
    };
    let read = ["AZURE_CONNECTION", "BACKUP_AGE_IDENTITY"];
    let mongodb = [&read[..], &["PROD_MONGODB_URI"]].concat();
    only(deploy, "xtask backup create", &mongodb);
    only(drill, "xtask backup create", &mongodb);
    only(drill, "xtask backup drill", &[&read[..], &["DRILL_URI"]].concat());
    only(deploy, "xtask test \"$SUITE\"", &["NPM_TOKEN"]);
    let notify = ["SLACK_WEBHOOK_URL", "SMTP_PASSWORD", "SMTP_USER"];
    for workflow in &all[..2] {
        only(workflow, "xtask notify", &notify);
    }
    only(deploy, "xtask gate request", &notify);
    only(sweeper, "xtask gate sweep", &notify);
    only(drill, "xtask notify", &notify);
    for workflow in &all {
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            let keeps = !job.to_string().contains("secrets.") || job["environment"] == "production";
            assert!(keeps, "{name} has secrets that the environment keeps");
        }
    }
}

#[test]
fn names_of_pipeline_toml_are_those_of_the_workflows() {
    let mut config = config();
    let mut environment = config.environments.remove("production").unwrap();
    environment.tag_prefix = "rel".into();
    config.environments.insert("live".into(), environment);
    config.default_environment = "live".into();
    config.git.branch = "trunk".into();
    config.state_dir = ".state".into();
    let [deploy, rollback, ..] = &workflows(&config)[..] else {
        panic!()
    };
    assert_eq!(deploy["on"]["push"]["branches"], json!(["trunk"]));
    assert_eq!(deploy["run-name"], "Deploy ${{ github.sha }} to live");
    assert_eq!(deploy["jobs"]["deploy"]["environment"], "live");
    assert_eq!(deploy["jobs"]["deploy"]["concurrency"]["group"], "live-live");
    let text = deploy.to_string();
    assert!(
        text.contains(".state/plan.json") && !text.contains(".xtask/"),
        "{text}"
    );
    let job = &rollback["jobs"]["rollback"];
    assert_eq!(job["environment"], "live");
    assert_eq!(job["concurrency"]["group"], "live-rollback-${{ github.run_id }}");
    let tag = &rollback["on"]["workflow_dispatch"]["inputs"]["tag"]["description"];
    assert!(tag.as_str().unwrap().contains("(rel-YYYYMMDD-HHMMSS)"), "{tag}");
}

#[test]
fn a_release_is_built_and_tested_before_anybody_is_asked_and_passes_each_gate() {
    let mut config = config();
    config.approval.required = 2;
    config.approval.environments = ["one", "two", "three"].map(str::to_owned).to_vec();
    let needs = |config: &Config| -> BTreeMap<String, Value> {
        let deploy = workflows(config).remove(0);
        let jobs = deploy["jobs"].as_object().unwrap().iter();
        jobs.map(|(name, job)| (name.clone(), job["needs"].clone()))
            .collect()
    };
    let chain = |jobs: &[&str]| -> BTreeMap<String, Value> {
        let mut before = Value::Null;
        let jobs = jobs.iter();
        jobs.map(|job| ((*job).to_owned(), std::mem::replace(&mut before, json!(job))))
            .collect()
    };
    assert_eq!(
        needs(&config),
        chain(&["prepare", "test", "request", "approval-1", "approval-2", "deploy"])
    );
    config.tests.clear();
    assert_eq!(
        needs(&config),
        chain(&["prepare", "request", "approval-1", "approval-2", "deploy"])
    );
    config.approval.method = ApprovalMethod::SignedTag;
    assert_eq!(needs(&config), chain(&["prepare", "request", "deploy"]));
}

#[test]
fn a_rollback_of_normal_urgency_waits_for_the_reviewers_that_pipeline_toml_names() {
    let mut config = config();
    config.approval.rollback = Some("rollback-review".into());
    let rollback = workflows(&config).remove(1);
    let jobs = &rollback["jobs"];
    let review = &jobs["review"];
    assert_eq!(
        (&review["environment"], &review["needs"]),
        (&json!("rollback-review"), &json!("validate"))
    );
    assert_eq!(jobs["rollback"]["needs"], json!(["validate", "review"]));
    let condition = jobs["rollback"]["if"].as_str().unwrap();
    assert!(
        condition.contains("needs.review.result == 'success' ||"),
        "{condition}"
    );
    assert_eq!(jobs["review-later"]["needs"], "rollback");
    config.approval.rollback = None;
    let jobs = &workflows(&config).remove(1)["jobs"];
    assert_eq!(
        (&jobs["review"], &jobs["review-later"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(jobs["rollback"]["needs"], "validate");
}
