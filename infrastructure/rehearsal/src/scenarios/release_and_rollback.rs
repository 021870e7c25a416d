//! The whole of it: a good release, a faulty one that health finds, and the way back, proved from outside.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use xtask::domain::timeline::Timing;
use xtask::report;

use super::{DOCUMENTS, Setting, say, tag_of};
use crate::proof::Proof;
use crate::test_env::{Served, TestEnv};

/// What users write through the first release, before the backup.
const WRITES_BEFORE: u32 = 40;
/// What they write through the second one, after the backup.
const WRITES_AFTER: u32 = 25;

/// What the rehearsal found.
#[derive(Debug, Serialize)]
pub struct Rehearsed {
    pub(crate) documents: u64,
    pub(crate) first_release: String,
    pub(crate) bad_release: String,
    pub(crate) rollback_release: String,
    pub(crate) fault_found: Vec<String>,
    pub(crate) written_after_backup: u64,
    pub(crate) proof: Proof,
    pub(crate) recovery_ms: u64,
    unavoidable_ms: u64,
    pub(crate) budget_ms: u64,
    pub(crate) deploy_timeline: Vec<Timing>,
    pub(crate) rollback_timeline: Vec<Timing>,
    pub(crate) elapsed_ms: u64,
}

/// A test environment in which a faulty release is live, with writes of users before and after its backup.
pub(crate) struct Faulty {
    pub(crate) first_release: String,
    pub(crate) bad_release: String,
    pub(crate) fault_found: Vec<String>,
    deploy_timeline: Vec<Timing>,
    written_after_backup: u64,
}

/// Up to the faulty release. Each step reports what it is about to do; the product's progress is in the logs.
pub(crate) fn release_a_faulty_one(setting: Setting, env: &TestEnv) -> Result<Faulty> {
    say("fill the database");
    env.seed(setting.documents.unwrap_or(DOCUMENTS), setting.seed)?;
    say("deploy the first release");
    env.commit_release("v1")?;
    let first = env.xtask_json("deploy-v1", &["deploy", "--yes"])?;
    let first_release = tag_of(&first)?;
    say("check its health");
    env.xtask_json("health-v1", &["health", "--release", &first_release])?;
    let before = env.users_write(WRITES_BEFORE, setting.seed)?;
    say(&format!(
        "users wrote {before} documents; deploy the second release, which has a fault and a migration"
    ));
    env.commit_release("v2")?;
    let bad = env.xtask("deploy-v2", &["deploy", "--yes", "--format", "json"])?;
    ensure!(
        bad.code == Some(4),
        "the faulty release should have been found unhealthy (exit 4): {}",
        bad.error()
    );
    let bad: Value = serde_json::from_str(&bad.stdout).context("the deploy printed no JSON")?;
    Ok(Faulty {
        first_release,
        bad_release: tag_of(&bad)?,
        fault_found: find_fault(env)?,
        deploy_timeline: serde_json::from_value(bad["timeline"].clone())?,
        written_after_backup: env.users_write(WRITES_AFTER, setting.seed + 1)?,
    })
}

/// Runs all of it.
pub fn play(setting: Setting, env: &TestEnv) -> Result<Rehearsed> {
    let began = Instant::now();
    let faulty = release_a_faulty_one(setting, env)?;
    let (first_tag, bad_tag) = (&faulty.first_release, &faulty.bad_release);
    let after = faulty.written_after_backup;
    say(&format!(
        "users wrote {after} more documents; look at what a rollback would lose"
    ));
    let plan = env
        .xtask("rollback-plan", &["rollback", first_tag, "--plan"])?
        .checked()?;
    report::progress(&plan.stdout);
    let (backup, mut proof) = Proof::before(env, &Served::both("1.0.0"))?;
    say(&format!(
        "roll back to {first_tag}; the platform takes {} s to start the backend",
        setting.platform_s
    ));
    take_time(setting, env)?;
    let reason = format!("prices are missing in {bad_tag}");
    let arguments = [
        "rollback", first_tag, "--reason", &reason, "--yes", "--format", "json",
    ];
    let ended = env.xtask("rollback", &arguments)?;
    ensure!(
        matches!(ended.code, Some(0 | 4)),
        "the rollback failed: {}",
        ended.error()
    );
    let back: Value = serde_json::from_str(&ended.stdout).context("the rollback printed no JSON")?;
    let back_tag = tag_of(&back)?;
    say("prove the rollback from outside, then ask its health");
    // The proof first: where data is wrong it names the collection, health only what the data leads to.
    proof.after(env, &backup, after, &[first_tag, bad_tag, &back_tag])?;
    ended.checked()?;
    env.xtask_json("health-back", &["health", "--release", &back_tag])?;
    let told = |name: &str| {
        let value = back[name].as_u64();
        value.with_context(|| format!("the rollback did not say its {name}"))
    };
    Ok(Rehearsed {
        documents: backup.documents,
        first_release: faulty.first_release,
        bad_release: faulty.bad_release,
        rollback_release: back_tag,
        fault_found: faulty.fault_found,
        written_after_backup: after,
        proof,
        recovery_ms: told("recovery_ms")?,
        unavoidable_ms: told("unavoidable_ms")?,
        budget_ms: told("budget_ms")?,
        deploy_timeline: faulty.deploy_timeline,
        rollback_timeline: serde_json::from_value(back["timeline"].clone())?,
        elapsed_ms: u64::try_from(began.elapsed().as_millis())?,
    })
}

/// From here on the platform takes as long as a real one.
pub(crate) fn take_time(setting: Setting, env: &TestEnv) -> Result<()> {
    let at_least_ms = u64::from(setting.platform_s) * 1_000;
    env.control("/railway/start", &json!({ "at_least_ms": at_least_ms }))
}

/// Health must say no, and say why.
fn find_fault(env: &TestEnv) -> Result<Vec<String>> {
    let sick = env.xtask("health-v2", &["health", "--format", "json"])?;
    ensure!(
        sick.code == Some(1),
        "health should have said no (exit 1): {}",
        sick.error()
    );
    let report: Value = serde_json::from_str(&sick.stdout).context("health printed no JSON")?;
    let failed = report["checks"]
        .as_array()
        .context("the health report has no checks")?
        .iter()
        .filter(|check| check["outcome"] == json!("failed") && check["severity"] == json!("critical"));
    let found: Vec<String> = failed
        .filter_map(|check| check["name"].as_str().map(str::to_owned))
        .collect();
    if found.is_empty() {
        bail!("health said no without naming a failed check");
    }
    Ok(found)
}

pub fn text(rehearsed: &Rehearsed) -> String {
    format!(
        "\n{} was released, {} replaced it and was found unhealthy ({}), {} took it back\n\n{}\n\
         deploy of {}\n{}\nrollback, {}\n{}\n(* the chain that decided the time)\n\
         rehearsed in {}\n",
        rehearsed.first_release,
        rehearsed.bad_release,
        rehearsed.fault_found.join(", "),
        rehearsed.rollback_release,
        rehearsed.proof.text(),
        rehearsed.bad_release,
        report::timeline(&rehearsed.deploy_timeline),
        report::recovered(
            rehearsed.recovery_ms,
            rehearsed.unavoidable_ms,
            rehearsed.budget_ms
        ),
        report::timeline(&rehearsed.rollback_timeline),
        report::duration_ms(rehearsed.elapsed_ms),
    )
}
