//! What the flow tests share: a real server in a folder of its own, a repository around it, and `xtask` run in a cleared
//! environment.

#![allow(dead_code, reason = "every test binary uses its own part")]

pub mod crash;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mongodb::bson::{Document, doc};
use mongodb::sync::{Client, Collection, Database};
use xtask::archive::{ContainerOptions, store};
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::domain::manifest::{BackupMetadata, Consistency, ConsistencyKind, METADATA_FILE};
use xtask::secret::Secret;

pub const DATABASE: &str = "shop";
/// The variable that the configuration names.
const URI_VARIABLE: &str = "TEST_MONGODB_URI";
/// So many names fall into each of the 16 tables of the local server.
const TABLES: usize = 200;
/// A server that has not started by then never will.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A program on PATH; its absence fails the test, which would otherwise prove nothing.
pub fn program(names: &[&str]) -> PathBuf {
    let found = names.iter().find_map(|name| which::which(name).ok());
    found.unwrap_or_else(|| panic!("none of {names:?} is on PATH: run the tests by `cargo xtask ci`"))
}

/// A process that is killed, with all that it started, when this value goes.
pub struct Owned(pub Child);

impl Owned {
    pub fn start(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// SIGKILL to the whole group.
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.0.wait().ok();
    }

    /// Signals the whole group.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        let group = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process_group(group, signal).ok();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A MongoDB server whose data lies in a folder of the test.
pub struct Server {
    process: Owned,
    data: PathBuf,
    pub port: u16,
    more: &'static [&'static str],
}

impl Server {
    /// Starts on any free port.
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, 0, &[])
    }

    /// The same with more options.
    pub fn start_with(data: &Path, more: &'static [&'static str]) -> Self {
        Self::start_at(data, 0, more)
    }

    /// One that is killed keeps what it acknowledged, as `mongod` does with its journal and write concern `majority`: the
    /// local server must be told to. And it comes back only where no table was being made when it was killed: it makes
    /// them once, so they are made here, and the server ended in peace.
    pub fn start_durable(data: &Path) -> Self {
        if !program(&["mongod", "secantusd-rs"]).ends_with("secantusd-rs") {
            return Self::start(data);
        }
        let mut server = Self::start(data);
        let warm = Live::connect(&Secret::new(server.uri()), "warm").unwrap();
        for number in 0..TABLES {
            let create = doc! { "create": format!("c{number}") };
            warm.database().run_command(create).run().unwrap();
        }
        server.restart_with(&["--sync-on-commit"]);
        server
    }

    fn start_at(data: &Path, port: u16, more: &'static [&'static str]) -> Self {
        let server = program(&["mongod", "secantusd-rs"]);
        std::fs::create_dir_all(data).unwrap();
        let ours = server.ends_with("secantusd-rs");
        // A real mongod has no free port of its own choosing.
        let port = if ours || port > 0 { port } else { free_port() };
        let mut command = Command::new(&server);
        command.args(["--port", &port.to_string()]).args(more);
        if ours {
            command.args(["--host", "127.0.0.1", "--storage-path"]).arg(data);
        } else {
            command.args(["--bind_ip", "127.0.0.1", "--dbpath"]).arg(data);
        }
        let log = std::fs::File::create(data.with_extension("err")).unwrap();
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut process = Owned::start(&mut command);
        let stdout = process.0.stdout.take().unwrap();
        let (told, port_told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("listening on 127.0.0.1:") {
                    told.send(port.trim().parse::<u16>().unwrap()).ok();
                } else if line.contains("Waiting for connections") {
                    told.send(port).ok();
                }
            }
        });
        let port = port_told
            .recv_timeout(START_DEADLINE)
            .expect("the server did not start");
        Self {
            process,
            data: data.to_owned(),
            port,
            more,
        }
    }

    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.port)
    }

    /// SIGKILL, as a crash of the machine would be, and a start on the same data and port.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        *self = Self::start_at(&self.data.clone(), self.port, self.more);
    }

    /// Ends in good order, and starts with other options on the same data and port.
    pub fn restart_with(&mut self, more: &'static [&'static str]) {
        self.process.signal(rustix::process::Signal::TERM);
        wait_until("the server ends", || {
            self.process.0.try_wait().is_ok_and(|status| status.is_some())
        });
        *self = Self::start_at(&self.data.clone(), self.port, more);
    }

    /// Leads the server's process group.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub fn client(&self) -> Client {
        Client::with_uri_str(self.uri()).unwrap()
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn restart(&mut self) {
        *self = Self::start_at(&self.data.clone(), self.port, self.more);
    }
}

