//! `railway`, as of 5.71: the backend's platform.
//!
//! Traps: only `up --detach --json` prints the deployment id. There is no rollback command: the mutation
//! `deploymentRollback` makes a *new* deployment with the old image. An empty `RAILWAY_TOKEN` beats
//! `RAILWAY_API_TOKEN`. `RAILWAY_HTTP_TIMEOUT` covers the whole upload. Exit codes prove nothing: the deployment's
//! status is asked for. `api` prints a refusal on standard output and only its count on standard error.

mod account;
mod service;
mod tunnel;
mod variables;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use xshell::cmd;

use crate::config;
use crate::context::Context;
use crate::error::catalogue::tools as errors;
use crate::exec::{Exec, shell_in};
use crate::lock_proof::LockProof;
use crate::secret::Secret;
use crate::tools::deployment::{BackendDeployment, Phase};
use crate::tools::fault;
use crate::wait;

pub use account::{ListedService, listed_services};
pub use service::RailwayService;
pub use tunnel::{closed_tunnels, database_uri, tunnel_name};

const QUERY_DEADLINE: Duration = Duration::from_secs(60);
/// How many deployments are looked through for one of ours.
const LIST_LIMIT: u32 = 20;

/// What the API answered in the place of a value.
#[derive(Debug)]
struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "railway answered: {}", self.0)
    }
}

impl std::error::Error for Refusal {}

/// The service of one backend.
#[derive(Debug, Clone)]
pub struct Railway {
    root: PathBuf,
    place: config::RailwayConfig,
    deploy_s: u64,
    token: Secret,
    /// Needed right before each change: between this and the check of the step are questions to the platform.
    pub(super) proof: LockProof,
}

impl Railway {
    /// This service; a deployment of it may take `deploy_s`.
    ///
    /// # Errors
    /// Usage (exit 2) where the token is not set.
    pub fn open(ctx: &Context, place: &config::RailwayConfig, deploy_s: u64) -> Result<Self> {
        Ok(Self {
            root: ctx.root.clone(),
            token: ctx.secret(&place.token)?,
            place: place.clone(),
            deploy_s,
            proof: LockProof::default(),
        })
    }

    /// Whether the token is one of this project and environment; anything else is refused before it is used.
    pub fn check_token(&self) -> Result<()> {
        let answer = self.query("query{projectToken{project{id} environment{id}}}", &[])?;
        let (project, environment) = (
            &answer["projectToken"]["project"]["id"],
            &answer["projectToken"]["environment"]["id"],
        );
        if *project != self.place.project.as_str() || *environment != self.place.environment.as_str() {
            return Err(errors::railway_token_elsewhere(
                &self.place.token,
                &self.place.project,
                &self.place.environment,
            )
            .into());
        }
        Ok(())
    }

    /// The deployment that serves now, if there is one.
    pub fn active(&self) -> Result<Option<BackendDeployment>> {
        let document = "query($e:String!,$s:String!){serviceInstance(environmentId:$e,serviceId:$s){activeDeployments{id status meta canRollback}}}";
        let answer = self.query(
            document,
            &[("e", &self.place.environment), ("s", &self.place.service)],
        )?;
        let active: Vec<BackendDeployment> =
            serde_json::from_value(answer["serviceInstance"]["activeDeployments"].clone())
                .context("railway answered without a list of active deployments")?;
        Ok(active
            .into_iter()
            .find(|deployment| deployment.phase() == Phase::Good))
    }

    /// The deployment that took its predecessor's place, whether its process still runs or has ended well. Such a one is
    /// "Completed" on its page, and `SUCCESS` in the API, which has no other word for it; one that was replaced is `REMOVED`
    /// (docs.railway.com, "Deployments").
    pub fn completed(&self) -> Result<Option<BackendDeployment>> {
        let mut all = self.deployments()?.into_iter();
        Ok(all.find(|deployment| deployment.phase() == Phase::Good))
    }

    /// One deployment.
    pub fn deployment(&self, id: &str) -> Result<BackendDeployment> {
        let answer = self.query(
            "query($id:String!){deployment(id:$id){id status canRollback meta}}",
            &[("id", id)],
        )?;
        serde_json::from_value(answer["deployment"].clone())
            .with_context(|| format!("railway knows no deployment {id}"))
    }

    /// The newest deployments first.
    pub fn deployments(&self) -> Result<Vec<BackendDeployment>> {
        let (sh, limit) = (&shell_in(&self.root)?, LIST_LIMIT.to_string());
        let [project, environment, service] =
            [&self.place.project, &self.place.environment, &self.place.service];
        wait::retry(is_transient, || {
            self.prepared(cmd!(
                sh,
                "railway deployment list --project {project} --environment {environment} --service {service} --json --limit {limit}"
            ))
            .json()
        })
    }

