//! The chain of releases: the ledger says which releases there are and which follows which. Records and tags of the remote are
//! compared with it: one that is missing, changed or made up never shifts what belongs to another release.

use std::collections::{BTreeMap, HashSet};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::commit::CommitId;
use super::ledger::{LedgerOperation, LedgerState, OperationOutcome};
use super::parts::ReleaseParts;
use super::release::{BackupRef, Release, ReleaseRecord};
use super::step::{PartStep, Step};

/// The key of an ended operation's facts that lists the releases which a new ledger takes over: tag and hash of each record.
pub const ADOPTED: &str = "adopted";

/// What the remote has of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRelease {
    pub name: String,
    /// The message that ends with the release record; empty where none can be read.
    pub message: String,
    /// Whether it has a reference of its own beside the tag.
    pub is_recorded: bool,
    pub is_tagged: bool,
    /// The commit that the tag marks.
    pub marks: Option<CommitId>,
    /// What is wrong with its references, whatever the ledger has.
    pub problems: Vec<String>,
}

/// What the ledger has of one release.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LedgerRelease {
    pub tag: String,
    /// Hash of its record.
    pub sha256: Option<String>,
    /// The record itself, as it was written: a newer version may have put more into it.
    pub record: Option<Value>,
    /// Whether this ledger took it over: it was recorded with another one.
    pub adopted: bool,
}

/// One release of the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseLink {
    pub tag: String,
    /// Hash of the record, where one can be read.
    pub sha256: Option<String>,
    /// What was recorded: as the remote has it where that is what the ledger has, or else as the ledger has it.
    pub release: Option<Release>,
    /// Where ledger, record and tag differ.
    pub problems: Vec<String>,
    /// Whether it was recorded with another ledger than the one that has it now.
    pub is_of_another_ledger: bool,
}

/// The releases of a ledger in their order, each once.
pub fn releases_of(state: &LedgerState) -> Vec<LedgerRelease> {
    let mut known = HashSet::new();
    let releases = state.operations.iter().flat_map(made_by);
    releases
        .filter(|release| known.insert(release.tag.clone()))
        .collect()
}

/// The release that an operation made, or those that it took over into a new ledger.
fn made_by(operation: &LedgerOperation) -> Vec<LedgerRelease> {
    let facts = operation.ended.as_ref().map(|end| &end.facts);
    if let Some(adopted) = facts.and_then(|facts| facts[ADOPTED].as_array()) {
        let adopted = adopted.iter().filter_map(by_hash);
        return adopted
            .map(|release| LedgerRelease {
                adopted: true,
                ..release
            })
            .collect();
    }
    let ended = facts.and_then(by_hash);
    let step = operation
        .steps
        .iter()
        .rfind(|step| step.name == Step::RecordRelease.name());
    let record = step
        .map(|step| &step.facts)
        .filter(|record| record["tag"].is_string());
    match (ended, record) {
        (Some(ended), Some(record)) if record["tag"] == ended.tag.as_str() => vec![LedgerRelease {
            record: Some(record.clone()),
            ..ended
        }],
        // The step did not reach the ledger.
        (Some(ended), _) => vec![ended],
        (None, Some(record)) => vec![LedgerRelease {
            tag: record["tag"].as_str().unwrap_or_default().to_owned(),
            sha256: None,
            record: Some(record.clone()),
            adopted: false,
        }],
        (None, None) => Vec::new(),
    }
}

fn by_hash(facts: &Value) -> Option<LedgerRelease> {
    Some(LedgerRelease {
        tag: facts["tag"].as_str()?.to_owned(),
        sha256: Some(facts["record_sha256"].as_str()?.to_owned()),
        record: None,
        adopted: false,
    })
}

impl ReleaseLink {
    /// Adds a problem where the ledger lacks the commit that was its newest one when this was recorded.
    pub fn require_anchor(&mut self, has: impl Fn(&str) -> bool) {
        let anchor = self
            .release
            .as_ref()
            .and_then(|release| release.ledger.as_deref());
        if let Some(anchor) = anchor.filter(|anchor| !has(anchor)) {
            self.is_of_another_ledger = true;
            self.problems.push(format!(
                "the ledger was rewritten: it had the commit {anchor} when {} was recorded",
                self.tag
            ));
        }
    }

    /// Compares what the ledger has of a release with what the remote has of it.
    pub fn compare(environment: &str, ledger: &LedgerRelease, found: Option<&RecordedRelease>) -> Self {
        let tag = &ledger.tag;
        let (mut problems, mut record) = (Vec::new(), None);
        match found.map(|found| (found, ReleaseRecord::from_message(tag, &found.message))) {
            None => problems.push(format!(
                "the release {tag} of the ledger is missing: the remote has neither its record nor its tag"
            )),
            Some((found, Err(error))) => {
                problems.extend(found.problems.clone());
                problems.push(format!("{error:#}"));
            }
            Some((found, Ok(recorded))) => {
                problems.extend(found.problems.clone());
                if ledger.is(&recorded) {
                    record = Some(recorded);
                } else {
                    problems.push(format!(
                        "the record of {tag} is not the one that the ledger knows"
                    ));
                }
            }
        }
        let record = record.or_else(|| ledger.copy());
        if let Some(record) = &record {
            problems.extend(mismatches(environment, &record.release, found));
        }
        let (release, sha256) = record.map(|record| (record.release, record.sha256)).unzip();
        Self {
            tag: tag.clone(),
            sha256,
            release,
            problems,
            is_of_another_ledger: false,
        }
    }
}

