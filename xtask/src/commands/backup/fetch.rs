//! `backup fetch`: brings one backup to this machine, with the one that it builds on.

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
    /// The file of the full backup that a differential one builds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    metadata: &'a BackupMetadata,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let backup = backup::find(ctx, &args.id)?;
    let base = backup::base_of(ctx, &backup)?;
    let fetched = Fetched {
        base: base.as_ref().map(|base| base.path.display().to_string()),
        path: backup.path.display().to_string(),
        metadata: &backup.metadata,
    };
    report::emit(ctx.format, "backup-fetch/1", &fetched, || {
        let paths = [&fetched.path].into_iter().chain(&fetched.base);
        paths.map(|path| format!("{path}\n")).collect()
    })
}
