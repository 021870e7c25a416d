//! One environment of `pipeline.toml`: its platforms, database and variables.

use std::path::PathBuf;

use serde::Deserialize;

/// `[environments.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentConfig {
    /// Release tags are `<tag_prefix>-YYYYMMDD-HHMMSS`.
    pub tag_prefix: String,
    /// Whether changing this environment needs a typed confirmation or `--yes`.
    #[serde(default)]
    pub protected: bool,
    /// Why it is accepted that others than this program deploy to it, in words. Without it, a protected environment is not
    /// released to while others do.
    #[serde(default)]
    pub others_deploy: Option<String>,
    pub railway: RailwayConfig,
    pub vercel: VercelConfig,
    pub mongodb: MongodbConfig,
    /// Secrets that a deploy sets as variables on the platforms.
    #[serde(default)]
    pub variables: Vec<VariableConfig>,
}

/// The backend.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RailwayConfig {
    /// Project, environment and service ids.
    pub project: String,
    pub environment: String,
    pub service: String,
    /// Environment variable with the project token.
    pub token: String,
    /// Folder that is uploaded, relative to the root.
    pub source: PathBuf,
    /// The address that users reach.
    pub url: String,
    /// How long one deployment may take.
    #[serde(default = "default_deploy_s")]
    pub deploy_s: u64,
}

/// The frontend.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VercelConfig {
    /// Team id (`team_…`): the CLI ignores `VERCEL_ORG_ID` for promote, rollback and inspect.
    pub org: String,
    pub project: String,
    /// Environment variable with the token.
    pub token: String,
    /// Folder of the frontend, relative to the root.
    pub source: PathBuf,
    /// The production domain, as Vercel knows it.
    pub domain: String,
    /// The address that users reach; `https://<domain>` unless set.
    pub url: Option<String>,
    /// The address of a staged deployment, with `{host}` for its host name.
    #[serde(default = "default_staged_url")]
    pub staged_url: String,
    /// Environment variable with the protection bypass secret for staged deployments.
    pub protection_bypass: Option<String>,
    /// Environment variables with secrets that a build needs, as tokens of package registries: nothing else gets them.
    #[serde(default)]
    pub build_env: Vec<String>,
    /// How long one deployment may take.
    #[serde(default = "default_deploy_s")]
    pub deploy_s: u64,
}

impl VercelConfig {
    /// The address that users reach.
    pub fn public_url(&self) -> String {
        self.url
            .clone()
            .unwrap_or_else(|| format!("https://{}", self.domain))
    }

    /// The address of a staged deployment.
    pub fn staged_url(&self, host: &str) -> String {
        self.staged_url.replace("{host}", host)
    }
}

/// The database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MongodbConfig {
    /// Environment variable with the connection string.
    pub uri: String,
    /// The one database that is backed up and restored.
    pub database: String,
}

/// One variable on the platforms whose value is a secret of ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableConfig {
    /// Environment variable that holds the value here.
    pub secret: String,
    /// Its name on Railway, where the backend needs it.
    pub railway: Option<String>,
    /// Its name on Vercel, where the frontend needs it.
    pub vercel: Option<String>,
}

/// Longer than a redeployment may take by its budget: one that misses it is reported, and still waited for.
fn default_deploy_s() -> u64 {
    600
}

fn default_staged_url() -> String {
    "https://{host}".into()
}
