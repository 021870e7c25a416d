//! Both platforms as one: what serves now, and moving both to a release, proved from outside.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::domain::release::{OnRailway, OnVercel};
use crate::domain::release_chain::ExpectedLive;
use crate::tools::railway::{self, Railway};
use crate::tools::vercel::{self, Vercel};

/// The backend's and the frontend's platform of one environment.
#[derive(Debug, Clone)]
pub struct Platforms {
    pub railway: Railway,
    pub vercel: Vercel,
}

/// What serves users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Serving {
    pub backend: Option<railway::RailwayDeployment>,
    pub frontend: Option<vercel::VercelDeployment>,
}

impl Serving {
    /// What differs between what serves and what should; empty where they agree.
    pub fn drift_from(&self, expected: &ExpectedLive) -> Vec<String> {
        let ExpectedLive { tag, railway, vercel } = expected;
        let mut drift = Vec::new();
        // The platform gives an image that it starts again a new deployment: the same image is the same backend.
        if !self
            .backend
            .as_ref()
            .is_some_and(|active| serves(active, railway))
        {
            let backend = self.backend.as_ref();
            drift.push(format!(
                "the backend serves {}, {tag} recorded {}",
                backend.map_or("nothing", |deployment| deployment.id.as_str()),
                railway.deployment
            ));
        }
        let frontend = self.frontend.as_ref();
        let frontend = frontend.map(|deployment| deployment.id.as_str());
        if frontend.unwrap_or_default() != vercel.deployment {
            drift.push(format!(
                "the frontend serves {}, {tag} recorded {}",
                frontend.unwrap_or("nothing"),
                vercel.deployment
            ));
        }
        drift
    }
}

impl Platforms {
    pub fn open(ctx: &Context) -> Result<Self> {
        Ok(Self {
            railway: Railway::open(ctx)?,
            vercel: Vercel::open(ctx)?,
        })
    }

    /// Asks both platforms at once.
    pub fn serving(&self) -> Result<Serving> {
        std::thread::scope(|scope| {
            let frontend = scope.spawn(|| self.vercel.serving());
            let backend = self
                .railway
                .active()
                .context("cannot ask what the backend serves")?;
            Ok(Serving {
                backend,
                frontend: join(frontend)?,
            })
        })
    }

    /// Brings an earlier backend back with its image and variables. Done or under way already, nothing is started; what is under
    /// way was begun `age` ago.
    pub fn backend_back(&self, to: &OnRailway, age: Duration) -> Result<OnRailway> {
        let under_way = self.railway.pending()?.into_iter().next();
        let (id, age) = match under_way.filter(|newest| serves(newest, to)) {
            Some(newest) => (newest.id, age),
            None => {
                let active = self.railway.active()?;
                if let Some(active) = active.filter(|active| serves(active, to)) {
                    return Ok(on_railway(&active));
                }
                let target = self.railway.deployment(&to.deployment)?;
                (self.railway.roll_back(&target)?, Duration::ZERO)
            }
        };
        Ok(on_railway(&self.railway.wait(&id, age)?))
    }

    /// Gives the production domain back to an earlier frontend.
    pub fn frontend_back(&self, to: &OnVercel) -> Result<OnVercel> {
        Ok(OnVercel {
            deployment: self.vercel.roll_back(&to.deployment)?.id,
        })
    }
}

/// What a release records of a backend deployment.
pub fn on_railway(deployment: &railway::RailwayDeployment) -> OnRailway {
    OnRailway {
        deployment: deployment.id.clone(),
        image_digest: deployment.image_digest().map(str::to_owned),
    }
}

fn serves(active: &railway::RailwayDeployment, wanted: &OnRailway) -> bool {
    let same_image = wanted.image_digest.is_some() && active.image_digest() == wanted.image_digest.as_deref();
    active.id == wanted.deployment || same_image
}

/// The value of a scoped thread; its panic goes on in ours.
pub fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
