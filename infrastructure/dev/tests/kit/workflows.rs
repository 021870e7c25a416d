//! What the workflows must have, and no linter of workflows looks for: each rule stands for a way in which a release or a
//! rollback was lost.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rehearsal::test_env::programs::{prebuilt_step, repository};

const DEPLOY: &str = "production-deploy";
const ROLLBACK: &str = "production-rollback";
/// What a job that changes something live is given, and what is kept of it for uploads and messages at its end.
const LEAST_MINUTES: u32 = 60;
const LEAST_KEPT_MINUTES: u32 = 5;

fn workflows() -> Vec<(String, String)> {
    let folder = repository().join(".github/workflows");
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

fn workflow(name: &str) -> String {
    let found = workflows().into_iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("there is no workflow {name}")).1
}

/// The jobs of a workflow: name and text.
fn jobs(text: &str) -> Vec<(String, String)> {
    let (_, rest) = text.split_once("\njobs:\n").expect("a workflow has jobs");
    let mut jobs: Vec<(String, String)> = Vec::new();
    for line in rest.lines() {
        let begins = line
            .strip_prefix("  ")
            .filter(|line| !line.starts_with([' ', '#']));
        match begins.and_then(|line| line.strip_suffix(':')) {
            Some(name) => jobs.push((name.to_owned(), String::new())),
            None => {
                if let Some((_, body)) = jobs.last_mut() {
                    body.push_str(line);
                    body.push('\n');
                }
            }
        }
    }
    jobs
}

/// The scripts of the steps of a job.
fn scripts(job: &str) -> Vec<String> {
    let lines: Vec<&str> = job.lines().collect();
    let mut scripts = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start().trim_start_matches("- ");
        let Some(script) = trimmed.strip_prefix("run:") else {
            continue;
        };
        let script = script.trim();
        if script.starts_with('|') {
            let indent = line.len() - line.trim_start().len();
            let block = lines[at + 1..]
                .iter()
                .take_while(|line| line.trim().is_empty() || line.len() - line.trim_start().len() > indent);
            scripts.push(block.map(|line| format!("{}\n", line.trim())).collect());
        } else {
            scripts.push(script.to_owned());
        }
    }
    scripts
}

/// Whether a script changes something live.
fn is_live(script: &str) -> bool {
    let mut lines = script.lines().filter(|line| line.contains("--yes"));
    lines.any(|line| {
        let changes = ["xtask deploy ", "xtask rollback ", "xtask recover "];
        changes.iter().any(|change| line.contains(change)) && !line.contains("--prepare")
    })
}

