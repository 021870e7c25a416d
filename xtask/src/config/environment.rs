//! One environment of `pipeline.toml`: the parts that a release consists of, their database and variables. Each version of
//! the file's schema is read into this one form.

mod lists;
mod one_of_each;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atlas::AtlasConfig;

pub(super) use lists::{KEYS_OF_PARTS, Lists, PartPlatform};
pub(super) use one_of_each::OneOfEach;

/// `[environments.NAME]`.
#[derive(Debug, Clone)]
pub struct EnvironmentConfig {
    /// Release tags are `<tag_prefix>-YYYYMMDD-HHMMSS`.
    pub tag_prefix: String,
    /// Whether changing this environment needs a typed confirmation or `--yes`.
    pub protected: bool,
    /// Why it is accepted that others than this program deploy to it, in words. Without it, a protected environment is not
    /// released to while others do.
    pub others_deploy: Option<String>,
    /// In the order of the file.
    pub backends: Vec<BackendConfig>,
    pub frontends: Vec<FrontendConfig>,
    /// `None` where the application has no database, or one that this program leaves alone.
    pub mongodb: Option<MongodbConfig>,
    /// The cluster of the database, where it is on Atlas.
    pub atlas: Option<AtlasConfig>,
    /// Secrets that a deploy sets as variables on the platforms.
    pub variables: Vec<VariableConfig>,
    /// Systems whose state no release and no backup has.
    pub external: Vec<ExternalConfig>,
}

/// A system outside, whose state a rollback does not roll back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalConfig {
    pub name: String,
    /// What a rollback means for it, in words: who confirms the rollback confirms this too.
    pub on_rollback: String,
}

/// A part that users see change as soon as it is uploaded: a service on Railway, or what a team's own programs deploy.
#[derive(Debug, Clone)]
pub struct BackendConfig {
    /// Its name in plans, records, journals and messages.
    pub name: String,
    pub platform: BackendPlatform,
    /// Where it stands in the file.
    pub listed: PartPlace,
    /// Its folder, relative to the root.
    pub folder: PathBuf,
    pub upload: UploadFrom,
    /// The address that users reach; a worker has none.
    pub url: Option<String>,
    /// Backends that serve before this one is uploaded.
    pub after: Vec<String>,
    /// Folders beside its own that it is built from.
    pub shares: Vec<PathBuf>,
    /// How long one deployment may take.
    pub deploy_s: u64,
}

/// Where a backend runs.
#[derive(Debug, Clone)]
pub enum BackendPlatform {
    Railway(RailwayConfig),
    /// Elsewhere: programs of the team deploy it.
    Command(AdapterConfig),
}

/// A service on Railway.
#[derive(Debug, Clone, Default)]
pub struct RailwayConfig {
    /// Project, environment and service ids.
    pub project: String,
    pub environment: String,
    pub service: String,
    /// Environment variable with the project token.
    pub token: String,
}

/// The programs of an adapter, each with its arguments; no shell.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// What serves, and which deployments there are.
    pub current: Vec<String>,
    /// Starts a deployment of a folder: it is live as soon as it is up.
    #[serde(default)]
    pub deploy: Vec<String>,
    /// Starts an earlier deployment again.
    #[serde(default)]
    pub rollback: Vec<String>,
    /// In the place of `deploy`: makes a deployment of a folder that no user sees.
    #[serde(default)]
    pub stage: Vec<String>,
    /// In the place of `rollback`: shows users a deployment, a staged one or an earlier one.
    #[serde(default)]
    pub promote: Vec<String>,
    /// Waits for the end of a deployment.
    pub wait: Vec<String>,
    /// Environment variables with secrets that the programs need.
    #[serde(default)]
    pub env: Vec<String>,
}

/// Where a part stands in the file: the list, and its place in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartPlace {
    pub list: &'static str,
    pub at: usize,
}

