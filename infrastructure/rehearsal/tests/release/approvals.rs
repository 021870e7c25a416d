//! Approvals, protection and secrets in a whole rehearsed test environment: real git, a real database, the stand-in platforms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rehearsal::test_env::TestEnv;
use rehearsal::test_env::programs::repository;
use serde_json::{Value, json};
use xtask::exec::Finished;

/// The workflow run that the test environment's deploys belong to.
const RUN: &str = "7";

fn test_env(folder: &Path) -> TestEnv {
    let env = TestEnv::start(repository(), folder).expect("the test environment starts");
    env.seed(300, 1).unwrap();
    env
}

/// `xtask` as a job of that run.
fn in_run(env: &TestEnv, name: &str, args: &[&str]) -> Finished {
    let sh = xtask::exec::shell_in(&env.clone_dir()).unwrap();
    let program = env.program();
    let command = env
        .in_env(xshell::cmd!(sh, "{program} {args...}"))
        .env("GITHUB_RUN_ID", RUN)
        .env("GITHUB_ACTOR", "dev");
    let finished = command.output().unwrap();
    std::fs::write(env.folder.join("logs").join(name), &finished.stdout).unwrap();
    finished
}

fn said(finished: &Finished) -> String {
    format!("{}\n{}", finished.stdout, finished.stderr_tail.join("\n"))
}

fn refused(finished: &Finished, why: &str) {
    assert_eq!(finished.code, Some(3), "{}", said(finished));
    assert!(said(finished).contains(why), "{why}: {}", said(finished));
}

