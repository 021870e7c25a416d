//! A rehearsed test environment for operations that are disturbed: small data, two releases, and what an onlooker sees of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::read_to_string;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rehearsal::proof::without_record_of_migrations;
use rehearsal::scenarios::set::{CHECK, pipeline_of_set};
use rehearsal::test_env::programs::repository;
use rehearsal::test_env::{DATABASE, Served, TestEnv};
use serde_json::Value;
use tempfile::TempDir;
use xshell::{Shell, cmd};
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::domain::release::Release;
use xtask::exec::Finished;
use xtask::secret::Secret;

use rehearsal::test_env::proxy::Proxy;

/// The release that works on the data as they are, and the one that migrates them.
pub const OLD: &str = "1.0.0";
pub const NEW: &str = "3.0.0";
const DOCUMENTS: u32 = 200;
const PATIENCE_S: u32 = 10;
/// How long a deployment is waited for: a platform that never answers is waited for in vain.
const DEPLOY_S: u32 = 45;

/// A test environment in which the old release is live.
pub struct Case {
    pub env: TestEnv,
    /// What our program reaches the database through.
    pub proxy: Proxy,
    pub old_tag: String,
    /// What the old release has in the database.
    pub old_data: Inventory,
    old_others: BTreeMap<String, String>,
    // Last: the test environment ends before its folder goes.
    _folder: TempDir,
}

/// What can be seen from outside. Two of these are equal where code, data and records agree.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub served: Served,
    /// Versions of the parts of a set beside these two, by their address.
    pub others: BTreeMap<String, String>,
    pub data: Inventory,
    /// Version in the newest release record's commit.
    pub recorded: String,
}

impl Case {
    pub fn new() -> Self {
        Self::with(str::to_owned)
    }

    /// With another pipeline.toml.
    pub fn with(configure: impl Fn(&str) -> String) -> Self {
        Self::without_release(configure).released()
    }

    /// Three backends and two frontends in the place of one of each, from the same folders.
    pub fn of_set() -> Self {
        let case = Self::without_release(str::to_owned);
        let folder = case.env.clone_dir().join("infrastructure");
        let (pipeline, health) = (folder.join("pipeline.toml"), folder.join("health.toml"));
        let text = read_to_string(&pipeline).unwrap();
        let mut text = pipeline_of_set(&text, &case.env.addresses).unwrap();
        for (part, folder) in [
            ("apps/api", "backend"),
            ("apps/worker", "backend"),
            ("apps/mailer", "backend"),
            ("apps/web", "frontend"),
            ("apps/admin", "frontend"),
        ] {
            text = text.replace(part, folder);
        }
        std::fs::write(&pipeline, text).unwrap();
        std::fs::write(&health, read_to_string(&health).unwrap() + CHECK).unwrap();
        case.env.commit_release("v1").unwrap();
        case.released()
    }

    fn released(self) -> Self {
        let mut case = self;
        let first = case.ok(&["deploy", "--format", "json"]);
        case.old_tag = tag_of(&serde_json::from_str(&first.stdout).unwrap());
        case.old_data = case.data();
        case.old_others = case.others();
        case
    }

