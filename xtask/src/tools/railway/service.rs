//! Settings of the service on Railway that decide what becomes of an upload.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::Railway;

/// Fields of the API that decide how an upload is built and started. Releases record them: a file in the upload that is no longer
/// read (`railway.json` and `railway.toml`, from 1 December 2026 on) or somebody in the dashboard changes them.
const BUILD: [&str; 8] = [
    "buildCommand",
    "builder",
    "dockerfilePath",
    "healthcheckPath",
    "preDeployCommand",
    "railwayConfigFile",
    "rootDirectory",
    "startCommand",
];

/// What the service is set to on the platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RailwayService {
    /// Folder of an upload that is built; what lies beside it is there, too. `/` in front of it means nothing.
    pub root_directory: Option<String>,
    /// Patterns of paths; a deployment that changes none of them is `SKIPPED`.
    pub watch_patterns: Option<Vec<String>>,
    source: Option<Source>,
    /// Everything else that was asked.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
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

    /// What decides how an upload is built and started, where it is set at all.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let others = self
            .others
            .iter()
            .filter(|(name, value)| BUILD.contains(&name.as_str()) && !value.is_null());
        let mut settings: BTreeMap<String, String> =
            others.map(|(name, value)| (name.clone(), text(value))).collect();
        let root = self.root_directory.iter();
        settings.extend(root.map(|root| ("rootDirectory".to_owned(), root.clone())));
        settings
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
        let fields = BUILD.join(" ");
        let document = format!(
            "query($e:String!,$s:String!){{serviceInstance(environmentId:$e,serviceId:$s){{watchPatterns source{{repo}} {fields}}}}}"
        );
        let answer = self.query(
            &document,
            &[("e", &self.place.environment), ("s", &self.place.service)],
        )?;
        serde_json::from_value(answer["serviceInstance"].clone())
            .context("railway answered without the settings of the service")
    }
}
