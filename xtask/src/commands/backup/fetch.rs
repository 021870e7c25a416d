//! `backup fetch`: brings one backup to this machine.

use anyhow::Result;
use serde::Serialize;

use crate::backup;
use crate::context::Context;
use crate::domain::manifest::BackupMetadata;
use crate::report;

/// Options of `backup fetch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup's id
    id: String,
}

#[derive(Serialize)]
struct Fetched<'a> {
    path: String,
    metadata: &'a BackupMetadata,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let backup = backup::find(ctx, &args.id)?;
    let fetched = Fetched {
        path: backup.path.display().to_string(),
        metadata: &backup.metadata,
    };
    report::emit(ctx.format, "backup-fetch/1", &fetched, || {
        format!("{}\n", fetched.path)
    })
}
