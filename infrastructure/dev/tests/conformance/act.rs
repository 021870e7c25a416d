//! The workflows themselves, run by `act` on this machine against the rehearsal's platforms: every job, every step.
//!
//! Run by `cargo xtask ci --conformance`. What is replaced are the actions of others: the cache (which hands out the
//! program under test) and the upload and download of artifacts (which tell the simulated GitHub).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rehearsal::test_env::TestEnv;
use rehearsal::test_env::programs::repository;
use serde_json::{Value, json};
use xtask::config::Config;
use xtask::database::{Digests, Live};
use xtask::secret::Secret;

use crate::real;

/// What a shell, a workflow command, Markdown or Slack would each make something of.
const REASON: &str = "\"; rm -rf ~ #$(id)\n::set-output name=pwned::yes\n::error::pwned\n`touch pwned` ${{ github.token }} <!channel>";

/// The stub of `actions/upload-artifact`, and its half of `actions/download-artifact`.
const ARTIFACTS: &str = r#"
import base64, io, json, os, sys, urllib.request, zipfile
name, path, kept = os.environ["NAME"], os.environ["WHERE"], os.path.join(os.environ["STUBS"], "artifacts")
file = os.path.join(kept, name + ".zip")
if sys.argv[1] == "download":
    zipfile.ZipFile(file).extractall(path)
    sys.exit()
memory = io.BytesIO()
with zipfile.ZipFile(memory, "w") as archive:
    if os.path.isfile(path):
        archive.write(path, os.path.basename(path))
    for folder, _, names in os.walk(path):
        for one in names:
            full = os.path.join(folder, one)
            archive.write(full, os.path.relpath(full, path))
    assert archive.namelist(), "no files found at " + path
os.makedirs(kept, exist_ok=True)
with open(file, "wb") as out:
    out.write(memory.getvalue())
body = {"name": name, "run": int(os.environ["GITHUB_RUN_ID"]), "zip": base64.b64encode(memory.getvalue()).decode()}
request = urllib.request.Request(os.environ["CONTROL"] + "/github/artifacts", json.dumps(body).encode())
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
print("kept " + name)
"#;

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// The actions that the workflows use: name and commit, from the files themselves.
fn pinned_actions() -> BTreeMap<String, String> {
    let github = repository().join(".github");
    let mut files = vec![github.join("actions/xtask/action.yml")];
    files.extend(
        std::fs::read_dir(github.join("workflows"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    let mut found = BTreeMap::new();
    for file in files {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let used = line
                .trim()
                .trim_start_matches("- ")
                .strip_prefix("uses: actions/");
            if let Some((name, commit)) = used.and_then(|used| used.split_once('@')) {
                let name = name.split('/').next().unwrap();
                let commit = commit.split_whitespace().next().unwrap();
                found.insert(name.to_owned(), commit.to_owned());
            }
        }
    }
    found
}

/// Folders in place of the actions of others, as arguments for act.
fn stubs(folder: &Path) -> Vec<String> {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("artifacts.py"), ARTIFACTS).unwrap();
    let composite = |step: &str, outputs: &str| {
        format!(
            "name: stub\ninputs: {{name: {{}}, path: {{}}, key: {{}}}}\n{outputs}runs:\n  using: composite\n  steps:\n{step}"
        )
    };
    let artifact = |what: &str| {
        format!(
            "    - shell: bash\n      env:\n        NAME: ${{{{ inputs.name }}}}\n        WHERE: ${{{{ inputs.path }}}}\n      run: python3 \"$STUBS/artifacts.py\" {what}\n"
        )
    };
    let restore = "    - id: found\n      shell: bash\n      run: |\n        mkdir -p target/release ~/.cache/cargo-xtask\n        \
                   ln -sf \"$XTASK_UNDER_TEST\" target/release/xtask\n        echo cache-hit=true >> \"$GITHUB_OUTPUT\"\n";
    let hit = "outputs:\n  cache-hit: {value: \"${{ steps.found.outputs.cache-hit }}\"}\n";
    let never = "    - shell: bash\n      run: exit 1\n";
    for (name, text) in [
        ("upload-artifact", composite(&artifact("upload"), "")),
        ("download-artifact", composite(&artifact("download"), "")),
        ("cache/restore", composite(restore, hit)),
        ("cache/save", composite(never, "")),
    ] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("action.yml"), text).unwrap();
    }
    pinned_actions()
        .iter()
        .filter(|(name, _)| name.as_str() != "checkout")
        .map(|(name, commit)| format!("actions/{name}@{commit}={}", folder.join(name).display()))
        .collect()
}

struct Runner {
    env: TestEnv,
    act: PathBuf,
    stubs: Vec<String>,
}

