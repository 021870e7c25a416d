//! A team whose own programs deploy: its repository, its machine, its shell.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use rehearsal::test_env::git::{git, remote_and_clone};
use serde_json::Value;

/// What the programs get as their secret.
pub(super) const KEY: &str = "key-of-the-server-5d1b";

/// The interpreter itself: what finds it on PATH may take longer than the program that it runs.
pub(super) fn python() -> &'static str {
    static PYTHON: LazyLock<String> = LazyLock::new(|| {
        let find = ["-c", "import sys; print(sys.executable, end='')"];
        let output = Command::new("python3").args(find).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    &PYTHON
}

/// A repository, a server's folder, and a free port.
pub(super) struct Team {
    pub dir: tempfile::TempDir,
    pub port: u16,
    pipeline: &'static str,
}

/// An example of an adapter that this repository has.
pub(super) fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infrastructure/adapter-example");
    folder.join(name)
}

impl Team {
    /// Its pipeline.toml has `{{port}}`, `{{state}}` and `{{adapter}}` in the place of values.
    pub fn new(pipeline: &'static str, health: &str, adapter: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        remote_and_clone(dir.path(), "remote.git", "clone");
        let team = Self { dir, port, pipeline };
        team.configure(&example(adapter));
        team.write("infrastructure/health.toml", health);
        team.write(".gitignore", ".xtask/\nbackups/\n");
        team
    }

    pub fn configure(&self, adapter: &Path) {
        let text = self
            .pipeline
            .replace("{{port}}", &self.port.to_string())
            .replace("{{state}}", self.state().to_str().unwrap())
            .replace("python3", python())
            .replace("{{adapter}}", adapter.to_str().unwrap());
        self.write("infrastructure/pipeline.toml", &text);
    }

    pub fn clone(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    pub fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.clone().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn push(&self) {
        git(&self.clone(), &["add", "--all"]);
        git(&self.clone(), &["commit", "--quiet", "--message=Release"]);
        git(&self.clone(), &["push", "--quiet", "origin", "HEAD:main"]);
    }

    pub fn xtask(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(args)
            .current_dir(self.clone())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("USER", "ann")
            .env("GIT_AUTHOR_NAME", "Ann")
            .env("GIT_AUTHOR_EMAIL", "ann@example.com")
            .env("GIT_COMMITTER_NAME", "Ann")
            .env("GIT_COMMITTER_EMAIL", "ann@example.com")
            .env("DEPLOY_KEY", KEY)
            .env("CDN_KEY", "key-of-the-cdn")
            .output()
            .unwrap()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.xtask(&[args, &["--format", "json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub(super) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
