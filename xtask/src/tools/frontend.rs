//! A frontend, wherever it is: a project on Vercel, or what a team's own programs stage and promote. What is proved of one is
//! proved of the other.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::config::{FrontendConfig, FrontendPlatform};
use crate::context::Context;
use crate::lock_proof::LockProof;
use crate::secret::Secret;
use crate::tools::adapter::Adapter;
use crate::tools::deployment::FrontendDeployment;
use crate::tools::vercel::{Vercel, VercelProject};

/// One frontend and its platform.
#[derive(Debug, Clone)]
pub struct FrontendService {
    config: FrontendConfig,
    platform: Platform,
}

#[derive(Debug, Clone)]
enum Platform {
    Vercel(Vercel),
    Command(Adapter),
}

impl FrontendService {
    /// This frontend.
    ///
    /// # Errors
    /// Usage (exit 2) where a secret of its platform is not set.
    pub fn open(ctx: &Context, config: &FrontendConfig) -> Result<Self> {
        let platform = match &config.platform {
            FrontendPlatform::Vercel(place) => Platform::Vercel(Vercel::open(ctx, place, config.deploy_s)?),
            FrontendPlatform::Command(programs) => {
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
            Platform::Vercel(vercel) => vercel.proof = proof,
            Platform::Command(adapter) => adapter.proof = proof,
        }
    }

    /// The frontend as it is configured.
    pub const fn frontend(&self) -> &FrontendConfig {
        &self.config
    }

    /// The name of the frontend.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The deployment that users see now; `None` where they see none yet.
    pub fn serving(&self) -> Result<Option<FrontendDeployment>> {
        match &self.platform {
            Platform::Vercel(vercel) => vercel.serving(),
            Platform::Command(adapter) => adapter.shown(),
        }
    }

    /// A deployment by its id.
    pub fn inspect(&self, id: &str) -> Result<FrontendDeployment> {
        match &self.platform {
            Platform::Vercel(vercel) => vercel.inspect(id),
            Platform::Command(adapter) => adapter.inspect(id),
        }
    }

    /// Makes a deployment of the folder that no user sees yet. `known` are variables whose values Vercel does not give back.
    pub fn stage(
        &self,
        folder: &Path,
        known: &BTreeMap<String, Secret>,
        release: &str,
        commit: &str,
    ) -> Result<FrontendDeployment> {
        match &self.platform {
            Platform::Vercel(vercel) => vercel.stage(folder, known, release, commit),
            Platform::Command(adapter) => adapter.stage(folder, release, commit),
        }
    }

    /// The address of a staged deployment.
    pub fn staged_url(&self, staged: &str) -> String {
        match self.config.vercel() {
            Some(vercel) => vercel.staged_url(staged),
            None => staged.to_owned(),
        }
    }

    /// Shows users a staged deployment, and proves it.
    pub fn promote(&self, id: &str) -> Result<FrontendDeployment> {
        match &self.platform {
            Platform::Vercel(vercel) => vercel.promote(id),
            Platform::Command(adapter) => adapter.promote(id),
        }
    }

    /// Shows users an earlier deployment again, and proves it.
    pub fn roll_back(&self, id: &str) -> Result<FrontendDeployment> {
        match &self.platform {
            Platform::Vercel(vercel) => vercel.roll_back(id),
            Platform::Command(adapter) => adapter.promote(id),
        }
    }

    /// The settings of the project that decide what becomes of a deployment; none where programs of the team stage it.
    pub fn project(&self) -> Result<VercelProject> {
        match &self.platform {
            Platform::Vercel(vercel) => vercel.project(),
            Platform::Command(_) => Ok(VercelProject::default()),
        }
    }

    /// Sets one secret variable of production; a build must follow for it to count.
    pub fn set_variable(&self, name: &str, value: &Secret) -> Result<()> {
        match &self.platform {
            Platform::Vercel(vercel) => vercel.set_variable(name, value),
            Platform::Command(_) => Ok(()),
        }
    }
}
