//! A team's own repository: two releases, writes, and a rollback of code and data, proved from outside.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::doc;
use serde::Serialize;
use serde_json::Value;

use xtask::domain::manifest::BackupMetadata;
use xtask::domain::release::Release;
use xtask::domain::timeline::Timing;
use xtask::report;

use super::{DOCUMENTS, Setting, say};
use crate::proof::{differences, kept, live, newest_backup};
use crate::test_env::TestEnv;
use crate::test_env::adopted::Adopted;

/// What is written after the second release, and so after the backup of the rollback.
const WRITES: u32 = 25;

/// What the rehearsal of a team's repository found.
#[derive(Debug, Serialize)]
pub struct AdoptedRehearsal {
    /// What was not the team's own, and why.
    replaced: Vec<String>,
    /// `None` where no backend and no frontend is part of it.
    releases: Option<AdoptedReleases>,
    /// `None` where no database is part of it.
    data: Option<AdoptedData>,
    timeline: Vec<Timing>,
    elapsed_ms: u64,
}

/// The releases that were made.
#[derive(Debug, Serialize)]
struct AdoptedReleases {
    first: String,
    second: String,
    rollback: String,
    /// How many backends and frontends serve the first release again.
    backends: usize,
    frontends: usize,
}

/// The data after the rollback or the restore.
#[derive(Debug, Serialize)]
struct AdoptedData {
    collections: usize,
    documents: u64,
    kept_of_later_writes: u64,
}

/// Runs it.
pub fn play(setting: Setting, env: &TestEnv) -> Result<AdoptedRehearsal> {
    let began = Instant::now();
    let team = env.adopted().context("no repository was adopted")?;
    let replaced = env.replaced();
    for line in &replaced {
        report::progress(&format!("note: {line}"));
    }
    if team.has_database() {
        say("fill the database");
        env.seed(setting.documents.unwrap_or(DOCUMENTS), setting.seed)?;
    }
    say("check the configuration");
    env.xtask("doctor", &["doctor", "--config-only"])?.checked()?;
    let [backends, frontends] = team.parts();
    let code = (!backends.is_empty() || !frontends.is_empty()).then_some(team);
    let (releases, data, done) = match code {
        Some(team) => released(env, team)?,
        None => restored(env)?,
    };
    Ok(AdoptedRehearsal {
        replaced,
        releases,
        data,
        timeline: serde_json::from_value(done["timeline"].clone()).unwrap_or_default(),
        elapsed_ms: u64::try_from(began.elapsed().as_millis())?,
    })
}

type Rehearsed = (Option<AdoptedReleases>, Option<AdoptedData>, Value);

/// Two releases and a rollback.
fn released(env: &TestEnv, team: &Adopted) -> Result<Rehearsed> {
    say("deploy the first release");
    env.commit_adopted(1)?;
    let first = release_of(&env.xtask_json("deploy-1", &["deploy", "--yes"])?)?;
    say("deploy the second release");
    env.commit_adopted(2)?;
    let second = release_of(&env.xtask_json("deploy-2", &["deploy", "--yes"])?)?;
    for served in serving(env, team, &second)? {
        ensure!(
            served.is_recorded,
            "{} does not serve the second release",
            served.part
        );
    }
    for served in serving(env, team, &first)? {
        ensure!(
            !served.is_same,
            "{} serves the first release already",
            served.part
        );
    }
    let mut args = vec!["rollback", first.tag.as_str(), "--reason", "a rehearsal", "--yes"];
    let backup = if team.has_database() {
        args.extend(["--database", "restore"]);
        let backup = newest_backup(env)?;
        write_later(env, &backup)?;
        Some(backup)
    } else {
        None
    };
    say(&format!("roll back to {}", first.tag));
    let back = env.xtask_json("rollback", &args)?;
    say("prove the rollback from outside");
    let data = backup.map(|backup| proved(env, &backup)).transpose()?;
    let rollback = release_of(&back)?;
    for served in serving(env, team, &rollback)? {
        ensure!(
            served.is_recorded,
            "{} does not serve what was recorded",
            served.part
        );
    }
    for served in serving(env, team, &first)? {
        ensure!(served.is_same, "{} does not serve the first release", served.part);
    }
    env.xtask_json("health", &["health", "--release", &rollback.tag])?;
    let [backends, frontends] = team.parts().map(|parts| parts.len());
    let releases = AdoptedReleases {
        first: first.tag,
        second: second.tag,
        rollback: rollback.tag,
        backends,
        frontends,
    };
    Ok((Some(releases), data, back))
}

