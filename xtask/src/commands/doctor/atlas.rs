//! MongoDB Atlas: would a snapshot be taken, and of what is live?

use super::Line;
use crate::backup::snapshot;
use crate::context::Context;
use crate::tools::atlas::Atlas;

const FIX: &str = "correct [environments.NAME.atlas] in pipeline.toml";

pub(super) fn atlas(ctx: &Context) -> Vec<Line> {
    let Some(place) = &ctx.env().atlas else {
        return Vec::new();
    };
    let version = Atlas::open(ctx, place).and_then(|atlas| atlas.version());
    let version = match version {
        Ok(version) => Line::ok("atlas", format!("version {version}")),
        Err(error) => return vec![Line::error("atlas", &error, FIX)],
    };
    let cluster = match snapshot::check(ctx) {
        Ok(cluster) => Line::ok(
            "atlas cluster",
            format!(
                "{} is {}, MongoDB {}, the one of the connection string; cloud backup is on",
                cluster.name, cluster.state_name, cluster.version
            ),
        ),
        Err(error) => Line::error("atlas cluster", &error, FIX),
    };
    let mut lines = vec![version, cluster];
    if !ctx.config.engine(ctx.env()).has_snapshot() {
        lines.push(Line::warning(
            "atlas snapshots",
            "backup.engine = \"archive\": a deploy takes none",
            "set backup.engine = \"both\" in pipeline.toml, or remove [environments.NAME.atlas]",
        ));
    }
    lines
}
