//! The packed program that a job takes, asked for by the step of the action itself with the real `gh`: its filter is a program of jq,
//! which no stand-in runs.
//!
//! Run by `cargo xtask ci --conformance`.

use std::path::Path;
use std::process::Command;

use rehearsal::test_env::github::{GithubEnv, TOKEN, TWO_PEOPLE, pipeline};
use rehearsal::test_env::programs::prebuilt_step;
use serde_json::json;

use crate::real;

const KIND: &str = "xtask-ledger-event-1-Linux-X64";
/// An artifact in base64: a program that prints its run, and writes the workflows of the branch (exit 0) or others.
const PACK: &str = r#"
set -eu
mkdir -p packed/target/release
printf '#!/bin/sh\necho program of %s\nexit %s\n' "$1" "$2" > packed/target/release/xtask
chmod +x packed/target/release/xtask
tar -czf xtask.tar.gz --transform "s|^packed|${3#/}|" packed
python3 -c 'import zipfile; zipfile.ZipFile("one.zip", "w").write("xtask.tar.gz")'
base64 --wrap 0 one.zip
"#;

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

struct Job {
    env: GithubEnv,
    script: String,
}

impl Job {
    fn start() -> Self {
        let env = GithubEnv::start_with(&real("gh"), |_| {}, &pipeline(TWO_PEOPLE));
        std::fs::create_dir(env.path("job")).unwrap();
        Self {
            script: prebuilt_step().1,
            env,
        }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.env.path("job")
    }

    /// A run, and what it uploaded.
    fn upload(&self, run: u64, of: &serde_json::Value, sources: &str, writes_others: bool) {
        let mut about = json!({"id": run, "status": "completed"});
        about
            .as_object_mut()
            .unwrap()
            .extend(of.as_object().unwrap().clone());
        self.env.control("github/runs", &about);
        let packing = tempfile::tempdir().unwrap();
        let zip = output(
            Command::new("sh")
                .args(["-c", PACK, "pack", &run.to_string()])
                .arg(if writes_others { "1" } else { "0" })
                .arg(self.folder())
                .current_dir(packing.path()),
        );
        let body = json!({"name": format!("{KIND}-{sources}"), "run": run, "zip": zip});
        self.env.control("github/artifacts", &body);
    }

    /// The outputs of the step, and the program that it left.
    fn step(&self, earlier: &str) -> (String, String) {
        let folder = self.folder();
        let outputs = folder.join("outputs");
        std::fs::write(&outputs, "").unwrap();
        let _ = std::fs::remove_dir_all(folder.join("target"));
        let path = std::env::var("PATH").unwrap();
        output(
            Command::new("bash")
                .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &self.script])
                .current_dir(&folder)
                .env_clear()
                .env("PATH", format!("{}:{path}", self.env.path("bin").display()))
                .env("HOME", self.env.folder.path())
                .env("GH_CONFIG_DIR", self.env.path("gh"))
                .env("GH_TOKEN", TOKEN)
                .env("GITHUB_REPOSITORY", "example/shop")
                .env("RUNNER_TEMP", folder.join("temp"))
                .env("GITHUB_OUTPUT", &outputs)
                .envs([("KIND", KIND), ("SOURCES", "new"), ("BRANCH", "main")])
                .env("EARLIER", earlier),
        );
        let taken = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
        (taken(&outputs), taken(&folder.join("target/release/xtask")))
    }
}

#[test]
#[ignore = "needs the real gh: cargo xtask ci --conformance"]
fn a_job_takes_a_program_of_its_own_branch_only_and_one_that_has_not_expired() {
    let job = Job::start();
    let named = format!("name={KIND}-new\n");
    job.upload(3, &json!({}), "new", false);
    job.env.control("expire", &json!({"name": format!("{KIND}-new")}));
    job.upload(4, &json!({"head_repository_id": 99}), "new", false);
    job.upload(5, &json!({"head_branch": "try"}), "new", false);
    assert_eq!(
        job.step("true"),
        (named.clone(), String::new()),
        "of others, or expired"
    );

    job.upload(6, &json!({}), "older", false);
    job.upload(7, &json!({}), "old", true);
    job.upload(8, &json!({"head_repository_id": 99}), "forged", false);
    let (outputs, program) = job.step("true");
    assert_eq!(outputs, format!("{named}found=true\n"));
    assert!(
        program.contains("program of 6\n"),
        "the newest that writes the same workflows: {program}"
    );
    assert_eq!(
        job.step("false"),
        (named.clone(), String::new()),
        "a deploy runs its own sources"
    );

    job.upload(9, &json!({}), "new", false);
    let (outputs, program) = job.step("false");
    assert_eq!(outputs, format!("{named}found=true\nlasts=true\n"));
    assert!(program.contains("program of 9\n"), "{program}");
}
