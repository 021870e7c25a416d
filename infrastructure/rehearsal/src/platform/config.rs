//! What the simulated platforms contain at the start.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::railway::Application;

/// The configuration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) railway: Railway,
    pub(super) vercel: Vercel,
    pub(super) github: GitHub,
    #[serde(default)]
    pub(super) atlas: Atlas,
}

/// One project on MongoDB Atlas.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Atlas {
    pub(super) project: String,
    pub(super) public_key: String,
    pub(super) private_key: String,
    pub(super) clusters: Vec<Cluster>,
}

/// A cluster, and the server that it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) uri: String,
}

/// One service of one project on Railway.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Railway {
    pub(super) project: String,
    #[serde(default = "default_project_name")]
    pub(super) project_name: String,
    pub(super) environment: String,
    pub(super) environment_name: String,
    pub(super) service: String,
    /// Other services of the project, with the same variables unless it names its own.
    #[serde(default)]
    pub(super) more_services: Vec<MoreService>,
    #[serde(default = "default_service_name")]
    pub(super) service_name: String,
    /// The image of a service that nobody uploads to, as a database.
    #[serde(default)]
    pub(super) image: Option<String>,
    /// Public ssh keys that are registered with the account.
    #[serde(default)]
    pub(super) ssh_keys: Vec<String>,
    /// Project token of that environment.
    pub(super) token: String,
    /// Account token, where there is one.
    #[serde(default)]
    pub(super) account_token: Option<String>,
    /// It is not documented whether a project token may roll back.
    #[serde(default = "yes")]
    pub(super) project_token_may_roll_back: bool,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, String>,
    /// Variables whose values nobody can read back.
    #[serde(default)]
    pub(super) sealed: Vec<String>,
    /// How long the image of a removed deployment is kept.
    #[serde(default = "default_retention_ms")]
    pub(super) image_retention_ms: i64,
    /// The path that has to answer 200 before a deployment goes live.
    #[serde(default = "default_healthcheck_path")]
    pub(super) healthcheck_path: String,
    /// What the uploads are.
    #[serde(default)]
    pub(super) application: Application,
    #[serde(default = "default_healthcheck_timeout_ms")]
    pub(super) healthcheck_timeout_ms: u64,
    /// How long a build takes at least.
    #[serde(default)]
    pub(super) build_ms: u64,
    /// How long it takes at least from an image to a process: to fetch it, to make room, to start.
    #[serde(default)]
    pub(super) start_ms: u64,
}

impl Railway {
    /// Each service with the configuration that it has.
    pub(super) fn services(&self) -> Vec<Self> {
        let more = self.more_services.iter().map(|service| Self {
            service: service.service.clone(),
            service_name: service
                .service_name
                .clone()
                .unwrap_or_else(|| service.service.clone()),
            image: service.image.clone(),
            variables: service
                .variables
                .clone()
                .unwrap_or_else(|| self.variables.clone()),
            application: service
                .application
                .clone()
                .unwrap_or_else(|| self.application.clone()),
            healthcheck_path: service
                .healthcheck_path
                .clone()
                .unwrap_or_else(|| self.healthcheck_path.clone()),
            ..self.clone()
        });
        std::iter::once(self.clone()).chain(more).collect()
    }
}

/// Another service of the project on Railway; it has what the first one has where it names nothing else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoreService {
    service: String,
    service_name: Option<String>,
    image: Option<String>,
    variables: Option<BTreeMap<String, String>>,
    application: Option<Application>,
    healthcheck_path: Option<String>,
}

/// Another project of the team on Vercel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoreProject {
    project: String,
    domain: String,
}

/// One project on Vercel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vercel {
    pub(super) org: String,
    #[serde(default = "default_slug")]
    pub(super) slug: String,
    pub(super) project: String,
    #[serde(default = "default_project_name")]
    pub(super) project_name: String,
    pub(super) token: String,
    pub(super) domain: String,
    #[serde(default)]
    pub(super) more_projects: Vec<MoreProject>,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, String>,
    /// On this plan only the previous production deployment can be rolled back to.
    #[serde(default)]
    pub(super) hobby: bool,
}

impl Vercel {
    /// Each project with the configuration that it has.
    pub(super) fn projects(&self) -> Vec<Self> {
        let more = self.more_projects.iter().map(|more| Self {
            project: more.project.clone(),
            project_name: more.project.clone(),
            domain: more.domain.clone(),
            ..self.clone()
        });
        std::iter::once(self.clone()).chain(more).collect()
    }
}

/// One repository on GitHub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GitHub {
    pub(super) owner: String,
    pub(super) repo: String,
    pub(super) token: String,
    #[serde(default)]
    pub(super) private: bool,
    /// Who the token belongs to.
    #[serde(default = "default_user")]
    pub(super) user: String,
    #[serde(default)]
    pub(super) collaborators: Vec<String>,
    #[serde(default = "default_retention_days")]
    pub(super) artifact_retention_days: i64,
    #[serde(default)]
    pub(super) secrets: Vec<String>,
}

fn yes() -> bool {
    true
}

fn default_project_name() -> String {
    "sample".to_owned()
}

fn default_service_name() -> String {
    "backend".to_owned()
}

fn default_slug() -> String {
    "rehearsal".to_owned()
}

fn default_user() -> String {
    "operator".to_owned()
}

/// Railway's Pro plan: 120 hours.
fn default_retention_ms() -> i64 {
    120 * 3_600_000
}

fn default_healthcheck_path() -> String {
    "/api/health".to_owned()
}

fn default_healthcheck_timeout_ms() -> u64 {
    30_000
}

fn default_retention_days() -> i64 {
    90
}
