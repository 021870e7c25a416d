//! What is known about a backup: `manifest.json` inside it, `backup-metadata.json` beside it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::content_digest::ContentDigest;
use super::release::BackupRef;

/// Schema of `manifest.json`, the last member of the tar.
pub const MANIFEST_SCHEMA: &str = "backup-manifest/1";
/// Schema of `backup-metadata.json`.
pub const METADATA_SCHEMA: &str = "backup-metadata/1";
/// The oplog as archives name it: a collection without a database.
pub const OPLOG_COLLECTION: &str = "oplog";
/// Name of the metadata file beside a backup.
pub const METADATA_FILE: &str = "backup-metadata.json";

/// `mongodb-backup-<id>.tar.gz`, with `.age` when encrypted.
pub fn backup_file_name(id: &str, encrypted: bool) -> String {
    format!(
        "mongodb-backup-{id}.tar.gz{}",
        if encrypted { ".age" } else { "" }
    )
}

/// `YYYYMMDD-HHMMSS`: it becomes part of file names, so nothing else is accepted.
pub fn check_backup_id(id: &str) -> Result<()> {
    let shape = id
        .bytes()
        .enumerate()
        .all(|(at, b)| if at == 8 { b == b'-' } else { b.is_ascii_digit() });
    ensure!(
        id.len() == 15 && shape,
        "a backup id has the form 20250131-235959, not {id:?}"
    );
    Ok(())
}

/// What the archive inside a backup holds. Written before the file is complete, so it cannot know the file's hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub schema: String,
    /// Backup id.
    pub id: String,
    pub created: DateTime<Utc>,
    /// Versions as the archive's header states them.
    pub server_version: String,
    pub tool_version: String,
    /// Length of the archive stream, all chunks together.
    pub archive_bytes: u64,
    /// Size of every chunk but the last.
    #[serde(rename = "piece_bytes")]
    pub chunk_bytes: u64,
    #[serde(rename = "pieces")]
    pub chunks: u64,
    /// The full backup that a differential one builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BackupRef>,
    pub namespaces: Vec<NamespaceRecord>,
}

/// One collection, view or time-series collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceRecord {
    /// Empty for the oplog.
    pub database: String,
    pub collection: String,
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    pub documents: u64,
    /// Bytes of the raw documents.
    pub bytes: u64,
    /// CRC-64/XZ over the documents in archive order, 16 hexadecimal digits.
    pub crc: String,
    pub content_digest: ContentDigest,
    /// Collection options as mongodump wrote them (canonical extended JSON).
    pub options: Value,
    /// Indexes as mongodump wrote them (canonical extended JSON).
    pub indexes: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl NamespaceRecord {
    /// `database.collection`, as people and mongodump write it.
    pub fn name(&self) -> String {
        namespace_name(&self.database, &self.collection)
    }
}

/// `database.collection`; the oplog has no database.
pub fn namespace_name(database: &str, collection: &str) -> String {
    if database.is_empty() {
        collection.to_owned()
    } else {
        format!("{database}.{collection}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    Collection,
    View,
    Timeseries,
}

/// Everything known about a backup, also what only came to be known after the file was complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupMetadata {
    pub schema: String,
    pub id: String,
    /// When the dump began.
    pub timestamp: DateTime<Utc>,
    /// Environment of pipeline.toml whose database this is: two environments may use one name for their database.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// Hosts of the connection string that it was taken from, without user and password.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// What it was taken for: by hand, before which release, before which restore.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// Name of the backup file.
    pub file: String,
    /// Size in bytes of the file as stored.
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// SHA-256 of the file as stored, 64 hexadecimal digits.
    pub hash: String,
    pub encrypted: bool,
    /// Public keys (age or ssh) that the file was encrypted to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    #[serde(default)]
    pub kind: BackupKind,
    /// Why it is of this kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind_reason: String,
    /// The full backup that a differential one builds on, and is not readable without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BackupRef>,
    pub server_version: String,
    pub tool_version: String,
    pub consistency: Consistency,
    /// Where a change stream begins that has all which was written since the dump began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_start: Option<ChangeStart>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub no_change_start: String,
    pub archive_bytes: u64,
    pub documents: u64,
    pub namespaces: Vec<NamespaceRecord>,
    /// Search indexes of Atlas by collection, as the server listed them: no dump has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub search_indexes: BTreeMap<String, Vec<Value>>,
    /// Last successful check of the whole file; a backup without one does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<DateTime<Utc>>,
    #[serde(default)]
    pub storage: Vec<StoredCopy>,
    /// What went wrong without making the backup worthless (an optional upload, a collection dropped meanwhile).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// SHA-256 of this file's text with these 64 digits as zeros: a damaged record must not lead to a wrong backup.
    #[serde(default = "unset_checksum")]
    checksum: String,
}

/// Whether the file holds the whole archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// All of it.
    #[default]
    Full,
    /// What it has that its base, a full backup, has not.
    Differential,
}

