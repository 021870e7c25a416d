//! What a rollback must know of the outside world. Git, database and both platforms are asked at once: while users wait
//! for the old release, no question waits for another one's answer.

use std::collections::HashSet;
use std::thread::scope;

use anyhow::Result;

use crate::config::BackendConfig;
use crate::context::Context;
use crate::domain::migration::ChangedMigration;
use crate::domain::parts::{OnRailway, ReleaseParts};
use crate::domain::release::Release;
use crate::operation::basis::schema_fingerprint;
use crate::release::migrations;
use crate::release::others::others_who_deploy;
use crate::release::platforms::{Platforms, Serving};
use crate::release::releases::Releases;
use crate::sync::join;
use crate::tools::backend::BackendService;
use crate::tools::deployment::FrontendDeployment;
use crate::tools::git::Git;
use crate::tools::railway::RailwayService;

/// The answers; one that is an error is a problem of the plan's preflight.
pub(super) struct Facts {
    pub git: OfGit,
    /// `None` where the database could not be read.
    pub live_schema: Option<String>,
    pub platforms: Result<OfPlatforms>,
}

/// What the remote's references say.
pub(super) struct OfGit {
    /// Whether the target's commit is on the branch that is released from.
    pub reachable: Result<bool>,
    /// Migrations that differ between the target and any release that has worked on the data which are live.
    pub changed_migrations: Result<Vec<ChangedMigration>>,
}

/// What the platforms say.
pub(super) struct OfPlatforms {
    pub serving: Result<Serving>,
    /// Those of the target, by part.
    pub frontends: Vec<(String, Result<FrontendDeployment>)>,
    pub backends: Vec<OfBackend>,
    /// Who else deploys; what could not be asked stops no rollback.
    pub others: Vec<String>,
}

/// What Railway says of one backend of the target.
pub(super) struct OfBackend {
    pub config: BackendConfig,
    pub token: Result<()>,
    /// Whether the platform still has the target's image.
    pub image_kept: bool,
    /// Whether the platform refuses the token a rollback to an image.
    pub rollback_refused: bool,
    /// The settings of the service, which decide what a new build takes.
    pub service: Result<RailwayService>,
}

impl Facts {
    pub(super) fn ask(ctx: &Context, parts: &ReleaseParts, target: &Release, releases: &Releases) -> Self {
        scope(|scope| {
            let platforms = scope.spawn(|| Platforms::open(ctx)?.asked(parts));
            let live_schema = scope.spawn(|| schema_fingerprint(ctx));
            let git = OfGit::ask(ctx, target, releases);
            Self {
                git,
                live_schema: join(live_schema),
                platforms: join(platforms),
            }
        })
    }
}

impl OfGit {
    /// One after the other: two that fetch into one clone at once meet on its references.
    fn ask(ctx: &Context, target: &Release, releases: &Releases) -> Self {
        let git = Git::open(ctx);
        let reachable =
            || git.is_ancestor(&git.resolve(&target.commit)?, &git.fetch(&ctx.config.git.branch)?);
        let changed_migrations = || {
            let since = releases.data_since(&target.tag)?;
            let mut commits: Vec<&str> = since.iter().map(|release| release.commit.as_str()).collect();
            let mut known = HashSet::new();
            commits.retain(|commit| known.insert(*commit));
            let commits = commits.into_iter().map(|commit| git.resolve(commit));
            let commits = commits.collect::<Result<Vec<_>>>()?;
            migrations::changed_by_any(ctx, &git, &git.resolve(&target.commit)?, &commits)
        };
        Self {
            reachable: reachable(),
            changed_migrations: changed_migrations(),
        }
    }
}

impl Platforms {
    fn asked(&self, target: &ReleaseParts) -> Result<OfPlatforms> {
        let backends = target.backends.iter();
        let backends = backends.map(|(name, to)| Ok((self.backend(name)?, to)));
        let backends = backends.collect::<Result<Vec<_>>>()?;
        let frontends = target.frontends.iter();
        let frontends = frontends.map(|(name, to)| Ok((self.frontend(name)?, to)));
        let frontends = frontends.collect::<Result<Vec<_>>>()?;
        scope(|scope| {
            let serving = scope.spawn(|| self.serving());
            let deployments: Vec<_> = frontends
                .iter()
                .map(|(vercel, to)| scope.spawn(|| vercel.inspect(&to.deployment)))
                .collect();
            let projects: Vec<_> = self
                .frontends
                .iter()
                .map(|vercel| scope.spawn(|| vercel.project().ok()))
                .collect();
            let asked: Vec<_> = backends
                .iter()
                .map(|(railway, to)| scope.spawn(|| OfBackend::ask(railway, to)))
                .collect();
            let serving = join(serving);
            let mut of_backends = Vec::new();
            for asked in asked {
                let (mut backend, deployment) = join(asked);
                let active = serving
                    .as_ref()
                    .ok()
                    .and_then(|serving| serving.backends.get(&backend.config.name));
                // Of what serves now the platform does not say that it can be rolled back to.
                let serves = active.and_then(Option::as_ref).map(|active| &active.id);
                backend.image_kept |= deployment.is_some() && serves == deployment.as_ref();
                of_backends.push(backend);
            }
            let projects: Vec<_> = projects.into_iter().filter_map(join).collect();
            let services = of_backends
                .iter()
                .filter_map(|backend| backend.service.as_ref().ok());
            Ok(OfPlatforms {
                others: others_who_deploy(services, projects.iter()),
                serving,
                frontends: frontends
                    .iter()
                    .zip(deployments)
                    .map(|((vercel, _), deployment)| (vercel.name().to_owned(), join(deployment)))
                    .collect(),
                backends: of_backends,
            })
        })
    }
}

impl OfBackend {
    /// The answers, and the id of the target's deployment where the platform has it.
    fn ask(railway: &BackendService, to: &OnRailway) -> (Self, Option<String>) {
        scope(|scope| {
            let refused = scope.spawn(|| railway.refuses_rollbacks());
            let service = scope.spawn(|| railway.service());
            let token = scope.spawn(|| railway.check_token());
            let image = railway.deployment(&to.deployment).ok();
            let asked = Self {
                config: railway.backend().clone(),
                token: join(token),
                image_kept: image
                    .as_ref()
                    .is_some_and(|image| image.can_rollback.unwrap_or(false)),
                rollback_refused: join(refused),
                service: join(service),
            };
            (asked, image.map(|image| image.id))
        })
    }
}
