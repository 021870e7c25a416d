//! Releases of the sample application, as a team would deploy them in the test environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::{SimulatorEnv, TIMEOUT, text};

/// The service that the environment has, as the CLI names it.
const PLACE: [&str; 6] = [
    "--project",
    "prj",
    "--environment",
    "production",
    "--service",
    "backend",
];

impl SimulatorEnv {
    /// A release's tree: `v1`, or an overlay on it.
    pub fn tree(&self, release: &str) -> PathBuf {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
        let target = self.folder.path().join(format!("tree-{release}"));
        copy(&sample.join("v1"), &target);
        if release != "v1" {
            copy(&sample.join(release), &target);
        }
        target
    }

    /// Sets what the application reports its release by, as `deploy` does before an upload.
    pub fn name_release(&self, id: &str, commit: &str) {
        for (name, value) in [("RELEASE_ID", id), ("RELEASE_COMMIT", commit)] {
            let arguments = [
                &["variable", "set", name, "--stdin", "--skip-deploys", "--json"],
                &PLACE[..],
            ]
            .concat();
            let output = self.run_with_input("railway", &arguments, value.as_bytes());
            assert!(output.status.success(), "{}", text(&output));
        }
    }

    /// Uploads a release's backend; the deployment's id.
    pub fn up(&self, release: &str, message: &str) -> String {
        let folder = self.tree(release).join("backend");
        let folder = folder.to_str().unwrap();
        let mut arguments = vec![
            "up",
            folder,
            "--path-as-root",
            "--detach",
            "--json",
            "--message",
            message,
        ];
        arguments.extend(PLACE);
        self.json("railway", &arguments)["deploymentId"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn deployment(&self, id: &str) -> Value {
        let document = "query($id:String!){deployment(id:$id){id status canRollback meta}}";
        self.json(
            "railway",
            &["api", document, "--raw-var", &format!("id={id}"), "--compact"],
        )["data"]["deployment"]
            .clone()
    }

    /// Waits for a final state.
    pub fn settled(&self, id: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let status = self.deployment(id)["status"].as_str().unwrap().to_owned();
            if matches!(status.as_str(), "SUCCESS" | "FAILED" | "CRASHED" | "REMOVED") {
                return status;
            }
            assert!(Instant::now() < deadline, "deployment {id} is still {status}");
        }
    }

    /// Pulls, builds and stages a release's frontend; the deployment.
    pub fn stage(&self, release: &str) -> Value {
        let folder = self.tree(release).join("frontend");
        let cwd = folder.to_str().unwrap();
        let scope = ["--cwd", cwd, "--scope", "team_x"];
        self.ok(
            "vercel",
            &[&["pull", "--yes", "--environment=production"], &scope[..]].concat(),
        );
        self.ok("vercel", &[&["build", "--prod", "--yes"], &scope[..]].concat());
        let deploy = [
            "deploy",
            "--prebuilt",
            "--prod",
            "--skip-domain",
            "--archive=tgz",
            "--no-wait",
            "--json",
            "--yes",
            "--non-interactive",
            "-m",
            "release=x",
            "-m",
            "gitSha=y",
        ];
        self.json("vercel", &[&deploy, &scope[..]].concat())["deployment"].clone()
    }

    /// What the production domain serves, as the platform says.
    pub fn domain(&self) -> String {
        let shown = self.json(
            "vercel",
            &["inspect", "www.rehearsal.example", "--json", "--scope", "team_x"],
        );
        shown["id"].as_str().unwrap().to_owned()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: OsString = to.join(entry.file_name()).into();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), Path::new(&target));
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