/// How each job ended, and everything that was printed.
struct Ran {
    passed: bool,
    jobs: BTreeMap<String, String>,
    log: String,
}

impl Runner {
    fn start(folder: &Path) -> Self {
        let env = TestEnv::start(repository(), folder).expect("the test environment starts");
        let act = real("act");
        let stubs = stubs(&folder.join("stubs"));
        let clone = env.clone_dir();
        copy_folder(&repository().join(".github"), &clone.join(".github"));
        copy_folder(
            &repository().join("infrastructure/tools"),
            &clone.join("infrastructure/tools"),
        );
        std::fs::write(clone.join(".gitignore"), "/.xtask\n/target\n/backups\n").unwrap();
        let file = clone.join("infrastructure/pipeline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let backups = format!("path = \"{}\"", folder.join("backups").display());
        assert!(text.contains(&backups), "{text}");
        let text = text
            // As on GitHub's machines: every job begins without the backups of the others.
            .replace(&backups, "path = \"backups\"")
            .replace("required = 0", "required = 2");
        let more = "\n[notify]\nslack = \"SLACK_WEBHOOK_URL\"\n[tests.backend]\ndir = \"backend\"\ncommand = [\"true\"]\n\
                    [tests.frontend]\ndir = \"frontend\"\ncommand = [\"true\"]\n";
        std::fs::write(&file, text + more).unwrap();
        // As a team has them: from its own pipeline.toml.
        let config = Config::read(&file).unwrap();
        let health: Vec<String> = xtask::health::secret_names(&clone).unwrap().into_iter().collect();
        for workflow in xtask::workflows::generate(&config, &health).unwrap() {
            std::fs::write(clone.join(&workflow.path), workflow.text).unwrap();
        }
        Self { env, act, stubs }
    }

    /// The reviewers have said yes to whatever this run will ask.
    fn approve(&self, run: u64) {
        let control = |what: &str, body: &Value| self.env.control(what, body).unwrap();
        control(
            "/github/runs",
            &json!({"id": run, "actor": "dev", "triggering_actor": "dev"}),
        );
        for (number, user) in [(1, "ann"), (2, "bob")] {
            let name = format!("production-approval-{number}");
            control(
                "/github/environments",
                &json!({"name": name, "can_admins_bypass": false, "prevent_self_review": true,
                        "reviewers": [{"type": "User", "login": "ann"}, {"type": "User", "login": "bob"}]}),
            );
            control(
                "/github/approvals",
                &json!({"run": run, "user": user, "environment": name}),
            );
        }
    }

    fn secrets(&self) -> PathBuf {
        let mut text = String::new();
        for (name, value) in self.env.secrets() {
            let name = if name == "GH_TOKEN" { "GITHUB_TOKEN" } else { name };
            text += &format!("{name}=\"{value}\"\n");
        }
        // Who logs in is a secret of the repository like the password.
        let account = self.env.environment()["HEALTH_EMAIL"].to_string_lossy();
        text += &format!("HEALTH_EMAIL=\"{account}\"\n");
        text += &format!(
            "SLACK_WEBHOOK_URL=\"{}/slack/T/B/x\"\n",
            self.env.addresses.services
        );
        let file = self.env.folder.join("secrets");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Runs a workflow to its end.
    fn run(&self, event: &str, workflow: &str, run: u64, inputs: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(&self.act);
        command
            .args([event, "-W", &format!(".github/workflows/{workflow}.yml")])
            .args(["-P", "ubuntu-latest=-self-hosted", "--no-cache-server", "--json"])
            .args(["--actor", "dev", "--concurrent-jobs", "2"])
            .args(["--env", &format!("GITHUB_RUN_ID={run}")])
            .args(["--env", "GITHUB_REPOSITORY=rehearsal/sample"])
            .arg("--secret-file")
            .arg(self.secrets());
        for (name, value) in inputs {
            command.args(["--input", &format!("{name}={value}")]);
        }
        for stub in &self.stubs {
            command.args(["--local-repository", stub]);
        }
        // A job sees the secrets that its steps name, and no others.
        command
            .env_clear()
            .current_dir(self.env.clone_dir())
            .stdin(Stdio::null());
        for (name, value) in self.env.environment() {
            if !self.env.secrets().contains_key(name)
                && name != "REHEARSAL_TEST_PASSWORD"
                && name != "HEALTH_EMAIL"
            {
                command.env(name, value);
            }
        }
        let output = command
            .env("XTASK_UNDER_TEST", self.env.program())
            .env("STUBS", self.env.folder.join("stubs"))
            .env("CONTROL", self.env.addresses.control.trim_end_matches('/'))
            .output()
            .expect("act starts");
        let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        std::fs::write(
            self.env
                .folder
                .join("logs")
                .join(format!("act-{workflow}-{run}.log")),
            &log,
        )
        .unwrap();
        let mut jobs = BTreeMap::new();
        let mut text = String::new();
        for line in log.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                text += &format!("{line}\n");
                continue;
            };
            text += line["msg"].as_str().unwrap_or_default();
            text.push('\n');
            if let (Some(job), Some(result)) = (line["jobID"].as_str(), line["jobResult"].as_str()) {
                jobs.insert(job.to_owned(), result.to_owned());
            }
        }
        Ran {
            passed: output.status.success(),
            jobs,
            log: text,
        }
    }
}

