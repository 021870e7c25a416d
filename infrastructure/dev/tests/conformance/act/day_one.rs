//! What the jobs of a real repository meet: red checks of before, an account without room for a backup, a machine that is lost in
//! the middle of a release, a job whose time runs out, a tag that its token may not push.

use std::time::Duration;

use anyhow::ensure;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use xtask::wait;

use super::inventory;
use super::runner::{Ran, Runner};

/// From the start of a workflow to its first live step.
const LIVE: Duration = Duration::from_mins(10);

impl Runner {
    /// Runs of before on the same commit, each with a red job.
    fn red_runs_of_before(&self, commit: &str) {
        let runs = [
            (90, ".github/workflows/production-deploy.yml", "push", "Deploy"),
            (91, ".github/workflows/restore-drill.yml", "schedule", "drill"),
        ];
        for (id, path, event, job) in runs {
            let at = "2026-01-01T00:00:00Z";
            let run = json!({"id": id, "head_sha": commit, "event": event, "path": path, "status": "completed",
                             "conclusion": "failure", "created_at": at, "run_started_at": at,
                             "jobs": [{"name": job, "status": "completed", "conclusion": "failure", "started_at": at}]});
            self.env.control("/github/runs", &run).unwrap();
        }
    }

    /// Begins a deploy; its machine vanishes with its disk when the backend is live and the promotion of the frontend was asked for.
    fn lose_in_the_middle(&self, run: u64) {
        let promotion = "POST /v10/projects/{project}/promote/{deployment}";
        self.env.hold("vercel", promotion).unwrap();
        let (mut act, log) = self.begin("push", "production-deploy", run, &[]);
        wait::until(
            "the promotion",
            LIVE,
            |_| false,
            || {
                let ended = act.try_wait()?;
                ensure!(ended.is_none(), "act ended: {}", std::fs::read_to_string(&log)?);
                self.env.held()
            },
        )
        .unwrap();
        self.env.kill_holder().unwrap();
        kill_process_group(Pid::from_child(&act), Signal::KILL).unwrap();
        act.wait().unwrap();
        self.env.let_go().unwrap();
        std::fs::remove_dir_all(self.env.folder.join("home/.cache/act")).unwrap();
    }

    /// What a person starts when a machine was lost.
    fn recover(&self, run: u64, action: &str) -> Ran {
        let inputs = [("action", action), ("reason", "the machine was lost")];
        self.run("workflow_dispatch", "production-rollback", run, &inputs)
    }

    fn roll_back(&self, run: u64, tag: &str) -> Ran {
        let inputs = [
            ("tag", tag),
            ("reason", "prices are wrong"),
            ("urgency", "critical"),
        ];
        self.env
            .control("/github/runs", &json!({"id": run, "event": "workflow_dispatch"}))
            .unwrap();
        self.run("workflow_dispatch", "production-rollback", run, &inputs)
    }
}

#[test]
#[ignore = "runs act for some minutes: cargo xtask ci --conformance"]
fn jobs_pass_red_checks_lost_machines_a_late_hour_and_tags_that_are_refused() {
    let folder = tempfile::Builder::new().prefix("xa").tempdir().unwrap();
    let runner = Runner::start(folder.path());
    let env = &runner.env;
    env.seed(300, 1).unwrap();

    let commit = env.commit_release("v1").unwrap();
    runner.red_runs_of_before(&commit);
    runner.approve(1, &commit);
    let first = runner.run("push", "production-deploy", 1, &[]);
    assert!(first.passed, "{:?}\n{}", first.jobs, first.tail());
    let tag = env.release_tags().unwrap().remove(0);
    let v1 = (env.served().unwrap(), inventory(env));

    // The next release changes a workflow, as real ones do: the token of a job may not push the tag of the first one any more.
    let ci = env.clone_dir().join(".github/workflows/ci.yml");
    let text = std::fs::read_to_string(&ci).unwrap();
    std::fs::write(&ci, text + "# changed\n").unwrap();
    let commit = env.commit_release("v3").unwrap();

    // A backup that the account has no room for: nothing is live, and the next run is not kept away.
    runner.approve(2, &commit);
    runner.uploads_are("full", true);
    let full = runner.run("push", "production-deploy", 2, &[]);
    assert!(
        !full.passed && full.log.contains("quota has been hit"),
        "{}",
        full.tail()
    );
    assert_eq!((env.served().unwrap(), inventory(env)), v1);
    runner.uploads_are("full", false);

    runner.approve(3, &commit);
    runner.lose_in_the_middle(3);
    assert_ne!(env.served().unwrap(), v1.0, "the backend is live");
    let undone = runner.recover(4, "undo");
    assert!(undone.passed, "{:?}\n{}", undone.jobs, undone.tail());
    assert_eq!((env.served().unwrap(), inventory(env)), v1);

    runner.approve(5, &commit);
    runner.lose_in_the_middle(5);
    let lost = env.last_operation().unwrap();
    assert_eq!(lost["ended"], Value::Null, "{lost}");
    let resumed = runner.recover(6, "resume");
    assert!(resumed.passed, "{:?}\n{}", resumed.jobs, resumed.tail());
    assert_eq!(env.last_operation().unwrap()["id"], lost["id"]);
    let v3 = (env.served().unwrap(), inventory(env));
    assert_ne!(v3.0, v1.0);

    // What may not end before the job does is not begun, and the job after it has the time.
    runner.uploads_are("late", true);
    let late = runner.roll_back(7, &tag);
    assert!(!late.passed, "{}", late.tail());
    assert!(late.log.contains("the job ends in "), "{}", late.tail());
    assert_eq!((env.served().unwrap(), inventory(env)), v3);
    runner.uploads_are("late", false);

    env.refuse_tags_of_other_workflows().unwrap();
    let back = runner.roll_back(8, &tag);
    assert!(back.passed, "{:?}\n{}", back.jobs, back.tail());
    assert_eq!((env.served().unwrap(), inventory(env)), v1);
    let released = env.release_tags().unwrap().remove(0);
    assert_ne!(released, tag);
    let tags = env.tags_of_remote().unwrap();
    assert!(tags.contains(&tag) && !tags.contains(&released), "{tags}");
}
