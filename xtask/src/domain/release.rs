//! Releases: what is recorded of each in its tag, and the rules that follow from their order.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::parts::ReleaseParts;
use super::snapshot::SnapshotRef;
use super::step::Step;

/// Schema of the record at the end of a tag's message.
pub const RELEASE_SCHEMA: &str = "release/1";

/// What a tag's message ends with. Fields that a newer version added are ignored; the hash covers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub schema: String,
    pub tag: String,
    pub environment: String,
    /// The operation that made it.
    pub operation: String,
    pub created: DateTime<Utc>,
    pub commit: String,
    #[serde(flatten)]
    pub parts: ReleaseParts,
    /// Taken just before this release: the last state that the release before it wrote.
    pub backup: Option<BackupRef>,
    /// The same of the whole cluster, by Atlas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotRef>,
    pub approvers: Vec<String>,
    pub actor: String,
    pub reason: Option<String>,
    pub health: Health,
    pub variables: Vec<VariableFingerprint>,
    /// SHA-256 over collections, options and indexes; `None` where the database could not be read.
    pub schema_fingerprint: Option<String>,
    /// The ledger's newest commit when this was recorded. A ledger that lacks it was rewritten since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// The release that this one rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<String>,
    /// The release that this one restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<String>,
    pub timings_ms: BTreeMap<String, u64>,
    /// What the checks saw (schema `health-report/1`), for `health --compare TAG`. The other side of a deploy is in the
    /// record of the release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_report: Option<Value>,
}

/// A backup, with the hash that it must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRef {
    pub id: String,
    /// SHA-256 of the file as stored.
    pub hash: String,
}

/// What the checks after promotion said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Healthy,
    Unhealthy,
    /// The checks could not run.
    Unknown,
}

impl Health {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "of unknown health",
        }
    }
}

/// A variable's name with a keyed hash of its value, never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableFingerprint {
    pub name: String,
    pub fingerprint: String,
}

/// A record as it was read, with the hash of all that it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRecord {
    pub release: Release,
    /// What [`Release::sha256`] gave the version that wrote it.
    pub sha256: String,
}

impl ReleaseRecord {
    /// Reads the record at the end of a message.
    pub fn from_message(tag: &str, message: &str) -> Result<Self> {
        let start = message
            .find("\n{\n")
            .with_context(|| format!("the tag {tag} has no release record"))?;
        let record = serde_json::from_str(&message[start..])
            .with_context(|| format!("the release record of {tag} is not readable"))?;
        Self::from_value(tag, record)
    }

    /// Reads a record.
    pub fn from_value(tag: &str, record: Value) -> Result<Self> {
        let schema = record["schema"].as_str().unwrap_or_default();
        ensure!(
            schema == RELEASE_SCHEMA,
            "the record of {tag} has schema {schema:?}: it was written by another version"
        );
        let sha256 = record_sha256(&record)?;
        let release: Release = serde_json::from_value(record)
            .with_context(|| format!("the release record of {tag} is not readable"))?;
        ensure!(
            release.tag == tag,
            "the record in the tag {tag} is that of {}",
            release.tag
        );
        Ok(Self { release, sha256 })
    }
}

fn record_sha256<T: Serialize>(record: &T) -> Result<String> {
    let record = serde_json::to_vec(record).context("cannot write the release record as JSON")?;
    Ok(hex::encode(Sha256::digest(record)))
}

/// `<prefix>-YYYYMMDD-HHMMSS`.
pub fn tag_name(prefix: &str, at: DateTime<Utc>) -> String {
    format!("{prefix}-{}", at.format("%Y%m%d-%H%M%S"))
}

/// Checks the form of a tag name and gives its time.
pub fn tag_time(prefix: &str, tag: &str) -> Result<DateTime<Utc>> {
    let form = || format!("a release tag has the form {prefix}-20250131-235959, not {tag:?}");
    let stamp = tag
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .with_context(form)?;
    ensure!(stamp.len() == 15, form());
    let time = NaiveDateTime::parse_from_str(stamp, "%Y%m%d-%H%M%S").with_context(form)?;
    Ok(time.and_utc())
}

impl Release {
    /// How long a step of the operation took, in milliseconds, where the record has it; of a step that was done for several
    /// parts, the longest.
    pub fn took_ms(&self, step: Step) -> Option<u64> {
        let timings = self.timings_ms.iter();
        let of_step = timings.filter(|(name, _)| Step::named(name) == Some(step));
        of_step.map(|(_, ms)| *ms).max()
    }

    /// The tag's message: a line for people, then the record.
    pub fn message(&self) -> Result<String> {
        self.message_with(self)
    }

    /// The message with the record as another version wrote it.
    pub fn message_with(&self, record: &impl Serialize) -> Result<String> {
        let what = match &self.restores {
            Some(restored) => format!("Rollback to {restored}"),
            None => format!("Release of {}", start(&self.commit, 12)),
        };
        let why = self
            .reason
            .as_deref()
            .map(|reason| format!("\n\nReason: {}", one_line(reason)))
            .unwrap_or_default();
        let record =
            serde_json::to_string_pretty(record).context("cannot write the release record as JSON")?;
        Ok(format!("{what}{why}\n\n{record}\n"))
    }

