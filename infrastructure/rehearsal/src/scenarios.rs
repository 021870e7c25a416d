//! What is rehearsed: the whole release and its rollback, and scenarios that each show one way in which a release or a
//! rollback can go, and prove how it ended.

pub mod adopted;
mod delta;
mod jobs;
mod meanwhile;
pub mod release_and_rollback;
pub mod set;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use xtask::database::Digests;
use xtask::domain::inventory::{Inventory, is_application};
use xtask::domain::timeline::Timing;
use xtask::exec::Finished;
use xtask::report;
use xtask::sync::join;
use xtask::wait;

use crate::proof::{Proof, live};
use crate::test_env::{Served, TestEnv};

/// How large a scenario is.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Setting {
    /// Documents in the database, about; 20,000 unless the scenario says another number
    #[arg(long, value_name = "N")]
    pub documents: Option<u32>,
    /// The same seed makes the same data
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// How long the simulated platform takes at least, in the rollback, until the old backend serves again: a real one
    /// fetches the image, makes room and starts it
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        conflicts_with = "scenario"
    )]
    pub platform_s: u32,
}

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// A faulty release without migration: the code goes back, the data stay
    CodeOnly,
    /// A healthy release with migration is taken back with its data, and the rollback is undone
    Database,
    /// The platform has dropped the old image: it is built again from the tag
    ImageGone,
    /// The runner is killed in the middle of a rollback; it is resumed
    Crash,
    /// The new page does not load: the deploy stops before anybody sees it
    FrontendFails,
    /// Two people roll back at once
    Race,
    /// The machine of a job is lost in the middle of a rollback, with its clone and its backups; another one finishes
    RunnerLost,
    /// The git remote and GitHub go away in the middle of a rollback; it is finished without them, and recorded afterwards
    GithubDown,
    /// A deploy stops midway and its machine is gone; it blocks the next deploy until somebody undoes it
    StuckDeploy,
    /// Users go on writing through the faulty release while it is rolled back; no write is lost
    Writer,
    /// After a rollback the platforms deploy the head of the branch by themselves; it is found, and rolled back again
    Overrun,
    /// Three backends and two frontends: only a worker changes; a part fails after others are live; the set is rolled back
    Set,
    /// A release changes little of the data: a rollback puts these documents back in place, and is undone
    Delta,
    /// The same in a large database (200,000 documents unless --documents is given), with the method that the plan chooses
    Large,
}

/// Documents in the database of a rehearsal.
pub(crate) const DOCUMENTS: u32 = 20_000;
/// Documents in a large one.
const LARGE: u32 = 200_000;
const FIRST: &str = "1.0.0";
/// The sample release that migrates the data and works.
const GOOD: (&str, &str) = ("v3", "3.0.0");
const WRITES: u32 = 25;
/// Until another process of the rehearsal is where it should be.
const MOMENT: Duration = Duration::from_secs(120);

/// What was seen to hold.
#[derive(Debug, Serialize)]
pub struct Played {
    scenario: Scenario,
    proved: Vec<String>,
    timeline: Vec<Timing>,
    elapsed_ms: u64,
}

impl Played {
    /// The result for people.
    pub fn text(&self) -> String {
        let proved: String = self
            .proved
            .iter()
            .map(|line| format!("proved: {line}\n"))
            .collect();
        let timeline = if self.timeline.is_empty() {
            String::new()
        } else {
            report::timeline(&self.timeline)
        };
        format!(
            "\n{proved}{timeline}played in {}\n",
            report::duration_ms(self.elapsed_ms)
        )
    }
}

