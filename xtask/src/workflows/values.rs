//! What pipeline.toml has for the templates of the workflows.

use std::collections::BTreeMap;

use anyhow::Result;

use super::template::TemplateValues;
use crate::config::{ApprovalMethod, Config, ServiceConfig, StorageConfig};
use crate::error::catalogue::configuration as errors;

/// Words that YAML 1.1 does not read as text; GitHub's parser and linters differ in which they take.
const NOT_TEXT: &[&str] = &[
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "none",
];
const ORDINALS: &[&str] = &["First", "Second", "Third", "Fourth", "Fifth", "Sixth"];

/// Values, flags and lists.
pub(super) fn values(config: &Config, health_secrets: &[String]) -> Result<TemplateValues> {
    let name = &config.default_environment;
    let Some(environment) = config.environments.get(name) else {
        let known: Vec<&str> = config.environments.keys().map(String::as_str).collect();
        return Err(
            errors::environment_unknown(crate::context::PIPELINE_FILE, name, known.join(", ")).into(),
        );
    };
    let is_source = config.workflows.setup.starts_with("./");
    let has_suites = !config.tests.is_empty();
    let storages: Vec<String> = config
        .backup
        .storage
        .iter()
        .flat_map(StorageConfig::secret_names)
        .collect();
    let identity = config.backup.identity.iter().cloned();
    let read: Vec<String> = identity.chain(storages).collect();
    let uri: Vec<String> = environment
        .mongodb
        .iter()
        .map(|mongodb| mongodb.uri.clone())
        .collect();
    let backup = [uri, read.clone()].concat();
    let drill_uri = config.backup.drill_uri.clone();
    let drill = [read.clone(), drill_uri.iter().cloned().collect()].concat();
    let notify = config.notify.secret_names();
    let suite: Vec<String> = config
        .tests
        .values()
        .flat_map(|suite| suite.env.clone())
        .collect();
    let gates = gates(config);

    let mut values = TemplateValues::default();
    let words = &mut values.words;
    words.insert("branch", scalar(&config.git.branch));
    words.insert("runs_on", one_or_list(&config.workflows.runs_on));
    words.insert("environment", scalar(name));
    words.insert("environment_name", name.clone());
    words.insert("tag_prefix", environment.tag_prefix.clone());
    words.insert("state", config.state_dir.to_string_lossy().into_owned());
    let last = if gates.is_empty() {
        "request".to_owned()
    } else {
        format!("approval-{}", gates.len())
    };
    words.insert("deploy_needs", last);
    let review = config.approval.rollback.as_deref();
    words.insert("rollback_environment", scalar(review.unwrap_or_default()));

    let flags = &mut values.flags;
    flags.insert("source", is_source);
    flags.insert("suites", has_suites);
    flags.insert("prepare", is_source || has_suites);
    flags.insert("suite_secrets", !suite.is_empty());
    let services = services(config);
    flags.insert("services", !services.is_empty());
    flags.insert("notify", !notify.is_empty());
    flags.insert("read", !read.is_empty());
    flags.insert("drill", !drill.is_empty());
    let has_database = environment.mongodb.is_some();
    flags.insert("database", has_database);
    let is_drafts = |one: &StorageConfig| matches!(one, StorageConfig::Github { .. });
    flags.insert("drafts", config.backup.storage.iter().any(is_drafts));
    flags.insert("request_env", has_database || !notify.is_empty());
    flags.insert("review", review.is_some());
    flags.insert("approval", config.approval.required > 0);
    // Jobs that wait for reviewers, and a sweeper of those that wait too long.
    flags.insert("reviewers", !gates.is_empty());
    flags.insert("several_approvals", gates.len() > 1);

    let lists = &mut values.lists;
    setups(config, lists);
    let needs = match (has_suites, is_source) {
        (true, _) => vec!["needs: test".to_owned()],
        (false, true) => vec!["needs: prepare".to_owned()],
        (false, false) => Vec::new(),
    };
    lists.insert("request_needs", needs);
    lists.insert("services", services);
    lists.insert("approvals", approvals(&gates));
    lists.insert("first_approvals", first_approvals(&gates));
    let release = [config.secret_names(environment), health_secrets.to_vec()].concat();
    for (name, secrets) in [
        ("release", release),
        ("backup", backup),
        ("read", read),
        ("drill", drill),
        ("notify", notify),
        ("suite", suite),
    ] {
        lists.insert(name, passed_on(secrets));
    }
    Ok(values)
}

