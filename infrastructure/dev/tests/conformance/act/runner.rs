//! One machine of GitHub: `act` with stubs in place of the actions of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rehearsal::test_env::TestEnv;
use rehearsal::test_env::programs::repository;
use serde_json::{Value, json};
use xtask::config::Config;

use crate::real;

/// The stub of `actions/upload-artifact`, and its half of `actions/download-artifact`. Beside a file `late` the upload took most of
/// the job's time, beside a file `full` the account has no room for backups (actions/upload-artifact 307).
const ARTIFACTS: &str = r#"
import base64, io, json, os, sys, time, urllib.request, zipfile
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
# As the service: a name stays taken for the run, in every attempt.
taken = file + ".run-" + os.environ["GITHUB_RUN_ID"]
if os.path.exists(taken) and os.environ["OVERWRITE"] != "true":
    sys.exit("Failed to CreateArtifact: (409) Conflict: an artifact with this name already exists on the workflow run")
if name.startswith("mongodb-backup-") and os.path.exists(os.path.join(os.environ["STUBS"], "full")):
    sys.exit("Failed to CreateArtifact: Artifact storage quota has been hit. Unable to upload any new artifacts.")
os.makedirs(kept, exist_ok=True)
open(taken, "w").close()
with open(file, "wb") as out:
    out.write(memory.getvalue())
body = {"name": name, "run": int(os.environ["GITHUB_RUN_ID"]), "zip": base64.b64encode(memory.getvalue()).decode()}
request = urllib.request.Request(os.environ["CONTROL"] + "/github/artifacts", json.dumps(body).encode())
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
print("kept " + name)
if os.path.exists(os.path.join(os.environ["STUBS"], "late")):
    with open(os.environ["GITHUB_ENV"], "a") as job:
        job.write("XTASK_JOB_ENDS=%d\n" % (time.time() + 90))
"#;

pub(super) fn copy_folder(from: &Path, to: &Path) {
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
            "name: stub\ninputs: {{name: {{}}, path: {{}}, key: {{}}, overwrite: {{}}}}\n{outputs}runs:\n  using: composite\n  steps:\n{step}"
        )
    };
    let artifact = |what: &str| {
        format!(
            "    - shell: bash\n      env:\n        NAME: ${{{{ inputs.name }}}}\n        WHERE: ${{{{ inputs.path }}}}\n        OVERWRITE: ${{{{ inputs.overwrite }}}}\n      run: python3 \"$STUBS/artifacts.py\" {what}\n"
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

/// A workflow, run on this machine as it is.
pub(super) fn act(event: &str, workflow: &str) -> Command {
    let mut command = Command::new(real("act"));
    command
        .args([event, "-W", &format!(".github/workflows/{workflow}.yml")])
        .args(["-P", "ubuntu-latest=-self-hosted", "--no-cache-server", "--json"])
        .args(["--actor", "dev", "--concurrent-jobs", "2"]);
    command
}

pub(super) struct Runner {
    pub(super) env: TestEnv,
    stubs: Vec<String>,
}

/// How each job ended, and everything that was printed.
pub(super) struct Ran {
    pub(super) passed: bool,
    pub(super) jobs: BTreeMap<String, String>,
    pub(super) log: String,
}

impl Runner {
    pub(super) fn start(folder: &Path) -> Self {
        let env = TestEnv::start(repository(), folder).expect("the test environment starts");
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
        Self { env, stubs }
    }

    /// The reviewers have said yes to whatever this run will ask. Its own job is a check of its commit that has not ended, as on GitHub.
    pub(super) fn approve(&self, run: u64, commit: &str) {
        let control = |what: &str, body: &Value| self.env.control(what, body).unwrap();
        control(
            "/github/runs",
            &json!({"id": run, "actor": "dev", "triggering_actor": "dev", "head_sha": commit, "event": "push",
                    "path": ".github/workflows/production-deploy.yml", "status": "in_progress",
                    "jobs": [{"name": "Backup, plan, ask for approval", "status": "in_progress"}]}),
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
    pub(super) fn run(&self, event: &str, workflow: &str, run: u64, inputs: &[(&str, &str)]) -> Ran {
        let (mut act, log) = self.begin(event, workflow, run, inputs);
        let passed = act.wait().expect("act was started").success();
        Ran::read(passed, &std::fs::read_to_string(log).unwrap())
    }

    /// Begins a workflow, in a process group of its own: the process, and the file of what it prints.
    pub(super) fn begin(
        &self,
        event: &str,
        workflow: &str,
        run: u64,
        inputs: &[(&str, &str)],
    ) -> (Child, PathBuf) {
        let kept = self
            .env
            .folder
            .join("logs")
            .join(format!("act-{workflow}-{run}.log"));
        let log = File::create(&kept).unwrap();
        let mut command = act(event, workflow);
        command
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
        command
            .env("XTASK_UNDER_TEST", self.env.program())
            .env("STUBS", self.stub_folder())
            .env("CONTROL", self.env.addresses.control.trim_end_matches('/'))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        (command.spawn().expect("act starts"), kept)
    }

    fn stub_folder(&self) -> PathBuf {
        self.env.folder.join("stubs")
    }

    /// From now on uploads are as the file `how` beside the stub makes them (`late`, `full`); or no longer.
    pub(super) fn uploads_are(&self, how: &str, so: bool) {
        let file = self.stub_folder().join(how);
        if so {
            std::fs::write(file, "").unwrap();
        } else {
            std::fs::remove_file(file).unwrap();
        }
    }
}

impl Ran {
    pub(super) fn read(passed: bool, log: &str) -> Self {
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
        Self {
            passed,
            jobs,
            log: text,
        }
    }

    /// Jobs that ended well. A job that nobody ran is not among them: act passes over some without a word.
    pub(super) fn succeeded(&self) -> BTreeSet<&str> {
        let good = self.jobs.iter().filter(|(_, result)| *result == "success");
        good.map(|(job, _)| job.as_str()).collect()
    }

    pub(super) fn tail(&self) -> String {
        let lines: Vec<&str> = self.log.lines().collect();
        lines[lines.len().saturating_sub(120)..].join("\n")
    }
}