/// Runs one scenario in a new test environment.
pub fn play(scenario: Scenario, setting: Setting, env: &TestEnv) -> Result<Played> {
    let began = Instant::now();
    let usual = if scenario == Scenario::Large {
        LARGE
    } else {
        DOCUMENTS
    };
    let mut case = Case::set_up(setting.documents.unwrap_or(usual), setting.seed, env)?;
    match scenario {
        Scenario::CodeOnly => case.code_only()?,
        Scenario::Database => case.database()?,
        Scenario::ImageGone => case.image_gone()?,
        Scenario::Crash => case.crash()?,
        Scenario::FrontendFails => case.frontend_fails()?,
        Scenario::Race => case.race()?,
        Scenario::RunnerLost => case.runner_lost()?,
        Scenario::GithubDown => case.github_down()?,
        Scenario::StuckDeploy => case.stuck_deploy()?,
        Scenario::Writer => case.writer()?,
        Scenario::Overrun => case.overrun()?,
        Scenario::Set => case.set()?,
        Scenario::Delta => case.delta("delta")?,
        Scenario::Large => case.delta("auto")?,
    }
    let unknown = &env.platform_report()?["unimplemented"];
    ensure!(
        unknown.as_array().is_some_and(Vec::is_empty),
        "the platforms were asked what they do not know: {unknown}"
    );
    Ok(Played {
        scenario,
        proved: case.proved,
        timeline: case.timeline,
        elapsed_ms: u64::try_from(began.elapsed().as_millis())?,
    })
}

/// A test environment in which the first release is live.
struct Case<'a> {
    env: &'a TestEnv,
    seed: u64,
    /// What the first deploy reported.
    first: Value,
    tag: String,
    proved: Vec<String>,
    timeline: Vec<Timing>,
}

impl<'a> Case<'a> {
    fn set_up(documents: u32, seed: u64, env: &'a TestEnv) -> Result<Self> {
        say(&format!(
            "fill the database with {documents} documents and deploy the first release"
        ));
        env.seed(documents, seed)?;
        env.commit_release("v1")?;
        let first = env.xtask_json("deploy-v1", &["deploy", "--yes"])?;
        Ok(Self {
            env,
            seed,
            tag: tag_of(&first)?,
            first,
            proved: Vec::new(),
            timeline: Vec::new(),
        })
    }

    fn code_only(&mut self) -> Result<()> {
        say("deploy a release without migration whose listing finds nothing");
        self.deploy("v2-code-only", 4)?;
        self.users_write()?;
        let before = self.data()?;
        let plan = self.plan()?;
        self.prove(
            plan["plan"]["verdict"]["database"] == "keep",
            "the plan keeps the database: migrations and schema are the same",
        )?;
        self.roll_back(&[])?;
        self.prove_served(FIRST)?;
        let after = self.data()?;
        self.prove(before == after, "every document that users wrote is still live")
    }

    fn database(&mut self) -> Result<()> {
        let (written, new) = self.good_release()?;
        self.prove_served(GOOD.1)?;
        let back = self.roll_back_proved(written, &[])?;
        self.undo_proved(&back, GOOD.1, &new)
    }

    fn image_gone(&mut self) -> Result<()> {
        let (written, _) = self.good_release()?;
        say("the platform drops the image of the first release");
        let deployment = text_at(&self.first, "/release/railway/deployment")?;
        self.env
            .control("/railway/purge-image", &json!({ "deployment": deployment }))?;
        let plan = self.plan()?;
        self.prove(
            plan["plan"]["backend"] == "rebuild",
            "the plan says that the backend is built again from the tag",
        )?;
        self.roll_back_proved(written, &[]).map(drop)
    }

    fn crash(&mut self) -> Result<()> {
        let (written, _) = self.good_release()?;
        let (backup, mut proof) = Proof::before(self.env, &Served::both(FIRST))?;
        self.hold()?;
        let (env, arguments) = (self.env, self.rollback_arguments("the runner is lost"));
        self.kill_where_it_hangs(|| env.xtask("rollback-killed", &strs(&arguments)))?;
        self.env.let_go()?;
        let left = self.env.last_operation()?;
        let operation = text_at(&left, "/id")?;
        self.prove(
            left["ended"].is_null(),
            &format!("the ledger shows {operation} unfinished, with what it had done"),
        )?;
        say(&format!("another process resumes {operation}"));
        let back = self
            .env
            .xtask_json("rollback-resumed", &["rollback", "--resume", &operation, "--yes"])?;
        let tag = tag_of(&back)?;
        proof.after(self.env, &backup, written, &[&tag])?;
        self.prove_all(&proof);
        self.take_timeline(&back)
    }

