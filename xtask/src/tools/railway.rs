//! `railway`, as of 5.71: the backend's platform.
//!
//! Traps: only `up --detach --json` prints the deployment id. There is no rollback command: the mutation
//! `deploymentRollback` makes a *new* deployment with the old image. An empty `RAILWAY_TOKEN` beats
//! `RAILWAY_API_TOKEN`. `RAILWAY_HTTP_TIMEOUT` covers the whole upload. Exit codes prove nothing: the deployment's
//! status is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xshell::cmd;

use crate::config;
use crate::context::Context;
use crate::error::catalogue::tools as errors;
use crate::exec::{Exec, shell_in};
use crate::secret::Secret;
use crate::tools::fault;
use crate::wait;

const POLL: Duration = Duration::from_millis(300);
const QUERY_DEADLINE: Duration = Duration::from_secs(60);
/// How many deployments are looked through for one of ours.
const LIST_LIMIT: u32 = 20;

/// One deployment of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RailwayDeployment {
    pub id: String,
    pub status: String,
    #[serde(default)]
    pub meta: Value,
    /// Whether the platform still has its image; only single queries tell.
    #[serde(default)]
    pub can_rollback: Option<bool>,
}

impl RailwayDeployment {
    /// Digest of the image that it runs.
    pub fn image_digest(&self) -> Option<&str> {
        self.meta["imageDigest"].as_str()
    }

    /// The message that it was uploaded with.
    fn message(&self) -> &str {
        self.meta["cliMessage"].as_str().unwrap_or_default()
    }

