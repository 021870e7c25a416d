//! `app.toml`: name, version and feature flags of a release.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The deployed release.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) version: String,
    #[serde(default)]
    pub(super) features: BTreeMap<String, Feature>,
}

/// A flag and whom it is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feature {
    enabled: bool,
    /// Only for these roles; for everyone when empty.
    #[serde(default)]
    roles: Vec<String>,
}

impl Manifest {
    pub(super) fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("app.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))
    }
}

impl Feature {
    pub(super) fn is_on_for(&self, role: Option<&str>) -> bool {
        self.enabled
            && (self.roles.is_empty()
                || role.is_some_and(|role| self.roles.iter().any(|wanted| wanted == role)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_with_roles_is_for_those_only() {
        let feature = |enabled, roles: &[&str]| Feature {
            enabled,
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        };
        assert!(feature(true, &[]).is_on_for(None));
        assert!(!feature(false, &[]).is_on_for(Some("admin")));
        assert!(feature(true, &["admin"]).is_on_for(Some("admin")));
        assert!(!feature(true, &["admin"]).is_on_for(Some("guest")));
        assert!(!feature(true, &["admin"]).is_on_for(None));
    }
}
