//! Railway, Vercel and the database: do the tokens work, what serves, what lies about.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Line;
use crate::context::Context;
use crate::database::Live;
use crate::restore::names::{Role, parse};
use crate::tools::railway::Railway;
use crate::tools::vercel::Vercel;

pub(super) fn railway(ctx: &Context) -> Vec<Line> {
    let look = || -> Result<Line> {
        let railway = Railway::open(ctx)?;
        railway.check_token()?;
        Ok(match railway.active()? {
            Some(deployment) => Line::ok("railway", format!("{} serves", deployment.id)),
            None => Line::warning("railway", "nothing is deployed", "cargo xtask deploy"),
        })
    };
    let fix = format!("check {} and the ids in pipeline.toml", ctx.env().railway.token);
    vec![look().unwrap_or_else(|error| Line::error("railway", &error, &fix))]
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
        let names = live.listed()?;
        let old: BTreeSet<String> = names
            .keys()
            .filter_map(|name| parse(name))
            .map(|(operation, role, _)| match role {
                Role::Old => format!("cargo xtask restore --forget {operation}"),
                Role::Shadow | Role::Late | Role::Plan => format!("cargo xtask restore --undo {operation}"),
            })
            .collect();
        lines.push(if old.is_empty() {
            Line::ok("collections of restores", "none is left")
        } else {
            Line::warning(
                "collections of restores",
                "some are kept beside the live ones",
                old.into_iter().collect::<Vec<_>>().join("; "),
            )
        });
        Ok(lines)
    };
    let fix = format!(
        "check {} and the network access of the cluster",
        ctx.env().mongodb.uri
    );
    look().unwrap_or_else(|error| vec![Line::error("database", &error, &fix)])
}