/// A part that is staged before users see it: a project on Vercel, or what programs of the team stage and promote.
#[derive(Debug, Clone)]
pub struct FrontendConfig {
    /// Its name in plans, records, journals and messages.
    pub name: String,
    pub platform: FrontendPlatform,
    /// Where it stands in the file.
    pub listed: PartPlace,
    /// Its folder, relative to the root.
    pub folder: PathBuf,
    /// What the programs of the team get; the project on Vercel has a setting for it.
    pub upload: UploadFrom,
    /// Folders beside its own that it is built from.
    pub shares: Vec<PathBuf>,
    /// The address that users reach; on Vercel `https://<domain>` unless set.
    pub url: Option<String>,
    /// How long one deployment may take.
    pub deploy_s: u64,
}

/// Where a frontend is.
#[derive(Debug, Clone)]
pub enum FrontendPlatform {
    Vercel(VercelConfig),
    /// Elsewhere: programs of the team stage and promote it.
    Command(AdapterConfig),
}

/// A project on Vercel.
#[derive(Debug, Clone)]
pub struct VercelConfig {
    /// Team id (`team_…`): the CLI ignores `VERCEL_ORG_ID` for promote, rollback and inspect.
    pub org: String,
    pub project: String,
    /// Environment variable with the token.
    pub token: String,
    /// The production domain, as Vercel knows it.
    pub domain: String,
    /// The address of a staged deployment, with `{host}` for its host name.
    pub staged_url: String,
    /// Environment variable with the protection bypass secret for staged deployments.
    pub protection_bypass: Option<String>,
    /// Environment variables with secrets that a build needs, as tokens of package registries: nothing else gets them.
    pub build_env: Vec<String>,
}

impl BackendConfig {
    /// The service, where it runs on Railway.
    pub const fn railway(&self) -> Option<&RailwayConfig> {
        match &self.platform {
            BackendPlatform::Railway(railway) => Some(railway),
            BackendPlatform::Command(_) => None,
        }
    }

    /// The programs of the team, where these deploy it.
    pub const fn adapter(&self) -> Option<&AdapterConfig> {
        match &self.platform {
            BackendPlatform::Railway(_) => None,
            BackendPlatform::Command(adapter) => Some(adapter),
        }
    }

    /// Whether all of the repository is uploaded.
    pub fn is_uploaded_whole(&self) -> bool {
        self.upload == UploadFrom::Root
    }
}

impl AdapterConfig {
    /// Whether what it deploys is staged before users see it.
    pub const fn is_staged(&self) -> bool {
        !self.stage.is_empty() || !self.promote.is_empty()
    }

    /// Each program by its action, as far as this kind of part needs it.
    pub fn commands(&self) -> [(&'static str, &[String]); 4] {
        let [make, show] = if self.is_staged() {
            [("stage", &self.stage), ("promote", &self.promote)]
        } else {
            [("deploy", &self.deploy), ("rollback", &self.rollback)]
        };
        [("current", &self.current), make, show, ("wait", &self.wait)]
            .map(|(action, command)| (action, command.as_slice()))
    }
}

/// What is uploaded of the repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadFrom {
    /// Its folder.
    #[default]
    Folder,
    /// All of the repository: what a workspace, or a Dockerfile that copies from the root, needs.
    Root,
}

impl FrontendConfig {
    /// The project, where it is on Vercel.
    pub const fn vercel(&self) -> Option<&VercelConfig> {
        match &self.platform {
            FrontendPlatform::Vercel(vercel) => Some(vercel),
            FrontendPlatform::Command(_) => None,
        }
    }

    /// The programs of the team, where these stage and promote it.
    pub const fn adapter(&self) -> Option<&AdapterConfig> {
        match &self.platform {
            FrontendPlatform::Vercel(_) => None,
            FrontendPlatform::Command(adapter) => Some(adapter),
        }
    }

    /// The address that users reach.
    pub fn public_url(&self) -> String {
        let on_vercel = || self.vercel().map(|vercel| format!("https://{}", vercel.domain));
        self.url.clone().or_else(on_vercel).unwrap_or_default()
    }
}

impl VercelConfig {
    /// The address of a staged deployment.
    pub fn staged_url(&self, host: &str) -> String {
        self.staged_url.replace("{host}", host)
    }
}