/// A backup and its restore: nothing is released.
fn restored(env: &TestEnv) -> Result<Rehearsed> {
    say("take a backup");
    env.commit_adopted(1)?;
    env.xtask_json("backup", &["backup", "create"])?;
    let backup = newest_backup(env)?;
    write_later(env, &backup)?;
    say(&format!("restore {}", backup.id));
    let done = env.xtask_json("restore", &["restore", &backup.id, "--yes"])?;
    say("prove the restore from outside");
    Ok((None, Some(proved(env, &backup)?), done))
}

/// A part and what it serves.
struct ServedPart {
    part: String,
    /// Whether it is the deployment that was recorded.
    is_recorded: bool,
    /// Whether it is what was recorded, perhaps started again from the same image.
    is_same: bool,
}

/// What each part serves, by the platforms, beside what a release recorded of it.
fn serving(env: &TestEnv, team: &Adopted, release: &Release) -> Result<Vec<ServedPart>> {
    let report = env.platform_report()?;
    let [backends, frontends] = team.parts();
    let mut found = Vec::new();
    for (name, service) in backends {
        let recorded = &release.parts.backends[name];
        let live = report["services"][service]["live"].as_str().unwrap_or_default();
        let deployments = report["services"][service]["deployments"].as_array();
        let mut deployments = deployments.into_iter().flatten();
        let live_one = deployments.find(|one| one["id"] == live);
        let image = live_one.and_then(|one| one["meta"]["imageDigest"].as_str());
        found.push(ServedPart {
            part: name.to_owned(),
            is_recorded: live == recorded.deployment,
            is_same: live == recorded.deployment
                || (image.is_some() && image == recorded.image_digest.as_deref()),
        });
    }
    for (name, project) in frontends {
        let recorded = &release.parts.frontends[name];
        let live = report["projects"][project]["live"].as_str().unwrap_or_default();
        let is_recorded = live == recorded.deployment;
        found.push(ServedPart {
            part: name.to_owned(),
            is_recorded,
            is_same: is_recorded,
        });
    }
    Ok(found)
}

fn release_of(done: &Value) -> Result<Release> {
    serde_json::from_value(done["release"].clone()).context("the result has no release")
}

/// Writes documents that the backup has not.
fn write_later(env: &TestEnv, backup: &BackupMetadata) -> Result<()> {
    write(env)?;
    ensure!(
        !differences(env, backup)?.is_empty(),
        "the database equals the backup before it is restored: the proof could not fail"
    );
    Ok(())
}

/// The data equal the backup, and what was written later is kept.
fn proved(env: &TestEnv, backup: &BackupMetadata) -> Result<AdoptedData> {
    let found = differences(env, backup)?;
    ensure!(
        found.is_empty(),
        "the database differs from the backup:\n  {}",
        found.join("\n  ")
    );
    let kept = kept(env, backup)?;
    ensure!(
        kept == u64::from(WRITES),
        "{kept} of {WRITES} later documents are kept"
    );
    Ok(AdoptedData {
        collections: backup.namespaces.len(),
        documents: backup.documents,
        kept_of_later_writes: kept,
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
        let releases = match &self.releases {
            Some(AdoptedReleases {
                first,
                second,
                rollback,
                backends,
                frontends,
            }) => format!(
                "{first} was released, {second} replaced it, {rollback} rolled it back\n\
                 proved: {backends} backends and {frontends} frontends serve the first release, the health checks of your health.toml pass\n"
            ),
            None => "no backend and no frontend is part of it: a backup was taken and restored\n".to_owned(),
        };
        let data = match &self.data {
            Some(data) => format!(
                "proved: {} collections with {} documents equal the backup, {} later documents are kept\n",
                data.collections, data.documents, data.kept_of_later_writes
            ),
            None => "no database is part of it\n".to_owned(),
        };
        format!(
            "\n{releases}{data}{replaced}{}rehearsed in {}\nnext, in your repository: cargo xtask doctor --config-only, which names marks that are left; then cargo xtask setup --plan\n",
            report::timeline(&self.timeline),
            report::duration_ms(self.elapsed_ms),
        )
    }
}
