//! A whole rehearsal for one test: database server, simulator, stand-ins. All of it ends with the value.

#![allow(dead_code, reason = "each test file uses a part of it")]

mod releases;
mod server;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rehearsal::http::client::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use server::Server;

pub const REHEARSAL: &str = env!("CARGO_BIN_EXE_rehearsal");
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// The simulated world with its database.
pub struct World {
    pub server: Server,
    platform: Child,
    pub addresses: Value,
    pub folder: TempDir,
}

pub const TOKEN: &str = "token-of-railway";
pub const ACCOUNT: &str = "account-token-of-railway";
pub const DATABASE: &str = "sample";

fn config(uri: &str) -> Value {
    json!({
        "railway": {
            "project": "prj", "environment": "env", "environment_name": "production", "service": "svc",
            "token": TOKEN, "account_token": ACCOUNT, "image_retention_ms": 3_600_000, "sealed": ["JWT_SECRET"],
            "variables": {"MONGODB_URI": uri, "MONGODB_DATABASE": DATABASE, "JWT_SECRET": "secret of tokens"},
        },
        "vercel": {"org": "team_x", "project": "prj_x", "token": "token-of-vercel", "domain": "www.rehearsal.example",
                   "variables": {"API_BASE": "https://api.rehearsal.example"}},
        "github": {"owner": "o", "repo": "r", "token": "token-of-github", "collaborators": ["ann", "bob"]},
    })
}

impl World {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts with a changed configuration.
    pub fn with(change: impl FnOnce(&mut Value)) -> Self {
        let server = Server::start();
        let folder = TempDir::new().unwrap();
        let mut config = config(&server.uri);
        change(&mut config);
        let path = folder.path().join("world.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut platform = Command::new(REHEARSAL)
            .args(["platform", "--state"])
            .arg(folder.path().join("s"))
            .arg("--config")
            .arg(&path)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(platform.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let addresses: Value = serde_json::from_str(&line).expect("the simulator's addresses");
        let world = Self {
            server,
            platform,
            addresses,
            folder,
        };
        world.prepare();
        world
    }

    /// Stand-ins on a PATH of their own, and their configuration.
    fn prepare(&self) {
        let bin = self.folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for (name, program) in [
            ("railway", env!("CARGO_BIN_EXE_standin-railway")),
            ("vercel", env!("CARGO_BIN_EXE_standin-vercel")),
            ("gh", env!("CARGO_BIN_EXE_standin-gh")),
        ] {
            std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
        }
        let vercel = self.folder.path().join("data/com.vercel.cli");
        std::fs::create_dir_all(&vercel).unwrap();
        std::fs::write(
            vercel.join("config.json"),
            json!({"api": self.addresses["vercel_api"]}).to_string(),
        )
        .unwrap();
        let gh = self.folder.path().join("gh");
        std::fs::create_dir(&gh).unwrap();
        let socket = self.addresses["github_socket"].as_str().unwrap();
        std::fs::write(
            gh.join("config.yml"),
            format!("version: 1\nhttp_unix_socket: {socket}\n"),
        )
        .unwrap();
    }

    pub fn address(&self, name: &str) -> &str {
        self.addresses[name].as_str().unwrap()
    }

    /// A stand-in with a cleared environment and the right credentials.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.path().join("bin").join(program));
        command
            .env_clear()
            .env("PATH", self.folder.path().join("bin"))
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        match program {
            "railway" => command
                .env("HTTPS_PROXY", self.address("railway_proxy"))
                .env("RAILWAY_TOKEN", TOKEN),
            "vercel" => command
                .env("XDG_DATA_HOME", self.folder.path().join("data"))
                .env("VERCEL_TOKEN", "token-of-vercel")
                .env("VERCEL_ORG_ID", "team_x")
                .env("VERCEL_PROJECT_ID", "prj_x"),
            _ => command
                .env("GH_CONFIG_DIR", self.folder.path().join("gh"))
                .env("GH_TOKEN", "token-of-github")
                .env("GH_REPO", "o/r"),
        };
        command
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    /// Runs with something on standard input.
    pub fn run_with_input(&self, program: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    pub fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            text(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Each call must end with this code and say this.
    pub fn refuses(&self, program: &str, cases: &[(&[&str], i32, &str)]) {
        for (arguments, code, message) in cases {
            let output = self.run(program, arguments);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
            assert!(said.contains(message), "{arguments:?}: {said}");
        }
    }

    pub fn json(&self, program: &str, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(program, arguments)).unwrap()
    }

    pub fn report(&self) -> Value {
        Client::for_url(self.address("control"))
            .unwrap()
            .get("/report")
            .unwrap()
            .parse()
            .unwrap()
    }

    pub fn control(&self, path: &str, body: &Value) {
        let answer = Client::for_url(self.address("control"))
            .unwrap()
            .send_json("POST", path, body)
            .unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }

    pub fn backend(&self, target: &str) -> (u16, Value) {
        let answer = Client::for_url(self.address("backend"))
            .unwrap()
            .get(target)
            .unwrap();
        (answer.status, answer.parse().unwrap_or(Value::Null))
    }

    pub fn page(&self) -> String {
        let answer = Client::for_url(self.address("frontend"))
            .unwrap()
            .get("/")
            .unwrap();
        String::from_utf8(answer.body).unwrap()
    }

    /// Ends the simulator as its owner would, and returns what it left running.
    pub fn end(mut self) -> Vec<u32> {
        let pids: Vec<u32> = self.child_pids();
        drop(self.platform.stdin.take());
        self.platform.wait().unwrap();
        pids.into_iter().filter(|pid| is_running(*pid)).collect()
    }

    pub fn child_pids(&self) -> Vec<u32> {
        let report = self.report();
        let children = report["railway"]["children"].as_array().unwrap();
        children
            .iter()
            .map(|child| u32::try_from(child["pid"].as_u64().unwrap()).unwrap())
            .collect()
    }

    pub fn kill_platform(&mut self) {
        self.platform.kill().unwrap();
        self.platform.wait().unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.platform.stdin.take());
        let _ = self.platform.wait();
    }
}

pub fn is_running(pid: u32) -> bool {
    // A zombie's command line is empty.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Waits until none of them runs.
pub fn all_gone(pids: &[u32]) -> bool {
    let deadline = Instant::now() + TIMEOUT;
    while pids.iter().any(|pid| is_running(*pid)) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
