//! Tables about data: `[backup]`, `[restore]`, `[rollback]`, `[migrations]`.

use serde::Deserialize;

use super::{Engine, IncrementalAbove, StorageConfig};

/// How backups are written and where they are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// Public keys (`age1…`, `ssh-ed25519 …`, `ssh-rsa …`) that backups are encrypted to; empty: the public side of
    /// `identity`, and without that one not encrypted.
    pub recipients: Vec<String>,
    /// Environment variable that holds the age identity for reading encrypted backups.
    pub identity: Option<String>,
    /// Environment variable with the connection string of a server for drills; one is started where a drill runs unless given.
    pub drill_uri: Option<String>,
    /// What becomes of a backup that is not encrypted where others than the machine's user can read it.
    pub unencrypted: Unencrypted,
    /// Days a backup is kept.
    pub retention_days: u32,
    /// Whether a backup is of one point in time: by the oplog in the dump of all databases, by a change stream for one.
    pub oplog: Oplog,
    /// From which size of the database on a backup holds only what changed since the last full one.
    pub incremental_above: IncrementalAbove,
    /// What keeps the data before a release.
    pub engine: Engine,
    #[serde(rename = "places")]
    pub storage: Vec<StorageConfig>,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            identity: None,
            drill_uri: None,
            unencrypted: Unencrypted::Refuse,
            retention_days: 90,
            oplog: Oplog::Auto,
            incremental_above: IncrementalAbove::default(),
            engine: Engine::default(),
            storage: vec![StorageConfig::Directory {
                path: "backups".into(),
                required: true,
                off_machine: false,
            }],
        }
    }
}

/// `backup.unencrypted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unencrypted {
    /// None is made where GitHub keeps it as an artifact, or a storage off this machine has a copy.
    Refuse,
    /// Everybody who can read the storage can read the data.
    LetOthersReadThem,
}

/// `backup.oplog`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oplog {
    /// Where the deployment allows it.
    Auto,
    /// An error where the deployment does not allow it.
    Require,
    Never,
}

/// What happens around a restore.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreConfig {
    /// `restore --forget` refuses while the old collections are younger.
    pub keep_old_hours: u32,
    /// Command lines that stop writers before the swap and let them go after it.
    pub quiesce: Option<QuiesceConfig>,
    /// What is done after data were restored, also within a rollback.
    pub after: Vec<AfterConfig>,
    /// Environment variable with the secret that masked values are hashed with.
    pub mask_key: Option<String>,
    /// Whether each backup gets hashes that no other has.
    pub mask_per_backup: bool,
}

impl Default for RestoreConfig {
    fn default() -> Self {
        Self {
            keep_old_hours: 72,
            quiesce: None,
            after: Vec::new(),
            mask_key: None,
            mask_per_backup: true,
        }
    }
}

/// What happens around a rollback.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackConfig {
    /// What is done when code and data are those of the target.
    pub after: Vec<AfterConfig>,
}

/// A command that is run afterwards: program and arguments, no shell. It may run twice: a machine may be lost before its end is
/// recorded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfterConfig {
    /// Its name in plans, steps and messages.
    pub name: String,
    pub command: Vec<String>,
    /// Environment variables with secrets that it needs.
    #[serde(default)]
    pub env: Vec<String>,
    pub deadline_s: u64,
}

/// Hooks around the swap: program and arguments, no shell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuiesceConfig {
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub deadline_s: u64,
}

/// What counts as a migration of the database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MigrationsConfig {
    /// Folders or files, relative to the root; a difference below them makes a rollback restore the database.
    pub paths: Vec<String>,
    /// Collections in which a migration program records what it applied.
    pub records: Vec<String>,
}

impl Default for MigrationsConfig {
    fn default() -> Self {
        // Of migrate-mongo, of migrate and mongo-migrate-ts, of programs of one's own.
        let records = ["changelog", "migrations", "migrations_changelog", "_migrations"];
        Self {
            paths: Vec::new(),
            records: records.map(str::to_owned).into(),
        }
    }
}
