//! Railway, Vercel and the database: do the tokens work, what serves, what lies about.

use anyhow::Result;

use super::{Asked, Line};
use crate::backup;
use crate::config::{BackendConfig, FrontendConfig, VercelConfig};
use crate::context::Context;
use crate::database::{Digests, Live};
use crate::domain::parts::about;
use crate::operation::ledger::Ledger;
use crate::restore::{self, DataCapacity, Leftover};
use crate::tools::backend::BackendService;
use crate::tools::frontend::FrontendService;
use crate::tools::railway::database_uri;
use crate::tools::vercel::VercelProject;

/// More requests than these would make a page that nobody waits for.
const IMAGES_LOOKED_AT: usize = 5;

pub(super) fn railway(asked: &Asked<'_>) -> Vec<Line> {
    let backends = asked.ctx.env().backends.iter();
    backends.flat_map(|backend| of_backend(asked, backend)).collect()
}

fn of_backend(asked: &Asked<'_>, backend: &BackendConfig) -> Vec<Line> {
    let ctx = asked.ctx;
    let Some(place) = backend.railway() else {
        let active = BackendService::open(ctx, backend).and_then(|backend| backend.active());
        return vec![of_adapter(&backend.name, active.map(|active| Some(active?.id)))];
    };
    let subject = about("railway", &backend.name);
    let look = || -> Result<Vec<Line>> {
        let railway = BackendService::open(ctx, backend)?;
        railway.check_token()?;
        let mut lines = vec![match railway.active()? {
            Some(deployment) => Line::ok(subject.as_str(), format!("{} serves", deployment.id)),
            None => Line::warning(subject.as_str(), "nothing is deployed", "cargo xtask deploy"),
        }];
        if railway.refuses_rollbacks() {
            lines.push(Line::warning(
                about("railway rollback", &backend.name),
                "Railway does not let this token roll back to an image",
                "none is needed: a rollback builds from the tag, which takes some minutes longer",
            ));
        }
        let service = railway.service()?;
        if let Some(repository) = service.connected_repository() {
            lines.push(Line::warning(
                about("railway pushes", &backend.name),
                format!("each push to {repository} is deployed by the platform, over a rollback too"),
                "railway service source disconnect",
            ));
        }
        if let Some(note) = service.note() {
            let fix = "remove the watch patterns in the settings of the service on Railway";
            lines.push(Line::warning(about("railway service", &backend.name), note, fix));
        }
        lines.extend(image_window(asked, &railway)?);
        Ok(lines)
    };
    let fix = format!("check {} and the ids in pipeline.toml", place.token);
    look().unwrap_or_else(|error| vec![Line::error(subject.as_str(), &error, &fix)])
}

/// What the programs of a team answer; `doctor --adapter` asks more.
fn of_adapter(part: &str, serves: Result<Option<String>>) -> Line {
    let subject = about("adapter", part);
    match serves {
        Ok(Some(id)) => Line::ok(subject, format!("{id} serves")),
        Ok(None) => Line::warning(subject, "nothing is deployed", "cargo xtask deploy"),
        Err(error) => Line::error(subject, &error, "cargo xtask doctor --adapter NAME"),
    }
}

pub(super) fn vercel(ctx: &Context) -> Vec<Line> {
    let frontends = ctx.env().frontends.iter();
    frontends
        .flat_map(|frontend| of_frontend(ctx, frontend))
        .collect()
}

fn of_frontend(ctx: &Context, frontend: &FrontendConfig) -> Vec<Line> {
    let Some(place) = frontend.vercel() else {
        let shown = FrontendService::open(ctx, frontend).and_then(|frontend| frontend.serving());
        return vec![of_adapter(&frontend.name, shown.map(|shown| Some(shown?.id)))];
    };
    let subject = about("vercel", &frontend.name);
    let look = || -> Result<Vec<Line>> {
        let vercel = FrontendService::open(ctx, frontend)?;
        let mut lines = vec![match vercel.serving()? {
            Some(deployment) => Line::ok(subject.as_str(), format!("{} serves", deployment.id)),
            None => Line::warning(
                subject.as_str(),
                "the domain serves nothing",
                "cargo xtask deploy",
            ),
        }];
        lines.extend(vercel_settings(&frontend.name, place, &vercel.project()?));
        Ok(lines)
    };
    let fix = format!("check {} and the ids in pipeline.toml", place.token);
    look().unwrap_or_else(|error| vec![Line::error(subject.as_str(), &error, &fix)])
}

