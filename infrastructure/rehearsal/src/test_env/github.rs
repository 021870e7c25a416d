//! A clone with its remote, the simulated GitHub and Slack, and a `gh` on PATH.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use chrono::Utc;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use xtask::domain::ledger::OperationOutcome;
use xtask::domain::release::{Release, tag_name};
use xtask::operation::ledger::{Ledger, LockTiming, Start};
use xtask::tools::git::Git;

use super::git::{git, remote_and_clone};
use super::platform::Platform;
use super::programs::{PRODUCT, REHEARSAL, built, repository};

pub const TOKEN: &str = "token-of-github";
pub const SECRET: &str = "marked-secret-value-4711";

/// A clone with its remote, the simulator, and `gh` on PATH.
#[derive(Debug)]
pub struct GithubEnv {
    pub folder: tempfile::TempDir,
    pub platform: Platform,
}

impl GithubEnv {
    /// With the stand-in for `gh`.
    pub fn start(change: impl FnOnce(&mut Value), pipeline: &str) -> Self {
        Self::start_with(&built("standin-gh"), change, pipeline)
    }

    pub fn start_with(gh: &Path, change: impl FnOnce(&mut Value), pipeline: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({
            "railway": {"project": "p", "environment": "e", "environment_name": "production", "service": "s", "token": "t", "variables": {}},
            "vercel": {"org": "team_x", "project": "prj_x", "token": "t", "domain": "www.example.com"},
            "github": {"owner": "example", "repo": "shop", "token": TOKEN, "user": "dev",
                       "collaborators": ["ann", "bob", "cleo"]},
        });
        change(&mut config);
        let log = folder.path().join("platform.log");
        let platform = Platform::start(&built(REHEARSAL), folder.path(), &log, &config)
            .unwrap_or_else(|error| panic!("{error:#}"));
        let env = Self { folder, platform };
        env.prepare(gh, pipeline);
        env
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prepare(&self, gh: &Path, pipeline: &str) {
        for dir in ["bin", "gh"] {
            std::fs::create_dir_all(self.path(dir)).unwrap();
        }
        symlink(gh, self.path("bin/gh")).unwrap();
        let socket = self.platform.addresses.github_socket.display();
        std::fs::write(
            self.path("gh/config.yml"),
            format!("version: 1\nhttp_unix_socket: {socket}\n"),
        )
        .unwrap();
        remote_and_clone(self.folder.path(), "remote.git", "clone");
        let clone = self.path("clone");
        std::fs::create_dir(clone.join("infrastructure")).unwrap();
        std::fs::write(clone.join("infrastructure/pipeline.toml"), pipeline).unwrap();
        git(&clone, &["add", "--all"]);
        git(&clone, &["commit", "--quiet", "--message", "first"]);
        git(&clone, &["push", "--quiet", "origin", "main"]);
    }

    pub fn xtask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let system = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.path("bin")).chain(std::env::split_paths(&system));
        let mut command = Command::new(built(PRODUCT));
        command
            .args(args)
            .current_dir(self.path("clone"))
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.folder.path())
            .env("GH_CONFIG_DIR", self.path("gh"))
            .env("GH_TOKEN", TOKEN)
            .env("GITHUB_RUN_ID", "7")
            .env("GITHUB_ACTOR", "dev")
            .env("PROD_MONGODB_URI", SECRET)
            .stdin(Stdio::null());
        command
    }

    /// git as the user that `.gitconfig` of his home describes.
    pub fn git_as_user(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(args)
            .current_dir(self.path("clone"))
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Tells the simulator what happens outside.
    pub fn control(&self, what: &str, body: &Value) {
        self.platform.control(&format!("/{what}"), body).unwrap();
    }

    pub fn report(&self) -> Value {
        self.platform.report().unwrap()
    }

    /// Records that a release of this commit is live, as a deploy does it: tag and ledger. Gives its tag.
    pub fn live_release(&self, commit: &str) -> String {
        let git = Git::at(&self.path("clone"), "origin");
        let tag = tag_name("prod", Utc::now());
        let start = Start {
            kind: "deploy".into(),
            reason: "deploy".into(),
            target: commit.into(),
            plan_sha256: String::new(),
            plan: Value::Null,
            over: None,
        };
        let held = Ledger::with_timing(git.clone(), "production", LockTiming::default())
            .begin(start)
            .unwrap();
        let release: Release = serde_json::from_value(json!({
            "schema": "release/1", "tag": tag, "environment": "production", "operation": held.id(),
            "created": Utc::now(), "commit": commit, "railway": {"deployment": "r", "image_digest": null},
            "vercel": {"deployment": "v"}, "backup": null, "approvers": [], "actor": "dev", "reason": null,
            "health": "healthy", "variables": [], "schema_fingerprint": null, "timings_ms": {},
        }))
        .unwrap();
        git.push_annotated_tag(&tag, &release.message().unwrap(), &commit.parse().unwrap())
            .unwrap();
        let facts = json!({"tag": tag, "record_sha256": release.sha256().unwrap(), "health": "healthy"});
        held.finish(OperationOutcome::Done, facts).unwrap();
        tag
    }

    pub fn plan(&self, file: &str, plan: &Value) {
        let sha = hex::encode(Sha256::digest(serde_json::to_vec(plan).unwrap()));
        let text = json!({"schema": "deploy-plan/1", "plan": plan, "plan_sha256": sha}).to_string();
        std::fs::write(self.path("clone").join(file), text).unwrap();
    }

    pub fn approve(&self, user: &str, environment: &str) {
        self.control(
            "github/approvals",
            &json!({"run": 7, "user": user, "environment": environment}),
        );
    }

    /// Sets a secret of the repository as a person would, by standard input.
    pub fn set_secret(&self, name: &str) {
        let mut child = self
            .command(&["setup", "--secret", name])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"value\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }

    /// Exit code, and all that was said.
    pub fn said(&self, args: &[&str]) -> (i32, String) {
        let output = self.xtask(args);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
        (output.status.code().unwrap(), text)
    }
}

pub fn pipeline(approval: &str) -> String {
    let file = repository().join("infrastructure/pipeline.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let (before, rest) = text.split_once("[approval]").unwrap();
    let (_, after) = rest.split_once("# The product's tests").unwrap();
    format!("{before}[approval]\n{approval}\n# The product's tests{after}")
}

pub const TWO_PEOPLE: &str = r#"
required = 2
[approval.reviewers]
production-approval-1 = ["ann", "bob"]
production-approval-2 = ["bob", "cleo"]
"#;

/// A run that waits, and two plans.
pub fn with_run(env: &GithubEnv) {
    env.control(
        "github/runs",
        &json!({"id": 7, "actor": "dev", "triggering_actor": "dev"}),
    );
    env.plan("plan.json", &json!({"commit": "abc", "steps": ["one"]}));
    env.plan("other.json", &json!({"commit": "def", "steps": ["one"]}));
}
