//! Settings of the service on Railway that decide what becomes of an upload.

use std::path::{Component, Path, PathBuf};

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

    /// The folder of a commit to upload so that the service builds `source`: with a root directory the platform builds that
    /// folder *of the upload*, so an upload of the folder itself ends with "Could not find root directory". `None` where
    /// no upload has it there. `exists` tells which folders the commit has.
    pub fn folder_to_upload(&self, source: &Path, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let plain = |path: &Path| -> PathBuf {
            let parts = path.components();
            parts
                .filter(|part| matches!(part, Component::Normal(_)))
                .collect()
        };
        let source = plain(source);
        let root = plain(Path::new(self.root_directory.as_deref().unwrap_or_default()));
        if source.ends_with(&root) {
            let above = source.components().count() - root.components().count();
            return Some(source.components().take(above).collect());
        }
        exists(&source.join(root)).then_some(source)
    }
}

impl Railway {
    /// The settings of the service in this environment.
    pub fn service(&self) -> Result<RailwayService> {
        let document = "query($e:String!,$s:String!){serviceInstance(environmentId:$e,serviceId:$s){rootDirectory watchPatterns}}";
        let answer = self.query(
            document,
            &[("e", &self.place.environment), ("s", &self.place.service)],
        )?;
        serde_json::from_value(answer["serviceInstance"].clone())
            .context("railway answered without the settings of the service")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_root_directory_the_folder_that_holds_it_is_uploaded() {
        let cases = [
            ("backend", None, Some("backend")),
            ("backend", Some(""), Some("backend")),
            ("backend", Some("/"), Some("backend")),
            ("backend", Some("/backend"), Some("")),
            ("./backend/", Some("backend/"), Some("")),
            ("apps/api", Some("api"), Some("apps")),
            ("apps/api", Some("/apps/api"), Some("")),
            (".", Some("/backend"), Some("")),
            ("backend", Some("/server"), None),
            ("backend", Some("end"), None),
        ];
        for (source, root, expected) in cases {
            let service = RailwayService {
                root_directory: root.map(str::to_owned),
                ..RailwayService::default()
            };
            let folder = service.folder_to_upload(Path::new(source), |path| path == Path::new("backend"));
            assert_eq!(folder, expected.map(PathBuf::from), "{source} {root:?}");
        }
    }
}
