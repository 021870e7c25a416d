//! Railway, Vercel and the database: do the tokens work, what serves, what lies about.

use anyhow::Result;

use super::Line;
use crate::context::Context;
use crate::database::Live;
use crate::domain::release::known_good;
use crate::release::releases::Releases;
use crate::restore::{self, Leftover};
use crate::tools::railway::Railway;
use crate::tools::vercel::Vercel;

/// More requests than these would make a page that nobody waits for.
const IMAGES_LOOKED_AT: usize = 5;

pub(super) fn railway(ctx: &Context) -> Vec<Line> {
    let look = || -> Result<Vec<Line>> {
        let railway = Railway::open(ctx)?;
        railway.check_token()?;
        let mut lines = vec![match railway.active()? {
            Some(deployment) => Line::ok("railway", format!("{} serves", deployment.id)),
            None => Line::warning("railway", "nothing is deployed", "cargo xtask deploy"),
        }];
        if railway.refuses_rollbacks() {
            lines.push(Line::warning(
                "railway rollback",
                "Railway does not let this token roll back to an image",
                "none is needed: a rollback builds from the tag, which takes some minutes longer",
            ));
        }
        if let Some(note) = railway.service()?.note() {
            let fix = "remove the watch patterns in the settings of the service on Railway";
            lines.push(Line::warning("railway service", note, fix));
        }
        lines.extend(image_window(ctx, &railway)?);
        Ok(lines)
    };
    let fix = format!("check {} and the ids in pipeline.toml", ctx.env().railway.token);
    look().unwrap_or_else(|error| vec![Line::error("railway", &error, &fix)])
}

pub(super) fn vercel(ctx: &Context) -> Vec<Line> {
    let look = || -> Result<Line> {
        Ok(match Vercel::open(ctx)?.serving()? {
            Some(deployment) => Line::ok("vercel", format!("{} serves", deployment.id)),
            None => Line::warning("vercel", "the domain serves nothing", "cargo xtask deploy"),
        })
    };
    let fix = format!("check {} and the ids in pipeline.toml", ctx.env().vercel.token);
    vec![look().unwrap_or_else(|error| Line::error("vercel", &error, &fix))]
}

pub(super) fn database(ctx: &Context) -> Vec<Line> {
    let look = || -> Result<Vec<Line>> {
        let place = &ctx.env().mongodb;
        let live = Live::connect(&ctx.secret(&place.uri)?, &place.database)?;
        let server = live.server()?;
        let mut lines = vec![Line::ok(
            "database",
            format!("MongoDB {} at {}", server.version, server.host),
        )];
        lines.extend(restore::leftovers(&live)?.iter().map(leftover));
        Ok(lines)
    };
    let fix = format!(
        "check {} and the network access of the cluster",
        ctx.env().mongodb.uri
    );
    look().unwrap_or_else(|error| vec![Line::error("database", &error, &fix)])
}

/// How far back the images reach that Railway keeps: past them a rollback builds again, which takes longer. Railway
/// keeps the image of a replaced deployment for a time that depends on its plan (24 h, 72 h, 120 h, 360 h).
fn image_window(ctx: &Context, railway: &Railway) -> Result<Option<Line>> {
    let releases = Releases::read(ctx)?;
    let good = known_good(&releases.all);
    let Some(newest) = good.first() else {
        return Ok(None);
    };
    let mut reach = None;
    for release in good.iter().take(IMAGES_LOOKED_AT) {
        if railway.deployment(&release.railway.deployment)?.can_rollback != Some(true) {
            break;
        }
        reach = Some(*release);
    }
    Ok(Some(match reach {
        Some(oldest) => Line::ok(
            "images",
            format!(
                "Railway keeps those of the releases back to {} ({} UTC)",
                oldest.tag,
                oldest.created.format("%F %R")
            ),
        ),
        None => Line::warning(
            "images",
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
