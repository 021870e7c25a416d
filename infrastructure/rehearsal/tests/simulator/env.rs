//! A whole rehearsal for one test: database server, simulator, stand-ins. All of it ends with the value.

mod releases;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rehearsal::http::client::Client;
use rehearsal::test_env::platform::Platform;
use rehearsal::test_env::process::program;
use rehearsal::test_env::server::Server;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const REHEARSAL: &str = env!("CARGO_BIN_EXE_rehearsal");
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// The simulated test environment with its database.
pub struct SimulatorEnv {
    pub server: Server,
    pub platform: Platform,
    pub folder: TempDir,
}

/// A database server in the folder, which ends when we are killed.
pub fn server(folder: &Path) -> Server {
    let program = program(&["secantusd-rs", "mongod"]);
    let (data, log) = (folder.join("database"), folder.join("database.log"));
    Server::start_leashed(Path::new(REHEARSAL), &program, &data, &log).unwrap()
}

/// Fills a database of the server.
pub fn seed(server: &Server, database: &str, documents: u32) {
    let output = Command::new(REHEARSAL)
        .args(["seed", "--uri-env", "URI", "--database", database])
        .args(["--seed", "7", "--documents", &documents.to_string()])
        .env_clear()
        .env("URI", direct(server))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

fn direct(server: &Server) -> String {
    format!("{}?directConnection=true", server.uri())
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

impl SimulatorEnv {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts with a changed configuration.
    pub fn with(change: impl FnOnce(&mut Value)) -> Self {
        let folder = TempDir::new().unwrap();
        let server = server(folder.path());
        let mut config = config(&direct(&server));
        change(&mut config);
        let log = folder.path().join("platform.log");
        let platform = Platform::start(Path::new(REHEARSAL), folder.path(), &log, &config).unwrap();
        let env = Self {
            server,
            platform,
            folder,
        };
        env.prepare();
        env
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
            json!({"api": self.platform.addresses.vercel_api}).to_string(),
        )
        .unwrap();
        let gh = self.folder.path().join("gh");
        std::fs::create_dir(&gh).unwrap();
        let socket = self.platform.addresses.github_socket.display();
        std::fs::write(
            gh.join("config.yml"),
            format!("version: 1\nhttp_unix_socket: {socket}\n"),
        )
        .unwrap();
    }

    /// Fills the sample application's database.
    pub fn seed(&self, documents: u32) {
        seed(&self.server, DATABASE, documents);
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
                .env("HTTPS_PROXY", &self.platform.addresses.railway_proxy)
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
        self.platform.report().unwrap()
    }

    pub fn control(&self, path: &str, body: &Value) {
        self.platform.control(path, body).unwrap();
    }

    pub fn backend(&self, target: &str) -> (u16, Value) {
        let answer = Client::for_url(&self.platform.addresses.backend)
            .unwrap()
            .get(target)
            .unwrap();
        (answer.status, answer.parse().unwrap_or(Value::Null))
    }

    pub fn page(&self) -> String {
        let answer = Client::for_url(&self.platform.addresses.frontend)
            .unwrap()
            .get("/")
            .unwrap();
        String::from_utf8(answer.body).unwrap()
    }

    /// Ends the simulator as its owner would, and returns what it left running.
    pub fn end(mut self) -> Vec<u32> {
        let pids: Vec<u32> = self.child_pids();
        self.platform.process.end();
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
        self.platform.process.kill();
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
