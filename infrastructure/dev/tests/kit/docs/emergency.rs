//! `docs/EMERGENCY.md`, every block of it, in a rehearsed test environment: two releases, users' data, a lock that somebody holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rehearsal::test_env::process::typed;
use rehearsal::test_env::{DATABASE, TestEnv};
use serde_json::{Value, json};
use xshell::{Shell, cmd};
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::operation::ledger::{Ledger, LockTiming, Start};
use xtask::secret::Secret;
use xtask::tools::git::Git;

use super::{read, root};

/// A deployment of the simulator takes well under a second.
const BACK_DEADLINE: Duration = Duration::from_mins(1);

/// The blocks for bash, one after the other, each with its heading said before it.
fn script() -> String {
    let page = read(&root().join("docs/EMERGENCY.md"));
    let mut script = String::new();
    let mut in_block = false;
    for line in page.lines() {
        match line {
            "```bash" => in_block = true,
            "```" => in_block = false,
            _ if in_block => script += &format!("{line}\n"),
            _ => {
                if let Some(heading) = line.strip_prefix("## ") {
                    script += &format!("echo '== {heading}'\n");
                }
            }
        }
    }
    script
}

fn inventory(env: &TestEnv) -> Inventory {
    let live = Live::connect(&Secret::new(&env.uri), DATABASE).unwrap();
    live.inventory(Digests::Full).unwrap()
}

/// The one backup file of this id.
fn backup_file(env: &TestEnv, id: &str) -> PathBuf {
    let folders = std::fs::read_dir(env.folder.join("backups")).unwrap();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let mut paths = files.map(|file| file.unwrap().path());
    paths
        .find(|path| path.to_string_lossy().ends_with(&format!("{id}.tar.gz.age")))
        .unwrap()
}

/// Somebody who holds the lock and says nothing more.
fn hold_the_lock(clone: &Path) -> xtask::operation::ledger::OperationLock {
    let timing = LockTiming {
        heartbeat: Duration::from_hours(1),
        ..LockTiming::default()
    };
    let start = Start {
        kind: "deploy".into(),
        reason: "hangs".into(),
        target: "a commit".into(),
        plan_sha256: "ab".repeat(32),
        plan: json!({}),
        over: None,
    };
    Ledger::with_timing(Git::at(clone, "origin"), "production", timing)
        .begin(start)
        .unwrap()
}

