//! The repository itself: made by git alone.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use chrono::{DateTime, Utc};
use xtask::tools::git::Git;

use super::History;
use crate::test_env::git::{command, remote_and_clone};

impl History {
    pub(super) fn git(&self) -> Git {
        Git::at(&self.path("clone"), "origin")
    }

    pub(super) fn make_repository(&self) {
        let clone = self.path("clone");
        remote_and_clone(self.dir.path(), "origin.git", "clone");
        std::fs::create_dir(clone.join("infrastructure")).unwrap();
        std::fs::write(clone.join("infrastructure/pipeline.toml"), PIPELINE).unwrap();
    }

    /// A chain of commits without files on the remote: what the program's pushes leave, by one process.
    pub(super) fn chain(&self, reference: &str, texts: &[String]) {
        let mut stream = String::new();
        for text in texts {
            let length = text.len();
            stream +=
                &format!("commit {reference}\ncommitter x <x@invalid> 1 +0000\ndata {length}\n{text}\n");
        }
        let mut child = command(&self.path("origin.git"))
            .args(["fast-import", "--quiet"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{reference}");
    }
}

pub(super) fn git(dir: &Path, args: &[&str], at: Option<DateTime<Utc>>) {
    let mut command = command(dir);
    command.args(args);
    if let Some(at) = at {
        let date = at.to_rfc3339();
        command
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A configuration whose outside systems are never asked.
pub const PIPELINE: &str = r#"
schema = "pipeline/1"
default_environment = "production"
[environments.production]
tag_prefix = "prod"
[environments.production.railway]
project = "p"
environment = "e"
service = "s"
token = "RAILWAY"
source = "backend"
url = "https://api.example.com"
[environments.production.vercel]
org = "team_x"
project = "prj_x"
token = "VERCEL"
source = "frontend"
domain = "www.example.com"
[environments.production.mongodb]
uri = "MONGODB"
database = "shop"
"#;