/// The containers of all suites: a job cannot start those of one of its suites only.
fn services(config: &Config) -> Vec<String> {
    let suites = config.tests.values();
    let all: BTreeMap<&String, &ServiceConfig> = suites.flat_map(|suite| &suite.services).collect();
    let mut lines = Vec::new();
    for (name, service) in all {
        lines.push(format!("{name}:"));
        lines.push(format!("  image: {}", quoted(&service.image)));
        lines.push("  ports:".to_owned());
        let ports = service.ports.iter();
        lines.extend(ports.map(|port| format!("    - {}", quoted(&format!("{port}:{port}")))));
        if !service.env.is_empty() {
            lines.push("  env:".to_owned());
            let values = service.env.iter();
            lines.extend(values.map(|(name, value)| format!("    {name}: {}", quoted(value))));
        }
        // Without it the steps begin while the container does.
        if let Some(ready) = &service.ready {
            let options = format!(
                "--health-cmd \"{ready}\" --health-interval 2s --health-timeout 5s --health-retries 60"
            );
            lines.push(format!("  options: {}", quoted(&options)));
        }
    }
    lines
}

/// Environments whose reviewers approve: as many as approvals are required.
fn gates(config: &Config) -> Vec<&String> {
    let approval = &config.approval;
    match approval.method {
        ApprovalMethod::SignedTag => Vec::new(),
        ApprovalMethod::Github => {
            let required = usize::try_from(approval.required).unwrap_or(usize::MAX);
            approval.environments.iter().take(required).collect()
        }
    }
}