#[test]
fn each_block_of_the_emergency_page_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let env = TestEnv::start(&root(), folder.path()).unwrap();
    env.seed(300, 1).unwrap();
    env.commit_release("v1").unwrap();
    let first = env.xtask_json("deploy-v1", &["deploy", "--yes"]).unwrap();
    env.users_write(10, 1).unwrap();
    let before = inventory(&env);
    env.commit_release("v3").unwrap();
    let second = env.xtask_json("deploy-v3", &["deploy", "--yes"]).unwrap();
    env.users_write(10, 2).unwrap();
    assert!(
        !before.compare(&inventory(&env)).is_empty(),
        "the second release changed the data"
    );
    let held = hold_the_lock(&env.clone_dir());

    let backup = second["release"]["backup"]["id"].as_str().unwrap();
    let pipeline = read(&env.clone_dir().join("infrastructure/pipeline.toml"));
    let recipient = pipeline
        .split("recipients = [\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    // As a person types it: one shell on a terminal, which an error must not end.
    let typed_into = |target: &str, lines: &str| {
        let mut shell = Command::new("bash");
        shell
            .args(["--norc", "--noprofile", "--noediting", "-i"])
            .current_dir(env.clone_dir())
            .envs(env.environment())
            .env("DB", DATABASE)
            .env("TARGET", target)
            .env("FILE", backup_file(&env, backup))
            .env("RECIPIENT", recipient)
            .env("DOMAIN", "www.rehearsal.example")
            .env("VERCEL_ORG_ID", "team_x")
            .env("VERCEL_PROJECT_ID", "prj_x");
        let (code, screen) = typed(&shell, &format!("{lines}echo 'the shell is still there'\n"));
        assert_eq!(code, Some(0), "{screen}");
        assert!(screen.contains("the shell is still there"), "{screen}");
        screen
    };
    let script = script();
    // The newest release has no backup: nothing that is named may be taken for one.
    let (first_tag, tag) = (tag_of(&first), tag_of(&second));
    let (choose, _) = script.split_once("echo '== Save what is live now'").unwrap();
    let newest = typed_into(tag, choose);
    assert!(
        newest.contains(&format!("STOP: no release after {tag}")),
        "{newest}"
    );
    assert!(!newest.contains("SHA-256"), "{newest}");

    // Without the remote the same release has the same backup, where this clone has read the records.
    env.xtask_json("read", &["releases"]).unwrap();
    let (remote, away) = (folder.path().join("origin.git"), folder.path().join("away.git"));
    std::fs::rename(&remote, &away).unwrap();
    let forget = "git for-each-ref --format='delete %(refname)' refs/emergency | git update-ref --stdin\n";
    let alone = typed_into(first_tag, &format!("{forget}{choose}"));
    std::fs::rename(&away, &remote).unwrap();
    let named = format!("backup {backup}, SHA-256 ");
    assert!(alone.contains("origin does not answer"), "{alone}");
    assert!(alone.contains(&named), "{alone}");
    let ran = typed_into(first_tag, &script);
    assert!(ran.contains(&named) && !ran.contains("STOP"), "{ran}");
    let sh = Shell::new().unwrap();
    sh.change_dir(env.clone_dir());
    let left = env.in_env(cmd!(sh, "git status --porcelain")).read().unwrap();
    assert_eq!(left, "", "nothing of it makes a deploy refuse");

    data_is_back(&env, &before);
    serves(&env, "1.0.0");
    let missing = env.xtask("ledger", &["ledger"]).unwrap();
    assert_eq!(missing.code, Some(3), "{}", missing.error());
    env.xtask_json("repair", &["ledger", "--repair", "--yes"])
        .unwrap();
    let ledger = env.xtask_json("ledger", &["ledger"]).unwrap();
    let operations = ledger["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 1, "{ledger}");
    assert_eq!(operations[0]["ended"]["outcome"], "done", "the lock is free");
    let aside = env
        .in_env(cmd!(sh, "git ls-remote origin refs/xtask/ledger-aside/*"))
        .read()
        .unwrap();
    assert_eq!(aside.lines().count(), 1, "the old ledger is kept: {aside}");
    drop(held);
    // What the page recommends is not refused, and keeps what users wrote since.
    env.users_write(10, 3).unwrap();
    let written = inventory(&env);
    for recommended in recommended() {
        let words = recommended.iter().map(String::as_str);
        let mut arguments: Vec<&str> = words
            .map(|word| if word == "TAG" { first_tag } else { word })
            .collect();
        let is_deploy = arguments[0] == "deploy";
        arguments.push(if is_deploy { "--plan" } else { "--yes" });
        env.xtask_json("recommended", &arguments).unwrap();
    }
    serves(&env, "1.0.0");
    assert!(written.compare(&inventory(&env)).is_empty());
}

fn tag_of(report: &Value) -> &str {
    report["release"]["tag"].as_str().unwrap()
}

/// The commands that the page ends with, each as its arguments.
fn recommended() -> [Vec<String>; 2] {
    let page = read(&root().join("docs/EMERGENCY.md"));
    let (_, text) = page.split_once("The next `cargo xtask ").unwrap();
    let text = text.replace('\n', " ");
    let mut commands = text.split('`').step_by(2);
    let mut next = || {
        let command = commands.next().unwrap().trim_start_matches("cargo xtask ");
        // One argument in quotes, with spaces.
        let parts = command.split('\'').enumerate();
        let words = parts.flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        });
        words.collect()
    };
    [next(), next()]
}

/// Every collection of the backup is as it was; those that came later may still be there.
fn data_is_back(env: &TestEnv, before: &Inventory) {
    let after = inventory(env);
    let differences: Vec<String> = before
        .compare(&after)
        .iter()
        .map(ToString::to_string)
        .filter(|difference| {
            before
                .collections
                .keys()
                .any(|name| difference.contains(name.as_str()))
        })
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
    let beside = Live::connect(&Secret::new(&env.uri), &format!("{DATABASE}_emergency")).unwrap();
    let beside = before.compare(&beside.inventory(Digests::Full).unwrap());
    assert!(
        !beside.iter().any(|difference| difference.aspect.is_data()),
        "beside: {beside:?}"
    );
}

/// Both stable addresses, as a user would ask them.
fn serves(env: &TestEnv, version: &str) {
    let asked = Instant::now();
    loop {
        let backend = ureq::get(&format!("{}/api/health", env.addresses.backend)).call();
        let said: Option<Value> = backend
            .ok()
            .and_then(|mut answer| answer.body_mut().read_json().ok());
        if said.as_ref().is_some_and(|said| said["version"] == version) {
            break;
        }
        assert!(asked.elapsed() < BACK_DEADLINE, "the backend says {said:?}");
        std::thread::yield_now();
    }
    let page = ureq::get(&env.addresses.frontend)
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert!(page.contains(&format!("content=\"{version}\"")), "{page}");
}