fn vercel_settings(part: &str, place: &VercelConfig, project: &VercelProject) -> Vec<Line> {
    let pushes = project.git_deploys().map(|repository| {
        let found = format!("each push to {repository} goes to the production domain, over a rollback too");
        let fix = "disconnect the repository, or switch off \"Auto-assign Custom Production Domains\"";
        Line::warning(about("vercel pushes", part), found, fix)
    });
    let rolls_out = project.rolls_out().then(|| {
        let found = "rolling releases: a promotion would move a part of the users only";
        Line::warning(
            about("vercel rollout", part),
            found,
            "disable rolling releases on Vercel",
        )
    });
    let closed = project.protects_staged() && place.protection_bypass.is_none();
    let closed = closed.then(|| {
        let found = "the addresses of deployments ask for a login: a staged frontend cannot be checked";
        Line::warning(
            about("vercel protection", part),
            found,
            "set `protection_bypass` in pipeline.toml",
        )
    });
    pushes.into_iter().chain(rolls_out).chain(closed).collect()
}

pub(super) fn database(ctx: &Context) -> Vec<Line> {
    let Some(place) = &ctx.env().mongodb else {
        return vec![Line::ok("database", "the environment has none")];
    };
    let look = || -> Result<Vec<Line>> {
        let live = Live::connect(&database_uri(ctx)?, &place.database)?;
        let server = live.server()?;
        let mut lines = vec![Line::ok(
            "database",
            format!("MongoDB {} at {}", server.version, server.host),
        )];
        lines.extend(restorable(&live)?);
        lines.extend(restore::leftovers(&live)?.iter().map(leftover));
        lines.push(capacity(ctx, &live)?);
        Ok(lines)
    };
    let fix = format!("check {} and the network access of the cluster", place.uri);
    look().unwrap_or_else(|error| vec![Line::error("database", &error, &fix)])
}

/// Whether the time of a restore holds what is live, before one is needed.
fn capacity(ctx: &Context, live: &Live) -> Result<Line> {
    let inventory = live.inventory(Digests::None)?;
    let bytes = inventory.collections.values().map(|facts| facts.bytes).sum();
    // Without a ledger, which another line is about, the speed is assumed.
    let ledger = Ledger::open(ctx).state().ok();
    let budget_ms = ctx.config.budgets.limits().restore_ms;
    let found = DataCapacity::of(ledger.as_ref(), budget_ms, bytes);
    let fix =
        "roll back and restore from a machine near the server; restore only what is needed (--collection)";
    Ok(if found.has_bytes > found.holds_bytes {
        Line::warning("capacity", found.text("a restore may be late"), fix)
    } else {
        Line::ok("capacity", found.text(""))
    })
}

/// What is live and no restore can put back, before a backup is needed.
fn restorable(live: &Live) -> Result<Vec<Line>> {
    let found = backup::restorable_live(live)?;
    let fix = "rename or move the collection, or recreate the index; `mongorestore` restores what it can of such a backup";
    let lines = found.problems.into_iter().chain(found.left_alone);
    let mut lines: Vec<Line> = lines.map(|why| Line::warning("restorable", why, fix)).collect();
    let fix = "nothing, or recreate the index as a server of today has it";
    lines.extend(
        found
            .altered
            .into_iter()
            .map(|what| Line::warning("restorable", what, fix)),
    );
    Ok(lines)
}

/// How far back the images reach that Railway keeps: past them a rollback builds again, which takes longer. Railway
/// keeps the image of a replaced deployment for a time that depends on its plan (24 h, 72 h, 120 h, 360 h).
fn image_window(asked: &Asked<'_>, railway: &BackendService) -> Result<Option<Line>> {
    let subject = about("images", railway.name());
    let releases = match asked.releases() {
        Ok(releases) => releases,
        Err(error) => {
            let fix = "check the git remote and its credentials";
            return Ok(Some(Line::error(subject, error, fix)));
        }
    };
    let good = releases.known_good(asked.ctx);
    let Some(newest) = good.first() else {
        return Ok(None);
    };
    let mut reach = None;
    for release in good.iter().take(IMAGES_LOOKED_AT) {
        let Some(recorded) = release.parts.backends.get(railway.name()) else {
            break;
        };
        if railway.deployment(&recorded.deployment)?.can_rollback != Some(true) {
            break;
        }
        reach = Some(*release);
    }
    Ok(Some(match reach {
        Some(oldest) => Line::ok(
            subject,
            format!(
                "Railway keeps those of the releases back to {} ({} UTC)",
                oldest.tag,
                oldest.created.format("%F %R")
            ),
        ),
        None => Line::warning(
            subject,
            format!("Railway no longer keeps that of {}", newest.tag),
            "none is needed: a rollback builds from the tag, which takes some minutes longer",
        ),
    }))
}

/// What a restore has left beside the live collections.
fn leftover(left: &Leftover) -> Line {
    let told = if left.midway {
        "are beside the live ones: it has not ended"
    } else {
        "are kept beside the live ones for an undo"
    };
    Line::warning(
        format!("restore {}", left.operation),
        format!("{} collections {told}", left.collections),
        left.next.clone(),
    )
}
