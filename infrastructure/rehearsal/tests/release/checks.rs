//! The checks of a commit, listed as GitHub lists them to a job that asks: its own job among them.

use std::path::Path;
use std::time::Duration;

use rehearsal::test_env::TestEnv;
use rehearsal::test_env::programs::repository;
use serde_json::{Value, json};

/// The workflow run that asks.
const RUN: u64 = 7;
const CI: &str = ".github/workflows/ci.yml";

struct Case {
    env: TestEnv,
    commit: String,
    runs: std::cell::RefCell<Vec<u64>>,
}

impl Case {
    fn start(folder: &Path) -> Self {
        let env = TestEnv::start(repository(), folder).expect("the test environment starts");
        env.seed(10, 1).unwrap();
        let mut case = Self {
            env,
            commit: String::new(),
            runs: std::cell::RefCell::default(),
        };
        case.commit = case.env.commit_release("v1").unwrap();
        case
    }

    /// Replaces `[ci]` in a new commit.
    fn configure(&mut self, ci: &str) {
        let file = self.env.clone_dir().join("infrastructure/pipeline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, rest) = text.split_once("[github]").unwrap();
        let before = before.split("[ci]").next().unwrap();
        std::fs::write(&file, format!("{before}{ci}\n[github]{rest}")).unwrap();
        self.commit = self.env.commit_release("v1").unwrap();
    }

    fn control(&self, what: &str, body: &Value) {
        self.env.control(&format!("/github/{what}"), body).unwrap();
    }

    /// Begins another case: the asking run with its own job in progress, one green check of another application.
    fn reset(&self) {
        for run in self.runs.take() {
            self.control("runs", &json!({"id": run, "head_sha": "of another commit"}));
        }
        self.others(&json!([{"name": "ci", "status": "completed", "conclusion": "success"}]));
        self.control("statuses", &json!({"commit": self.commit, "statuses": []}));
        self.run(
            RUN,
            &json!({"status": "in_progress", "event": "push", "jobs": [
            {"name": "Test backend", "status": "completed", "conclusion": "success"},
            {"name": "Backup, plan, ask for approval", "status": "in_progress"}]}),
        );
    }

    fn others(&self, checks: &Value) {
        self.control("checks", &json!({"commit": self.commit, "runs": checks}));
    }

    /// A workflow run of the commit; the changes say what differs from the asking one.
    fn run(&self, id: u64, change: &Value) {
        let mut body = json!({"id": id, "head_sha": self.commit, "event": "push",
                              "path": ".github/workflows/production-deploy.yml"});
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.control("runs", &body);
        self.runs.borrow_mut().push(id);
    }

    /// A finished run with one job of this name.
    fn ended(&self, id: u64, path: &str, event: &str, job: &str, conclusion: &str) {
        let at = format!("2026-01-01T00:00:{:02}Z", id % 60);
        self.run(
            id,
            &json!({"path": path, "event": event, "status": "completed", "conclusion": conclusion, "run_started_at": at,
                    "created_at": at,
                    "jobs": [{"name": job, "status": "completed", "conclusion": conclusion, "started_at": at}]}),
        );
    }

    fn plan(&self) -> (Option<i32>, String) {
        let run = RUN.to_string();
        let env = [("GITHUB_RUN_ID", run.as_str()), ("GITHUB_ACTOR", "dev")];
        let finished = self
            .env
            .xtask_in(&self.env.clone_dir(), "plan", &["deploy", "--plan"], &env)
            .unwrap();
        (
            finished.code,
            format!("{}\n{}", finished.stdout, finished.stderr_tail.join("\n")),
        )
    }

    fn passes(&self, why: &str) {
        let (code, text) = self.plan();
        assert_eq!(code, Some(0), "{why}: {text}");
    }

    fn refused(&self, wanted: &str) {
        let (code, text) = self.plan();
        assert_eq!(code, Some(3), "{wanted}: {text}");
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn a_deploy_passes_the_checks_of_its_commit_from_within_its_own_job() {
    let folder = tempfile::Builder::new().prefix("xc").tempdir().unwrap();
    let case = Case::start(folder.path());

    case.reset();
    case.passes("the asking job itself is in progress");
    case.ended(
        5,
        ".github/workflows/production-deploy.yml",
        "push",
        "Deploy",
        "failure",
    );
    case.passes("an earlier run of the same workflow failed");
    case.ended(6, ".github/workflows/nightly.yml", "schedule", "drill", "failure");
    case.ended(
        8,
        ".github/workflows/production-rollback.yml",
        "workflow_dispatch",
        "Roll back",
        "failure",
    );
    case.passes("a scheduled run and a rollback on the same commit failed");
    case.ended(10, CI, "push", "test", "failure");
    case.refused("test is failure");
    case.ended(11, CI, "workflow_dispatch", "test", "success");
    case.passes("the newest run of one name counts");
    case.ended(12, CI, "push", "test", "cancelled");
    case.refused("test is cancelled");

    case.reset();
    case.others(&json!([]));
    case.passes("the tests of the asking run are checks too");
    case.run(
        RUN,
        &json!({"status": "in_progress", "jobs": [{"name": "Plan", "status": "in_progress"}]}),
    );
    case.refused("no check has run");
    let status = |state: &str| {
        let statuses = json!([{"context": "ci/other", "state": state, "updated_at": "2026-01-01T00:00:00Z"}]);
        case.control("statuses", &json!({"commit": case.commit, "statuses": statuses}));
    };
    status("success");
    case.passes("a commit status is a check");
    status("error");
    case.refused("ci/other is error");

    // The oldest of more than a page.
    case.reset();
    let many: Vec<Value> = (0..120)
        .map(|number| {
            let conclusion = if number == 0 { "timed_out" } else { "success" };
            json!({"name": format!("shard {number}"), "status": "completed", "conclusion": conclusion})
        })
        .collect();
    case.others(&json!(many));
    case.refused("shard 0 is timed_out");
}

#[test]
fn a_deploy_waits_for_checks_of_other_workflows_and_not_for_ever() {
    let folder = tempfile::Builder::new().prefix("xw").tempdir().unwrap();
    let mut case = Case::start(folder.path());
    case.configure("[ci]\nwait_s = 3\n");
    case.reset();
    let pending =
        json!({"path": CI, "status": "in_progress", "jobs": [{"name": "test", "status": "queued"}]});
    case.run(10, &pending);
    case.refused("after 3 s: test is queued");
    // Its first job has no check run yet.
    case.run(
        10,
        &json!({"path": CI, "status": "queued", "name": "CI of all", "jobs": []}),
    );
    case.refused("after 3 s: Deploy is in_progress");

    case.configure("[ci]\nwait_s = 60\n");
    case.reset();
    case.run(10, &pending);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            let green = json!({"id": 10, "head_sha": case.commit, "path": CI, "event": "push", "status": "completed",
                               "conclusion": "success"});
            case.env.control("/github/runs", &green).unwrap();
        });
        case.passes("it ended while the deploy waited");
    });

    case.configure("[ci]\nwait_s = 3\nrequired = [\"lint\"]\n");
    case.reset();
    case.ended(10, CI, "push", "test", "failure");
    case.refused("after 3 s: lint is missing");
    case.ended(11, CI, "push", "lint", "failure");
    case.refused("lint is failure");
    case.ended(12, CI, "workflow_dispatch", "lint", "success");
    case.passes("only the required checks count");
}