fn demand_two_approvals(env: &TestEnv) {
    let file = env.clone_dir().join("infrastructure/pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("required = 0"));
    std::fs::write(&file, text.replace("required = 0", "required = 2")).unwrap();
}

fn environment(env: &TestEnv, number: u8, change: &Value) {
    let mut body = json!({"name": format!("production-approval-{number}"), "can_admins_bypass": false,
                          "prevent_self_review": true, "reviewers": [
                              {"type": "User", "login": "ann"}, {"type": "User", "login": "bob"}]});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    env.control("/github/environments", &body).unwrap();
}

#[test]
fn a_release_needs_its_gate_whole_and_two_approvals_of_its_plan() {
    let folder = tempfile::Builder::new().prefix("xg").tempdir().unwrap();
    let env = test_env(folder.path());
    demand_two_approvals(&env);
    env.commit_release("v1").unwrap();
    let deploy = |name: &str| in_run(&env, name, &["deploy", "--yes", "--format", "json"]);

    // A gate with holes is refused, whoever has approved.
    refused(
        &deploy("none"),
        "environment production-approval-1: does not exist",
    );
    let good = json!({});
    environment(&env, 2, &good);
    for (change, why) in [
        (
            json!({"can_admins_bypass": true}),
            "can be bypassed by administrators",
        ),
        (
            json!({"prevent_self_review": false}),
            "lets people approve their own run",
        ),
        (
            json!({"reviewers": []}),
            "production-approval-1: has no reviewers",
        ),
    ] {
        environment(&env, 1, &change);
        refused(&deploy("hole"), why);
    }
    let only_ann = json!({"reviewers": [{"type": "User", "login": "ann"}]});
    environment(&env, 1, &only_ann);
    environment(&env, 2, &only_ann);
    refused(&deploy("few"), "reviewers: 1 distinct, 2 approvals are required");
    environment(&env, 1, &good);
    environment(&env, 2, &good);
    let short = json!({"name": "mongodb-backup-6", "zip": "", "retention_days": 30});
    env.control("/github/artifacts", &short).unwrap();
    refused(
        &deploy("short"),
        "GitHub keeps the newest backup for 30 days instead of 90",
    );
    let long = json!({"name": "mongodb-backup-7", "zip": ""});
    env.control("/github/artifacts", &long).unwrap();

    // The gate is whole: now the approvals.
    let run = json!({"id": 7, "actor": "dev", "triggering_actor": "dev"});
    env.control("/github/runs", &run).unwrap();
    refused(&deploy("unasked"), "has requested no approval");
    let plan = in_run(&env, "plan", &["deploy", "--plan", "--format", "json"]);
    let file = env.folder.join("plan.json");
    std::fs::write(&file, &plan.stdout).unwrap();
    let asked = in_run(&env, "request", &["gate", "request", file.to_str().unwrap()]);
    assert_eq!(asked.code, Some(0), "{}", said(&asked));
    refused(&deploy("unapproved"), "0 of 2 approvals count");
    let approve = |user: &str, environment: &str| {
        let body = json!({"run": 7, "user": user, "environment": environment});
        env.control("/github/approvals", &body).unwrap();
    };
    approve("ann", "production-approval-1");
    refused(&deploy("half"), "1 of 2 approvals count (ann)");
    let ledger = env.xtask_json("ledger", &["ledger"]).unwrap();
    assert_eq!(
        ledger["operations"],
        json!([]),
        "a refusal before the lock leaves nothing behind"
    );
    approve("bob", "production-approval-2");
    let done = deploy("approved");
    assert_eq!(done.code, Some(0), "{}", said(&done));
    let done: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(done["release"]["approvers"], json!(["ann", "bob"]));

    // What is on the remote says the same, and the approval of one plan is none for the next.
    let sh = xtask::exec::shell_in(&env.folder).unwrap();
    let tag = done["release"]["tag"].as_str().unwrap();
    let message = env
        .in_env(xshell::cmd!(
            sh,
            "git --git-dir origin.git tag --list --format %(contents:body) {tag}"
        ))
        .json::<Value>()
        .unwrap();
    assert_eq!(message["approvers"], json!(["ann", "bob"]));
    // A commit that asks for fewer approvals than what is live does not approve itself, and the plan says so.
    let file = env.clone_dir().join("infrastructure/pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("required = 2", "required = 1")).unwrap();
    env.commit_release("v2-code-only").unwrap();
    refused(&deploy("next"), "approved another plan");
    let plan = in_run(&env, "plan-of-next", &["deploy", "--plan", "--format", "json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["plan"]["approvals"], 2, "{plan}");
    let notes = plan["plan"]["notes"].to_string();
    assert!(
        notes.contains(&format!("for this release those of {tag} count")),
        "{plan}"
    );
}

/// Every file below, with what git keeps in compressed form.
fn everything_written(env: &TestEnv) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![env.folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            // The simulator's own configuration and state, and the database: they hold what they are told.
            let own = ["platform.json", "platform", "database", "bin"].map(|name| env.folder.join(name));
            if own.contains(&path) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    for repository in ["origin.git", "shop/.git"] {
        let objects = Command::new("git")
            .arg("--git-dir")
            .arg(env.folder.join(repository))
            .args(["cat-file", "--batch-all-objects", "--batch", "--unordered"])
            .output()
            .unwrap();
        assert!(objects.status.success());
        found.insert(env.folder.join(repository).join("(objects)"), objects.stdout);
    }
    found
}

/// The command lines of all processes that one may see, looked at again and again until told to stop.
fn watch_processes(stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<BTreeSet<Vec<u8>>> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::SeqCst) {
            for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                if let Ok(line) = std::fs::read(entry.path().join("cmdline")) {
                    seen.insert(line);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        seen
    })
}

fn holds(text: &[u8], secret: &str) -> bool {
    text.windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

#[test]
fn no_secret_is_written_anywhere_and_none_is_in_a_process_list() {
    let folder = tempfile::Builder::new().prefix("xs").tempdir().unwrap();
    let env = test_env(folder.path());
    let secrets = env.secrets();
    assert!(secrets.len() >= 6, "{secrets:?}");
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch_processes(&stop);

    // A build that prints what it can read: nothing of ours may be in it.
    let package = env.clone_dir().join("frontend/package.json");
    let seen = env.folder.join("seen-by-the-build");
    let script = format!("env > {}; env", seen.display());
    std::fs::create_dir_all(package.parent().unwrap()).unwrap();
    std::fs::write(&package, json!({"scripts": {"build": script}}).to_string()).unwrap();
    env.commit_release("v1").unwrap();
    let verbose = ["--verbose", "--yes"];
    let run = |name: &str, args: &[&str]| env.xtask(name, &[args, &verbose].concat()).unwrap();
    let first = env
        .xtask_json("deploy-v1", &["deploy", "--yes", "--verbose"])
        .unwrap();
    let tag = first["release"]["tag"].as_str().unwrap();
    env.commit_release("v2").unwrap();
    assert_eq!(run("deploy-v2", &["deploy"]).code, Some(4));
    assert_eq!(run("health", &["health"]).code, Some(1));
    let doctor = run("doctor", &["doctor"]);
    for wanted in [
        &format!("ok       images: Railway keeps those of the releases back to {tag} "),
        "ok       clock: ",
        "ok       last verified backup: ",
        "warning  last drill: none is recorded\n         fix: cargo xtask backup drill --record",
        "ok       secrets: all are set here",
    ] {
        assert!(doctor.stdout.contains(wanted), "{wanted}: {}", doctor.stdout);
    }
    assert_eq!(run("drill", &["backup", "drill", "--record"]).code, Some(0));
    let back = run("rollback", &["rollback", tag, "--reason", "prices are missing"]);
    assert_eq!(back.code, Some(0), "{}", said(&back));
    let doctor = run("doctor-after", &["doctor"]);
    let kept = "collections are kept beside the live ones for an undo";
    assert!(doctor.stdout.contains(kept), "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("ok       last drill: "),
        "{}",
        doctor.stdout
    );
    // What fails says most: a platform that repeats our request in its error.
    let fault = json!({"id": "x", "platform": "railway", "operation": "*", "kind": "status", "status": 500, "times": 0});
    env.control("/faults", &fault).unwrap();
    assert_ne!(run("deploy-failing", &["deploy"]).code, Some(0));

    stop.store(true, Ordering::SeqCst);
    let lines = watcher.join().unwrap();
    let ours = lines.iter().filter(|line| holds(line, "mongodump")).count();
    assert!(ours > 0, "the processes of the deploys were not seen");
    let seen = std::fs::read_to_string(seen).expect("the build ran");
    assert!(
        seen.contains("VERCEL_PROJECT_ID") && !seen.contains("TOKEN"),
        "{seen}"
    );
    let written = everything_written(&env);
    assert!(written.len() > 20, "{:?}", written.keys());
    let logs: Vec<_> = written
        .keys()
        .filter(|path| path.starts_with(env.folder.join("logs")))
        .collect();
    assert!(logs.len() >= 7, "{logs:?}");
    for (name, secret) in secrets {
        for line in &lines {
            assert!(
                !holds(line, secret),
                "{name} is in a process list: {}",
                String::from_utf8_lossy(line)
            );
        }
        for (path, content) in &written {
            assert!(!holds(content, secret), "{name} is in {}", path.display());
        }
    }
}