    fn frontend_fails(&mut self) -> Result<()> {
        let before = self.data()?;
        say("deploy a release whose page does not load");
        let stopped = self.deploy("v2-frontend-fails", 1)?;
        let said = stopped.stderr_tail.join("\n");
        self.prove(
            said.contains("the staged frontend is unhealthy") && said.contains("nothing live was changed"),
            "the staged page was found out before anybody could see it",
        )?;
        self.prove_served(FIRST)?;
        let (after, left) = (self.data()?, self.env.last_operation()?);
        self.prove(before == after, "the data are as they were")?;
        self.prove(
            left["ended"]["outcome"] == "failed",
            "the ledger has the deploy as failed, and is free",
        )
    }

    fn race(&mut self) -> Result<()> {
        let (written, _) = self.good_release()?;
        let (backup, mut proof) = Proof::before(self.env, &Served::both(FIRST))?;
        let clone = self.env.clone_of("bob")?;
        self.hold()?;
        let (env, arguments) = (self.env, self.rollback_arguments("prices are wrong"));
        say("ann rolls back; while she is at it, bob does the same");
        let (first, second) = std::thread::scope(|scope| {
            let ann =
                scope.spawn(|| env.xtask_in(&env.clone_dir(), "ann", &strs(&arguments), &[("USER", "ann")]));
            let second = self
                .reached()
                .and_then(|()| env.xtask_in(&clone, "bob", &strs(&arguments), &[("USER", "bob")]));
            let released = self.env.let_go();
            let first = join(ann);
            second.and_then(|second| released.and(first).map(|first| (first, second)))
        })?;
        let said = second.stderr_tail.join("\n");
        self.prove(
            second.code == Some(3) && said.contains("ann on") && said.contains("prices are wrong"),
            "bob was refused (exit 3) and told who is at it, since when, and why",
        )?;
        let back: Value = serde_json::from_str(&first.checked()?.stdout)?;
        let tag = tag_of(&back)?;
        proof.after(self.env, &backup, written, &[&tag])?;
        self.prove_all(&proof);
        self.take_timeline(&back)
    }

    /// Replaces the first release by one that migrates and works, through which users write; gives how much, and the
    /// data then.
    fn good_release(&mut self) -> Result<(u64, Inventory)> {
        say("deploy a release that migrates the data, and works");
        self.deploy(GOOD.0, 0)?;
        Ok((self.users_write()?, self.data()?))
    }

    fn deploy(&self, sample: &str, code: i32) -> Result<Finished> {
        self.env.commit_release(sample)?;
        let ended = self
            .env
            .xtask(&format!("deploy-{sample}"), &["deploy", "--yes"])?;
        ensure!(
            ended.code == Some(code),
            "the deploy of {sample} should have ended with {code}: {}",
            ended.error()
        );
        Ok(ended)
    }

    /// Sets the version in a file of the sample application.
    fn new_version(&self, file: &str, version: &str) -> Result<()> {
        let path = self.env.clone_dir().join(file);
        let text = std::fs::read_to_string(&path)?;
        let (head, rest) = text.split_once("version = \"").context("no version")?;
        let (_, rest) = rest.split_once('"').context("no version")?;
        std::fs::write(&path, format!("{head}version = \"{version}\"{rest}"))?;
        Ok(())
    }

    fn users_write(&self) -> Result<u64> {
        let written = self.env.users_write(WRITES, self.seed)?;
        say(&format!("users wrote {written} documents"));
        Ok(written)
    }

    fn plan(&self) -> Result<Value> {
        self.env
            .xtask_json("rollback-plan", &["rollback", &self.tag, "--plan"])
    }

