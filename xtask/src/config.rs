//! `infrastructure/pipeline.toml`: read strictly. An unknown key or a wrong type is an error with line and column.
//!
//! Secrets are never here: the file names environment variables.

mod atlas;
mod data;
mod environment;
mod error;
mod incremental;
mod mask;
mod notify;
mod release;
mod storage;
mod suite;
mod values;
pub mod version;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use environment::{Lists, OneOfEach};

pub use atlas::{AtlasConfig, Engine};
pub use data::{
    AfterConfig, BackupConfig, MigrationsConfig, Oplog, QuiesceConfig, RestoreConfig, RollbackConfig,
    Unencrypted,
};
pub use environment::{
    AdapterConfig, BackendConfig, BackendPlatform, EnvironmentConfig, ExternalConfig, FrontendConfig,
    FrontendPlatform, MongodbConfig, PartPlace, RailwayConfig, UploadFrom, VariableConfig, VercelConfig, Via,
};
pub use incremental::IncrementalAbove;
pub use mask::{FixedValue, MaskRule};
pub use notify::{EmailConfig, MailSecurity, NotifyConfig};
pub use release::{
    ApprovalConfig, ApprovalMethod, BudgetsConfig, CiConfig, DeployConfig, GitConfig, GithubConfig,
    OnUnhealthy, WorkflowsConfig,
};
pub use storage::{ObjectLock, ObjectLockMode, RcloneConfig, S3Config, StorageConfig};
pub use suite::{ServiceConfig, TestSuiteConfig};

/// The largest configuration that is read.
const LIMIT_BYTES: usize = 1 << 20;

/// All of `pipeline.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config<E = EnvironmentConfig> {
    /// Which form the environments have in the file.
    pub schema: Schema,
    /// The version of this program that the file is meant for, as `0.1`. Another one deploys nothing.
    pub version: Option<String>,
    /// Keys of a file of another version that this program does not know and passed over.
    #[serde(skip)]
    pub unknown_keys: Vec<String>,
    /// Used where the command names no `--env`.
    pub default_environment: String,
    /// Folder for local state, relative to the root of the repository.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    #[serde(default)]
    pub git: GitConfig,
    #[serde(default)]
    pub ci: CiConfig,
    pub github: Option<GithubConfig>,
    #[serde(default)]
    pub backup: BackupConfig,
    #[serde(default)]
    pub restore: RestoreConfig,
    #[serde(default)]
    pub rollback: RollbackConfig,
    /// What becomes of fields where a backup is copied into another environment: `collection.path.to.field`.
    #[serde(default)]
    pub mask: BTreeMap<String, MaskRule>,
    #[serde(default)]
    pub migrations: MigrationsConfig,
    #[serde(default)]
    pub deploy: DeployConfig,
    #[serde(default)]
    pub approval: ApprovalConfig,
    #[serde(default)]
    pub notify: NotifyConfig,
    #[serde(default)]
    pub workflows: WorkflowsConfig,
    #[serde(default)]
    pub budgets: BudgetsConfig,
    /// The product's own test suites, by name.
    #[serde(default)]
    pub tests: BTreeMap<String, TestSuiteConfig>,
    pub environments: BTreeMap<String, E>,
}

/// The versions of the file's schema that this program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Schema {
    /// One backend, one frontend and one database.
    #[serde(rename = "pipeline/1")]
    V1,
    /// Lists of backends and frontends.
    #[serde(rename = "pipeline/2")]
    V2,
}

/// What decides how the rest is read.
#[derive(Debug, Deserialize)]
struct Head {
    schema: Schema,
}

