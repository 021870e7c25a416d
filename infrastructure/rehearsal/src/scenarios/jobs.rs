//! What can become of a job on GitHub: its machine is lost, or its deploy stops midway.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use xtask::exec::Finished;

use super::{Case, FIRST, GOOD, say, strs, text_at};
use crate::proof::{Proof, without_record_of_migrations};
use crate::test_env::{Served, zipped};

/// The run whose artifacts are the backups.
const RUN: u64 = 7;

impl Case<'_> {
    pub(super) fn runner_lost(&mut self) -> Result<()> {
        let (written, _) = self.good_release()?;
        let (backup, mut proof) = Proof::before(self.env, &Served::both(FIRST))?;
        let backups = self.env.folder.join("backups");
        let runner = self.env.clone_of("runner")?;
        say(
            "a job prepares the rollback and uploads the safety backup; the deploy's job has uploaded the other one",
        );
        let arguments = self.rollback_arguments("prices are wrong");
        let prepared = self.job(
            &runner,
            "prepare",
            &[&strs(&arguments)[..], &["--prepare"]].concat(),
        )?;
        let prepared: Value = serde_json::from_str(&prepared.checked()?.stdout)?;
        let operation = text_at(&prepared, "/operation")?;
        for entry in std::fs::read_dir(&backups).context("no backups")? {
            self.upload(&entry?.path())?;
        }
        self.hold()?;
        let resume = ["rollback", "--resume", &operation, "--yes"];
        self.kill_where_it_hangs(|| self.job(&runner, "rollback-killed", &resume))?;
        self.env.let_go()?;
        for lost in [&runner, &backups] {
            std::fs::remove_dir_all(lost).with_context(|| format!("cannot remove {}", lost.display()))?;
        }
        say(&format!(
            "the machine is gone with its disk; another one resumes {operation}"
        ));
        let other = self.env.clone_of("other")?;
        let ended = self.job(
            &other,
            "rollback-resumed",
            &[&resume[..], &["--format", "json"]].concat(),
        )?;
        let back: Value = serde_json::from_str(&ended.checked()?.stdout)?;
        let tag = super::tag_of(&back)?;
        proof.after(self.env, &backup, written, &[&tag])?;
        self.prove_all(&proof);
        self.take_timeline(&back)
    }

    pub(super) fn github_down(&mut self) -> Result<()> {
        let (written, _) = self.good_release()?;
        let (backup, mut proof) = Proof::before(self.env, &Served::both(FIRST))?;
        self.hold()?;
        let (env, arguments) = (self.env, self.rollback_arguments("prices are wrong"));
        let (remote, away) = (env.folder.join("origin.git"), env.folder.join("away.git"));
        self.kill_where_it_hangs(|| env.xtask("rollback-cut-off", &strs(&arguments)))?;
        let operation = text_at(&self.env.last_operation()?, "/id")?;
        say("the git remote does not answer any more");
        std::fs::rename(&remote, &away).context("cannot take the remote away")?;
        self.env.let_go()?;
        let resume = ["rollback", "--resume", &operation, "--yes", "--format", "json"];
        let refused = env.xtask("resume-refused", &resume)?;
        ensure!(refused.code != Some(0), "it went on without a ledger");
        let glass = ["--break-glass", "production"];
        let back = env.xtask("break-glass", &[&resume[..], &glass].concat())?;
        let back: Value = serde_json::from_str(&back.checked()?.stdout)?;
        let tag = super::tag_of(&back)?;
        self.prove_served(FIRST)?;

        say("bob has a clone too, and does not know");
        let bob = env.clone_at("bob", &away)?;
        let second = [&strs(&arguments)[..], &glass].concat();
        let second = env.xtask_in(&bob, "bob", &second, &[("USER", "bob")])?;
        let told = second.stderr_tail.join("\n");
        self.prove(
            second.code == Some(3) && told.contains("is not in the ledger yet"),
            "a second one who rolls back without the ledger is refused by the lock in the database, and told who was first",
        )?;
        say("the remote answers again");
        std::fs::rename(&away, &remote).context("cannot bring the remote back")?;
        let early = env.xtask("deploy-early", &["deploy", "--plan"])?;
        let told = early.stderr_tail.join("\n");
        self.prove(
            early.code == Some(3) && told.contains("cargo xtask ledger --repair"),
            "nothing else begins before the ledger has what was done without it",
        )?;
        env.xtask("repair", &["ledger", "--repair", "--yes"])?.checked()?;
        proof.after(env, &backup, written, &[&tag])?;
        self.prove_all(&proof);
        let last = self.env.last_operation()?;
        self.prove(
            last["id"] == operation.as_str() && last["ended"]["outcome"] == "done",
            "the ledger has the rollback from its beginning to its end",
        )?;
        self.take_timeline(&back)
    }

    pub(super) fn stuck_deploy(&mut self) -> Result<()> {
        let before = self.data()?;
        let fault = json!({
            "id": "stuck", "platform": "vercel", "operation": "POST /v10/projects/{project}/promote/{deployment}",
            "kind": "status", "status": 400, "times": 0,
        });
        self.env.control("/faults", &fault)?;
        say("deploy a release whose frontend cannot be promoted");
        self.deploy(GOOD.0, 4)?;
        self.env.control("/faults/clear", &json!({}))?;
        let again = self.env.xtask("deploy-again", &["deploy", "--yes"])?;
        let told = again.stderr_tail.join("\n");
        self.prove(
            again.code == Some(3) && told.contains("was left unfinished") && told.contains("--undo"),
            "the next deploy is refused, with the commands that free the pipeline",
        )?;
        say("bob undoes it from another machine");
        let bob = self.env.clone_of("bob")?;
        self.job(&bob, "recover", &["recover", "--undo", "--yes"])?
            .checked()?;
        self.prove_served(FIRST)?;
        let after = self.data()?;
        self.prove(
            without_record_of_migrations(before) == without_record_of_migrations(after),
            "the data are as they were before the deploy",
        )?;
        let plan = self.env.xtask("plan", &["deploy", "--plan"])?;
        self.prove(plan.code == Some(0), "the next deploy may begin")
    }

    /// Runs the product as a job on GitHub does.
    fn job(&self, clone: &Path, log: &str, arguments: &[&str]) -> Result<Finished> {
        self.env
            .xtask_in(clone, log, arguments, &[("GITHUB_ACTIONS", "true")])
    }

    /// What the upload step of a workflow leaves.
    fn upload(&self, folder: &Path) -> Result<()> {
        let id = folder.file_name().unwrap_or_default().to_string_lossy();
        self.env
            .control("/github/runs", &json!({"id": RUN, "event": "push"}))?;
        let artifact = json!({"name": format!("mongodb-backup-{id}"), "run": RUN, "zip": zipped(folder)});
        self.env.control("/github/artifacts", &artifact)
    }
}