fn number_after(text: &str, mark: &str) -> u32 {
    let (_, rest) = text
        .split_once(mark)
        .unwrap_or_else(|| panic!("no {mark:?} in\n{text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn a_rollback_waits_behind_no_deploy_and_nothing_takes_its_place() {
    let group = |name: &str, text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        let groups = lines.filter_map(|line| line.strip_prefix("group: "));
        groups.map(|group| format!("{name} {group}")).collect()
    };
    for (name, text) in workflows() {
        if name != "ci" {
            assert!(!text.contains("cancel-in-progress: true"), "{name}");
        }
        for group in group("", &text) {
            if name == ROLLBACK {
                // One run waits in a group, and a newer one ends it: with the run's number nobody else is in it.
                assert!(group.contains("github.run_id"), "{group}");
            } else {
                assert!(!group.contains(ROLLBACK), "{name}: {group}");
            }
        }
    }
}

#[test]
fn a_job_that_changes_something_live_has_an_hour_and_tells_the_program_when_it_ends() {
    let mut count = 0;
    for (name, text) in [DEPLOY, ROLLBACK].map(|name| (name, workflow(name))) {
        for (job, body) in jobs(&text) {
            let scripts = scripts(&body);
            let Some(at) = scripts.iter().position(|script| is_live(script)) else {
                continue;
            };
            count += 1;
            let limit = number_after(&body, "timeout-minutes: ");
            assert!(limit >= LEAST_MINUTES, "{name}: {job}: {limit} minutes");
            assert!(
                scripts[0].contains("XTASK_JOB_ENDS=") && at > 0,
                "{name}: {job}: {scripts:?}"
            );
            let told = number_after(&scripts[0], "date +%s) + ");
            assert!(
                told + LEAST_KEPT_MINUTES <= limit,
                "{name}: {job}: {told} of {limit}"
            );
            let (before, _) = body.split_once("XTASK_JOB_ENDS=").unwrap();
            assert!(
                !before.contains("- uses:"),
                "{name}: {job}: the clock starts late"
            );
        }
    }
    assert_eq!(count, 2);
}

/// The machine of a job can vanish: its disk is not where the only backup of what is live may be.
#[test]
fn a_backup_is_uploaded_before_anything_is_live() {
    let mut count = 0;
    for (name, text) in [DEPLOY, ROLLBACK].map(|name| (name, workflow(name))) {
        for (job, body) in jobs(&text) {
            let at = |what: &str| body.find(what);
            let Some(live) = scripts(&body).iter().find(|script| is_live(script)).cloned() else {
                continue;
            };
            let live = at(live.lines().next().unwrap()).unwrap();
            let prepared = at("--prepare --yes").unwrap_or_else(|| panic!("{name}: {job}"));
            let uploaded = at("name: mongodb-backup-${{ steps.prepare.outputs.backup-id }}").unwrap();
            assert!(prepared < uploaded && uploaded < live, "{name}: {job}");
            assert!(
                body.contains("${{ steps.prepare.outputs.operation }}"),
                "{name}: {job}"
            );
            count += 1;
        }
    }
    assert_eq!(count, 2);
}

#[test]
fn secrets_come_from_an_environment_and_our_program_takes_the_place_of_the_shell() {
    let mut count = 0;
    for (name, text) in workflows() {
        for (job, body) in jobs(&text) {
            let has_secrets = body.contains("secrets.");
            assert!(
                !has_secrets || body.contains("\n    environment: production"),
                "{name}: {job} reads secrets of the repository"
            );
            for script in scripts(&body) {
                for line in script.lines().filter(|line| line.contains("xtask ")) {
                    let calls = line.match_indices("xtask ").count();
                    let replaced = line.match_indices("exec xtask ").count();
                    let is_ours = !line.contains("cargo xtask ");
                    assert!(!is_ours || calls == replaced, "{name}: {job}: {line}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 10, "only {count} calls were found");
}

/// A script as GitHub runs it, with a program in place of ours; the signal is what a cancelled run gets.
fn is_told(script: &str, action: &str, folder: &Path) -> bool {
    let (file, told) = (folder.join("script.sh"), folder.join("told"));
    std::fs::write(&file, script).unwrap();
    std::fs::remove_file(&told).ok();
    let xtask = folder.join("xtask");
    // It ends with its input, so that nothing is left of one that the signal did not reach. A handler would not run for a signal that
    // came just before the main thread reads: Python looks for signals between its own instructions only.
    let program = r#"#!/usr/bin/env python3
import os, signal, sys, threading
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
def end():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end, daemon=True).start()
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
open(os.environ["TOLD"], "w").write(" ".join(sys.argv))
os._exit(4)
"#;
    std::fs::write(&xtask, program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&xtask, mode).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail"])
        .arg(&file)
        .env("PATH", path)
        .env("TOLD", &told)
        .envs([
            ("ACTION", action),
            ("TAG", "t"),
            ("REASON", "r"),
            ("DATABASE", "auto"),
            ("OPERATION", "o"),
            ("PREPARED", "o"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = shell.stdin.take();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&shell);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = shell.wait().unwrap().code();
    drop(input);
    code == Some(4) && told.exists()
}

#[test]
fn a_signal_to_the_step_reaches_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for name in [DEPLOY, ROLLBACK] {
        for (job, body) in jobs(&workflow(name)) {
            for script in scripts(&body).iter().filter(|script| is_live(script)) {
                for action in ["rollback", "resume", "undo"] {
                    assert!(is_told(script, action, folder.path()), "{name}: {job}: {script}");
                    count += 1;
                }
                let without = script.replace("exec ", "");
                assert!(
                    !is_told(&without, "rollback", folder.path()),
                    "the test sees nothing: {script}"
                );
            }
        }
    }
    assert_eq!(count, 6);
}

#[test]
fn what_npm_installs_is_pinned_and_runs_nothing() {
    let action = std::fs::read_to_string(repository().join(".github/actions/xtask/action.yml")).unwrap();
    let pack = std::fs::read_to_string(repository().join("setup-action/pack.sh")).unwrap();
    let texts = workflows()
        .into_iter()
        .map(|(_, text)| text)
        .chain([action, pack]);
    let mut count = 0;
    for line in texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
        assert!(!line.contains("npm install"), "{line}");
        if line.contains("npm ci") {
            assert!(line.contains("--ignore-scripts"), "{line}");
            count += 1;
        }
    }
    assert_eq!(count, 2);
    let lock = repository().join("infrastructure/tools/vercel/package-lock.json");
    let lock: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(lock).unwrap()).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    assert!(packages.len() > 100 && packages.contains_key("node_modules/vercel"));
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].is_string(), "{name} has no hash");
    }
}

/// In place of gh: artifacts of runs 7 and 6, the newest first; what they hold writes other workflows, and the same.
const GH: &str = r#"#!/usr/bin/env bash
set -eu
case "$1 $2" in
  "api --paginate")
    # None of exactly these sources.
    case $3 in *name=*) ;; *) printf '%s xtask-of-%s true\n' 7 7 6 6 ;; esac ;;
  "run download")
    mkdir -p "$9" packed/target/release
    printf '#!/bin/sh\necho program of %s\nexit %s\n' "$3" $(($3 - 6)) > packed/target/release/xtask
    chmod +x packed/target/release/xtask
    tar -czf "$9/xtask.tar.gz" --transform "s|^packed|${PWD#/}|" packed ;;
