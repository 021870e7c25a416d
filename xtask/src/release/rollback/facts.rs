//! What a rollback must know of the outside world. Git, database and both platforms are asked at once: while users wait
//! for the old release, no question waits for another one's answer.

use std::collections::HashSet;
use std::thread::scope;

use anyhow::Result;

use crate::context::Context;
use crate::domain::migration::ChangedMigration;
use crate::domain::release::Release;
use crate::release::migrations;
use crate::release::others::others_who_deploy;
use crate::release::platforms::{Platforms, Serving, join};
use crate::release::release_tag::schema_fingerprint;
use crate::release::releases::Releases;
use crate::tools::git::Git;
use crate::tools::railway::RailwayService;
use crate::tools::vercel;

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
    pub token: Result<()>,
    pub serving: Result<Serving>,
    /// The target's frontend.
    pub frontend: Result<vercel::VercelDeployment>,
    /// Whether the platform still has the target's backend as an image.
    pub image_kept: bool,
    /// Whether the platform refuses the token a rollback to an image.
    pub rollback_refused: bool,
    /// The settings of the service, which decide what a new build takes.
    pub service: Result<RailwayService>,
    /// Who else deploys; what could not be asked stops no rollback.
    pub others: Vec<String>,
}

impl Facts {
    pub(super) fn ask(ctx: &Context, target: &Release, releases: &Releases) -> Self {
        scope(|scope| {
            let platforms = scope.spawn(|| Platforms::open(ctx).map(|all| OfPlatforms::ask(&all, target)));
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

impl OfPlatforms {
    fn ask(platforms: &Platforms, target: &Release) -> Self {
        scope(|scope| {
            let serving = scope.spawn(|| platforms.serving());
            let frontend = scope.spawn(|| platforms.vercel.inspect(&target.vercel.deployment));
            let refused = scope.spawn(|| platforms.railway.refuses_rollbacks());
            let service = scope.spawn(|| platforms.railway.service());
            let project = scope.spawn(|| platforms.vercel.project().ok());
            let token = platforms.railway.check_token();
            let image = platforms.railway.deployment(&target.railway.deployment);
            let (serving, service) = (join(serving), join(service));
            let serves = |id: &str| {
                let backend = serving.as_ref().ok().and_then(|serving| serving.backend.as_ref());
                backend.is_some_and(|backend| backend.id == id)
            };
            // Of what serves now the platform does not say that it can be rolled back to.
            let kept = |image: &crate::tools::railway::RailwayDeployment| {
                image.can_rollback.unwrap_or(false) || serves(&image.id)
            };
            Self {
                token,
                image_kept: image.as_ref().is_ok_and(kept),
                frontend: join(frontend),
                rollback_refused: join(refused),
                others: others_who_deploy(service.as_ref().ok(), join(project).as_ref()),
                service,
                serving,
            }
        })
    }
}