    fn rollback_arguments(&self, reason: &str) -> [String; 7] {
        [
            "rollback", &self.tag, "--reason", reason, "--yes", "--format", "json",
        ]
        .map(str::to_owned)
    }

    /// Rolls back, with these arguments too.
    fn roll_back(&mut self, more: &[&str]) -> Result<Value> {
        say(&format!("roll back to {}", self.tag));
        let arguments = self.rollback_arguments("the release is not what it should be");
        let arguments = [&strs(&arguments)[..], more].concat();
        let ended = self.env.xtask("rollback", &arguments)?.checked()?;
        let back = serde_json::from_str(&ended.stdout).context("the rollback printed no JSON")?;
        self.take_timeline(&back)?;
        Ok(back)
    }

    /// Rolls back, and proves data, platforms and records from outside.
    fn roll_back_proved(&mut self, written: u64, more: &[&str]) -> Result<Value> {
        let (backup, mut proof) = Proof::before(self.env, &Served::both(FIRST))?;
        let back = self.roll_back(more)?;
        let tag = tag_of(&back)?;
        proof.after(self.env, &backup, written, &[&self.tag, &tag])?;
        self.prove_all(&proof);
        Ok(back)
    }

    /// Undoes that rollback, and proves that the release which it replaced is back with its data.
    fn undo_proved(&mut self, back: &Value, version: &str, data: &Inventory) -> Result<()> {
        say("the rollback was a mistake: undo it");
        let operation = text_at(back, "/release/operation")?;
        self.env
            .xtask("undo", &["rollback", "--undo", &operation, "--yes"])?
            .checked()?;
        self.prove_served(version)?;
        let after = self.data()?;
        self.prove(
            after == *data,
            "the undo brought the newer release back with every document that it had",
        )
    }

    fn prove_all(&mut self, proof: &Proof) {
        let text = proof.text();
        let told = text.trim_end();
        self.proved
            .push(told.strip_prefix("proved: ").unwrap_or(told).to_owned());
    }

    fn take_timeline(&mut self, back: &Value) -> Result<()> {
        self.timeline = serde_json::from_value(back["timeline"].clone())?;
        Ok(())
    }

    /// The platform does not begin the backend's rollback until it is released.
    fn hold(&self) -> Result<()> {
        self.env.hold("railway", "deploymentRollback")
    }

    /// Waits until a rollback hangs there.
    fn reached(&self) -> Result<()> {
        let held = || self.env.held();
        wait::until("the rollback's call of the platform", MOMENT, |_| false, held)
    }

    /// Runs a rollback, and kills it when it hangs there.
    fn kill_where_it_hangs(&self, run: impl FnOnce() -> Result<Finished> + Send) -> Result<()> {
        let killed = std::thread::scope(|scope| {
            let running = scope.spawn(run);
            let killed = self.reached().and_then(|()| {
                say("the runner is killed");
                self.env.kill_holder()
            });
            let ended = join(running);
            killed.and(ended)
        })?;
        ensure!(
            killed.code.is_none(),
            "the rollback should have been killed: {}",
            killed.error()
        );
        Ok(())
    }

    fn data(&self) -> Result<Inventory> {
        let mut data = live(self.env)?.inventory(Digests::Full)?;
        data.collections.retain(|name, _| is_application(name));
        Ok(data)
    }

    fn prove_served(&mut self, version: &str) -> Result<()> {
        let served = self.env.served()?;
        let holds = served == Served::both(version);
        ensure!(holds, "users see {served:?} instead of {version}");
        self.prove(holds, &format!("backend and frontend serve {version}"))
    }

    fn prove(&mut self, holds: bool, what: &str) -> Result<()> {
        if !holds {
            bail!("not so: {what}");
        }
        self.proved.push(what.to_owned());
        Ok(())
    }
}

fn text_at(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .with_context(|| format!("the report has no {pointer}"))
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn tag_of(report: &Value) -> Result<String> {
    text_at(report, "/release/tag")
}

fn say(what: &str) {
    report::progress(&format!("» {what}"));
}
