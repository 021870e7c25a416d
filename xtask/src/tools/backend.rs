//! A backend, wherever it runs: a service on Railway, or what a team's own programs deploy. What is proved of one is proved of
//! the other.

mod waiting;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::{BackendConfig, BackendPlatform};
use crate::context::Context;
use crate::lock_proof::LockProof;
use crate::secret::Secret;
use crate::tools::adapter::Adapter;
use crate::tools::deployment::{BackendDeployment, message_of};
use crate::tools::railway::{self, Railway, RailwayService};

/// One backend and its platform.
#[derive(Debug, Clone)]
pub struct BackendService {
    config: BackendConfig,
    platform: Platform,
}

#[derive(Debug, Clone)]
enum Platform {
    Railway(Railway),
    Command(Adapter),
}

impl BackendService {
    /// This backend.
    ///
    /// # Errors
    /// Usage (exit 2) where a secret of its platform is not set.
    pub fn open(ctx: &Context, config: &BackendConfig) -> Result<Self> {
        let platform = match &config.platform {
            BackendPlatform::Railway(place) => Platform::Railway(Railway::open(ctx, place, config.deploy_s)?),
            BackendPlatform::Command(programs) => {
                Platform::Command(Adapter::open(ctx, programs, &config.name, config.deploy_s)?)
            }
        };
        Ok(Self {
            config: config.clone(),
            platform,
        })
    }

    /// Each change is made only after this proof.
    pub fn require(&mut self, proof: LockProof) {
        match &mut self.platform {
            Platform::Railway(railway) => railway.proof = proof,
            Platform::Command(adapter) => adapter.proof = proof,
        }
    }

    /// The backend as it is configured.
    pub const fn backend(&self) -> &BackendConfig {
        &self.config
    }

    /// The name of the backend.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether the token is one of this project and environment; anything else is refused before it is used.
    pub fn check_token(&self) -> Result<()> {
        match &self.platform {
            Platform::Railway(railway) => railway.check_token(),
            // Its answer is the proof that it may be asked.
            Platform::Command(adapter) => adapter.deployments().map(drop),
        }
    }

    /// The deployment that serves now, if there is one.
    pub fn active(&self) -> Result<Option<BackendDeployment>> {
        match &self.platform {
            // What has no address may have ended well: a cron has, between its runs.
            Platform::Railway(railway) => match railway.active()? {
                None if self.config.url.is_none() => railway.completed(),
                active => Ok(active),
            },
            Platform::Command(adapter) => adapter.active(),
        }
    }

    /// One deployment.
    pub fn deployment(&self, id: &str) -> Result<BackendDeployment> {
        match &self.platform {
            Platform::Railway(railway) => railway.deployment(id),
            Platform::Command(adapter) => adapter.deployment(id),
        }
    }

    /// The newest deployments first.
    fn deployments(&self) -> Result<Vec<BackendDeployment>> {
        match &self.platform {
            Platform::Railway(railway) => railway.deployments(),
            Platform::Command(adapter) => adapter.deployments(),
        }
    }

    /// A deployment whose end is waited for, for `left` at most where the platform waits by itself.
    fn waited(&self, id: &str, left: Duration) -> Result<BackendDeployment> {
        match &self.platform {
            Platform::Railway(railway) => railway.deployment(id),
            Platform::Command(adapter) => adapter.wait(id, left),
        }
    }

    /// Uploads a folder and gives the deployment's id, before anything is waited for. Where the answer got lost, the
    /// upload is looked for by its message; it is never repeated blindly.
    pub fn up(&self, folder: &Path, release: &str, commit: &str) -> Result<String> {
        let message = message_of(release, commit);
        if let Some(earlier) = self.by_message(&message)? {
            return Ok(earlier);
        }
        let started = match &self.platform {
            Platform::Railway(railway) => railway
                .set_release(release, commit)
                .and_then(|()| railway.upload(folder, &message)),
            Platform::Command(adapter) => adapter.deploy(folder, release, commit),
        };
        match started {
            Ok(id) => Ok(id),
            Err(error) => self
                .by_message(&message)?
                .ok_or(error)
                .context("cannot upload the backend"),
        }
    }

    /// Starts an earlier deployment again; gives the id of the one that serves it.
    ///
    /// # Errors
    /// `railway_rollback_refused` where the release can still be built again.
    pub fn roll_back(&self, target: &BackendDeployment) -> Result<String> {
        match &self.platform {
            Platform::Railway(railway) => railway.roll_back(target),
            Platform::Command(adapter) => adapter.roll_back(&target.id),
        }
    }

    /// Whether the platform refuses rollbacks to this token.
    pub fn refuses_rollbacks(&self) -> bool {
        match &self.platform {
            Platform::Railway(railway) => railway.refuses_rollbacks(),
            Platform::Command(_) => false,
        }
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
        let ours = self
            .deployments()?
            .into_iter()
            .find(|deployment| deployment.message() == message && deployment.phase().may_serve());
        Ok(ours.map(|deployment| deployment.id))
    }

    /// The settings of the service that decide what becomes of an upload; none where programs of the team deploy it.
    pub fn service(&self) -> Result<RailwayService> {
        match &self.platform {
            Platform::Railway(railway) => railway.service(),
            Platform::Command(_) => Ok(RailwayService::default()),
        }
    }

    /// The values of some of its variables, where the platform keeps them; `None` for one that it does not show.
    pub fn variables(&self, wanted: &[&str]) -> Result<BTreeMap<String, Option<Secret>>> {
        match &self.platform {
            Platform::Railway(railway) => railway.variables(wanted),
            Platform::Command(_) => Ok(BTreeMap::new()),
        }
    }

    /// Sets variables for the next deployment.
    pub fn set_variables(&self, values: &BTreeMap<String, Secret>) -> Result<()> {
        match &self.platform {
            Platform::Railway(railway) => railway.set_variables(values),
            Platform::Command(_) => Ok(()),
        }
    }

    /// What a program of the team got wrong once, it gets wrong again.
    fn is_transient(&self, error: &anyhow::Error) -> bool {
        match &self.platform {
            Platform::Railway(_) => railway::is_transient(error),
            Platform::Command(_) => false,
        }
    }

    const fn whose(&self) -> &'static str {
        match &self.platform {
            Platform::Railway(_) => "the Railway",
            Platform::Command(_) => "the adapter's",
        }
    }

    const fn on(&self) -> &'static str {
        match &self.platform {
            Platform::Railway(_) => " on Railway",
            Platform::Command(_) => "",
        }
    }
}