    /// Reads the record back out of a tag's message.
    pub fn from_message(tag: &str, message: &str) -> Result<Self> {
        Ok(ReleaseRecord::from_message(tag, message)?.release)
    }

    /// Hash of the record: the ledger keeps it, so a tag that was recreated with another record is refused.
    pub fn sha256(&self) -> Result<String> {
        record_sha256(self)
    }

    /// The commit in short, for people.
    pub fn short_commit(&self) -> &str {
        start(&self.commit, 9)
    }
}

/// The first bytes of a text, or all of it.
fn start(text: &str, bytes: usize) -> &str {
    text.get(..bytes).unwrap_or(text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The releases that a rollback offers: found healthy by their first check or a later one, of other code than what is live, and
/// not rolled back since; newest first. Of several releases of one commit (a rollback makes another) the newest is offered: its
/// data is the newest.
pub fn known_good(releases: &[Release], is_healthy: impl Fn(&Release) -> bool) -> Vec<&Release> {
    let Some((live, earlier)) = releases.split_last() else {
        return Vec::new();
    };
    let rolled_back: HashSet<&str> = releases
        .iter()
        .filter_map(|release| release.rollback_of.as_deref())
        .collect();
    let mut known = HashSet::from([live.commit.as_str()]);
    let candidates = earlier
        .iter()
        .rev()
        .filter(|release| is_healthy(release) && !rolled_back.contains(release.tag.as_str()));
    candidates
        .filter(|release| known.insert(&release.commit))
        .collect()
}

/// The rollback of this release.
pub fn rolled_back_by<'a>(releases: &'a [Release], tag: &str) -> Option<&'a Release> {
    releases
        .iter()
        .find(|release| release.rollback_of.as_deref() == Some(tag))
}

/// Whether a rollback restores the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "database")]
pub enum DatabaseAction {
    Keep { why: String },
    Restore { why: String },
}

/// What was asked for with `--database`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseChoice {
    /// Keep it when migrations and schema are the same in both releases, or only add; else restore it
    #[default]
    Auto,
    Restore,
    Keep,
}

/// Facts that decide about the database.
#[derive(Debug, Clone)]
pub struct SchemaFacts<'a> {
    /// Migrations that differ between the two commits and are not known to be additive; `None` where that cannot be determined.
    pub changed_migrations: Option<Vec<String>>,
    /// Those that differ and only add.
    pub additive_migrations: Vec<String>,
    /// What the live schema lacks of the one that the target left, or has otherwise; `None` where that is not known.
    pub taken_away: Option<Vec<String>>,
    pub target_schema: Option<&'a str>,
    pub live_schema: Option<&'a str>,
}

/// Keeps the database when migrations and schema fingerprint are the same in both releases, or where the migrations that differ
/// only add and the live schema has all that the target left; otherwise restore, as also when unknown.
pub fn database_action(choice: DatabaseChoice, facts: &SchemaFacts<'_>) -> DatabaseAction {
    let restore = |why: String| DatabaseAction::Restore { why };
    match choice {
        DatabaseChoice::Restore => return restore("asked for with --database restore".into()),
        DatabaseChoice::Keep => {
            return DatabaseAction::Keep {
                why: "asked for with --database keep".into(),
            };
        }
        DatabaseChoice::Auto => {}
    }
    match &facts.changed_migrations {
        None => return restore("cannot determine whether migrations differ".into()),
        Some(changed) if !changed.is_empty() => {
            return restore(format!("migrations differ: {}", changed.join(", ")));
        }
        Some(_) => {}
    }
    if !facts.additive_migrations.is_empty() {
        return additive_only(facts);
    }
    match (facts.target_schema, facts.live_schema) {
        (Some(target), Some(live)) if target == live => DatabaseAction::Keep {
            why: "migrations and schema are the same in both releases".into(),
        },
        (Some(_), Some(_)) => restore("the schema differs (collections, options or indexes)".into()),
        _ => restore("the schema of one release is unknown".into()),
    }
}

/// The migrations add; whether the data have all that the target left is asked of the schema, for what happened beside them.
fn additive_only(facts: &SchemaFacts<'_>) -> DatabaseAction {
    let migrations = facts.additive_migrations.join(", ");
    let why = match &facts.taken_away {
        Some(taken) if taken.is_empty() => {
            return DatabaseAction::Keep {
                why: format!("the migrations that differ only add: {migrations}"),
            };
        }
        Some(taken) => format!("the schema is not only larger: {}", taken.join("; ")),
        None => format!("migrations differ, and the schema before them is unknown: {migrations}"),
    };
    DatabaseAction::Restore { why }
}

#[cfg(test)]
mod tests;