esac
"#;

#[test]
fn a_rollback_takes_an_earlier_program_that_writes_the_same_workflows_rather_than_a_compiler() {
    let (step, script) = prebuilt_step();
    assert!(
        step.contains("KIND: xtask-ledger-event-1-"),
        "the form of the ledger"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("step.sh"), script).unwrap();
    std::fs::write(file("gh"), GH).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(file("gh"), mode).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let outputs = |earlier: &str| {
        std::fs::write(file("outputs"), "").unwrap();
        let ended = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "step.sh"])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("RUNNER_TEMP", file("temp"))
            .env("GITHUB_OUTPUT", file("outputs"))
            .env("GITHUB_REPOSITORY", "team/shop")
            .envs([
                ("KIND", "xtask"),
                ("SOURCES", "new"),
                ("BRANCH", "main"),
                ("EARLIER", earlier),
            ])
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        std::fs::read_to_string(file("outputs")).unwrap()
    };
    assert_eq!(
        outputs("false"),
        "name=xtask-new\n",
        "a deploy runs its own sources"
    );
    assert_eq!(outputs("true"), "name=xtask-new\nfound=true\n");
    let taken = std::fs::read_to_string(file("target/release/xtask")).unwrap();
    assert!(taken.contains("program of 6"), "{taken}");
    let asked = workflow(ROLLBACK)
        .matches("          earlier: \"true\"\n")
        .count();
    assert_eq!(asked, 2, "both jobs of a rollback ask for it");
}

/// A key of the commit would be a new one with each push: the first job after it, perhaps a rollback, would compile.
#[test]
fn the_cache_has_one_program_for_each_state_of_the_sources() {
    let action = std::fs::read_to_string(repository().join(".github/actions/xtask/action.yml")).unwrap();
    let values = |step: &str, key: &str| -> Vec<String> {
        let (_, from) = action.split_once(&format!("actions/cache/{step}@")).expect(step);
        let step = from.split("\n    - name: ").next().unwrap();
        let (_, value) = step.split_once(&format!("        {key}:")).expect(key);
        let lines = value.lines().enumerate();
        let of_key = lines.take_while(|(at, line)| *at == 0 || line.starts_with("          "));
        of_key.map(|(_, line)| line.trim().to_owned()).collect()
    };
    let (_, sources) = action.split_once("SOURCES: ${{ ").unwrap();
    let (sources, _) = sources.split_once(" }}").unwrap();
    let key = values("restore", "key").concat();
    assert!(key.ends_with(&format!("-${{{{ {sources} }}}}")), "{key}");
    for changes in ["github.", "run_id", "ref_name"] {
        assert!(!key.contains(changes), "{key}");
    }
    let saved = values("save", "key").concat();
    assert_eq!(saved, "${{ steps.cache.outputs.cache-primary-key }}");
    assert_eq!(values("save", "path"), values("restore", "path"));
    let is_new = "if: steps.prebuilt.outputs.found != 'true' && steps.cache.outputs.cache-hit != 'true'";
    assert_eq!(action.matches(is_new).count(), 3, "both builds and the save");
}
