//! A database without an address outside the platform's private network: its tunnel is there while a command needs it, and what the
//! program of the platform prints about it is nowhere.

use std::fs::{read_to_string, write};
use std::net::ToSocketAddrs as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mongodb::bson::{Document, doc};
use rehearsal::proof::{differences, newest_backup};
use rehearsal::standins::ssh::{BREAKS_AT, PID_FILE};
use rehearsal::test_env::TestEnv;
use rehearsal::test_env::adopted::Adopted;
use rehearsal::test_env::git::{commit_first, write_files};
use rehearsal::test_env::process::wait_until;
use rehearsal::test_env::programs::repository;
use xtask::database::Live;
use xtask::exec::Finished;
use xtask::secret::Secret;

use crate::layouts::{HEAD, RAILWAY};

/// What the environment has of its database.
const BY_TUNNEL: &str = r#"[environments.production.mongodb]
uri = "MONGO_URL"
database = "orders"
via = "railway-tunnel:Mongo DB"
via_token = "OUR_RAILWAY_TOKEN"
"#;
const HEALTH: &str = "schema = \"health/1\"\n[check.database]\ngroup = \"database\"\n[check.database.database]\ncollection = \"properties\"\nfilter = {}\n";

/// A worker beside it, so that there is something to release.
const WORKER: &str = r#"
[[environments.production.backends]]
name = "worker"
platform = "railway"
service = "s-1"
folder = "worker"
"#;

/// The words of a question that only comes after the swap.
const READS_PREVIOUS: &str = "find __old_";

struct Case {
    env: TestEnv,
    _folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let team = tempfile::tempdir().unwrap();
        let pipeline = format!("{HEAD}{RAILWAY}{BY_TUNNEL}{WORKER}");
        let files = [
            (
                "worker/package.json",
                r#"{"name":"worker","scripts":{"start":"node worker.js"}}"#,
            ),
            ("worker/worker.js", "setInterval(() => {}, 1000);\n"),
            ("infrastructure/pipeline.toml", pipeline.as_str()),
            ("infrastructure/health.toml", HEALTH),
            (".gitignore", ".xtask/\nbackups/\n"),
        ];
        write_files(team.path(), files);
        commit_first(team.path(), "main");
        let folder = tempfile::Builder::new()
            .prefix("xtask-tunnel-")
            .tempdir()
            .unwrap();
        let team = Adopted::read(team.path()).unwrap();
        let env = TestEnv::start_adopted(repository(), folder.path(), team).unwrap();
        env.seed(50, 1).unwrap();
        env.commit_adopted(1).unwrap();
        Self { env, _folder: folder }
    }

    fn run(&self, name: &str, args: &[&str]) -> Finished {
        self.env.xtask(name, args).unwrap()
    }

    fn log(&self, name: &str) -> String {
        read_to_string(self.env.folder.join(format!("logs/{name}.log"))).unwrap()
    }

    /// The tunnel of the last command is gone some moments after it, and another command had another one.
    fn tunnel_is_gone(&self) -> String {
        let pid = read_to_string(self.env.folder.join("home").join(PID_FILE)).unwrap();
        let process = Path::new("/proc").join(&pid);
        wait_until("the process of the tunnel ends", || !process.exists());
        pid
    }

    /// The tunnel breaks, once, when all these words are in a question to the database.
    fn break_tunnel_at(&self, words: &str) {
        write(self.env.folder.join("home").join(BREAKS_AT), words).unwrap();
    }

    /// The documents of the backup are gone.
    fn delete(&self) {
        let live = Live::connect(&Secret::new(self.env.uri.clone()), &self.env.database).unwrap();
        let properties = live.database().collection::<Document>("properties");
        assert!(properties.delete_many(doc! {}).run().unwrap().deleted_count > 0);
    }

    /// Stopped midway by the end of its tunnel; the command that its message names finishes it.
    fn resumed(&self, name: &str, stopped: &Finished) {
        let text = self.log(name);
        assert_eq!(stopped.code, Some(4), "{text}");
        assert!(text.contains("the tunnel to the database has closed"), "{text}");
        let rest = text.split("next: cargo xtask ").nth(1).unwrap();
        let next: Vec<&str> = rest.lines().next().unwrap().split_whitespace().take(3).collect();
        assert_eq!(next[1], "--resume", "{text}");
        let resumed = format!("{name}-resumed");
        let finished = self.run(&resumed, &[&next[..], &["--yes"]].concat());
        assert_eq!(finished.code, Some(0), "{}", self.log(&resumed));
        self.tunnel_is_gone();
    }

    /// A program in the place of the real one; `""` takes it away.
    fn stand_before(&self, program: &str, script: &str) {
        let path = self.env.folder.join("bin").join(program);
        std::fs::remove_file(&path).ok();
        if !script.is_empty() {
            let pid = self.env.folder.join("home").join(PID_FILE);
            let text = script.replace("PID", &pid.to_string_lossy());
            write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    /// Each file of these folders that has the text.
    fn files_with(&self, text: &str) -> Vec<String> {
        let mut open = vec![
            self.env.folder.join("logs"),
            self.env.clone_dir().join(".xtask"),
            self.env.backups.clone(),
        ];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(
                    std::fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
                found.push(path.display().to_string());
            }
        }
        found
    }
}