impl Ran {
    /// Jobs that ended well. A job that nobody ran is not among them: act passes over some without a word.
    fn succeeded(&self) -> BTreeSet<&str> {
        let good = self.jobs.iter().filter(|(_, result)| *result == "success");
        good.map(|(job, _)| job.as_str()).collect()
    }

    fn tail(&self) -> String {
        let lines: Vec<&str> = self.log.lines().collect();
        lines[lines.len().saturating_sub(120)..].join("\n")
    }
}

#[test]
#[ignore = "runs act for some minutes: cargo xtask ci --conformance"]
fn both_workflows_run_to_their_end_and_a_reason_is_only_text() {
    let folder = tempfile::Builder::new().prefix("xa").tempdir().unwrap();
    let runner = Runner::start(folder.path());
    let env = &runner.env;
    env.seed(300, 1).unwrap();

    env.commit_release("v1").unwrap();
    runner.approve(1);
    let first = runner.run("push", "production-deploy", 1, &[]);
    assert!(first.passed, "{:?}\n{}", first.jobs, first.tail());
    let all = BTreeSet::from(["prepare", "test", "request", "approval-1", "approval-2", "deploy"]);
    assert_eq!(first.succeeded(), all, "{}", first.tail());
    let releases = env.xtask_json("releases", &["releases"]).unwrap();
    let tag = releases["releases"][0]["release"]["tag"]
        .as_str()
        .unwrap_or_else(|| panic!("{releases}"))
        .to_owned();
    let before = inventory(env);

    // A release that its health checks refuse: the workflow is red, and its backup is kept all the same.
    env.commit_release("v2").unwrap();
    runner.approve(2);
    let second = runner.run("push", "production-deploy", 2, &[]);
    assert!(!second.passed, "{}", second.tail());
    assert_eq!(second.jobs["deploy"], "failure", "{:?}", second.jobs);
    assert_eq!(second.jobs["request"], "success", "{:?}", second.jobs);

    // The rollback's machine has no backup: it finds the one of the deploy among the artifacts.
    let canary = env.folder.join("home/canary");
    std::fs::write(&canary, "alive").unwrap();
    let inputs = [
        ("tag", tag.as_str()),
        ("reason", REASON),
        ("database", "restore"),
        ("urgency", "normal"),
    ];
    // Artifacts of a run that GitHub does not know are not taken.
    let run = json!({"id": 3, "actor": "dev", "triggering_actor": "dev"});
    env.control("/github/runs", &run).unwrap();
    let back = runner.run("workflow_dispatch", "production-rollback", 3, &inputs);
    assert!(back.passed, "{:?}\n{}", back.jobs, back.tail());
    assert_eq!(back.succeeded(), BTreeSet::from(["validate", "rollback"]));
    assert_eq!(
        inventory(env),
        before,
        "the data of before the second release are back"
    );

    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "alive");
    assert!(!back.log.contains("uid="), "{}", back.tail());
    assert!(!back.log.contains("set-output:: pwned"), "{}", back.tail());
    let ledger = env.xtask_json("ledger", &["ledger"]).unwrap();
    let operations = ledger["operations"].as_array().unwrap();
    let last = operations.iter().find(|one| one["kind"] == "rollback").unwrap();
    assert_eq!(last["reason"], REASON);
    for (name, secret) in env.secrets() {
        for ran in [&first, &second, &back] {
            assert!(!ran.log.contains(secret.as_str()), "{name} is in a log");
        }
    }
    let told = env.platform_report().unwrap()["slack"].clone();
    let told: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["text"].as_str())
        .collect();
    for wanted in [
        "waits for approval",
        "the release is live",
        "the release failed",
        "rolled back",
    ] {
        assert!(
            told.iter().any(|text| text.contains(wanted)),
            "{wanted}: {told:?}"
        );
    }
}

fn inventory(env: &TestEnv) -> Value {
    let live = Live::connect(&Secret::new(&env.uri), rehearsal::test_env::DATABASE).unwrap();
    serde_json::to_value(live.inventory(Digests::Full).unwrap()).unwrap()
}
