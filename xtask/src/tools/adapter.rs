//! The programs of a team that deploy a backend or a frontend elsewhere: on a server of its own, on another platform.
//!
//! Each reads one JSON object and prints one (`infrastructure/schemas/adapter.schema.json`). Exit code 0 proves nothing: what
//! `current` prints decides what serves. An answer with an unknown key, or none, is an error: half an answer would be taken
//! for a whole one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xshell::cmd;

use crate::config::AdapterConfig;
use crate::context::Context;
use crate::error::catalogue::tools as errors;
use crate::exec::{Exec, Finished, OF_TEAM, shell_in};
use crate::lock_proof::LockProof;
use crate::secret::Secret;
use crate::tools::deployment::{BackendDeployment, FrontendDeployment, PRODUCTION, Phase, READY, message_of};
use crate::wait;

/// The form of questions and answers.
const SCHEMA: &str = "adapter/1";
const QUERY_DEADLINE: Duration = Duration::from_secs(60);
/// What the longest id may be: it stands in records, and is given to programs.
const ID_CHARS: usize = 200;
/// How long `current` may take to show what was promoted.
const APPEARS_DEADLINE: Duration = Duration::from_secs(60);
/// An id that no deployment has.
const UNKNOWN: &str = "no-such-deployment";

/// The programs of one part.
#[derive(Debug, Clone)]
pub struct Adapter {
    root: PathBuf,
    part: String,
    programs: AdapterConfig,
    deploy_s: u64,
    secrets: Vec<(String, Secret)>,
    /// Needed right before each change: between this and the check of the step are questions to the platform.
    pub(super) proof: LockProof,
}

/// What a program is asked.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum Question<'a> {
    Current,
    Deploy {
        folder: &'a Path,
        release: &'a str,
        commit: &'a str,
    },
    Rollback {
        deployment: &'a str,
    },
    Stage {
        folder: &'a Path,
        release: &'a str,
        commit: &'a str,
    },
    Promote {
        deployment: &'a str,
    },
    Wait {
        deployment: &'a str,
    },
}

/// The answer of `current`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    /// The id of the deployment that users reach. It must be there: an answer that leaves it out does not mean that nothing serves.
    #[serde(deserialize_with = "Option::deserialize")]
    serves: Option<String>,
    /// The newest first.
    deployments: Vec<AdapterDeployment>,
}

/// The answer of `deploy`, `rollback`, `stage` and `promote`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Started {
    deployment: String,
}

