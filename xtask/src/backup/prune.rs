//! Deletes backups that are older than the retention; the plan names the reason for each one.
//!
//! Never deleted: the last verified backup of each environment, and what the live release or the one before it needs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Duration, NaiveDateTime, Utc};
use regex::Regex;
use serde::Serialize;

use super::find::stores;
use super::list::{AllBackups, BackupListing, list_all};
use crate::context::Context;
use crate::error::CliError;
use crate::exec::check_interrupted;
use crate::tools::git::Git;

/// Releases per environment whose backups are kept whatever their age: the live one, and the one it replaced.
const RELEASES_KEPT: usize = 2;

/// What `backup prune` would delete, or has deleted.
#[derive(Debug, Serialize)]
pub struct PrunePlan {
    pub retention_days: u32,
    pub backups: Vec<Retention>,
    pub deleted: bool,
}

/// Whether one backup is kept, and why.
#[derive(Debug, Serialize)]
pub struct Retention {
    pub id: String,
    pub delete: bool,
    pub why: String,
    /// Storages that have it.
    #[serde(rename = "places")]
    pub storages: Vec<String>,
}

/// Which backups go. An error where a storage cannot be listed: one that cannot be read may hold the last good backup.
pub fn plan(ctx: &Context) -> Result<PrunePlan> {
    let AllBackups { backups, problems } = list_all(ctx)?;
    if let Some(problem) = problems.first() {
        return Err(
            CliError::failed(format!("not everything could be listed: {problem}"))
                .live("nothing was deleted")
                .next("repair or correct the storage, and run the command again")
                .into(),
        );
    }
    let needed = needed_by_releases(ctx)?;
    let retention_days = ctx.config.backup.retention_days;
    Ok(PrunePlan {
        retention_days,
        backups: judge(&backups, &needed, Utc::now(), retention_days),
        deleted: false,
    })
}

/// Deletes what the plan says, storage by storage.
pub fn delete(ctx: &Context, plan: &mut PrunePlan) -> Result<()> {
    let stores = stores(ctx)?;
    let mut deleted = 0;
    for backup in plan.backups.iter().filter(|backup| backup.delete) {
        for store in stores
            .iter()
            .filter(|store| backup.storages.contains(&store.name()))
        {
            check_interrupted()?;
            store.remove(&backup.id).with_context(|| {
                format!(
                    "deleted {deleted}, then stopped at {} in {}",
                    backup.id,
                    store.name()
                )
            })?;
            deleted += 1;
        }
    }
    plan.deleted = true;
    Ok(())
}

/// Of each backup, whether it goes and why.
fn judge(
    backups: &[BackupListing],
    needed: &BTreeMap<String, String>,
    now: DateTime<Utc>,
    retention_days: u32,
) -> Vec<Retention> {
    let last: BTreeSet<&str> = last_verified_ids(backups);
    let oldest = now - Duration::days(i64::from(retention_days));
    let verdict = |backup: &BackupListing| {
        let (delete, why) = if last.contains(backup.id.as_str()) {
            (false, format!("the last verified one of {}", backup.environment))
        } else if let Some(tag) = needed.get(&backup.id) {
            (false, format!("the release {tag} needs it"))
        } else if backup.timestamp >= oldest {
            (false, format!("younger than {retention_days} days"))
        } else {
            (true, format!("older than {retention_days} days"))
        };
        Retention {
            id: backup.id.clone(),
            delete,
            why,
            storages: backup.storages.clone(),
        }
    };
    backups.iter().map(verdict).collect()
}

fn last_verified_ids(backups: &[BackupListing]) -> BTreeSet<&str> {
    let mut last: BTreeMap<&str, &BackupListing> = BTreeMap::new();
    for backup in backups.iter().filter(|backup| backup.verified.is_some()) {
        let newest = last.entry(&backup.environment).or_insert(backup);
        if backup.timestamp > newest.timestamp {
            *newest = backup;
        }
    }
    last.values().map(|backup| backup.id.as_str()).collect()
}

/// Backup ids in the records of the newest releases, with the tag that names them.
fn needed_by_releases(ctx: &Context) -> Result<BTreeMap<String, String>> {
    let git = Git::open(ctx);
    let mut needed = BTreeMap::new();
    for environment in ctx.config.environments.values() {
        let releases = git
            .recorded_releases(&environment.tag_prefix)
            .context("cannot determine which backups the releases need")?;
        for release in releases.into_iter().rev().take(RELEASES_KEPT) {
            needed.extend(ids_in(&release.message).map(|id| (id, release.name.clone())));
        }
    }
    Ok(needed)
}

/// Everything that looks like a backup id: keeping one too many is the right way to err.
fn ids_in(text: &str) -> impl Iterator<Item = String> {
    let pattern = Regex::new(r"\d{8}-\d{6}").expect("the pattern is a constant");
    let ids: Vec<String> = pattern
        .find_iter(text)
        .map(|found| found.as_str().to_owned())
        .filter(|id| NaiveDateTime::parse_from_str(id, "%Y%m%d-%H%M%S").is_ok())
        .collect();
    ids.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, environment: &str, verified: bool) -> BackupListing {
        let timestamp = NaiveDateTime::parse_from_str(id, "%Y%m%d-%H%M%S")
            .unwrap()
            .and_utc();
        BackupListing {
            id: id.into(),
            timestamp,
            environment: environment.into(),
            purpose: String::new(),
            size_bytes: 1,
            documents: 1,
            encrypted: false,
            verified: verified.then_some(timestamp),
            storages: vec!["p".into()],
        }
    }

    #[test]
    fn the_last_verified_one_and_what_releases_need_stay_whatever_their_age() {
        let backups = [
            listed("20250101-000000", "production", true),
            listed("20250102-000000", "production", true),
            listed("20250103-000000", "production", true),
            listed("20250104-000000", "production", false),
            listed("20250101-000001", "staging", true),
            listed("20250701-000000", "staging", false),
        ];
        let needed = ids_in("{\"backup\": \"20250102-000000\", \"other\": \"99999999-999999\"}")
            .map(|id| (id, "prod-1".to_owned()))
            .collect();
        let now = "2025-07-02T00:00:00Z".parse().unwrap();
        let verdicts = judge(&backups, &needed, now, 90);
        let deleted: Vec<&str> = verdicts
            .iter()
            .filter(|v| v.delete)
            .map(|v| v.id.as_str())
            .collect();
        assert_eq!(deleted, ["20250101-000000", "20250104-000000"]);
        assert_eq!(verdicts[1].why, "the release prod-1 needs it");
        assert_eq!(verdicts[2].why, "the last verified one of production");
        assert_eq!(verdicts[4].why, "the last verified one of staging");
        assert_eq!(verdicts[5].why, "younger than 90 days");
    }
}
