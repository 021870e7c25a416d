//! `[[backup.places]]`: the storages that keep backups.

use std::path::PathBuf;

use serde::Deserialize;

/// A storage for backups.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StorageConfig {
    /// A folder: absolute, or relative to the root of the repository.
    Directory {
        path: PathBuf,
        #[serde(default)]
        required: bool,
        /// Whether the folder is kept by another machine, and so outlives this one: a network file system.
        #[serde(default)]
        off_machine: bool,
    },
    /// Assets of a release in the GitHub repository, or artifacts of the workflow run.
    Github {
        #[serde(default)]
        required: bool,
    },
    /// Azure Blob Storage, through `az`.
    Azure {
        container: String,
        #[serde(default)]
        prefix: String,
        /// Environment variable with the connection string.
        #[serde(default = "default_azure_connection")]
        connection: String,
        #[serde(default)]
        required: bool,
    },
    /// A bucket of AWS S3 or of a service that speaks its protocol, through `rclone`.
    S3(S3Config),
    /// Whatever else `rclone` reaches.
    Rclone(RcloneConfig),
}

/// `kind = "s3"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    pub bucket: String,
    #[serde(default)]
    pub prefix: String,
    /// Address of the service; that of AWS where there is none.
    pub endpoint: Option<String>,
    pub region: String,
    /// rclone's name of the service, where it treats it in its own way: `Cloudflare`, `Minio`, `Ceph`…
    pub provider: Option<String>,
    /// Whether the bucket is in the path of an address and not in its host name; rclone's choice where it is not given.
    pub path_style: Option<bool>,
    /// Environment variable with the id of the key.
    #[serde(default = "default_access_key")]
    pub access_key: String,
    /// Environment variable with the key.
    #[serde(default = "default_secret_key")]
    pub secret_key: String,
    /// Environment variable with the token of credentials that end by themselves; it need not be set.
    #[serde(default = "default_session_token")]
    pub session_token: String,
    pub object_lock: Option<ObjectLock>,
    #[serde(default)]
    pub required: bool,
}

/// For how long nobody may delete what was uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    pub mode: ObjectLockMode,
    pub days: u32,
}

/// `object_lock.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectLockMode {
    /// Who has a separate right may delete all the same.
    Governance,
    /// Nobody may, the owner of the account neither.
    Compliance,
}

impl ObjectLockMode {
    /// As S3 writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// `kind = "rclone"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RcloneConfig {
    /// Name of the remote in the configuration.
    pub remote: String,
    /// Folder of the remote.
    #[serde(default)]
    pub path: String,
    /// Environment variable with the text of an `rclone.conf`; the user's own file where there is none.
    pub config: Option<String>,
    /// Whether the remote outlives this machine. A remote may be a folder of this machine too, so it has to be written.
    #[serde(default)]
    pub off_machine: bool,
    #[serde(default)]
    pub required: bool,
}

impl StorageConfig {
    /// Environment variables that must hold a secret.
    pub fn secret_names(&self) -> Vec<String> {
        match self {
            Self::Directory { .. } | Self::Github { .. } => Vec::new(),
            Self::Azure { connection, .. } => vec![connection.clone()],
            Self::S3(s3) => vec![s3.access_key.clone(), s3.secret_key.clone()],
            Self::Rclone(rclone) => rclone.config.iter().cloned().collect(),
        }
    }

    /// The program that it is reached by, beside those that every release needs.
    pub const fn program(&self) -> Option<&'static str> {
        match self {
            Self::Directory { .. } | Self::Github { .. } => None,
            Self::Azure { .. } => Some("az"),
            Self::S3(_) | Self::Rclone(_) => Some("rclone"),
        }
    }
}

fn default_azure_connection() -> String {
    "AZURE_STORAGE_CONNECTION_STRING".into()
}

fn default_access_key() -> String {
    "AWS_ACCESS_KEY_ID".into()
}

fn default_secret_key() -> String {
    "AWS_SECRET_ACCESS_KEY".into()
}

fn default_session_token() -> String {
    "AWS_SESSION_TOKEN".into()
}
