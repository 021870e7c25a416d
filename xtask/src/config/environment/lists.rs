//! An environment as `pipeline/2` has it: lists of backends and frontends. What all services of a project share stands once,
//! in `railway` and `vercel`.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{self, StrDeserializer};

use super::{
    AdapterConfig, BackendConfig, BackendPlatform, EnvironmentConfig, ExternalConfig, FrontendConfig,
    FrontendPlatform, MongodbConfig, PartPlace, RailwayConfig, UploadFrom, VariableConfig, VercelConfig,
    default_deploy_s, default_staged_url,
};
use crate::config::atlas::AtlasConfig;

/// `[environments.NAME]` of `pipeline/2`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Lists {
    pub(super) tag_prefix: String,
    #[serde(default)]
    pub(super) protected: bool,
    #[serde(default)]
    pub(super) others_deploy: Option<String>,
    pub(super) railway: Option<SharedByBackends>,
    pub(super) vercel: Option<SharedByFrontends>,
    #[serde(default)]
    pub(super) backends: Vec<ListedPart>,
    #[serde(default)]
    pub(super) frontends: Vec<ListedPart>,
    pub(super) mongodb: Option<MongodbConfig>,
    pub(super) atlas: Option<AtlasConfig>,
    #[serde(default)]
    pub(super) variables: Vec<VariableConfig>,
    #[serde(default)]
    pub(super) external: Vec<ExternalConfig>,
}

/// The project on Railway, which all backends are services of.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedByBackends {
    pub(super) project: String,
    pub(super) environment: String,
    pub(super) token: String,
}

/// The team on Vercel, which has the project of each frontend.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedByFrontends {
    pub(super) org: String,
    pub(super) token: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum PartPlatform {
    #[default]
    Railway,
    Vercel,
    Command,
}

/// A part as both lists have it. Which keys it needs follows from its platform; the checks of values refuse the others.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListedPart {
    pub(super) name: String,
    pub(super) platform: PartPlatform,
    pub(super) folder: PathBuf,
    #[serde(default)]
    pub(super) shares: Vec<PathBuf>,
    pub(super) url: Option<String>,
    #[serde(default = "default_deploy_s")]
    pub(super) deploy_s: u64,
    #[serde(default)]
    pub(super) service: String,
    #[serde(default)]
    pub(super) upload: UploadFrom,
    #[serde(default)]
    pub(super) after: Vec<String>,
    #[serde(default)]
    pub(super) command: AdapterConfig,
    #[serde(default)]
    pub(super) project: String,
    #[serde(default)]
    pub(super) domain: String,
    #[serde(default = "default_staged_url")]
    pub(super) staged_url: String,
    pub(super) protection_bypass: Option<String>,
    #[serde(default)]
    pub(super) build_env: Vec<String>,
}

impl PartPlatform {
    /// The platform of this name.
    pub(in crate::config) fn named(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, value::Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    /// The keys that only parts on this platform have; the first ones are needed.
    pub(in crate::config) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Railway => &["service", "upload", "after"],
            Self::Vercel => &[
                "project",
                "domain",
                "staged_url",
                "protection_bypass",
                "build_env",
            ],
            Self::Command => &["command", "upload", "after"],
        }
    }
}

/// Keys that a part on any platform has.
pub(in crate::config) const KEYS_OF_PARTS: [&str; 6] =
    ["name", "platform", "folder", "shares", "url", "deploy_s"];

impl From<Lists> for EnvironmentConfig {
    fn from(lists: Lists) -> Self {
        // Where a table is missing that a part needs, its ids are empty, which the checks of values refuse.
        let project = lists.railway.unwrap_or_default();
        let team = lists.vercel.unwrap_or_default();
        let (mut backends, mut frontends) = (Vec::new(), Vec::new());
        for (list, parts) in [("backends", lists.backends), ("frontends", lists.frontends)] {
            for (at, part) in parts.into_iter().enumerate() {
                let listed = PartPlace { list, at };
                if part.platform == PartPlatform::Vercel || part.command.is_staged() {
                    frontends.push(part.staged(&team, listed));
                } else {
                    backends.push(part.uploaded(&project, listed));
                }
            }
        }
        Self {
            tag_prefix: lists.tag_prefix,
            protected: lists.protected,
            others_deploy: lists.others_deploy,
            backends,
            frontends,
            mongodb: lists
                .mongodb
                .map(|mongodb| mongodb.in_project(&project.project, &project.environment, &project.token)),
            atlas: lists.atlas,
            variables: lists.variables,
            external: lists.external,
        }
    }
}

impl ListedPart {
    fn uploaded(self, project: &SharedByBackends, listed: PartPlace) -> BackendConfig {
        let platform = if self.platform == PartPlatform::Command {
            BackendPlatform::Command(self.command)
        } else {
            BackendPlatform::Railway(RailwayConfig {
                project: project.project.clone(),
                environment: project.environment.clone(),
                service: self.service,
                token: project.token.clone(),
            })
        };
        BackendConfig {
            name: self.name,
            platform,
            listed,
            folder: self.folder,
            upload: self.upload,
            url: self.url,
            after: self.after,
            shares: self.shares,
            deploy_s: self.deploy_s,
        }
    }

    fn staged(self, team: &SharedByFrontends, listed: PartPlace) -> FrontendConfig {
        let platform = if self.platform == PartPlatform::Command {
            FrontendPlatform::Command(self.command)
        } else {
            FrontendPlatform::Vercel(VercelConfig {
                org: team.org.clone(),
                project: self.project,
                token: team.token.clone(),
                domain: self.domain,
                staged_url: self.staged_url,
                protection_bypass: self.protection_bypass,
                build_env: self.build_env,
            })
        };
        FrontendConfig {
            name: self.name,
            platform,
            listed,
            folder: self.folder,
            upload: self.upload,
            shares: self.shares,
            url: self.url,
            deploy_s: self.deploy_s,
        }
    }
}