/// What the references say otherwise than the record.
fn mismatches(environment: &str, release: &Release, found: Option<&RecordedRelease>) -> Vec<String> {
    let mut problems = Vec::new();
    let tag = &release.tag;
    if release.environment != environment {
        problems.push(format!(
            "the record of {tag} is of the environment {}, not of {environment}",
            release.environment
        ));
    }
    if let Some(found) = found.filter(|found| found.is_tagged)
        && found.marks.as_ref().map(CommitId::as_str) != Some(&release.commit)
    {
        let marked = found.marks.as_ref().map_or("no commit", CommitId::as_str);
        problems.push(format!(
            "the tag {tag} was moved: it marks {marked}, its record is of {}",
            release.commit
        ));
    }
    problems
}

impl LedgerRelease {
    fn is(&self, record: &ReleaseRecord) -> bool {
        match &self.sha256 {
            Some(sha256) => record.sha256 == *sha256,
            None => self.copy().is_none_or(|copy| record.release == copy.release),
        }
    }

    /// The ledger's copy of the record.
    fn copy(&self) -> Option<ReleaseRecord> {
        ReleaseRecord::from_value(&self.tag, self.record.clone()?).ok()
    }
}

/// The backup that belongs to a target is the one taken just before the *next* release replaced it: the last state that the
/// target's code wrote. `None` where nothing has replaced it, or no backup was taken.
///
/// # Errors
/// In words, where the record of the next release is in doubt.
pub fn backup_of<'a>(links: &'a [ReleaseLink], target: &str) -> Result<Option<&'a BackupRef>, String> {
    Ok(replaced_by(links, target)?.and_then(|release| release.backup.as_ref()))
}

/// The release that replaced another one, whose record is not in doubt.
///
/// # Errors
/// In words, where it is.
pub fn replaced_by<'a>(links: &'a [ReleaseLink], target: &str) -> Result<Option<&'a Release>, String> {
    let Some(next) = next_of(links, target) else {
        return Ok(None);
    };
    match &next.release {
        Some(release) if next.problems.is_empty() => Ok(Some(release)),
        _ => Err(next.problems.join("; ")),
    }
}

/// The release that replaced another one.
pub fn next_of<'a>(links: &'a [ReleaseLink], tag: &str) -> Option<&'a ReleaseLink> {
    let at = links.iter().position(|link| link.tag == tag)?;
    links.get(at + 1)
}

/// The releases after `target` that have worked on the data which are live, the newest first. What came after the target of a rollback
/// that restored the database has not: its data were taken away. `restored` is whether a rollback did.
///
/// # Errors
/// In words, where the record of one of them is in doubt: it may have migrated the data.
pub fn data_since<'a>(
    links: &'a [ReleaseLink],
    target: &str,
    restored: impl Fn(&Release) -> bool,
) -> Result<Vec<&'a Release>, String> {
    let position = |tag: &str| links.iter().position(|link| link.tag == tag);
    let target = position(target).ok_or_else(|| format!("{target} is no release of the ledger"))?;
    let mut since = Vec::new();
    let mut at = links.len().saturating_sub(1);
    while at > target {
        let link = &links[at];
        let release = link.release.as_ref().filter(|_| link.problems.is_empty());
        let release = release.ok_or_else(|| format!("the record of {} is in doubt", link.tag))?;
        since.push(release);
        let back_to = release.restores.as_deref().filter(|_| restored(release));
        at = back_to
            .and_then(position)
            .filter(|earlier| *earlier < at)
            .unwrap_or(at - 1);
    }
    Ok(since)
}

/// Whether a release is a rollback to another one, or to a rollback to it, and so on.
pub fn restores(releases: &[Release], release: &Release, original: &str) -> bool {
    let mut restored = release.restores.as_deref();
    // A release restores an earlier one: the way back ends.
    for _ in releases {
        let Some(tag) = restored else { return false };
        if tag == original {
            return true;
        }
        let earlier = releases.iter().find(|earlier| earlier.tag == tag);
        restored = earlier.and_then(|earlier| earlier.restores.as_deref());
    }
    false
}

/// What each part should serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedLive {
    /// The newest release.
    pub tag: String,
    pub parts: ReleaseParts,
}

/// What each part should serve: what the newest release recorded, or what the undo of a later operation made of it, as a platform
/// gives the old image a new deployment.
pub fn expected_live(state: &LedgerState, newest: &Release) -> ExpectedLive {
    let mut parts = newest.parts.clone();
    let made = state
        .operations
        .iter()
        .position(|operation| operation.id.as_str() == newest.operation);
    let later = made.map_or(&state.operations[..], |at| &state.operations[at + 1..]);
    let undone = |operation: &&LedgerOperation| {
        let outcome = operation.ended.as_ref().map(|end| end.outcome);
        outcome == Some(OperationOutcome::Undone)
    };
    for recorded in later.iter().filter(undone).flat_map(|operation| &operation.steps) {
        let Some(step) = PartStep::named(&recorded.name) else {
            continue;
        };
        let facts = recorded.facts.clone();
        match step.step {
            Step::UndoBackend => put(&mut parts.backends, step.part(), facts),
            Step::UndoFrontend => put(&mut parts.frontends, step.part(), facts),
            _ => {}
        }
    }
    ExpectedLive {
        tag: newest.tag.clone(),
        parts,
    }
}

/// Only what the release has: the step of a part that it has not says nothing about it.
fn put<T: DeserializeOwned>(parts: &mut BTreeMap<String, T>, name: &str, facts: Value) {
    if let (Some(part), Ok(now)) = (parts.get_mut(name), serde_json::from_value(facts)) {
        *part = now;
    }
}

#[cfg(test)]
mod tests;