/// The answer of `wait`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waited {
    deployment: AdapterDeployment,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdapterDeployment {
    id: String,
    status: AdapterStatus,
    /// What `deploy` was given.
    release: Option<String>,
    commit: Option<String>,
    /// What is the same for two deployments that run the same program.
    image: Option<String>,
    /// Whether `rollback` can still start it, or `promote` show it.
    #[serde(default = "yes")]
    can_roll_back: bool,
    /// Where a staged deployment is reached itself.
    url: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AdapterStatus {
    Pending,
    /// Ready, and not shown to users yet.
    Staged,
    Serves,
    Failed,
    Replaced,
}

impl Adapter {
    /// The programs of the part `part`.
    ///
    /// # Errors
    /// Usage (exit 2) where a secret of theirs is not set.
    pub fn open(ctx: &Context, programs: &AdapterConfig, part: &str, deploy_s: u64) -> Result<Self> {
        let secrets = programs
            .env
            .iter()
            .map(|name| Ok((name.clone(), ctx.secret(name)?)));
        Ok(Self {
            root: ctx.root.clone(),
            part: part.to_owned(),
            programs: programs.clone(),
            deploy_s,
            secrets: secrets.collect::<Result<_>>()?,
            proof: LockProof::default(),
        })
    }

    /// The deployment that serves now, if there is one.
    pub fn active(&self) -> Result<Option<BackendDeployment>> {
        let Current { serves, deployments } = self.current()?;
        let mut all = deployments.into_iter();
        Ok(serves.and_then(|id| all.find(|one| one.id == id)).map(Into::into))
    }

    /// The newest deployments first.
    pub fn deployments(&self) -> Result<Vec<BackendDeployment>> {
        let all = self.current()?.deployments.into_iter();
        Ok(all.map(Into::into).collect())
    }

    /// One deployment.
    pub fn deployment(&self, id: &str) -> Result<BackendDeployment> {
        let mut all = self.deployments()?.into_iter();
        let found = all.find(|one| one.id == id);
        found.with_context(|| format!("the adapter of {} has no deployment {id}", self.part))
    }

    /// Starts a deployment of the folder, and gives its id.
    pub fn deploy(&self, folder: &Path, release: &str, commit: &str) -> Result<String> {
        let question = Question::Deploy {
            folder,
            release,
            commit,
        };
        self.change("deploy", &question)
    }

    /// Starts an earlier deployment again, and gives the id of what serves it.
    pub fn roll_back(&self, id: &str) -> Result<String> {
        self.change("rollback", &Question::Rollback { deployment: id })
    }

    /// The deployment that users see now, if there is one.
    pub fn shown(&self) -> Result<Option<FrontendDeployment>> {
        let Current { serves, deployments } = self.current()?;
        let mut all = deployments.into_iter();
        Ok(serves.and_then(|id| all.find(|one| one.id == id)).map(Into::into))
    }

    /// One deployment of a frontend.
    pub fn inspect(&self, id: &str) -> Result<FrontendDeployment> {
        let mut all = self.current()?.deployments.into_iter();
        let found = all.find(|one| one.id == id);
        let found = found.with_context(|| format!("the adapter of {} has no deployment {id}", self.part))?;
        Ok(found.into())
    }

    /// Makes a deployment of the folder that no user sees, and waits until it is ready. Asked again for one release, it is the
    /// same one.
    pub fn stage(&self, folder: &Path, release: &str, commit: &str) -> Result<FrontendDeployment> {
        let began = Instant::now();
        let id = self.change(
            "stage",
            &Question::Stage {
                folder,
                release,
                commit,
            },
        )?;
        let left = || Duration::from_secs(self.deploy_s).saturating_sub(began.elapsed());
        let what = format!("the end of the deployment {id}");
        let ended = wait::until(
            &what,
            left(),
            |_| false,
            || {
                let deployment = self.waited(&id, left())?;
                let is_final = !matches!(deployment.status, AdapterStatus::Pending);
                Ok(is_final.then_some(deployment))
            },
        )?;
        let is_staged = matches!(ended.status, AdapterStatus::Staged);
        self.require(is_staged, "wait", || {
            let status = json!(ended.status);
            format!("the deployment {id} that `stage` began is not `staged`: it is {status}")
        })?;
        let is_reached = ended.url.as_deref().is_some_and(|url| url.starts_with("http"));
        self.require(is_reached, "wait", || {
            format!(
                "the staged deployment {id} needs a `url`, where its pages are checked before users see it"
            )
        })?;
        let shown = self.shown()?;
        self.require(shown.is_none_or(|shown| shown.id != id), "current", || {
            format!("users see {id}, which was only staged")
        })?;
        Ok(ended.into())
    }

    /// Shows users a deployment, and proves it by asking what they see.
    pub fn promote(&self, id: &str) -> Result<FrontendDeployment> {
        let is_shown = || Ok(self.shown()?.filter(|shown| shown.id == id));
        if let Some(shown) = is_shown()? {
            return Ok(shown);
        }
        // Before, and not among what may have got lost: nothing is waited for without the lock.
        self.proof.check()?;
        let asked = self.started("promote", &Question::Promote { deployment: id });
        let shown = wait::until("what users see", APPEARS_DEADLINE, |_| false, is_shown);
        // The answer may have got lost: what users see decides.
        shown.map_err(|absent| asked.err().unwrap_or(absent))
    }

    /// Waits for the end of a deployment: the program may answer at once that it is under way, or when it has ended.
    pub fn wait(&self, id: &str, left: Duration) -> Result<BackendDeployment> {
        Ok(self.waited(id, left)?.into())
    }

    fn waited(&self, id: &str, left: Duration) -> Result<AdapterDeployment> {
        let asked = Question::Wait { deployment: id };
        let answer: Waited = self.ask("wait", &asked, left.max(QUERY_DEADLINE))?;
        let deployment = answer.deployment;
        self.require(deployment.id == id, "wait", || {
            format!("it was asked for {id} and answered for {}", deployment.id)
        })?;
        Ok(deployment)
    }

    /// What can be asked without a change: each property with what was found.
    pub fn conformance(&self) -> Vec<(String, Result<String>)> {
        let mut found = vec![("programs".to_owned(), self.programs_are_there())];
        let current = self.current();
        let serves = current.as_ref().ok().and_then(|current| current.serves.clone());
        found.push((
            "current".to_owned(),
            current.map(|current| {
                let serves = current.serves.unwrap_or_else(|| "nothing".to_owned());
                format!("{} deployments, {serves} serves", current.deployments.len())
            }),
        ));
        if let Some(id) = serves {
            let waited = self.wait(&id, QUERY_DEADLINE).and_then(|waited| {
                let is_good = waited.phase() == Phase::Good;
                self.require(is_good, "wait", || {
                    format!("{id} serves, and it answered otherwise")
                })?;
                Ok(format!("{id} serves"))
            });
            found.push(("wait".to_owned(), waited));
        }
        let unknown = match self.wait(UNKNOWN, QUERY_DEADLINE) {
            Ok(_) => Err(errors::adapter_answer(
                &self.part,
                "wait",
                "it answered for a deployment that is not there",
            )
            .into()),
            Err(_) => Ok("refused".to_owned()),
        };
        found.push(("wait for a deployment that is not there".to_owned(), unknown));
        found
    }

    fn programs_are_there(&self) -> Result<String> {
        for (_, command) in self.programs.commands() {
            let program = self.program_of(command);
            which::which(&program).with_context(|| format!("{} is no program", program.display()))?;
        }
        Ok("each is a program".to_owned())
    }

    /// A path is one below the root of the repository.
    fn program_of(&self, command: &[String]) -> PathBuf {
        let program = command.first().map_or("", String::as_str);
        if program.contains('/') {
            self.root.join(program)
        } else {
            program.into()
        }
    }

    fn current(&self) -> Result<Current> {
        let current: Current = self.ask("current", &Question::Current, QUERY_DEADLINE)?;
        let mut ids = BTreeSet::new();
        for deployment in &current.deployments {
            self.require_id("current", &deployment.id)?;
            self.require(ids.insert(deployment.id.as_str()), "current", || {
                format!("the deployment {} is listed twice", deployment.id)
            })?;
        }
        if let Some(serves) = &current.serves {
            let serving = current.deployments.iter().find(|one| one.id == *serves);
            let is_up = serving.is_some_and(|one| matches!(one.status, AdapterStatus::Serves));
            self.require(is_up, "current", || {
                format!("`serves` is {serves}, which is not in the list with the status `serves`")
            })?;
        }
        Ok(current)
    }

    /// Starts something as long as the operation holds its lock; gives the id of the deployment.
    fn change(&self, action: &str, question: &Question<'_>) -> Result<String> {
        self.proof.check()?;
        self.started(action, question)
    }

    fn started(&self, action: &str, question: &Question<'_>) -> Result<String> {
        let Started { deployment } = self.ask(action, question, Duration::from_secs(self.deploy_s))?;
        self.require_id(action, &deployment)?;
        Ok(deployment)
    }

    fn require_id(&self, action: &str, id: &str) -> Result<()> {
        let fits = (1..=ID_CHARS).contains(&id.chars().count()) && !id.contains(char::is_control);
        self.require(fits, action, || {
            format!("an id has 1 to {ID_CHARS} characters and no control character")
        })
    }

    fn require(&self, holds: bool, action: &str, why: impl FnOnce() -> String) -> Result<()> {
        ensure!(holds, errors::adapter_answer(&self.part, action, why()));
        Ok(())
    }

    fn ask<T: DeserializeOwned>(
        &self,
        action: &str,
        question: &Question<'_>,
        deadline: Duration,
    ) -> Result<T> {
        let command = match question {
            Question::Current => &self.programs.current,
            Question::Deploy { .. } => &self.programs.deploy,
            Question::Rollback { .. } => &self.programs.rollback,
            Question::Stage { .. } => &self.programs.stage,
            Question::Promote { .. } => &self.programs.promote,
            Question::Wait { .. } => &self.programs.wait,
        };
        let (program, arguments) = (self.program_of(command), command.get(1..).unwrap_or_default());
        let mut asked = json!({ "schema": SCHEMA, "part": self.part });
        if let (Some(all), serde_json::Value::Object(own)) = (asked.as_object_mut(), json!(question)) {
            all.extend(own);
        }
        let sh = &shell_in(&self.root)?;
        let run = Exec::new(cmd!(sh, "{program} {arguments...}"))
            .inherit(OF_TEAM)
            .stdin(asked.to_string())
            .deadline(deadline);
        let run = self
            .secrets
            .iter()
            .fold(run, |run, (name, value)| run.secret_env(name, value));
        let failed = |why: String| errors::adapter_failed(&self.part, action, why);
        let finished = run.output().and_then(Finished::checked);
        let finished = finished.map_err(|error| failed(format!("{error:#}")))?;
        if finished.stdout.trim().is_empty() {
            return Err(errors::adapter_answer(&self.part, action, "it printed nothing").into());
        }
        let answer = serde_json::from_str(&finished.stdout);
        answer.map_err(|error| errors::adapter_answer(&self.part, action, error).into())
    }
}

impl From<AdapterDeployment> for BackendDeployment {
    fn from(deployment: AdapterDeployment) -> Self {
        let status = match deployment.status {
            AdapterStatus::Pending => "DEPLOYING",
            AdapterStatus::Serves => "SUCCESS",
            AdapterStatus::Failed => "FAILED",
            // A backend is live when it is up: nothing of it is staged.
            AdapterStatus::Replaced | AdapterStatus::Staged => "REMOVED",
        };
        let message = deployment.release.zip(deployment.commit);
        let message = message.map(|(release, commit)| message_of(&release, &commit));
        Self {
            id: deployment.id,
            status: status.to_owned(),
            meta: json!({ "imageDigest": deployment.image, "cliMessage": message }),
            can_rollback: Some(deployment.can_roll_back),
        }
    }
}

impl From<AdapterDeployment> for FrontendDeployment {
    fn from(deployment: AdapterDeployment) -> Self {
        let state = match deployment.status {
            AdapterStatus::Pending => "BUILDING",
            AdapterStatus::Failed => "ERROR",
            _ if !deployment.can_roll_back => "DELETED",
            AdapterStatus::Staged | AdapterStatus::Serves | AdapterStatus::Replaced => READY,
        };
        Self {
            id: deployment.id,
            url: deployment.url.unwrap_or_default(),
            ready_state: state.to_owned(),
            target: Some(PRODUCTION.to_owned()),
        }
    }
}

const fn yes() -> bool {
    true
}
