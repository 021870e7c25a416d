//! A repository with its configuration, and a server: where restores are tested.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::Document;
use mongodb::sync::{Collection, Database};
use xshell::cmd;
use xtask::archive::{ContainerOptions, store};
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::domain::manifest::{BackupMetadata, Consistency, ConsistencyKind, METADATA_FILE};
use xtask::exec::{Exec, Finished, shell_in};
use xtask::secret::Secret;

pub mod crash;
mod data;
pub mod shapes;

pub use data::{change, seed};

use super::git::{clone_empty, remote_and_clone};
use super::process::{as_user, told};
use super::programs::{PRODUCT, built};
use super::proxy::Proxy;
use super::server::Server;

pub const DATABASE: &str = "shop";
/// The variable that the configuration names.
const URI_VARIABLE: &str = "TEST_MONGODB_URI";
/// What a hook of the configuration gets and writes down: where a company keeps its certificates.
pub const CERTIFICATES: &str = "/company.pem";
/// One command.
const DEADLINE: Duration = Duration::from_mins(5);

/// A repository with its configuration, and a server.
#[derive(Debug)]
pub struct RestoreEnv {
    pub server: Server,
    /// What `xtask` reaches the server through, where a test wants to cut it off.
    pub proxy: Option<Proxy>,
    pub dir: tempfile::TempDir,
    /// The name of the database.
    database_name: &'static str,
    next_backup_s: std::cell::Cell<i64>,
    /// Machines that are gone.
    lost: std::cell::Cell<u32>,
}

impl RestoreEnv {
    pub fn start() -> Self {
        Self::with_server(Server::start)
    }

    /// With a server that can be killed.
    pub fn durable() -> Self {
        Self::with_server(Server::start_durable)
    }

    /// With a server that can be cut off.
    pub fn behind_proxy() -> Self {
        let mut env = Self::start();
        env.proxy = Some(Proxy::start(env.server.port));
        env
    }

    fn with_server(start: impl FnOnce(&Path) -> Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The ledger is a reference on the remote.
        remote_and_clone(dir.path(), "remote.git", "repository");
        let root = dir.path().join("repository");
        std::fs::create_dir_all(root.join("infrastructure")).unwrap();
        std::fs::write(root.join("infrastructure/pipeline.toml"), PIPELINE).unwrap();
        let server = start(&dir.path().join("data"));
        Self {
            server,
            proxy: None,
            dir,
            database_name: DATABASE,
            next_backup_s: std::cell::Cell::new(0),
            lost: std::cell::Cell::new(0),
        }
    }

    /// The same with a database of another name.
    #[must_use]
    pub fn with_database(mut self, name: &'static str) -> Self {
        self.database_name = name;
        self.configure(str::to_owned);
        self
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join(match self.lost.get() {
            0 => "repository".to_owned(),
            lost => format!("machine-{lost}"),
        })
    }

    /// The machine is gone, with its clone and all that was in it; another one has the same configuration at another path.
    pub fn replace_machine(&self) {
        let file = "infrastructure/pipeline.toml";
        let (before, configuration) = (self.root(), std::fs::read(self.root().join(file)).unwrap());
        self.lost.set(self.lost.get() + 1);
        std::fs::remove_dir_all(before).unwrap();
        clone_empty(self.dir.path(), "remote.git", self.root().file_name().unwrap());
        std::fs::create_dir_all(self.root().join("infrastructure")).unwrap();
        std::fs::write(self.root().join(file), configuration).unwrap();
    }

    /// Lets the storage be a folder that is in no clone; gives that folder. `off_machine` is what the configuration has of it.
    pub fn storage_elsewhere(&self, off_machine: bool) -> PathBuf {
        let folder = self.dir.path().join("storage");
        let place = format!("path = \"{}\"\noff_machine = {off_machine}\n", folder.display());
        self.configure(|pipeline| {
            let clear = "[backup]\nunencrypted = \"let-others-read-them\"\n[[backup.places]]";
            let pipeline = pipeline.replace("path = \"backups\"\n", &place);
            pipeline.replace("[[backup.places]]", clear)
        });
        folder
    }

    /// Where `xtask` looks for the server.
    fn uri(&self) -> String {
        let uri = self.server.uri();
        match &self.proxy {
            // Or drivers would ask the server where it is, and go there by themselves.
            Some(proxy) => proxy.through(&uri) + "?directConnection=true",
            None => uri,
        }
    }

    /// The database itself.
    pub fn live(&self) -> Live {
        Live::connect(&Secret::new(self.server.uri()), self.database_name).unwrap()
    }

    /// The database as `xtask` sees it.
    pub fn seen(&self) -> Live {
        Live::connect(&Secret::new(self.uri()), self.database_name).unwrap()
    }

    pub fn database(&self) -> Database {
        self.live().database().clone()
    }

    pub fn collection(&self, name: &str) -> Collection<Document> {
        self.database().collection(name)
    }

