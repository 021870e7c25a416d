//! All platforms as one: what serves now, and moving each part to a release, proved from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::domain::parts::{OnRailway, OnVercel, about};
use crate::domain::release_chain::ExpectedLive;
use crate::error::catalogue::release as errors;
use crate::operation::run::Operation;
use crate::sync::{each_at_once, join};
use crate::tools::backend::BackendService;
use crate::tools::deployment::{BackendDeployment, FrontendDeployment};
use crate::tools::frontend::FrontendService;

/// The parts of one environment, each with its platform, in the order of the configuration.
#[derive(Debug, Clone)]
pub struct Platforms {
    pub backends: Vec<BackendService>,
    pub frontends: Vec<FrontendService>,
}

/// What serves users, by part; `None` where nothing does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Serving {
    pub backends: BTreeMap<String, Option<BackendDeployment>>,
    pub frontends: BTreeMap<String, Option<FrontendDeployment>>,
}

impl Serving {
    /// What differs between what serves and what should; empty where they agree. A part that the release has not is not known to
    /// be wrong.
    pub fn drift_from(&self, expected: &ExpectedLive) -> Vec<String> {
        let ExpectedLive { tag, parts } = expected;
        let mut drift = Vec::new();
        for (name, active) in &self.backends {
            let Some(recorded) = parts.backends.get(name) else {
                continue;
            };
            // The platform gives an image that it starts again a new deployment: the same image is the same backend.
            if !self.has_backend(name, recorded) {
                drift.push(format!(
                    "{} serves {}, {tag} recorded {}",
                    about("the backend", name),
                    active.as_ref().map_or("nothing", |deployment| &deployment.id),
                    recorded.deployment
                ));
            }
        }
        for (name, serving) in &self.frontends {
            let Some(recorded) = parts.frontends.get(name) else {
                continue;
            };
            let serving = serving.as_ref().map(|deployment| deployment.id.as_str());
            // A release whose frontend was not promoted recorded none where there was none.
            if serving.unwrap_or_default() != recorded.deployment {
                drift.push(format!(
                    "{} serves {}, {tag} recorded {}",
                    about("the frontend", name),
                    serving.unwrap_or("nothing"),
                    recorded.deployment
                ));
            }
        }
        drift
    }

    /// Whether a backend serves what was recorded of it.
    pub fn has_backend(&self, name: &str, recorded: &OnRailway) -> bool {
        let active = self.backends.get(name).and_then(Option::as_ref);
        active.is_some_and(|active| serves(active, recorded))
    }

    /// Whether a frontend serves what was recorded of it.
    pub fn has_frontend(&self, name: &str, recorded: &OnVercel) -> bool {
        let serving = self.frontends.get(name).and_then(Option::as_ref);
        serving.is_some_and(|serving| serving.id == recorded.deployment)
    }

    /// Whether nothing serves anywhere.
    pub fn is_nothing(&self) -> bool {
        self.backends.values().all(Option::is_none) && self.frontends.values().all(Option::is_none)
    }
}

impl Platforms {
    /// # Errors
    /// Usage (exit 2) where a token is not set.
    pub fn open(ctx: &Context) -> Result<Self> {
        let (backends, frontends) = (&ctx.env().backends, &ctx.env().frontends);
        let backends = backends.iter().map(|backend| BackendService::open(ctx, backend));
        let frontends = frontends
            .iter()
            .map(|frontend| FrontendService::open(ctx, frontend));
        Ok(Self {
            backends: backends.collect::<Result<_>>()?,
            frontends: frontends.collect::<Result<_>>()?,
        })
    }

    /// The same for an operation, which changes them only as long as it holds its lock.
    ///
    /// # Errors
    /// Usage (exit 2) where a token is not set.
    pub fn of_operation(ctx: &Context, operation: &Operation) -> Result<Self> {
        let mut platforms = Self::open(ctx)?;
        let proof = operation.lock_proof();
        for backend in &mut platforms.backends {
            backend.require(proof.clone());
        }
        for frontend in &mut platforms.frontends {
            frontend.require(proof.clone());
        }
        Ok(platforms)
    }

    /// The backend of this name.
    ///
    /// # Errors
    /// Exit 3 where the configuration has none.
    pub fn backend(&self, name: &str) -> Result<&BackendService> {
        let found = self.backends.iter().find(|backend| backend.name() == name);
        found.ok_or_else(|| errors::part_unknown("backend", name).into())
    }

    /// The frontend of this name.
    ///
    /// # Errors
    /// Exit 3 where the configuration has none.
    pub fn frontend(&self, name: &str) -> Result<&FrontendService> {
        let found = self.frontends.iter().find(|frontend| frontend.name() == name);
        found.ok_or_else(|| errors::part_unknown("frontend", name).into())
    }