fn git(dir: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    assert!(command.status().unwrap().success(), "git {args:?}");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A repository with its configuration, and a server.
pub struct World {
    pub server: Server,
    pub dir: tempfile::TempDir,
    next_backup_s: std::cell::Cell<i64>,
}

impl World {
    pub fn new() -> Self {
        Self::with_server(Server::start)
    }

    /// With a server that can be killed.
    pub fn durable() -> Self {
        Self::with_server(Server::start_durable)
    }

    fn with_server(start: impl FnOnce(&Path) -> Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("repository");
        std::fs::create_dir_all(root.join("infrastructure")).unwrap();
        std::fs::write(root.join("infrastructure/pipeline.toml"), PIPELINE).unwrap();
        // The ledger is a reference on the remote.
        git(dir.path(), &["init", "--quiet", "--bare", "remote.git"]);
        git(&root, &["init", "--quiet", "."]);
        git(&root, &["remote", "add", "origin", "../remote.git"]);
        let server = start(&dir.path().join("data"));
        Self {
            server,
            dir,
            next_backup_s: std::cell::Cell::new(0),
        }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    pub fn live(&self) -> Live {
        Live::connect(&Secret::new(self.server.uri()), DATABASE).unwrap()
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path())
            .env(URI_VARIABLE, self.server.uri())
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
        let args: Vec<&str> = args
            .iter()
            .copied()
            .chain(["--format", "json", "--yes"])
            .collect();
        self.xtask(&args).output().unwrap()
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

/// What a program said, for a failed assertion.
pub fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{} {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

/// Waits until `done`; a deadline instead of a sleep of a guessed length.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Data of every kind that a restore must keep.
pub fn seed(world: &World) {
    let users: Vec<Document> = (0..200)
        .map(|n| doc! { "_id": n, "email": format!("user{n}@example.com"), "visits": i64::from(n), "active": n % 3 == 0 })
        .collect();
    world.collection("users").insert_many(users).run().unwrap();
    world.command(doc! { "createIndexes": "users", "indexes": [
        { "key": { "email": 1 }, "name": "email", "unique": true },
        { "key": { "visits": -1, "email": 1 }, "name": "visits", "partialFilterExpression": { "active": true } },
    ] });
    // Far from expiring here: how TTL indexes are kept from working in the shadow is tested where they are made.
    let old = mongodb::bson::DateTime::from_millis(0);
    let sessions: Vec<Document> = (0..50)
        .map(|n| doc! { "_id": format!("s{n}"), "seen": old })
        .collect();
    world.collection("sessions").insert_many(sessions).run().unwrap();
    let expiry = doc! { "key": { "seen": 1 }, "name": "seen", "expireAfterSeconds": 2_000_000_000_i64 };
    world.command(doc! { "createIndexes": "sessions", "indexes": [expiry] });
    // A document that its own validator refuses.
    world
        .collection("orders")
        .insert_one(doc! { "_id": 1, "total": "much" })
        .run()
        .unwrap();
    let validator = doc! { "total": { "$type": "number" } };
    world.command(doc! { "collMod": "orders", "validator": validator, "validationLevel": "moderate" });
    world.command(doc! { "create": "log", "capped": true, "size": 100_000, "max": 500 });
    let lines: Vec<Document> = (0_i32..30).map(|n| doc! { "_id": n, "line": "x" }).collect();
    world.collection("log").insert_many(lines).run().unwrap();
    world.command(doc! { "create": "words", "collation": { "locale": "fr", "strength": 2 } });
    world
        .collection("words")
        .insert_one(doc! { "_id": "été" })
        .run()
        .unwrap();
    world.command(doc! { "create": "empty" });
    world.command(
        doc! { "create": "active_users", "viewOn": "users", "pipeline": [{ "$match": { "active": true } }] },
    );
}

/// What an application and a migration do after a backup: documents of every collection change, collections come and go.
pub fn change(world: &World) {
    world
        .collection("users")
        .update_many(doc! { "active": true }, doc! { "$inc": { "visits": 1 } })
        .run()
        .unwrap();
    world
        .collection("users")
        .delete_many(doc! { "_id": { "$lt": 7 } })
        .run()
        .unwrap();
    world
        .collection("users")
        .insert_one(doc! { "_id": "new", "email": "new@example.com" })
        .run()
        .unwrap();
    world
        .collection("payments")
        .insert_one(doc! { "_id": 1, "amount": 12.5 })
        .run()
        .unwrap();
    world.command(doc! { "drop": "empty" });
    world.command(doc! { "drop": "active_users" });
    world.command(doc! { "create": "rich_users", "viewOn": "users", "pipeline": [] });
    world.command(doc! { "dropIndexes": "users", "index": "visits" });
    world.command(doc! { "collMod": "orders", "validator": {} });
}

const PIPELINE: &str = r#"
schema = "pipeline/1"
default_environment = "production"
[restore]
keep_old_hours = 0
[restore.quiesce]
before = ["touch", "writers-stopped"]
after = ["mv", "writers-stopped", "writers-go-on"]
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
