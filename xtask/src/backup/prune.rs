//! Deletes backups that are older than the retention; the plan names the reason for each one.
//!
//! Never deleted: the last verified backup of each environment, and what the live release, the one before it, an unfinished
//! operation or a restore needs whose previous collections are still there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Duration, NaiveDateTime, Utc};
use regex::Regex;
use serde::Serialize;

use super::find::stores;
use super::list::{AllBackups, BackupListing, list_all};
use crate::context::Context;
use crate::domain::ledger::{FORGET, LedgerOperation, LedgerState, OperationOutcome, RESTORE};
use crate::domain::release_chain::{RecordedRelease, releases_of};
use crate::domain::step::Step;
use crate::error::CliError;
use crate::error::catalogue::backup as errors;
use crate::exec::check_interrupted;
use crate::operation::ledger::{Ledger, LockTiming};
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
    let needed = needed(ctx)?;
    let retention_days = ctx.config.backup.retention_days;
    Ok(PrunePlan {
        retention_days,
        backups: judge(&backups, &needed, Utc::now(), retention_days),
        deleted: false,
    })
}

/// Deletes what the plan says, storage by storage. One that refuses, because its credentials may not delete or a lock holds,
/// keeps no other from being cleared.
///
/// # Errors
/// Exit 1 where something is left, with what and why.
pub fn delete(ctx: &Context, plan: &mut PrunePlan) -> Result<()> {
    let stores = stores(ctx)?;
    let (mut deleted, mut left, mut remedy) = (0, Vec::new(), None);
    // The newest first: what builds on another goes before it.
    for backup in plan.backups.iter().rev().filter(|backup| backup.delete) {
        for store in stores
            .iter()
            .filter(|store| backup.storages.contains(&store.name()))
        {
            check_interrupted()?;
            match store.remove(&backup.id) {
                Ok(()) => deleted += 1,
                Err(error) => {
                    let next = error
                        .downcast_ref::<CliError>()
                        .and_then(|error| error.next.clone());
                    remedy = remedy.or(next);
                    left.push(format!("{} in {}: {error:#}", backup.id, store.name()));
                }
            }
        }
    }
    if !left.is_empty() {
        let (count, left) = (left.len(), left.join("; "));
        return Err(errors::prune_incomplete(
            deleted,
            count,
            left,
            remedy.unwrap_or_else(|| "remove the cause, and run the command again".to_owned()),
        )
        .into());
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
        } else if let Some(why) = needed.get(&backup.id) {
            (false, why.clone())
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
    let mut verdicts: Vec<Retention> = backups.iter().map(verdict).collect();
    keep_bases(backups, &mut verdicts);
    verdicts
}

/// A base lives as long as a backup that builds on it.
fn keep_bases(backups: &[BackupListing], verdicts: &mut [Retention]) {
    let kept: Vec<bool> = verdicts.iter().map(|verdict| !verdict.delete).collect();
    for (backup, _) in backups.iter().zip(kept).filter(|(_, kept)| *kept) {
        let base = verdicts
            .iter_mut()
            .find(|one| Some(&one.id) == backup.base.as_ref());
        if let Some(base) = base.filter(|base| base.delete) {
            base.delete = false;
            base.why = format!("the differential backup {} builds on it", backup.id);
        }
    }
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

/// The backups that must stay, and what needs each. An error where it cannot be determined.
fn needed(ctx: &Context) -> Result<BTreeMap<String, String>> {
    let mut needed = BTreeMap::new();
    for (name, environment) in &ctx.config.environments {
        let git = Git::open(ctx);
        let recorded = git.recorded_releases(&environment.tag_prefix);
        let state = Ledger::with_timing(git, name, LockTiming::default()).state();
        let state = state.context("cannot determine which backups the releases need")?;
        let recorded = recorded.context("cannot determine which backups the releases need")?;
        needed.extend(needed_in(&state, &recorded)?);
    }
    Ok(needed)
}

/// What the newest releases and the unfinished operation of one environment need. Which releases there are, and which are the
/// newest, the ledger decides: names on the remote may be made up. Without a ledger nobody can tell, and all are newest ones.
fn needed_in(state: &LedgerState, recorded: &[RecordedRelease]) -> Result<BTreeMap<String, String>> {
    let by_release = |tag: &str, text: &str| {
        let why = format!("the release {tag} needs it");
        ids_in(text).map(|id| (id, why.clone())).collect::<Vec<_>>()
    };
    let mut needed = BTreeMap::new();
    let chain = releases_of(state);
    if chain.is_empty() {
        for found in recorded {
            needed.extend(by_release(&found.name, &found.message));
        }
    }
    for release in chain.iter().rev().take(RELEASES_KEPT) {
        // Where the two differ, both: one too many is the right way to err.
        if let Some(record) = &release.record {
            needed.extend(by_release(&release.tag, &record.to_string()));
        }
        for found in recorded.iter().filter(|found| found.name == release.tag) {
            needed.extend(by_release(&release.tag, &found.message));
        }
    }
    let forgotten = forgotten(state);
    for operation in state.operations.iter().filter(|o| keeps_previous(o)) {
        // One that resumes or undoes an earlier restore has the id of that as its target.
        let (id, target) = (operation.id.as_str(), operation.started.target.as_str());
        if !forgotten.contains(id) && !forgotten.contains(target) {
            let why = format!("`cargo xtask restore --forget {id}` needs it to prove what it drops");
            needed.extend(by_operation(operation, &why)?);
        }
    }
    if let Some(operation) = state.unfinished() {
        let why = format!("the unfinished operation {} needs it", operation.id);
        needed.extend(by_operation(operation, &why)?);
    }
    Ok(needed)
}

/// The backup that it restores, those that it took, and its rescue files.
fn by_operation(operation: &LedgerOperation, why: &str) -> Result<Vec<(String, String)>> {
    let text = serde_json::to_string(operation).context("cannot read an operation of the ledger")?;
    Ok(ids_in(&text).map(|id| (id, why.to_owned())).collect())
}

/// Whether it has put the previous collections aside, where they stay until they are forgotten.
fn keeps_previous(operation: &LedgerOperation) -> bool {
    let swap = Step::SwapDatabase.name();
    let outcome = operation.ended.as_ref().map(|end| end.outcome);
    let ended = matches!(outcome, Some(OperationOutcome::Done | OperationOutcome::Undone));
    operation.steps.iter().any(|step| step.name == swap) || (operation.started.kind == RESTORE && ended)
}

/// The restores whose previous collections were dropped.
fn forgotten(state: &LedgerState) -> BTreeSet<&str> {
    let done = |operation: &&LedgerOperation| {
        let end = operation.ended.as_ref();
        operation.started.kind == FORGET && end.is_some_and(|end| end.outcome == OperationOutcome::Done)
    };
    let forgets = state.operations.iter().filter(done);
    forgets.map(|forget| forget.started.target.as_str()).collect()
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
    use serde_json::json;

    use super::*;
    use crate::domain::ledger::{Body, Ended, LedgerEvent, LedgerStep};
    use crate::domain::manifest::BackupKind;
    use crate::domain::operation::OperationId;
    use crate::domain::step::Step;

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
            kind: BackupKind::Full,
            base: None,
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
            .map(|id| (id, "the release prod-1 needs it".to_owned()))
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

    /// A ledger of one operation for each release, and one that was left.
    fn ledger(releases: &[(&str, &str)], left: &str) -> LedgerState {
        let at = |n: usize| -> DateTime<Utc> { format!("2025-01-01T00:{n:02}:00Z").parse().unwrap() };
        let mut events: Vec<LedgerEvent> = Vec::new();
        let ends = releases.iter().map(Some).chain([None]);
        for (number, release) in ends.enumerate() {
            let id: OperationId = format!("20250101-00{number:02}00-abcd").parse().unwrap();
            let fence = events.len() as u64 + 1;
            let start = json!({
                "kind": "deploy", "reason": "", "target": "", "plan_sha256": "", "plan": { "backup": left },
                "holder": { "user": "ann", "host": "desk", "pid": 1 }, "lease_ms": 1000,
            });
            let mut bodies = vec![Body::Started(serde_json::from_value(start).unwrap())];
            if let Some((tag, backup)) = release {
                let facts = json!({ "tag": tag, "record_sha256": "0", "backup": { "id": backup } });
                let name = Step::RecordRelease.name().to_owned();
                bodies.push(Body::Step {
                    name,
                    facts: facts.clone(),
                });
                bodies.push(Body::Finished {
                    outcome: OperationOutcome::Done,
                    facts,
                });
            }
            for body in bodies {
                events.push(LedgerEvent {
                    seq: events.len() as u64 + 1,
                    at: at(number),
                    operation: id.clone(),
                    fence,
                    body,
                });
            }
        }
        LedgerState::replay(&events)
    }

    fn operation(
        state: &mut LedgerState,
        second: u32,
        kind: &str,
        target: &str,
        outcome: OperationOutcome,
    ) -> String {
        let id = format!("20250301-0000{second:02}-abcd");
        let start = json!({
            "kind": kind, "reason": "", "target": target, "plan_sha256": "", "plan": { "backup": target },
            "holder": { "user": "ann", "host": "desk", "pid": 1 }, "lease_ms": 1000,
        });
        let at: DateTime<Utc> = format!("2025-03-01T00:00:{second:02}Z").parse().unwrap();
        state.operations.push(LedgerOperation {
            id: id.parse().unwrap(),
            started: serde_json::from_value(start.clone()).unwrap(),
            started_at: at,
            fence: u64::from(second),
            holder: serde_json::from_value(start["holder"].clone()).unwrap(),
            lease_ms: 1000,
            last_seen: at,
            steps: Vec::new(),
            ended: Some(Ended {
                outcome,
                at,
                facts: json!({ "rescue": { "id": format!("202502{second:02}-000000") } }),
            }),
            superseded_by: None,
        });
        id
    }

    #[test]
    fn what_a_restore_needs_until_it_is_forgotten_stays_whatever_its_age() {
        use OperationOutcome::{Done, Failed, Undone};

        let mut state = LedgerState::default();
        let kept = operation(&mut state, 1, "restore", "20250101-000001", Done);
        operation(&mut state, 2, "restore", &kept, Done);
        operation(&mut state, 3, "restore", "20250103-000001", Failed);
        let forgotten = operation(&mut state, 4, "restore", "20250104-000001", Undone);
        operation(&mut state, 5, "forget", &forgotten, Done);
        operation(&mut state, 6, "forget", &kept, Failed);
        let rolled_back = operation(&mut state, 7, "rollback", "20250107-000001", Done);
        operation(&mut state, 8, "rollback", "20250108-000001", Done);
        state.operations[6].steps.push(LedgerStep {
            name: Step::SwapDatabase.name().to_owned(),
            at: Utc::now(),
            facts: json!({}),
        });
        let needed = needed_in(&state, &[]).unwrap();
        for id in [
            "20250101-000001",
            "20250201-000000",
            "20250202-000000",
            "20250107-000001",
        ] {
            assert!(needed.contains_key(id), "{id}: {needed:?}");
        }
        for id in [
            "20250103-000001",
            "20250104-000001",
            "20250204-000000",
            "20250108-000001",
        ] {
            assert!(!needed.contains_key(id), "{id}: {needed:?}");
        }
        assert!(needed["20250107-000001"].contains(&format!("--forget {rolled_back}")));
        operation(&mut state, 9, "forget", &kept, Done);
        let needed = needed_in(&state, &[]).unwrap();
        assert!(
            !needed.contains_key("20250101-000001") && !needed.contains_key("20250202-000000"),
            "{needed:?}"
        );
    }

    #[test]
    fn tags_that_are_made_up_do_not_push_out_what_the_releases_of_the_ledger_need() {
        let made_up = |n: usize| RecordedRelease {
            name: format!("prod-2099010{n}-000000"),
            message: format!("{{\"backup\": {{\"id\": \"2024010{n}-000000\"}}}}"),
            is_recorded: false,
            is_tagged: true,
            marks: None,
            problems: Vec::new(),
        };
        let recorded: Vec<RecordedRelease> = (1..5).map(made_up).collect();
        let releases = [
            ("prod-a", "20250101-000001"),
            ("prod-b", "20250102-000001"),
            ("prod-c", "20250103-000001"),
        ];
        let state = ledger(&releases, "20250104-000001");
        let needed: Vec<String> = needed_in(&state, &recorded).unwrap().into_keys().collect();
        for id in ["20250102-000001", "20250103-000001", "20250104-000001"] {
            assert!(needed.contains(&id.to_owned()), "{needed:?}");
        }
        assert!(
            !needed
                .iter()
                .any(|id| id.starts_with("2024") || id == "20250101-000001"),
            "{needed:?}"
        );
        // Where there is no ledger, nobody can tell which are made up.
        let needed = needed_in(&LedgerState::default(), &recorded).unwrap();
        assert_eq!(needed.len(), 4);
    }
}
