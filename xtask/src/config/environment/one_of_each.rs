//! An environment as `pipeline/1` has it: one backend, one frontend and one database.

use std::path::PathBuf;

use serde::Deserialize;

use super::lists::{ListedPart, Lists, PartPlatform, SharedByBackends, SharedByFrontends};
use super::{
    EnvironmentConfig, ExternalConfig, MongodbConfig, VariableConfig, default_deploy_s, default_staged_url,
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

impl From<OneOfEach> for Lists {
    fn from(one: OneOfEach) -> Self {
        let (railway, vercel) = (one.railway, one.vercel);
        let variables = one.variables.into_iter().map(|variable| VariableConfig {
            secret: variable.secret,
            railway: variable.railway,
            vercel: variable.vercel,
            parts: Vec::new(),
        });
        let backend = ListedPart {
            name: BACKEND.to_owned(),
            platform: PartPlatform::Railway,
            folder: railway.source,
            url: Some(railway.url),
            deploy_s: railway.deploy_s,
            service: railway.service,
            ..ListedPart::default()
        };
        let frontend = ListedPart {
            name: FRONTEND.to_owned(),
            platform: PartPlatform::Vercel,
            folder: vercel.source,
            url: vercel.url,
            deploy_s: vercel.deploy_s,
            project: vercel.project,
            domain: vercel.domain,
            staged_url: vercel.staged_url,
            protection_bypass: vercel.protection_bypass,
            build_env: vercel.build_env,
            ..ListedPart::default()
        };
        Self {
            tag_prefix: one.tag_prefix,
            protected: one.protected,
            others_deploy: one.others_deploy,
            railway: Some(SharedByBackends {
                project: railway.project,
                environment: railway.environment,
                token: railway.token,
            }),
            vercel: Some(SharedByFrontends {
                org: vercel.org,
                token: vercel.token,
            }),
            backends: vec![backend],
            frontends: vec![frontend],
            mongodb: Some(one.mongodb),
            atlas: one.atlas,
            variables: variables.collect(),
            external: one.external,
        }
    }
}

impl From<OneOfEach> for EnvironmentConfig {
    fn from(one: OneOfEach) -> Self {
        Lists::from(one).into()
    }
}
