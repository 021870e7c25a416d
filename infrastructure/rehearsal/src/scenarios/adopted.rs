//! A team's own repository: two releases, writes, and a rollback of code and data, proved from outside.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::doc;
use serde::Serialize;
use serde_json::Value;

use xtask::domain::timeline::Timing;
use xtask::report;

use super::{Setting, say, tag_of};
use crate::proof::{differences, kept, live, newest_backup};
use crate::test_env::TestEnv;

/// What is written after the second release, and so after the backup of the rollback.
const WRITES: u32 = 25;

/// What the rehearsal of a team's repository found.
#[derive(Debug, Serialize)]
pub struct AdoptedRehearsal {
    /// What was not the team's own, and why.
    replaced: Vec<String>,
    first_release: String,
    second_release: String,
    rollback_release: String,
    collections: usize,
    documents: u64,
    kept_of_later_writes: u64,
    rollback_timeline: Vec<Timing>,
    elapsed_ms: u64,
}

/// Runs it.
pub fn play(setting: Setting, env: &TestEnv) -> Result<AdoptedRehearsal> {
    let began = Instant::now();
    let replaced = env.replaced();
    for line in &replaced {
        report::progress(&format!("note: {line}"));
    }
    say("fill the database");
    env.seed(setting.documents, setting.seed)?;
    say("check the configuration");
    env.xtask("doctor", &["doctor", "--config-only"])?.checked()?;
    say("deploy the first release");
    env.commit_adopted(1)?;
    let first = tag_of(&env.xtask_json("deploy-1", &["deploy", "--yes"])?)?;
    let served = env.served_marker()?;
    say("deploy the second release");
    env.commit_adopted(2)?;
    let second = tag_of(&env.xtask_json("deploy-2", &["deploy", "--yes"])?)?;
    ensure!(
        env.served_marker()? != served,
        "the second release serves the first one's page"
    );
    let backup = newest_backup(env)?;
    write(env)?;
    ensure!(
        !differences(env, &backup)?.is_empty(),
        "the database equals the backup before the rollback: the proof could not fail"
    );
    say(&format!(
        "{WRITES} documents were written; roll back to {first}, with the data"
    ));
    let back: Value = env.xtask_json(
        "rollback",
        &[
            "rollback",
            &first,
            "--database",
            "restore",
            "--reason",
            "a rehearsal",
            "--yes",
        ],
    )?;
    say("prove the rollback from outside");
    let found = differences(env, &backup)?;
    ensure!(
        found.is_empty(),
        "the database differs from the backup:\n  {}",
        found.join("\n  ")
    );
    let kept = kept(env, &backup)?;
    ensure!(
        kept == u64::from(WRITES),
        "{kept} of {WRITES} later documents are kept"
    );
    ensure!(
        env.served_marker()? == served,
        "the frontend does not serve the first release"
    );
    let rollback_release = tag_of(&back)?;
    env.xtask_json("health", &["health", "--release", &rollback_release])?;
    Ok(AdoptedRehearsal {
        replaced,
        first_release: first,
        second_release: second,
        rollback_release,
        collections: backup.namespaces.len(),
        documents: backup.documents,
        kept_of_later_writes: kept,
        rollback_timeline: serde_json::from_value(back["timeline"].clone())?,
        elapsed_ms: u64::try_from(began.elapsed().as_millis())?,
    })
}

/// Documents as users would write them.
fn write(env: &TestEnv) -> Result<()> {
    let database = live(env)?;
    let written = (0..WRITES).map(|number| doc! {"written_after_the_backup": i64::from(number)});
    database
        .database()
        .collection("properties")
        .insert_many(written)
        .run()
        .context("cannot write")?;
    Ok(())
}

impl AdoptedRehearsal {
    /// The result for people.
    pub fn text(&self) -> String {
        let replaced: String = self
            .replaced
            .iter()
            .map(|line| format!("not your own: {line}\n"))
            .collect();
        format!(
            "\n{} was released, {} replaced it, {} rolled it back\n\
             proved: {} collections with {} documents equal the backup, {} later documents are kept, the frontend serves the \
             first release, the health checks of your health.toml pass\n{replaced}{}rehearsed in {}\n\
             next: cargo xtask setup --plan in your repository\n",
            self.first_release,
            self.second_release,
            self.rollback_release,
            self.collections,
            self.documents,
            self.kept_of_later_writes,
            report::timeline(&self.rollback_timeline),
            report::duration_ms(self.elapsed_ms),
        )
    }
}
