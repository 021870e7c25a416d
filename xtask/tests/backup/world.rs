//! What the flows are tested with: a real MongoDB server in a folder of its own, a repository with a configuration,
//! and the program itself in a cleared environment.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mongodb::sync::{Client, Database};
use rustix::process::{Pid, Signal, kill_process_group};

/// The longest anything in a test is waited for.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The database that the configuration of [`Repo`] names.
pub const DATABASE: &str = "shop";

/// The program on PATH. A test that needs a missing one fails: `cargo xtask ci` provides them all.
pub fn tool(name: &str) -> PathBuf {
    which::which(name).unwrap_or_else(|_| {
        panic!("{name} is not on PATH: run `cargo xtask ci`, or `cargo xtask tools` to build it")
    })
}

/// A MongoDB server of our own on a free port; killed when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    folder: std::sync::Arc<tempfile::TempDir>,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::start_in(std::sync::Arc::new(folder), &[])
    }

    /// Ends the server in good order, and starts another on its data.
    pub fn restart(mut self, options: &[&str]) -> Self {
        kill_group(&self.child, Signal::TERM);
        until("the server ends", || {
            self.child.try_wait().is_ok_and(|status| status.is_some())
        });
        Self::start_in(std::sync::Arc::clone(&self.folder), options)
    }

    fn start_in(folder: std::sync::Arc<tempfile::TempDir>, options: &[&str]) -> Self {
        let mut command = Command::new(tool("secantusd-rs"));
        command
            .args(["--host", "127.0.0.1", "--port", "0", "--storage-path"])
            .arg(folder.path())
            .args(options)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_prefix("secantusd-rs listening on 127.0.0.1:")?
                    .parse()
                    .ok()
            })
            .expect("the server says its port");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, folder }
    }

    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}", self.port)
    }

    /// Leads the server's process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self) -> Client {
        Client::with_uri_str(self.uri()).expect("a client")
    }

    pub fn database(&self) -> Database {
        self.client().database(DATABASE)
    }

    fn kill(&mut self) {
        kill_group(&self.child, Signal::KILL);
        self.child.wait().ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Signals the whole process group that a child leads.
pub fn kill_group(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not 0");
    kill_process_group(pid, signal).ok();
}

/// A repository with a configuration: environment `local`, its connection string in `LOCAL_MONGODB_URI`.
pub struct Repo {
    folder: tempfile::TempDir,
    /// The child's environment besides PATH, HOME and TMPDIR.
    pub env: Vec<(String, String)>,
    /// Folders searched for programs before PATH.
    pub path: Vec<PathBuf>,
}

impl Repo {
    pub fn new(uri: &str) -> Self {
        Self::with_backup(uri, "")
    }

    /// `backup` is the text of the section `[backup]`.
    pub fn with_backup(uri: &str, backup: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["infrastructure", "home", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let repo = Self {
            folder,
            env: vec![("LOCAL_MONGODB_URI".into(), uri.into())],
            path: Vec::new(),
        };
        repo.configure(backup);
        repo
    }

    /// Writes pipeline.toml anew.
    pub fn configure(&self, backup: &str) {
        let text = format!(
            r#"schema = "pipeline/1"
default_environment = "local"

[backup]
{backup}

[environments.local]
tag_prefix = "local"

[environments.local.railway]
project = "p"
environment = "e"
service = "s"
token = "LOCAL_RAILWAY_TOKEN"
source = "backend"
url = "http://127.0.0.1:1"

[environments.local.vercel]
org = "team_x"
project = "prj_x"
token = "LOCAL_VERCEL_TOKEN"
source = "frontend"
domain = "localhost"

[environments.local.mongodb]
uri = "LOCAL_MONGODB_URI"
database = "{DATABASE}"
"#
        );
        std::fs::write(self.root().join("infrastructure/pipeline.toml"), text).expect("writable");
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Where the program puts temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.root().join("tmp")
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
    }

    /// The program, ready to run in this repository.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args);
        self.surround(&mut command);
        command
    }

    /// Gives a command this repository's folder and environment, and nothing else.
    pub fn surround(&self, command: &mut Command) {
        let inherited = std::env::var_os("PATH").expect("PATH is set");
        let path = self.path.iter().cloned().chain(std::env::split_paths(&inherited));
        command
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::join_paths(path).expect("no colon in a folder"))
            .env("HOME", self.root().join("home"))
            .env("TMPDIR", self.tmp())
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null());
    }

    /// Runs the program to its end.
    pub fn xtask(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(args))
    }

    /// Puts a shell script before the real program on PATH. `$REAL` in it is the real one.
    pub fn wrap(&mut self, program: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let real = tool(program);
        let folder = self.root().join("wrappers");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(program);
        let text = format!(
            "#!/usr/bin/env bash\nset -uo pipefail\nREAL='{}'\n{script}\n",
            real.display()
        );
        std::fs::write(&file, text).expect("writable");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("ours");
        if !self.path.contains(&folder) {
            self.path.push(folder);
        }
    }
}

/// How the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Runs a command, at most until [`DEADLINE`].
    pub fn of(command: &mut Command) -> Self {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the program starts");
        Self::wait(child)
    }

    /// Waits for a child whose outputs are pipes.
    pub fn wait(mut child: Child) -> Self {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let out = std::thread::spawn(move || std::io::read_to_string(stdout.expect("piped")));
        let err = std::thread::spawn(move || std::io::read_to_string(stderr.expect("piped")));
        let mut status = None;
        until("the program ends", || {
            status = child.try_wait().expect("a child");
            status.is_some()
        });
        Self {
            code: status.and_then(|status| status.code()),
            stdout: out.join().expect("no panic").expect("UTF-8"),
            stderr: err.join().expect("no panic").expect("UTF-8"),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{self:#?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "nothing says {text:?}: {self:#?}"
        );
        self
    }

    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(
            !self.stderr.contains(text) && !self.stdout.contains(text),
            "it says {text:?}: {self:#?}"
        );
        self
    }
}

/// Asks until it is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(
            started.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain: {what}"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = folder.read_dir() else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