    /// Nothing was deployed yet; the old release is committed.
    pub fn without_release(configure: impl Fn(&str) -> String) -> Self {
        let folder = tempfile::Builder::new().prefix("xtask-op-").tempdir().unwrap();
        let env = TestEnv::start(repository(), folder.path()).expect("the test environment starts");
        be_impatient(&env);
        let file = env.clone_dir().join("infrastructure/pipeline.toml");
        let pipeline = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, configure(&pipeline)).unwrap();
        env.seed(DOCUMENTS, 1).unwrap();
        env.commit_release("v1").unwrap();
        Self {
            proxy: Proxy::start(port_of(&env.uri)),
            old_tag: String::new(),
            old_data: Inventory::default(),
            old_others: BTreeMap::new(),
            env,
            _folder: folder,
        }
    }

    pub fn data(&self) -> Inventory {
        let live = Live::connect(&Secret::new(&self.env.uri), DATABASE).unwrap();
        let mut data = live.inventory(Digests::Full).unwrap();
        data.collections
            .retain(|name, _| xtask::domain::inventory::is_application(name));
        without_record_of_migrations(data)
    }

    /// Runs our program; `env` is what makes this run different.
    pub fn run(&self, args: &[&str], env: &[(&str, String)]) -> Finished {
        self.run_in(&self.env.clone_dir(), args, env)
    }

    /// The same in another clone, as on another machine.
    pub fn run_in(&self, clone: &Path, args: &[&str], env: &[(&str, String)]) -> Finished {
        let sh = Shell::new().unwrap();
        sh.change_dir(clone);
        let program = self.env.program();
        let exec = self
            .env
            .in_env(cmd!(sh, "{program} {args...} --yes"))
            .env("PROD_MONGODB_URI", self.proxy.through(&self.env.uri));
        env.iter()
            .fold(exec, |exec, (name, value)| exec.env(name, value))
            .output()
            .unwrap()
    }

    /// Runs our program, which must succeed.
    pub fn ok(&self, args: &[&str]) -> Finished {
        let finished = self.run(args, &[]);
        assert_eq!(finished.code, Some(0), "{args:?}: {}", finished.error());
        finished
    }

    /// PATH of the team with a shell script before the program of this name. `$REAL` in it is that program.
    pub fn path_with(&self, name: &str, script: &str) -> OsString {
        let (path, folder) = (&self.env.environment()["PATH"], &self.env.folder);
        let folder = tempfile::tempdir_in(folder).unwrap().keep();
        let real = which::which_in_global(name, Some(path)).unwrap().next().unwrap();
        let program = folder.join(name);
        let text = format!("#!/bin/sh\nREAL='{}'\n{script}\n", real.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(path))).unwrap()
    }

    /// Looks at the addresses that users know, at the database and at the records.
    pub fn seen(&self) -> Seen {
        Seen {
            served: self.env.served().unwrap(),
            others: self.others(),
            data: self.data(),
            recorded: self.recorded_version(),
        }
    }

    /// What must be seen where the old release is live.
    pub fn old(&self) -> Seen {
        Seen {
            served: Served::both(OLD),
            others: self.old_others.clone(),
            data: self.old_data.clone(),
            recorded: OLD.into(),
        }
    }

    /// What the other parts serve; nothing where they are no parts.
    fn others(&self) -> BTreeMap<String, String> {
        let text = |url: &str| ureq::get(url).call().ok()?.body_mut().read_to_string().ok();
        let version = |address: &str| {
            let health: Option<Value> =
                text(&format!("{address}/api/health")).and_then(|answer| serde_json::from_str(&answer).ok());
            if let Some(version) = health.as_ref().and_then(|health| health["version"].as_str()) {
                return Some(version.to_owned());
            }
            let page = text(address)?;
            let (_, rest) = page.split_once("name=\"release\" content=\"")?;
            Some(rest.split('"').next()?.to_owned())
        };
        let others = self.env.addresses.others.iter();
        others
            .filter_map(|(id, address)| Some((id.clone(), version(address)?)))
            .collect()
    }

    pub fn newest_record(&self) -> Release {
        let tag = self
            .git("git tag --list prod-* --sort=-refname")
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let message = self.git(&format!("git for-each-ref --format=%(contents) refs/tags/{tag}"));
        Release::from_message(&tag, &message).unwrap()
    }

    fn recorded_version(&self) -> String {
        let commit = self.newest_record().commit;
        let manifest = self.git(&format!("git show {commit}:backend/app.toml"));
        let (_, rest) = manifest.split_once("version = \"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// Asks the remote itself.
    pub fn git(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let sh = Shell::new().unwrap();
        sh.change_dir(self.env.folder.join("origin.git"));
        self.env.in_env(cmd!(sh, "git {words...}")).read().unwrap()
    }

    /// The last operation of the ledger.
    pub fn last_operation(&self) -> Value {
        self.env.last_operation().unwrap()
    }

    /// The journal of the newest operation in the clone.
    pub fn journal(&self, operation: &str) -> PathBuf {
        self.env
            .clone_dir()
            .join(".xtask/operations")
            .join(operation)
            .join("steps.jsonl")
    }

    /// The lines of the newest operation's journal.
    pub fn journal_of_last(&self) -> Vec<Value> {
        let id = self.last_operation()["id"].as_str().unwrap().to_owned();
        let text = std::fs::read_to_string(self.journal(&id)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Nothing is under way any more, and the platforms were asked nothing that they do not know.
    pub fn assert_settled(&self, told: &str) {
        let last = self.last_operation();
        let outcome = last["ended"]["outcome"].as_str().unwrap_or("unfinished");
        assert!(
            ["done", "undone", "failed"].contains(&outcome),
            "{told}: {last:#}"
        );
        let seen = self.env.platform_report().unwrap();
        assert_eq!(seen["unimplemented"], serde_json::json!([]), "{told}");
    }
}

/// Health is patient, so that a slow start is no fault; here the fault stays for as long as health looks, and what it
/// sees at last is the same after a shorter while.
fn be_impatient(env: &TestEnv) {
    let file = env.clone_dir().join("infrastructure/pipeline.toml");
    let pipeline = std::fs::read_to_string(&file).unwrap();
    let changed = pipeline.replace("source = ", &format!("deploy_s = {DEPLOY_S}\nsource = "));
    std::fs::write(&file, changed).unwrap();
    let file = env.clone_dir().join("infrastructure/health.toml");
    let checks = std::fs::read_to_string(&file).unwrap();
    let changed = checks.replace("for_s = 30", &format!("for_s = {PATIENCE_S}"));
    assert_ne!(changed, checks, "health waits for something else now");
    std::fs::write(&file, changed).unwrap();
}

fn port_of(uri: &str) -> u16 {
    let (_, rest) = uri.split_once("127.0.0.1:").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// What serves is what was recorded, also in the moment after an operation.
pub fn assert_no_drift(case: &Case) {
    let listed = case.ok(&["releases", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["drift"], serde_json::json!([]), "{listed:#}");
}

pub fn tag_of(report: &Value) -> String {
    report["release"]["tag"].as_str().unwrap().to_owned()
}