/// A moment of a server, and the proof that what is read of its change stream begins there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeStart {
    /// Operation time of the server: seconds, and the number within the second.
    pub time: u32,
    pub increment: u32,
    /// `_id` of a document that was inserted just after it. A server may begin later than it is asked to, without a word: a stream
    /// that has the event of this document has everything that came after it.
    pub mark: String,
    /// The moment that all documents are as of, where there is one and it was read from the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<ServerTime>,
}

/// An operation time of a server. They are ordered as the operations were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTime {
    /// Seconds since 1970.
    pub time: u32,
    /// The number within the second.
    pub increment: u32,
}

/// Which moment the data belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    pub kind: ConsistencyKind,
    /// Why it is this kind.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsistencyKind {
    /// All collections as of one moment (the oplog is in the archive).
    PointInTime,
    /// Each collection as it was read, one after the other.
    PerCollection,
}

/// One copy of the file, and its storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredCopy {
    /// `kind` of the storage in pipeline.toml: `directory`, `github`, `azure`, `s3` or `rclone`.
    pub kind: String,
    /// Path, artifact or blob: what `backup fetch` needs to find it.
    pub location: String,
    /// When this storage will or may delete it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
    /// Whether size and digest were read back after the upload.
    pub verified: bool,
}

fn unset_checksum() -> String {
    "0".repeat(64)
}

impl BackupMetadata {
    /// Metadata of a backup just taken, from its manifest and the facts about the file.
    pub fn new(manifest: &Manifest, file: StoredFile, consistency: Consistency) -> Self {
        Self {
            schema: METADATA_SCHEMA.to_owned(),
            id: manifest.id.clone(),
            timestamp: manifest.created,
            environment: String::new(),
            host: String::new(),
            purpose: String::new(),
            file: backup_file_name(&manifest.id, file.encrypted),
            size_bytes: file.size_bytes,
            hash: file.sha256,
            encrypted: file.encrypted,
            recipients: file.recipients,
            kind: if manifest.base.is_some() {
                BackupKind::Differential
            } else {
                BackupKind::Full
            },
            kind_reason: String::new(),
            base: manifest.base.clone(),
            server_version: manifest.server_version.clone(),
            tool_version: manifest.tool_version.clone(),
            consistency,
            change_start: None,
            no_change_start: String::new(),
            archive_bytes: manifest.archive_bytes,
            documents: manifest.namespaces.iter().map(|n| n.documents).sum(),
            namespaces: manifest.namespaces.clone(),
            search_indexes: BTreeMap::new(),
            verified: None,
            storage: Vec::new(),
            warnings: Vec::new(),
            checksum: unset_checksum(),
        }
    }

    /// What a record has of the backup.
    pub fn reference(&self) -> BackupRef {
        BackupRef {
            id: self.id.clone(),
            hash: self.hash.clone(),
        }
    }

    /// The text of `backup-metadata.json`, with its checksum.
    pub fn to_text(&self) -> Result<String> {
        let blank = Self {
            checksum: unset_checksum(),
            ..self.clone()
        };
        let text =
            serde_json::to_string_pretty(&blank).context("cannot write backup metadata as JSON")? + "\n";
        let sum = hex::encode(Sha256::digest(text.as_bytes()));
        with_checksum(&text, &unset_checksum(), &sum)
    }

    /// The same with the checksum that its text has.
    pub fn sealed(&self) -> Result<Self> {
        Self::from_text(&self.to_text()?)
    }