    /// Asks all platforms at once.
    pub fn serving(&self) -> Result<Serving> {
        std::thread::scope(|scope| {
            let frontends = self.frontends.iter();
            let frontends: Vec<_> = frontends
                .map(|frontend| (frontend.name(), scope.spawn(|| frontend.serving())))
                .collect();
            let backends = self.backends.iter();
            let backends: Vec<_> = backends
                .map(|backend| (backend.name(), scope.spawn(|| backend.active())))
                .collect();
            let mut serving = Serving::default();
            for (name, active) in backends {
                let what = about("cannot ask what the backend serves", name);
                serving
                    .backends
                    .insert(name.to_owned(), join(active).context(what)?);
            }
            for (name, deployment) in frontends {
                serving.frontends.insert(name.to_owned(), join(deployment)?);
            }
            Ok(serving)
        })
    }

    /// Does the same for each backend that `of` has something for, after those that it is to come after, and gives the results by
    /// name.
    ///
    /// # Errors
    /// The first one; what comes later is not begun.
    pub fn backends_in_order<'a, I: Copy + Send + Sync, T: Send>(
        &'a self,
        of: impl Fn(&'a BackendService) -> Option<I>,
        act: impl Fn(&'a BackendService, I) -> Result<T> + Sync,
    ) -> Result<BTreeMap<String, T>> {
        let mut done = BTreeMap::new();
        for group in self.in_order() {
            let wanted = group
                .into_iter()
                .filter_map(|railway| Some((railway, of(railway)?)));
            let wanted: Vec<(&BackendService, I)> = wanted.collect();
            done.extend(each_at_once(&wanted, |(railway, item)| {
                Ok((railway.name().to_owned(), act(railway, item)?))
            })?);
        }
        Ok(done)
    }

    /// The backends in groups: each comes after those of the groups before it only, as `after` has it.
    fn in_order(&self) -> Vec<Vec<&BackendService>> {
        let mut left: Vec<&BackendService> = self.backends.iter().collect();
        let mut groups = Vec::new();
        while !left.is_empty() {
            let waits = |one: &&BackendService| {
                let after = &one.backend().after;
                left.iter()
                    .any(|other| after.iter().any(|name| name == other.name()))
            };
            let (later, mut now): (Vec<&BackendService>, Vec<&BackendService>) =
                left.iter().copied().partition(|one| waits(one));
            // A circle is refused when the configuration is read.
            if now.is_empty() {
                now = later;
                left = Vec::new();
            } else {
                left = later;
            }
            groups.push(now);
        }
        groups
    }
}

/// Brings an earlier backend back with its image and variables. Done or under way already, nothing is started; what is under
/// way was begun `age` ago.
pub fn backend_back(railway: &BackendService, to: &OnRailway, age: Duration) -> Result<OnRailway> {
    let under_way = railway.pending()?.into_iter().next();
    let (id, age) = match under_way.filter(|newest| serves(newest, to)) {
        Some(newest) => (newest.id, age),
        None => {
            let active = railway.active()?;
            if let Some(active) = active.filter(|active| serves(active, to)) {
                return Ok(built_as(to, on_railway(&active)));
            }
            let target = railway.deployment(&to.deployment)?;
            (railway.roll_back(&target)?, Duration::ZERO)
        }
    };
    Ok(built_as(to, on_railway(&railway.wait(&id, age)?)))
}

fn built_as(to: &OnRailway, now: OnRailway) -> OnRailway {
    OnRailway {
        commit: to.commit.clone(),
        settings: to.settings.clone(),
        ..now
    }
}

/// Shows users an earlier frontend again.
pub fn frontend_back(frontend: &FrontendService, to: &OnVercel) -> Result<OnVercel> {
    Ok(OnVercel {
        deployment: frontend.roll_back(&to.deployment)?.id,
        commit: to.commit.clone(),
    })
}

/// What a release records of a backend deployment.
fn on_railway(deployment: &BackendDeployment) -> OnRailway {
    OnRailway {
        deployment: deployment.id.clone(),
        image_digest: deployment.image_digest().map(str::to_owned),
        commit: None,
        settings: BTreeMap::new(),
    }
}

/// The same of one that was built just now, with the settings of now. Where they cannot be read, a later plan compares nothing.
pub fn built_now(railway: &BackendService, deployment: &BackendDeployment) -> OnRailway {
    let service = railway.service();
    OnRailway {
        settings: service.map(|service| service.settings()).unwrap_or_default(),
        ..on_railway(deployment)
    }
}

fn serves(active: &BackendDeployment, wanted: &OnRailway) -> bool {
    let same_image = wanted.image_digest.is_some() && active.image_digest() == wanted.image_digest.as_deref();
    active.id == wanted.deployment || same_image
}
