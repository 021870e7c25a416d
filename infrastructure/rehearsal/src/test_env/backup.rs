//! What the flows are tested with: a server in a folder of its own, a repository with a configuration, and the program
//! itself in a cleared environment.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mongodb::bson::{Document, doc};
use mongodb::sync::{Client, Database};
use xtask::domain::manifest::BackupMetadata;

use super::process::{Owned, as_user, program, wait_until};
use super::programs::{PRODUCT, built};
pub use super::restore::DATABASE;
use super::server::Server;

/// A server with its folder; both are gone when it is dropped.
#[derive(Debug)]
pub struct Mongo {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Mongo {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(options: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start_with(&folder.path().join("data"), options);
        Self {
            server,
            _folder: folder,
        }
    }

    /// A member of a replica set, and so with an oplog.
    pub fn replica_set() -> Self {
        if !is_mongod() {
            // It is one unless it is told not to be.
            return Self::start();
        }
        let server = Self::start_with(&["--replSet", "rs"]);
        let uri = format!("{}?directConnection=true", server.uri());
        let admin = Client::with_uri_str(uri).expect("a client").database("admin");
        admin
            .run_command(doc! { "replSetInitiate": {} })
            .run()
            .expect("a replica set");
        wait_until("it has a primary", || {
            let hello = admin.run_command(doc! { "hello": 1 }).run();
            hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
        });
        server
    }

    /// A server without an oplog.
    pub fn standalone() -> Self {
        Self::start_with(if is_mongod() { &[] } else { &["--standalone"] })
    }

    /// With one document in the one collection `users`.
    pub fn with_one_document() -> Self {
        let server = Self::start();
        server.insert(DATABASE, "users", doc! { "a": 1 });
        server
    }

    pub fn database(&self) -> Database {
        self.client().database(DATABASE)
    }

    pub fn insert(&self, database: &str, collection: &str, document: Document) {
        let database = self.client().database(database);
        let collection = database.collection::<Document>(collection);
        collection.insert_one(document).run().expect("writable");
    }
}

/// Whether the tests run against the real server.
pub fn is_mongod() -> bool {
    which::which("mongod").is_ok()
}

impl Deref for Mongo {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Mongo {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// A repository with a configuration: environment `local`, its connection string in `LOCAL_MONGODB_URI`.
#[derive(Debug)]
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
        let mut command = as_user(&built(PRODUCT));
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

    /// Makes it a git repository with a remote, which the ledger needs.
    pub fn add_remote(&self) {
        let calls: [&[&str]; 3] = [
            &["init", "-q"],
            &["init", "-q", "--bare", "remote.git"],
            &["remote", "add", "origin", "remote.git"],
        ];
        for args in calls {
            let mut command = Command::new("git");
            command.args(args);
            self.surround(&mut command);
            Outcome::of(&mut command).ok();
        }
    }

    /// Runs the program to its end.
    pub fn xtask(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(args))
    }

    /// The folder that keeps the backups.
    pub fn backups(&self) -> PathBuf {
        self.root().join("backups")
    }

    /// Nothing of a failed backup is left: no file, no part of one, no configuration with a password.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left: Vec<PathBuf> = [files_below(&self.backups()), files_below(&self.tmp())].concat();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Takes a backup and gives what the program says of it as JSON.
    #[track_caller]
    pub fn backup(&self) -> serde_json::Value {
        self.xtask(&["--format", "json", "backup"]).ok().json()
    }

    /// Puts a shell script before the real program on PATH. `$REAL` in it is the real one.
    pub fn wrap(&mut self, program_name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let real = program(&[program_name]);
        let folder = self.root().join("wrappers");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(program_name);
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
    /// Runs a command to its end; a deadline is kept.
    pub fn of(command: &mut Command) -> Self {
        Self::wait(start(command))
    }

    /// Waits for what [`start`] started.
    pub fn wait(mut child: Owned) -> Self {
        let (stdout, stderr) = (child.child.stdout.take(), child.child.stderr.take());
        let out = std::thread::spawn(move || std::io::read_to_string(stdout.expect("piped")));
        let err = std::thread::spawn(move || std::io::read_to_string(stderr.expect("piped")));
        let mut status = None;
        wait_until("the program ends", || {
            status = child.child.try_wait().expect("a child");
            status.is_some()
        });
        Self {
            code: status.and_then(|status| status.code()),
            stdout: out.join().expect("no panic").expect("UTF-8"),
            stderr: err.join().expect("no panic").expect("UTF-8"),
        }
    }

    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(&self, expected: i32) -> &Self {
        assert_eq!(self.code, Some(expected), "{self:#?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "nothing says {text:?}: {self:#?}"
        );
        self
    }

    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(
            !self.stderr.contains(text) && !self.stdout.contains(text),
            "it says {text:?}: {self:#?}"
        );
        self
    }
}

/// Starts a command with pipes for its outputs; it is killed when this is dropped.
pub fn start(command: &mut Command) -> Owned {
    Owned::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
}

/// Makes every backup below this folder two days older.
pub fn age(folder: &Path) {
    let metadata = files_below(folder).into_iter();
    for file in metadata.filter(|file| file.ends_with("backup-metadata.json")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut metadata = BackupMetadata::from_text(&text).unwrap();
        metadata.timestamp -= chrono::TimeDelta::days(2);
        std::fs::write(&file, metadata.to_text().unwrap()).unwrap();
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
