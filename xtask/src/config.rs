//! `infrastructure/pipeline.toml`: read strictly. An unknown key or a wrong type is an error with line and column.
//!
//! Secrets are never here: the file names environment variables.

mod environment;
mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

pub use environment::{Environment, Mongodb, Railway, Variable, Vercel};

/// The largest configuration that is read.
const LIMIT_BYTES: usize = 1 << 20;

/// All of `pipeline.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Always `pipeline/1`.
    pub schema: Schema,
    /// Used where the command names no `--env`.
    pub default_environment: String,
    /// Folder for local state, relative to the root of the repository.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    #[serde(default)]
    pub git: Git,
    #[serde(default)]
    pub ci: Ci,
    pub github: Option<Github>,
    #[serde(default)]
    pub backup: Backup,
    #[serde(default)]
    pub restore: Restore,
    #[serde(default)]
    pub migrations: Migrations,
    #[serde(default)]
    pub deploy: Deploy,
    #[serde(default)]
    pub approval: Approval,
    #[serde(default)]
    pub notify: Notify,
    #[serde(default)]
    pub budgets: Budgets,
    /// The product's own test suites, by name.
    #[serde(default)]
    pub tests: BTreeMap<String, Suite>,
    pub environments: BTreeMap<String, Environment>,
}

/// The one version of the file's schema that this program reads.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum Schema {
    #[serde(rename = "pipeline/1")]
    V1,
}

/// One test suite: program and arguments, no shell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Folder it runs in, relative to the root.
    pub dir: PathBuf,
    pub command: Vec<String>,
    #[serde(default = "default_suite_s")]
    pub deadline_s: u64,
}

fn default_suite_s() -> u64 {
    1_800
}

/// Where releases and the ledger are recorded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Git {
    /// Name of the remote that tags and the ledger are pushed to.
    pub remote: String,
    /// Branch that releases come from; a commit that is not on it is not deployed.
    pub branch: String,
    /// Whether the commit's checks on GitHub must have passed before it is deployed.
    pub require_ci: bool,
}

impl Default for Git {
    fn default() -> Self {
        Self {
            remote: "origin".into(),
            branch: "main".into(),
            require_ci: true,
        }
    }
}

/// Which checks of a commit must have passed before it is released (with `git.require_ci`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ci {
    /// Names of the check runs and commit statuses that count; empty: all that ran for the commit.
    pub required: Vec<String>,
    /// How long a deploy waits for checks that are pending.
    pub wait_s: u64,
}

impl Default for Ci {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            wait_s: 1_200,
        }
    }
}

/// The repository on GitHub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// `owner/name`.
    pub repository: String,
}

/// How backups are written and where they are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// Public keys (`age1…`, `ssh-ed25519 …`, `ssh-rsa …`) that backups are encrypted to; empty: not encrypted.
    pub recipients: Vec<String>,
    /// Environment variable that holds the age identity for reading encrypted backups.
    pub identity: Option<String>,
    /// Days a backup is kept.
    pub retention_days: u32,
    /// Whether the dump includes the oplog, and so is one point in time.
    pub oplog: Oplog,
    pub places: Vec<Place>,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            identity: None,
            retention_days: 90,
            oplog: Oplog::Auto,
            places: vec![Place::Directory {
                path: "backups".into(),
                required: true,
            }],
        }
    }
}

/// `backup.oplog`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oplog {
    /// With the oplog where the deployment allows it.
    Auto,
    /// An error where the deployment does not allow it.
    Require,
    Never,
}

/// A place where backups are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// A folder: absolute, or relative to the root of the repository.
    Directory {
        path: PathBuf,
        #[serde(default)]
        required: bool,
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
}

/// What happens around a restore.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restore {
    /// `restore --forget` refuses while the old collections are younger.
    pub keep_old_hours: u32,
    /// Command lines that stop writers before the swap and let them go after it.
    pub quiesce: Option<Quiesce>,
}

impl Default for Restore {
    fn default() -> Self {
        Self {
            keep_old_hours: 72,
            quiesce: None,
        }
    }
}

/// Hooks around the swap: program and arguments, no shell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiesce {
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub deadline_s: u64,
}

/// What counts as a migration of the database.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Migrations {
    /// Folders or files, relative to the root; a difference below them makes a rollback restore the database.
    pub paths: Vec<String>,
}

/// How a deploy behaves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deploy {
    /// What happens when health fails after promotion.
    pub on_unhealthy: OnUnhealthy,
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            on_unhealthy: OnUnhealthy::Stop,
        }
    }
}

/// `deploy.on_unhealthy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnhealthy {
    /// Stop and print the rollback command.
    Stop,
    /// Roll back at once.
    Rollback,
}

/// Who must approve a release.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    pub method: ApprovalMethod,
    /// Distinct people other than the author.
    pub required: u32,
    /// An approval, and the backup it approved, count for this long.
    pub max_age_hours: u32,
    /// GitHub environments whose reviewers approve, one after the other.
    pub environments: Vec<String>,
    /// Logins of the reviewers of an environment, as `setup` sets them; left alone where none are named.
    pub reviewers: BTreeMap<String, Vec<String>>,
}

impl Default for Approval {
    fn default() -> Self {
        Self {
            method: ApprovalMethod::Github,
            required: 2,
            max_age_hours: 24,
            environments: vec!["production-approval-1".into(), "production-approval-2".into()],
            reviewers: BTreeMap::new(),
        }
    }
}

/// `approval.method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalMethod {
    /// Reviewers of GitHub environments.
    Github,
    /// Signed git tags bound to the plan's hash, checked against `infrastructure/approvers`.
    SignedTag,
}

/// Who is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// Environment variable with the URL of a Slack incoming webhook.
    pub slack: Option<String>,
    pub email: Option<Email>,
}

/// Mail by SMTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// Host name of the mail server.
    pub server: String,
    pub port: Option<u16>,
    #[serde(default)]
    pub security: MailSecurity,
    pub from: String,
    pub to: Vec<String>,
    /// Environment variables with the name and the password for logging in.
    pub user: Option<String>,
    pub password: Option<String>,
}

/// `notify.email.security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// Upgraded before anything is said, refused where the server cannot.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
    /// In the clear: only to this machine.
    None,
}

/// Time budgets in seconds; the mission's, unless set lower.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budgets {
    pub backup_s: u64,
    pub restore_s: u64,
    pub redeploy_s: u64,
    pub total_s: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            backup_s: 180,
            restore_s: 300,
            redeploy_s: 420,
            total_s: 900,
        }
    }
}

impl Config {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let bytes = crate::exec::read_bounded(file, LIMIT_BYTES)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
        error::parse(path, &text)
    }
}

fn default_state_dir() -> PathBuf {
    ".xtask".into()
}

fn default_azure_connection() -> String {
    "AZURE_STORAGE_CONNECTION_STRING".into()
}

/// Parses any of our strict TOML files; the error names file, line, column and the key that was probably meant.
pub use error::parse as parse_toml;
pub use error::{hint, mistakes};

#[cfg(test)]
mod tests;
