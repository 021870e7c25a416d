//! A clone with its remote, the simulated GitHub and Slack, and a `gh` on PATH.

#![allow(dead_code, reason = "every test binary uses its own part")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use xtask::domain::release::hex;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
pub const TOKEN: &str = "token-of-github";
pub const SECRET: &str = "marked-secret-value-4711";

/// A clone with its remote, the simulator, and `gh` on PATH.
pub struct World {
    pub folder: tempfile::TempDir,
    platform: Child,
    pub addresses: Value,
}

/// A program of the workspace, built beside ours.
pub fn built(name: &str) -> PathBuf {
    let path = Path::new(XTASK).with_file_name(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --workspace`, or the tests by `cargo xtask ci`",
        path.display()
    );
    path
}

pub fn git(dir: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Dev", "-c", "user.email=dev@example.com"];
    let output = Command::new("git")
        .args(identity)
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
}

impl World {
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
        let file = folder.path().join("world.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut platform = Command::new(built("rehearsal"))
            .args(["platform", "--state"])
            .arg(folder.path().join("s"))
            .arg("--config")
            .arg(&file)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = platform.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let world = Self {
            folder,
            platform,
            addresses: serde_json::from_str(&line).expect("the simulator's addresses"),
        };
        world.prepare(gh, pipeline);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prepare(&self, gh: &Path, pipeline: &str) {
        for dir in ["bin", "gh", "clone/infrastructure"] {
            std::fs::create_dir_all(self.path(dir)).unwrap();
        }
        symlink(gh, self.path("bin/gh")).unwrap();
        let socket = self.addresses["github_socket"].as_str().unwrap();
        std::fs::write(
            self.path("gh/config.yml"),
            format!("version: 1\nhttp_unix_socket: {socket}\n"),
        )
        .unwrap();
        let top = self.folder.path();
        git(
            top,
            &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"],
        );
        let clone = self.path("clone");
        git(&clone, &["init", "--quiet", "--initial-branch=main"]);
        git(&clone, &["remote", "add", "origin", "../remote.git"]);
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
        let mut command = Command::new(XTASK);
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
        let url = format!("{}/{what}", self.addresses["control"].as_str().unwrap());
        ureq::post(&url).send_json(body).unwrap();
    }

    pub fn report(&self) -> Value {
        let url = format!("{}/report", self.addresses["control"].as_str().unwrap());
        let mut response = ureq::get(&url).call().unwrap();
        response.body_mut().read_json().unwrap()
    }

    pub fn plan(&self, file: &str, plan: &Value) {
        let sha = hex(&Sha256::digest(serde_json::to_vec(plan).unwrap()));
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

impl Drop for World {
    fn drop(&mut self) {
        drop(self.platform.stdin.take());
        self.platform.wait().ok();
    }
}

pub fn pipeline(approval: &str) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../infrastructure/pipeline.toml");
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
pub fn with_run(world: &World) {
    world.control(
        "github/runs",
        &json!({"id": 7, "actor": "dev", "triggering_actor": "dev"}),
    );
    world.plan("plan.json", &json!({"commit": "abc", "steps": ["one"]}));
    world.plan("other.json", &json!({"commit": "def", "steps": ["one"]}));
}