    /// Uploads a folder and gives the deployment's id, before anything is waited for.
    pub fn upload(&self, folder: &Path, message: &str) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Started {
            deployment_id: String,
        }
        let sh = &shell_in(&self.root)?;
        let [project, environment, service] =
            [&self.place.project, &self.place.environment, &self.place.service];
        let upload = self.prepared(cmd!(
            sh,
            "railway up {folder} --path-as-root --project {project} --environment {environment} --service {service} --detach --json --message {message}"
        ));
        let deadline_s = self.deploy_s;
        self.proof.check()?;
        let started: Started = upload
            .env("RAILWAY_HTTP_TIMEOUT", deadline_s.to_string())
            .deadline(Duration::from_secs(deadline_s))
            .json()?;
        Ok(started.deployment_id)
    }

    /// Starts a deployment with the image and the variables of an earlier one; gives the id of the new one.
    ///
    /// # Errors
    /// `railway_rollback_refused` where the platform does not take this image or this token: then the release can still be
    /// built again.
    pub fn roll_back(&self, target: &BackendDeployment) -> Result<String> {
        let before: Vec<String> = self
            .deployments()?
            .into_iter()
            .map(|deployment| deployment.id)
            .collect();
        self.proof.check()?;
        let asked = self.ask_to_roll_back(&target.id);
        // Also after an error: the platform may have done it and the answer got lost.
        let appears = match &asked {
            Ok(()) => Duration::from_secs(60),
            Err(_) => Duration::from_secs(5),
        };
        let found = wait::until("the rollback's new deployment", appears, is_transient, || {
            let new = self.deployments()?.into_iter().find(|deployment| {
                !before.contains(&deployment.id) && deployment.image_digest() == target.image_digest()
            });
            Ok(new.map(|deployment| deployment.id))
        });
        match (found, asked) {
            (Ok(id), _) => Ok(id),
            (Err(_), Err(refused)) if fault::mentions(&refused, NO_ROLLBACK) => {
                Err(errors::railway_rollback_refused(&target.id, format!("{refused:#}")).into())
            }
            (Err(_), Err(failed)) => Err(failed).context("railway did not accept the rollback"),
            (Err(absent), Ok(())) => Err(absent),
        }
    }

    /// Whether the platform refuses rollbacks to this token. That is documented nowhere, so it is asked for a deployment
    /// that cannot exist: the answer proves something only where a *question* for it is answered otherwise.
    pub fn refuses_rollbacks(&self) -> bool {
        let unauthorized = |error: &anyhow::Error| fault::mentions(error, UNAUTHORIZED);
        let is_answered = match self.query("query($id:String!){deployment(id:$id){id}}", &[("id", NOBODY)]) {
            Ok(_) => true,
            // Who does not answer this does not answer the next one either.
            Err(error) => error.is::<Refusal>() && !unauthorized(&error),
        };
        is_answered
            && self
                .ask_to_roll_back(NOBODY)
                .is_err_and(|error| unauthorized(&error))
    }

    fn ask_to_roll_back(&self, id: &str) -> Result<()> {
        let mutation = "mutation($id:String!){deploymentRollback(id:$id)}";
        self.graphql(mutation, &[("id", id)]).map(drop)
    }

    /// A read through GraphQL, repeated where the fault may pass.
    fn query(&self, document: &str, variables: &[(&str, &str)]) -> Result<Value> {
        wait::retry(is_transient, || self.graphql(document, variables))
    }

    /// One request; a refusal is an error with the platform's words.
    fn graphql(&self, document: &str, variables: &[(&str, &str)]) -> Result<Value> {
        let sh = &shell_in(&self.root)?;
        let given = variables
            .iter()
            .flat_map(|(name, value)| ["--raw-var".to_owned(), format!("{name}={value}")]);
        let given: &Vec<String> = &given.collect();
        answer_of(self.prepared(cmd!(sh, "railway api {document} {given...} --compact")))
    }

    fn prepared(&self, command: xshell::Cmd<'_>) -> Exec {
        without_questions(Exec::new(command))
            .secret_env("RAILWAY_TOKEN", &self.token)
            .deadline(QUERY_DEADLINE)
    }
}

/// It neither asks, nor reports about us, nor replaces itself.
fn without_questions(exec: Exec) -> Exec {
    exec.env("RAILWAY_NO_TELEMETRY", "1")
        .env("RAILWAY_NO_AUTO_UPDATE", "1")
        .env("CI", "1")
}

/// The data of an answer to a GraphQL request.
fn answer_of(request: Exec) -> Result<Value> {
    let finished = request.output()?;
    let body: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
    if let Some(message) = body["errors"][0]["message"].as_str() {
        return Err(Refusal(crate::secret::scrub(message)).into());
    }
    let command = finished.checked()?.command;
    match body.get("data") {
        Some(data) => Ok(data.clone()),
        None => bail!("`{command}` returned invalid JSON"),
    }
}

/// A deployment that does not exist.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// What the platform writes where the token may not do what it asks for.
const UNAUTHORIZED: &[&str] = &["unauthorized", "not authorized"];
/// The same where it does not roll back: the token may not, or the image is gone.
const NO_ROLLBACK: &[&str] = &[
    "unauthorized",
    "not authorized",
    "not available",
    "not found",
    "cannot be rolled back",
];

pub(super) fn is_transient(error: &anyhow::Error) -> bool {
    fault::is_transient(
        error,
        &["unauthorized", "not authorized", "not found", "not available"],
    )
}
