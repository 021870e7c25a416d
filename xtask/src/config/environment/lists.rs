//! An environment as `pipeline/2` has it: lists of backends and frontends. What all services of a project share stands once,
//! in `railway` and `vercel`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    BackendConfig, EnvironmentConfig, FrontendConfig, MongodbConfig, UploadFrom, VariableConfig,
    default_deploy_s, default_staged_url,
};

/// `[environments.NAME]` of `pipeline/2`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Lists {
    tag_prefix: String,
    #[serde(default)]
    protected: bool,
    #[serde(default)]
    others_deploy: Option<String>,
    railway: Option<SharedByBackends>,
    vercel: Option<SharedByFrontends>,
    #[serde(default)]
    backends: Vec<Backend>,
    #[serde(default)]
    frontends: Vec<Frontend>,
    mongodb: Option<MongodbConfig>,
    #[serde(default)]
    variables: Vec<VariableConfig>,
}

/// The project on Railway, which all backends are services of.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedByBackends {
    project: String,
    environment: String,
    token: String,
}

/// The team on Vercel, which has the project of each frontend.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedByFrontends {
    org: String,
    token: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BackendPlatform {
    Railway,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FrontendPlatform {
    Vercel,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backend {
    name: String,
    platform: BackendPlatform,
    service: String,
    folder: PathBuf,
    #[serde(default)]
    upload: UploadFrom,
    url: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    shares: Vec<PathBuf>,
    #[serde(default = "default_deploy_s")]
    deploy_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frontend {
    name: String,
    platform: FrontendPlatform,
    project: String,
    folder: PathBuf,
    #[serde(default)]
    shares: Vec<PathBuf>,
    domain: String,
    url: Option<String>,
    #[serde(default = "default_staged_url")]
    staged_url: String,
    protection_bypass: Option<String>,
    #[serde(default)]
    build_env: Vec<String>,
    #[serde(default = "default_deploy_s")]
    deploy_s: u64,
}

impl From<Lists> for EnvironmentConfig {
    fn from(lists: Lists) -> Self {
        // Where a table is missing that a part needs, its ids are empty, which the checks of values refuse.
        let project = lists.railway.unwrap_or_default();
        let team = lists.vercel.unwrap_or_default();
        let backends = lists.backends.into_iter();
        let frontends = lists.frontends.into_iter();
        Self {
            tag_prefix: lists.tag_prefix,
            protected: lists.protected,
            others_deploy: lists.others_deploy,
            backends: backends.map(|backend| backend.of(&project)).collect(),
            frontends: frontends.map(|frontend| frontend.of(&team)).collect(),
            mongodb: lists.mongodb,
            variables: lists.variables,
        }
    }
}

impl Backend {
    fn of(self, project: &SharedByBackends) -> BackendConfig {
        let BackendPlatform::Railway = self.platform;
        BackendConfig {
            name: self.name,
            project: project.project.clone(),
            environment: project.environment.clone(),
            service: self.service,
            token: project.token.clone(),
            folder: self.folder,
            upload: self.upload,
            url: self.url,
            after: self.after,
            shares: self.shares,
            deploy_s: self.deploy_s,
        }
    }
}

impl Frontend {
    fn of(self, team: &SharedByFrontends) -> FrontendConfig {
        let FrontendPlatform::Vercel = self.platform;
        FrontendConfig {
            name: self.name,
            org: team.org.clone(),
            project: self.project,
            token: team.token.clone(),
            folder: self.folder,
            shares: self.shares,
            domain: self.domain,
            url: self.url,
            staged_url: self.staged_url,
            protection_bypass: self.protection_bypass,
            build_env: self.build_env,
            deploy_s: self.deploy_s,
        }
    }
}
