//! Settings of the project on Vercel that decide what becomes of a deployment.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use xshell::cmd;

use super::{Vercel, is_transient};
use crate::exec::shell_in;
use crate::wait;

/// What the project is set to on the platform.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VercelProject {
    /// Folder of the repository that is built.
    pub root_directory: Option<String>,
    /// Whether a production deployment gets the domain as soon as it is ready.
    pub auto_assign_custom_domains: Option<bool>,
    link: Option<Link>,
    git_provider_options: Option<GitProviderOptions>,
    sso_protection: Option<Protection>,
    password_protection: Option<Protection>,
    /// With a configuration, `promote` only begins to move users.
    rolling_release: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Link {
    org: Option<String>,
    repo: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GitProviderOptions {
    create_deployments: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Protection {
    deployment_type: Option<String>,
}

impl VercelProject {
    /// The repository whose pushes the platform deploys to the production domain by itself.
    pub fn git_deploys(&self) -> Option<String> {
        let repository = self.connected_repository()?;
        let options = self.git_provider_options.as_ref();
        let created = options.and_then(|options| options.create_deployments.as_deref());
        if created == Some("disabled") || self.auto_assign_custom_domains == Some(false) {
            return None;
        }
        Some(repository)
    }

    /// The repository on GitHub, or elsewhere, that the project is connected with.
    pub fn connected_repository(&self) -> Option<String> {
        let link = self.link.as_ref()?;
        let names = [&link.org, &link.repo].map(|name| name.as_deref().unwrap_or("?"));
        Some(names.join("/"))
    }

    /// Whether the own address of a production deployment asks for a login.
    pub fn protects_staged(&self) -> bool {
        let all = [&self.sso_protection, &self.password_protection];
        let kinds = all.into_iter().flatten();
        // `preview` leaves the addresses of production deployments open.
        kinds
            .filter_map(|protection| protection.deployment_type.as_deref())
            .any(|kind| kind != "preview")
    }

    /// Whether a promotion moves only a part of the users at first.
    pub fn rolls_out(&self) -> bool {
        self.rolling_release.as_ref().is_some_and(|set| !set.is_null())
    }
}

impl Vercel {
    /// The settings of the project.
    pub fn project(&self) -> Result<VercelProject> {
        let (sh, org) = (&shell_in(&self.root)?, &self.place.org);
        let endpoint = format!("/v9/projects/{}", self.place.project);
        wait::retry(is_transient, || {
            self.prepared(cmd!(sh, "vercel api {endpoint} --scope {org} --raw"))
                .json()
        })
    }

    /// A promotion lets the platform give the domain to each new deployment from then on: that is taken back where it was
    /// off before.
    pub(super) fn stop_assigning_domains(&self) -> Result<()> {
        let (sh, org) = (&shell_in(&self.root)?, &self.place.org);
        let endpoint = format!("/v9/projects/{}", self.place.project);
        self.proof.check()?;
        // Twice is the same as once.
        wait::retry(is_transient, || {
            self.prepared(cmd!(
                sh,
                "vercel api {endpoint} -X PATCH -F autoAssignCustomDomains=false --scope {org} --raw"
            ))
            .run()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn project(value: Value) -> VercelProject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn who_else_deploys_is_read_from_the_settings() {
        let link = json!({"type": "github", "org": "o", "repo": "r", "productionBranch": "main"});
        for (value, expected) in [
            (json!({"link": null}), None),
            (json!({"link": link}), Some("o/r")),
            (
                json!({"link": link, "autoAssignCustomDomains": true}),
                Some("o/r"),
            ),
            (json!({"link": link, "autoAssignCustomDomains": false}), None),
            (
                json!({"link": link, "gitProviderOptions": {"createDeployments": "disabled"}}),
                None,
            ),
            (
                json!({"link": link, "gitProviderOptions": {"createDeployments": "enabled"}}),
                Some("o/r"),
            ),
        ] {
            assert_eq!(
                project(value.clone()).git_deploys().as_deref(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn protection_and_rollouts_are_read_from_the_settings() {
        for (value, protects, rolls_out) in [
            (json!({}), false, false),
            (
                json!({"ssoProtection": null, "rollingRelease": null}),
                false,
                false,
            ),
            (
                json!({"ssoProtection": {"deploymentType": "preview"}}),
                false,
                false,
            ),
            (json!({"ssoProtection": {"deploymentType": "all"}}), true, false),
            (
                json!({"ssoProtection": {"deploymentType": "all_except_custom_domains"}}),
                true,
                false,
            ),
            (
                json!({"passwordProtection": {"deploymentType": "prod_deployment_urls_and_all_previews"}}),
                true,
                false,
            ),
            (
                json!({"rollingRelease": {"target": "production", "stages": []}}),
                false,
                true,
            ),
        ] {
            let read = project(value.clone());
            assert_eq!(
                (read.protects_staged(), read.rolls_out()),
                (protects, rolls_out),
                "{value}"
            );
        }
    }
}