    /// Reads `backup-metadata.json`; refuses a text that differs in any byte from what was written.
    pub fn from_text(text: &str) -> Result<Self> {
        let read: Self = serde_json::from_str(text).context("backup metadata is not readable")?;
        ensure!(
            read.schema == METADATA_SCHEMA,
            "backup metadata has schema {:?}, not {METADATA_SCHEMA}",
            read.schema
        );
        let blank = with_checksum(text, &read.checksum, &unset_checksum())?;
        ensure!(
            hex::encode(Sha256::digest(blank.as_bytes())) == read.checksum,
            "backup metadata was changed or damaged after it was written: its checksum does not match"
        );
        check_backup_id(&read.id)?;
        ensure!(
            read.file == backup_file_name(&read.id, read.encrypted),
            "backup metadata names a wrong file: {:?}",
            read.file
        );
        ensure!(
            (read.kind == BackupKind::Differential) == read.base.is_some(),
            "backup metadata of kind {:?} does not fit its base {:?}",
            read.kind,
            read.base
        );
        Ok(read)
    }
}

/// What is known of a file once it is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub size_bytes: u64,
    /// SHA-256 of the file as stored, in hexadecimal.
    pub sha256: String,
    pub encrypted: bool,
    pub recipients: Vec<String>,
}

fn with_checksum(text: &str, from: &str, to: &str) -> Result<String> {
    let field = |sum: &str| format!("\"checksum\": \"{sum}\"");
    // The last field of the object: a collection option that looks like it comes earlier.
    let Some(at) = text.rfind(&field(from)) else {
        bail!("backup metadata has no checksum where it belongs")
    };
    Ok(format!(
        "{}{}{}",
        &text[..at],
        field(to),
        &text[at + field(from).len()..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> BackupMetadata {
        let namespace = NamespaceRecord {
            database: "app".into(),
            collection: "users".into(),
            kind: NamespaceKind::Collection,
            documents: 2,
            bytes: 64,
            crc: "995dc9bbdf1939fa".into(),
            content_digest: ContentDigest::of(b"x"),
            options: serde_json::json!({ "checksum": "0".repeat(64) }),
            indexes: vec![serde_json::json!({ "v": 2, "key": { "b": 1, "a": 1 }, "name": "b_1_a_1" })],
            uuid: None,
        };
        let manifest = Manifest {
            schema: MANIFEST_SCHEMA.into(),
            id: "20250131-235959".into(),
            created: "2025-01-31T23:59:59Z".parse().unwrap(),
            server_version: "8.0.0".into(),
            tool_version: "100.12.2".into(),
            archive_bytes: 100,
            chunk_bytes: 4096,
            chunks: 1,
            base: None,
            namespaces: vec![namespace],
        };
        let file = StoredFile {
            size_bytes: 9,
            sha256: hex::encode([7; 32]),
            encrypted: true,
            recipients: vec!["age1x".into()],
        };
        let reason = "the server has no oplog".into();
        BackupMetadata::new(
            &manifest,
            file,
            Consistency {
                kind: ConsistencyKind::PerCollection,
                reason,
            },
        )
    }

    #[test]
    fn metadata_round_trips_and_can_be_extended() {
        let read = BackupMetadata::from_text(&metadata().to_text().unwrap()).unwrap();
        assert_eq!(read.namespaces, metadata().namespaces);
        assert_eq!(read.documents, 2);
        let extended = BackupMetadata {
            verified: Some(read.timestamp),
            ..read
        };
        let again = BackupMetadata::from_text(&extended.to_text().unwrap()).unwrap();
        assert_eq!(again.verified, extended.verified);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let text = metadata().to_text().unwrap();
        for at in 0..text.len() {
            for bit in [0x01, 0x20] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= bit;
                let found = String::from_utf8(bytes).map_or(true, |t| BackupMetadata::from_text(&t).is_err());
                assert!(found, "byte {at}");
            }
            assert!(BackupMetadata::from_text(&text[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn ids_are_dates_and_nothing_else() {
        check_backup_id("20250131-235959").unwrap();
        for bad in [
            "",
            "20250131235959",
            "20250131-23595",
            "../50131-235959",
            "20250131-2359599",
            "2025013a-235959",
        ] {
            assert!(check_backup_id(bad).is_err(), "{bad}");
        }
        assert_eq!(
            backup_file_name("20250131-235959", true),
            "mongodb-backup-20250131-235959.tar.gz.age"
        );
    }
}