#[test]
fn a_database_of_a_private_network_is_backed_up_and_restored_by_a_tunnel_that_ends_with_each_command() {
    let case = Case::new();
    let direct = ("mongodb.railway.internal", 27017).to_socket_addrs();
    assert!(
        direct.is_err(),
        "the address of the private network resolves here"
    );
    let taken = case.run("backup", &["backup", "create", "--verbose"]);
    assert_eq!(taken.code, Some(0), "{}", case.log("backup"));
    let first = case.tunnel_is_gone();
    let backup = newest_backup(&case.env).unwrap();
    assert_eq!(backup.host, "railway-tunnel:Mongo DB@env");

    // The tunnel closes while documents are restored: nothing was changed, and the same command succeeds then.
    case.delete();
    let restore = ["restore", backup.id.as_str(), "--yes"];
    case.stand_before("mongorestore", "kill -9 \"$(cat PID)\"; exit 1");
    let broken = case.run("broken", &restore);
    let text = case.log("broken");
    assert_eq!(broken.code, Some(1), "{text}");
    assert!(
        text.contains("the tunnel to the database has closed (railway-tunnel:Mongo DB@env)"),
        "{text}"
    );
    case.stand_before("mongorestore", "");
    let restored = case.run("restore", &restore);
    assert_eq!(restored.code, Some(0), "{}", case.log("restore"));
    assert_ne!(case.tunnel_is_gone(), first);
    assert_eq!(differences(&case.env, &backup).unwrap(), Vec::<String>::new());

    // It ends with a command that is killed.
    case.stand_before("mongodump", "kill -9 $PPID");
    assert_ne!(case.run("killed", &["backup", "create"]).code, Some(0));
    case.tunnel_is_gone();
    case.stand_before("mongodump", "");

    // Why it does not open is told with what to do.
    let key = case.env.folder.join("home/.ssh/id_ed25519.pub");
    std::fs::remove_file(&key).unwrap();
    let refused = case.run("refused", &["backup", "create"]);
    let text = case.log("refused");
    assert_eq!(refused.code, Some(1), "{text}");
    for part in [
        "railway connect Mongo DB --tunnel-only",
        "No SSH keys found",
        "railway ssh keys",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let password = &case.env.secrets()["PLUGIN_MONGODB_PASSWORD"];
    assert_eq!(case.files_with(password), Vec::<String>::new());
}

#[test]
fn a_rollback_and_a_restore_whose_tunnel_breaks_after_the_swap_are_resumed() {
    let case = Case::new();
    let deployed = case.env.xtask_json("deploy-1", &["deploy", "--yes"]).unwrap();
    let first = deployed["release"]["tag"].as_str().unwrap();
    case.env.commit_adopted(2).unwrap();
    case.env.xtask_json("deploy-2", &["deploy", "--yes"]).unwrap();
    let backup = newest_backup(&case.env).unwrap();

    // The documents that only the previous collections have are read: all is swapped then, and the worker of the first release serves.
    case.delete();
    case.break_tunnel_at(READS_PREVIOUS);
    let why = ["--database", "restore", "--reason", "a test", "--yes"];
    let stopped = case.run("rollback", &[&["rollback", first][..], &why].concat());
    case.resumed("rollback", &stopped);
    assert_eq!(differences(&case.env, &backup).unwrap(), Vec::<String>::new());

    case.delete();
    case.break_tunnel_at(READS_PREVIOUS);
    let stopped = case.run("restore", &["restore", backup.id.as_str(), "--yes"]);
    case.resumed("restore", &stopped);
    assert_eq!(differences(&case.env, &backup).unwrap(), Vec::<String>::new());
}