impl<E: Into<EnvironmentConfig>> Config<E> {
    /// The one form that everything else works with.
    fn resolved(self) -> Config {
        let environments = self.environments.into_iter();
        Config {
            schema: self.schema,
            version: self.version,
            unknown_keys: self.unknown_keys,
            default_environment: self.default_environment,
            state_dir: self.state_dir,
            git: self.git,
            ci: self.ci,
            github: self.github,
            backup: self.backup,
            restore: self.restore,
            rollback: self.rollback,
            migrations: self.migrations,
            deploy: self.deploy,
            approval: self.approval,
            notify: self.notify,
            workflows: self.workflows,
            budgets: self.budgets,
            tests: self.tests,
            mask: self.mask,
            environments: environments
                .map(|(name, environment)| (name, environment.into()))
                .collect(),
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
        Self::parse(path, &text)
    }

    /// Checks the text of such a file, each value too.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let (config, text) = match Self::parse_keys(path, text) {
            Ok(config) => (config, Cow::Borrowed(text)),
            Err(error) => {
                let (text, unknown_keys) = version::without_unknown_keys(text).ok_or(error)?;
                let config = Self::parse_keys(path, &text)?;
                let config = Self {
                    unknown_keys,
                    ..config
                };
                (config, Cow::Owned(text))
            }
        };
        let found = values::mistakes(&config, &text);
        if found.is_empty() {
            Ok(config)
        } else {
            Err(mistakes(path, &text, found))
        }
    }

    /// Reads the text of a file that may have marks still to be filled in, and checks no values.
    pub fn draft(text: &str) -> Option<Self> {
        Self::from_toml(text).ok()
    }

    /// Checks keys and types, and no values.
    fn parse_keys(path: &Path, text: &str) -> Result<Self> {
        error::parse_with(path, text, Self::from_toml)
    }

    /// The file in the form that its schema has.
    fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        let head: Head = toml::from_str(text)?;
        match head.schema {
            Schema::V1 => toml::from_str::<Config<OneOfEach>>(text).map(Config::resolved),
            Schema::V2 => toml::from_str::<Config<Lists>>(text).map(Config::resolved),
        }
    }
}

impl Config {
    /// Environment variables that must hold a secret for this environment. The health checks may need more.
    pub fn secret_names(&self, environment: &EnvironmentConfig) -> Vec<String> {
        let mut names: Vec<String> = environment.tokens().into_iter().map(str::to_owned).collect();
        names.extend(environment.mongodb.iter().map(|mongodb| mongodb.uri.clone()));
        names.extend(environment.atlas.iter().flat_map(AtlasConfig::secret_names));
        let variables = environment.variables.iter();
        names.extend(variables.map(|variable| variable.secret.clone()));
        names.extend(self.backup.identity.clone());
        names.extend(self.backup.storage.iter().flat_map(StorageConfig::secret_names));
        names.extend(
            environment
                .adapters()
                .flat_map(|(.., adapter)| adapter.env.clone()),
        );
        let after = self.restore.after.iter().chain(&self.rollback.after);
        names.extend(after.flat_map(|command| command.env.clone()));
        for project in environment.frontends.iter().filter_map(FrontendConfig::vercel) {
            names.extend(project.protection_bypass.clone());
            names.extend(project.build_env.clone());
        }
        names
    }

    /// What keeps the data of an environment: where no cluster of Atlas is named, a backup.
    pub const fn engine(&self, environment: &EnvironmentConfig) -> Engine {
        match environment.atlas {
            Some(_) => self.backup.engine,
            None => Engine::Archive,
        }
    }

    /// Environment variables with secrets that a release can do without: those of notifications and of drills.
    pub fn optional_secret_names(&self) -> Vec<String> {
        let mut names = self.notify.secret_names();
        names.extend(self.backup.drill_uri.clone());
        names
    }
}

fn default_state_dir() -> PathBuf {
    ".xtask".into()
}

/// Parses any of our strict TOML files; the error names file, line, column and the key that was probably meant.
pub use error::parse as parse_toml;
pub use error::{BLANK, hint, mistakes, quoted_key};
pub use values::{is_action, is_variable};

#[cfg(test)]
mod tests;