    fn phase(&self) -> Phase {
        match self.status.as_str() {
            "SUCCESS" | "SLEEPING" => Phase::Good,
            "FAILED" | "CRASHED" | "REMOVED" | "REMOVING" | "SKIPPED" => Phase::Failed,
            "NEEDS_APPROVAL" => Phase::Blocked,
            // Unknown ones exist: they are polled to the deadline.
            _ => Phase::Pending,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Good,
    Pending,
    Failed,
    Blocked,
}

/// The service of one environment.
#[derive(Debug, Clone)]
pub struct Railway {
    root: PathBuf,
    place: config::RailwayConfig,
    token: Secret,
}

impl Railway {
    pub fn open(ctx: &Context) -> Result<Self> {
        let place = ctx.env().railway.clone();
        Ok(Self {
            root: ctx.root.clone(),
            token: ctx.secret(&place.token)?,
            place,
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
    pub fn active(&self) -> Result<Option<RailwayDeployment>> {
        let document = "query($e:String!,$s:String!){serviceInstance(environmentId:$e,serviceId:$s){activeDeployments{id status meta canRollback}}}";
        let answer = self.query(
            document,
            &[("e", &self.place.environment), ("s", &self.place.service)],
        )?;
        let active: Vec<RailwayDeployment> =
            serde_json::from_value(answer["serviceInstance"]["activeDeployments"].clone())
                .context("railway answered without a list of active deployments")?;
        Ok(active
            .into_iter()
            .find(|deployment| deployment.phase() == Phase::Good))
    }

    /// One deployment.
    pub fn deployment(&self, id: &str) -> Result<RailwayDeployment> {
        let answer = self.query(
            "query($id:String!){deployment(id:$id){id status canRollback meta}}",
            &[("id", id)],
        )?;
        serde_json::from_value(answer["deployment"].clone())
            .with_context(|| format!("railway knows no deployment {id}"))
    }

    /// The newest deployments first.
    pub fn deployments(&self) -> Result<Vec<RailwayDeployment>> {
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

    /// Uploads a folder and gives the deployment's id, before anything is waited for. Where the answer got lost, the
    /// upload is looked for by its message; it is never repeated blindly.
    pub fn up(&self, folder: &Path, release: &str, commit: &str) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Started {
            deployment_id: String,
        }
        let message = message_of(release, commit);
        if let Some(earlier) = self.by_message(&message)? {
            return Ok(earlier);
        }
        let sh = &shell_in(&self.root)?;
        let [project, environment, service] =
            [&self.place.project, &self.place.environment, &self.place.service];
        let upload = self.prepared(cmd!(
            sh,
            "railway up {folder} --path-as-root --project {project} --environment {environment} --service {service} --detach --json --message {message}"
        ));
        let deadline_s = self.place.deploy_s;
        let started: Result<Started> = upload
            .env("RAILWAY_HTTP_TIMEOUT", deadline_s.to_string())
            .deadline(Duration::from_secs(deadline_s))
            .json();
        match started {
            Ok(started) => Ok(started.deployment_id),
            Err(error) => self
                .by_message(&message)?
                .ok_or(error)
                .context("cannot upload the backend"),
        }
    }

    /// Starts a deployment with the image and the variables of an earlier one; gives the id of the new one.
    pub fn roll_back(&self, target: &RailwayDeployment) -> Result<String> {
        let before: Vec<String> = self
            .deployments()?
            .into_iter()
            .map(|deployment| deployment.id)
            .collect();
        let sh = &shell_in(&self.root)?;
        let (mutation, id) = (
            "mutation($id:String!){deploymentRollback(id:$id)}",
            format!("id={}", target.id),
        );
        let asked = self
            .prepared(cmd!(sh, "railway api {mutation} --raw-var {id} --compact"))
            .run();
        // Also after an error: the platform may have done it and the answer got lost.
        let appears = if asked.is_ok() {
            Duration::from_secs(60)
        } else {
            Duration::from_secs(5)
        };
        let found = wait::until("the rollback's new deployment", appears, POLL, || {
            let new = self.deployments()?.into_iter().find(|deployment| {
                !before.contains(&deployment.id) && deployment.image_digest() == target.image_digest()
            });
            Ok(new.map(|deployment| deployment.id))
        });
        match (found, asked) {
            (Ok(id), _) => Ok(id),
            (Err(_), Err(refused)) => Err(refused).context("railway did not accept the rollback"),
            (Err(absent), Ok(())) => Err(absent),
        }
    }

    /// Waits until no deployment is building or starting any more.
    pub fn settle(&self) -> Result<()> {
        let deadline = Duration::from_secs(self.place.deploy_s);
        wait::until("the end of the deployment under way", deadline, POLL, || {
            Ok(self.pending()?.is_empty().then_some(()))
        })
    }

    /// Deployments that are building or starting, the newest first.
    pub fn pending(&self) -> Result<Vec<RailwayDeployment>> {
        let all = self.deployments()?.into_iter();
        Ok(all
            .filter(|deployment| deployment.phase() == Phase::Pending)
            .collect())
    }

    /// Waits for the deployment's verdict.
    pub fn wait(&self, id: &str) -> Result<RailwayDeployment> {
        let deadline = Duration::from_secs(self.place.deploy_s);
        wait::until(
            &format!("the end of the Railway deployment {id}"),
            deadline,
            POLL,
            || {
                let deployment = self.deployment(id)?;
                match deployment.phase() {
                    Phase::Good => Ok(Some(deployment)),
                    Phase::Pending => Ok(None),
                    Phase::Failed => {
                        bail!(
                            "the Railway deployment {id} ended as {}: see its logs on Railway",
                            deployment.status
                        )
                    }
                    Phase::Blocked => bail!("the Railway deployment {id} waits for an approval on Railway"),
                }
            },
        )
    }

    /// The values of some of the service's variables; `None` for a sealed one. The others are ordinary words, and
    /// must not become secrets that are blanked out of every message.
    pub fn variables(&self, wanted: &[&str]) -> Result<BTreeMap<String, Option<Secret>>> {
        let sh = &shell_in(&self.root)?;
        let [project, environment, service] =
            [&self.place.project, &self.place.environment, &self.place.service];
        let listed: serde_json::Map<String, Value> = wait::retry(is_transient, || {
            self.prepared(cmd!(
                sh,
                "railway variable list --project {project} --environment {environment} --service {service} --json"
            ))
            .json()
        })?;
        let ours = listed
            .into_iter()
            .filter(|(name, _)| wanted.contains(&name.as_str()));
        Ok(ours
            .map(|(name, value)| (name, value.as_str().map(Secret::new)))
            .collect())
    }

    /// Sets one variable for the next deployment, without starting one.
    pub fn set_variable(&self, name: &str, value: &Secret) -> Result<()> {
        let sh = &shell_in(&self.root)?;
        let [project, environment, service] =
            [&self.place.project, &self.place.environment, &self.place.service];
        self.prepared(cmd!(
            sh,
            "railway variable set {name} --stdin --service {service} --environment {environment} --project {project} --skip-deploys --json"
        ))
        .stdin(value.expose())
        .run()
        .with_context(|| format!("cannot set the variable {name} on Railway"))
    }

    /// Whether an upload of this release reached the platform, whatever became of it.
    pub fn has_release(&self, release: &str, commit: &str) -> Result<bool> {
        let message = message_of(release, commit);
        Ok(self
            .deployments()?
            .iter()
            .any(|deployment| deployment.message() == message))
    }

    fn by_message(&self, message: &str) -> Result<Option<String>> {
        let ours = self.deployments()?.into_iter().find(|deployment| {
            deployment.message() == message && matches!(deployment.phase(), Phase::Good | Phase::Pending)
        });
        Ok(ours.map(|deployment| deployment.id))
    }

    /// A read through GraphQL, repeated where the fault may pass.
    fn query(&self, document: &str, variables: &[(&str, &str)]) -> Result<Value> {
        let sh = &shell_in(&self.root)?;
        let given = variables
            .iter()
            .flat_map(|(name, value)| ["--raw-var".to_owned(), format!("{name}={value}")]);
        let given: &Vec<String> = &given.collect();
        let answer: Value = wait::retry(is_transient, || {
            self.prepared(cmd!(sh, "railway api {document} {given...} --compact"))
                .json()
        })?;
        Ok(answer["data"].clone())
    }

    fn prepared(&self, command: xshell::Cmd<'_>) -> Exec {
        Exec::new(command)
            .secret_env("RAILWAY_TOKEN", &self.token)
            .env("RAILWAY_NO_TELEMETRY", "1")
            .env("RAILWAY_NO_AUTO_UPDATE", "1")
            .env("CI", "1")
            .deadline(QUERY_DEADLINE)
    }
}

/// The message of an upload: how it is found again when its answer got lost.
fn message_of(release: &str, commit: &str) -> String {
    format!("release={release} sha={commit}")
}

fn is_transient(error: &anyhow::Error) -> bool {
    fault::is_transient(error, &["unauthorized", "not authorized", "not found"])
}
