//! Settings of the service on Railway that decide what becomes of an upload.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Railway;

/// What the service is set to on the platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RailwayService {
    /// Folder of an upload that is built; what lies beside it is there, too. `/` in front of it means nothing.
    pub root_directory: Option<String>,
    /// Patterns of paths; a deployment that changes none of them is `SKIPPED`.
    pub watch_patterns: Option<Vec<String>>,
    source: Option<Source>,
}

/// Where the platform takes the service's code from, beside uploads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Source {
    repo: Option<String>,
    image: Option<String>,
}

impl RailwayService {
    /// What a plan tells of the settings: they may stand in the way.
    pub fn note(&self) -> Option<String> {
        let patterns = self.watch_patterns.as_deref().unwrap_or_default();
        let listed = patterns.join(", ");
        (!patterns.is_empty()).then(|| {
            format!("the service on Railway has watch patterns ({listed}): it may skip a release that changes none of them")
        })
    }

    /// Whether it runs an image that somebody else built: a database, as a rule.
    pub fn runs_image(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.image.is_some())
    }

    /// The repository whose pushes the platform deploys by itself.
    pub fn connected_repository(&self) -> Option<&str> {
        self.source.as_ref()?.repo.as_deref()
    }
}

impl Railway {
    /// The settings of the service in this environment.
    pub fn service(&self) -> Result<RailwayService> {
        let document = "query($e:String!,$s:String!){serviceInstance(environmentId:$e,serviceId:$s){rootDirectory watchPatterns source{repo}}}";
        let answer = self.query(
            document,
            &[("e", &self.place.environment), ("s", &self.place.service)],
        )?;
        serde_json::from_value(answer["serviceInstance"].clone())
            .context("railway answered without the settings of the service")
    }
}