/// The lines of `env:`, each name once.
fn passed_on(names: Vec<String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in names {
        let line = format!("{name}: ${{{{ secrets.{name} }}}}");
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The steps that put the program on PATH, for the jobs that differ in what they need beside it.
fn setups(config: &Config, lists: &mut BTreeMap<&'static str, Vec<String>>) {
    let is_source = config.workflows.setup.starts_with("./");
    let setup = |with: &[&str]| {
        let mut lines = setup(&config.workflows.setup, with);
        lines.extend(rclone(config));
        if with.contains(&"platforms") {
            lines.extend(atlas(config));
        }
        lines
    };
    let of_source = |with: &'static str| is_source.then_some(with);
    let rollback = ["platforms"].into_iter().chain(of_source("earlier"));
    let drill = config.backup.drill_uri.is_none().then_some("server");
    for (name, with) in [
        ("setup", Vec::new()),
        ("setup_platforms", vec!["platforms"]),
        ("setup_rollback", rollback.collect()),
        ("setup_server", vec!["server"]),
        ("setup_drill", drill.into_iter().collect()),
        ("setup_pack", of_source("pack").into_iter().collect()),
    ] {
        lists.insert(name, setup(&with));
    }
}

/// The step that puts the program on PATH.
fn setup(action: &str, with: &[&str]) -> Vec<String> {
    let mut lines = vec![format!("- uses: {action}")];
    if with.contains(&"pack") {
        lines.push("  id: xtask".to_owned());
    }
    if !with.is_empty() {
        lines.push("  with:".to_owned());
        lines.extend(with.iter().map(|name| format!("    {name}: \"true\"")));
    }
    lines
}

/// The step that installs rclone, where a storage needs it: from the runner's distribution, and the version that knows object
/// lock from the Go module proxy, which compares its checksum.
fn rclone(config: &Config) -> Vec<String> {
    let any = |wanted: fn(&StorageConfig) -> bool| config.backup.storage.iter().any(wanted);
    let commands = if any(|one| matches!(one, StorageConfig::S3(s3) if s3.object_lock.is_some())) {
        [
            "go install github.com/rclone/rclone@v1.75.2",
            "echo \"$(go env GOPATH)/bin\" >> \"$GITHUB_PATH\"",
        ]
    } else if any(|one| matches!(one, StorageConfig::S3(_) | StorageConfig::Rclone(_))) {
        [
            "sudo apt-get update --quiet",
            "sudo apt-get install --yes --no-install-recommends rclone",
        ]
    } else {
        return Vec::new();
    };
    step("Install rclone", &commands)
}

/// The step that installs the Atlas CLI, where the environment has snapshots: from MongoDB's packages, whose signatures apt checks
/// (Atlas CLI "Install or update the Atlas CLI", Apt).
fn atlas(config: &Config) -> Vec<String> {
    let environment = config.environments.get(&config.default_environment);
    if environment.is_none_or(|environment| environment.atlas.is_none()) {
        return Vec::new();
    }
    step(
        "Install the Atlas CLI",
        &[
            "curl --fail --silent --show-error https://pgp.mongodb.com/server-8.0.asc | sudo gpg --dearmor --output /usr/share/keyrings/mongodb.gpg",
            "echo \"deb [signed-by=/usr/share/keyrings/mongodb.gpg] https://repo.mongodb.org/apt/ubuntu $(lsb_release --codename --short)/mongodb-org/8.0 multiverse\" | sudo tee /etc/apt/sources.list.d/mongodb.list",
            "sudo apt-get update --quiet",
            "sudo apt-get install --yes --no-install-recommends mongodb-atlas-cli",
        ],
    )
}

fn step(name: &str, commands: &[&str]) -> Vec<String> {
    let mut lines = vec![format!("- name: {name}"), "  run: |".to_owned()];
    lines.extend(commands.iter().map(|command| format!("    {command}")));
    lines
}

fn approvals(gates: &[&String]) -> Vec<String> {
    let mut lines = approval_jobs(gates, |_| {
        "echo \"approved by a reviewer of this job's environment\"".to_owned()
    });
    if gates.len() > 1 {
        let why = "# A job on an environment each: one environment with two reviewers lets a job continue after any one of them.";
        lines.insert(0, why.to_owned());
    }
    lines
}

/// As the first version had them.
fn first_approvals(gates: &[&String]) -> Vec<String> {
    approval_jobs(gates, |gate| format!("echo \"approved by a reviewer of {gate}\""))
}

fn approval_jobs(gates: &[&String], command: impl Fn(&str) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before = "request".to_owned();
    for (index, gate) in gates.iter().enumerate() {
        let number = index + 1;
        let name = ORDINALS.get(index).map_or_else(
            || format!("Approval {number}"),
            |ordinal| format!("{ordinal} approval"),
        );
        lines.push(format!("approval-{number}:"));
        for line in [
            format!("name: {name}"),
            format!("needs: {before}"),
            "runs-on: ubuntu-latest".to_owned(),
            "timeout-minutes: 5".to_owned(),
            format!("environment: {}", scalar(gate)),
            "permissions: {}".to_owned(),
            "steps:".to_owned(),
            format!("  - run: {}", command(gate)),
        ] {
            lines.push(format!("  {line}"));
        }
        lines.push(String::new());
        before = format!("approval-{number}");
    }
    lines
}

/// Text of YAML: plain where every reader takes it for text, otherwise quoted. JSON's quotes are YAML's.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c))
        && !NOT_TEXT.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { quoted(text) }
}

fn one_or_list(texts: &[String]) -> String {
    let items: Vec<String> = texts.iter().map(|text| scalar(text)).collect();
    match items.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests;