    pub fn command(&self, command: Document) -> Document {
        self.database().run_command(command).run().unwrap()
    }

    pub fn inventory(&self) -> Inventory {
        self.live().inventory(Digests::Full).unwrap()
    }

    /// `xtask` with an environment that holds nothing but what a test knows of.
    pub fn xtask(&self, args: &[&str]) -> Command {
        let mut command = as_user(&built(PRODUCT));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path())
            .env(URI_VARIABLE, self.uri())
            .env("NODE_EXTRA_CA_CERTS", CERTIFICATES)
            .current_dir(self.root())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end and gives the JSON on stdout; any exit code but 0 fails the test.
    pub fn ok(&self, args: &[&str]) -> serde_json::Value {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", told(&output)))
    }

    /// Runs to the end; the exit code must be this one. Gives what stands on stderr.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.xtask(&as_program(args)).output().unwrap()
    }

    /// The same with more in its environment, and a deadline.
    pub fn finished<'a>(
        &self,
        args: &[&str],
        env: impl IntoIterator<Item = &'a (&'static str, String)>,
    ) -> Finished {
        let command = self.xtask(&as_program(args));
        let sh = shell_in(&self.root()).unwrap();
        let (program, args) = (command.get_program(), command.get_args());
        let mut exec = Exec::new(cmd!(sh, "{program} {args...}")).deadline(DEADLINE);
        for (name, value) in command.get_envs() {
            exec = exec.env(name.to_str().unwrap(), value.unwrap());
        }
        for (name, value) in env {
            exec = exec.env(name, value);
        }
        exec.output().unwrap()
    }

    /// Writes pipeline.toml anew.
    pub fn configure(&self, change: impl FnOnce(&str) -> String) {
        let own = format!("database = \"{}\"", self.database_name);
        let changed = change(&PIPELINE.replace("database = \"shop\"", &own));
        assert_ne!(changed, PIPELINE);
        std::fs::write(self.root().join("infrastructure/pipeline.toml"), changed).unwrap();
    }

    /// A backup of the database as it is now: the folder that holds it.
    pub fn backup(&self) -> PathBuf {
        let created = self.ok(&["backup"]);
        let path = PathBuf::from(created["path"].as_str().unwrap());
        path.parent().unwrap().to_owned()
    }

    /// Stores an archive as a backup: the folder that holds it.
    pub fn store(&self, archive: &[u8]) -> PathBuf {
        self.store_as(archive, |_| ())
    }

    /// The same, with other words about it.
    pub fn store_as(&self, archive: &[u8], change: impl FnOnce(&mut BackupMetadata)) -> PathBuf {
        let seconds = self.next_backup_s.get();
        self.next_backup_s.set(seconds + 1);
        let created = DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
        let id = created.format("%Y%m%d-%H%M%S").to_string();
        let folder = self.root().join("backups").join(&id);
        std::fs::create_dir_all(&folder).unwrap();
        let stored = store(
            archive,
            &ContainerOptions::new(&folder, &id, None),
            created,
            &mut |_| (),
        )
        .unwrap();
        let reason = "nothing writes during the test".to_owned();
        let mut metadata = stored.metadata(Consistency {
            kind: ConsistencyKind::PerCollection,
            reason,
        });
        metadata.environment = "production".to_owned();
        change(&mut metadata);
        std::fs::write(folder.join(METADATA_FILE), metadata.to_text().unwrap()).unwrap();
        stored.commit().unwrap();
        folder
    }
}

/// As a program asks: for JSON, and without being asked back.
fn as_program<'a>(args: &[&'a str]) -> Vec<&'a str> {
    args.iter()
        .copied()
        .chain(["--format", "json", "--yes"])
        .collect()
}

const PIPELINE: &str = r#"
schema = "pipeline/1"
default_environment = "production"
[restore]
keep_old_hours = 0
[restore.quiesce]
before = ["sh", "-c", "echo $NODE_EXTRA_CA_CERTS > certificates && touch writers-stopped"]
after = ["mv", "writers-stopped", "writers-go-on"]
deadline_s = 20
[[restore.after]]
name = "flush"
command = ["sh", "-c", "test ! -e cache-is-down && echo flushed >> flushed"]
deadline_s = 20
[[restore.after]]
name = "notice"
command = ["sh", "-c", "echo restored >> noticed"]
deadline_s = 20
[[backup.places]]
kind = "directory"
path = "backups"
required = true
[environments.production]
tag_prefix = "prod"
protected = true
[environments.production.railway]
project = "p"
environment = "e"
service = "s"
token = "T"
source = "backend"
url = "http://127.0.0.1:1"
[environments.production.vercel]
org = "team_x"
project = "prj_x"
token = "T"
source = "frontend"
domain = "www.example.com"
[environments.production.mongodb]
uri = "TEST_MONGODB_URI"
database = "shop"
"#;
