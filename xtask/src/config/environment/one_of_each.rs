//! An environment as `pipeline/1` has it: one backend, one frontend and one database.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    BackendConfig, BackendPlatform, EnvironmentConfig, ExternalConfig, FrontendConfig, FrontendPlatform,
    MongodbConfig, PartPlace, RailwayConfig, UploadFrom, VariableConfig, VercelConfig, default_deploy_s,
    default_staged_url,
};
use crate::config::atlas::AtlasConfig;
use crate::domain::parts::{BACKEND, FRONTEND};

/// `[environments.NAME]` of `pipeline/1`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OneOfEach {
    tag_prefix: String,
    #[serde(default)]
    protected: bool,
    #[serde(default)]
    others_deploy: Option<String>,
    railway: Railway,
    vercel: Vercel,
    mongodb: MongodbConfig,
    atlas: Option<AtlasConfig>,
    #[serde(default)]
    variables: Vec<Variable>,
    #[serde(default)]
    external: Vec<ExternalConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Railway {
    project: String,
    environment: String,
    service: String,
    token: String,
    source: PathBuf,
    url: String,
    #[serde(default = "default_deploy_s")]
    deploy_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vercel {
    org: String,
    project: String,
    token: String,
    source: PathBuf,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    secret: String,
    railway: Option<String>,
    vercel: Option<String>,
}

impl From<OneOfEach> for EnvironmentConfig {
    fn from(one: OneOfEach) -> Self {
        let variables = one.variables.into_iter().map(|variable| VariableConfig {
            secret: variable.secret,
            railway: variable.railway,
            vercel: variable.vercel,
            parts: Vec::new(),
        });
        let railway = &one.railway;
        let mongodb = one
            .mongodb
            .in_project(&railway.project, &railway.environment, &railway.token);
        Self {
            tag_prefix: one.tag_prefix,
            protected: one.protected,
            others_deploy: one.others_deploy,
            backends: vec![one.railway.into()],
            frontends: vec![one.vercel.into()],
            mongodb: Some(mongodb),
            atlas: one.atlas,
            variables: variables.collect(),
            external: one.external,
        }
    }
}

impl From<Railway> for BackendConfig {
    fn from(railway: Railway) -> Self {
        Self {
            name: BACKEND.to_owned(),
            platform: BackendPlatform::Railway(RailwayConfig {
                project: railway.project,
                environment: railway.environment,
                service: railway.service,
                token: railway.token,
            }),
            listed: PartPlace::default(),
            folder: railway.source,
            upload: UploadFrom::Folder,
            url: Some(railway.url),
            after: Vec::new(),
            shares: Vec::new(),
            deploy_s: railway.deploy_s,
        }
    }
}

impl From<Vercel> for FrontendConfig {
    fn from(vercel: Vercel) -> Self {
        Self {
            name: FRONTEND.to_owned(),
            platform: FrontendPlatform::Vercel(VercelConfig {
                org: vercel.org,
                project: vercel.project,
                token: vercel.token,
                domain: vercel.domain,
                staged_url: vercel.staged_url,
                protection_bypass: vercel.protection_bypass,
                build_env: vercel.build_env,
            }),
            listed: PartPlace::default(),
            folder: vercel.source,
            upload: UploadFrom::Folder,
            shares: Vec::new(),
            url: vercel.url,
            deploy_s: vercel.deploy_s,
        }
    }
}