impl EnvironmentConfig {
    /// How long one deployment of each part may take, in seconds.
    pub fn deploy_s(&self) -> impl Iterator<Item = u64> {
        let backends = self.backends.iter().map(|backend| backend.deploy_s);
        backends.chain(self.frontends.iter().map(|frontend| frontend.deploy_s))
    }

    /// The folder of each part.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let backends = self.backends.iter().map(|backend| backend.folder.as_path());
        backends.chain(self.frontends.iter().map(|frontend| frontend.folder.as_path()))
    }

    /// The programs of the team, with the name of the part that they deploy, and how long a deployment may take.
    pub fn adapters(&self) -> impl Iterator<Item = (&str, u64, &AdapterConfig)> {
        let backends = self.backends.iter();
        let backends = backends.filter_map(|part| Some((part.name.as_str(), part.deploy_s, part.adapter()?)));
        let frontends = self.frontends.iter();
        let frontends =
            frontends.filter_map(|part| Some((part.name.as_str(), part.deploy_s, part.adapter()?)));
        backends.chain(frontends)
    }

    /// The token of each platform, once.
    pub fn tokens(&self) -> Vec<&str> {
        let services = self.backends.iter().filter_map(BackendConfig::railway);
        let tunnel = self.mongodb.iter().filter_map(MongodbConfig::tunnel);
        let own = self
            .mongodb
            .iter()
            .filter_map(|mongodb| mongodb.via_token.as_deref());
        let projects = self.frontends.iter().filter_map(FrontendConfig::vercel);
        let projects = projects.map(|project| project.token.as_str());
        let services = services.chain(tunnel).map(|service| service.token.as_str());
        let all = services.chain(projects).chain(own);
        let mut tokens: Vec<&str> = Vec::new();
        for token in all {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens
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
    /// How its server is reached from here.
    #[serde(default)]
    pub via: Via,
    /// Environment variable with the token of an account or a workspace, where the project's may not open the tunnel.
    pub via_token: Option<String>,
}

/// How the database's server is reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Via {
    #[default]
    Direct,
    /// By a tunnel to this service, which has no address outside the project's private network; its id is its name.
    RailwayTunnel(RailwayConfig),
}

impl TryFrom<String> for Via {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "direct" {
            return Ok(Self::Direct);
        }
        // The name becomes an argument of the program that opens the tunnel.
        let is_name = |name: &&str| {
            !name.is_empty()
                && *name == name.trim()
                && !name.starts_with('-')
                && !name.contains(char::is_control)
        };
        let service = text.strip_prefix("railway-tunnel:").filter(is_name);
        let service = service.ok_or("`via` is \"direct\" or \"railway-tunnel:SERVICE\"")?;
        Ok(Self::RailwayTunnel(RailwayConfig {
            service: service.to_owned(),
            ..RailwayConfig::default()
        }))
    }
}

impl MongodbConfig {
    /// The service at the end of the tunnel, where one leads to the server.
    pub const fn tunnel(&self) -> Option<&RailwayConfig> {
        match &self.via {
            Via::Direct => None,
            Via::RailwayTunnel(place) => Some(place),
        }
    }

    /// The tunnel's service is one of this project.
    fn in_project(mut self, project: &str, environment: &str, token: &str) -> Self {
        if let Via::RailwayTunnel(place) = &mut self.via {
            project.clone_into(&mut place.project);
            environment.clone_into(&mut place.environment);
            token.clone_into(&mut place.token);
        }
        self
    }
}

/// One variable on the platforms whose value is a secret of ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableConfig {
    /// Environment variable that holds the value here.
    pub secret: String,
    /// Its name on Railway, where a backend needs it.
    pub railway: Option<String>,
    /// Its name on Vercel, where a frontend needs it.
    pub vercel: Option<String>,
    /// The parts that get it; every part of the platform where none is named.
    #[serde(default)]
    pub parts: Vec<String>,
}

impl VariableConfig {
    /// Whether the part of this name gets it.
    pub fn is_for(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|name| name == part)
    }
}

/// Longer than a redeployment may take by its budget: one that misses it is reported, and still waited for.
fn default_deploy_s() -> u64 {
    600
}

fn default_staged_url() -> String {
    "https://{host}".into()
}
