//! `backup import`: makes a backup of a dump that mongodump wrote by itself, or of a snapshot of Atlas.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::backup::import::import;
use crate::backup::snapshot_import::import_snapshot;
use crate::context::Context;
use crate::domain::manifest::BackupMetadata;
use crate::report;

/// Options of `backup import`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// An archive (`mongodump --archive`), a compressed one, or the folder that mongodump wrote
    #[arg(group = "what")]
    dump: Option<PathBuf>,
    /// A snapshot on Atlas (`backup list` has them): restored beside the live collections, read, and dropped there
    #[arg(long, value_name = "ID", group = "what")]
    snapshot: Option<String>,
    /// What it is for; shown by `backup list`
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
}

#[derive(Serialize)]
struct Imported<'a> {
    path: String,
    metadata: &'a BackupMetadata,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let backup = match (&args.dump, &args.snapshot) {
        (_, Some(snapshot)) => {
            let purpose = format!("imported from the snapshot {snapshot}");
            import_snapshot(ctx, snapshot, args.purpose.as_deref().unwrap_or(&purpose))?
        }
        (Some(dump), None) => import(
            ctx,
            dump,
            args.purpose.as_deref().unwrap_or("imported from a dump"),
        )?,
        // One of both is required.
        (None, None) => return Ok(()),
    };
    let imported = Imported {
        path: backup.path.display().to_string(),
        metadata: &backup.metadata.sealed()?,
    };
    report::emit_done(ctx.format, "backup-import/1", &imported, || {
        let metadata = &backup.metadata;
        let mut text = format!(
            "backup {}: {} documents of {} collections\n  file: {}\n  verified: read back whole, every digest equal\n",
            metadata.id,
            metadata.documents,
            metadata.namespaces.len(),
            backup.path.display()
        );
        for warning in &metadata.warnings {
            text += &format!("  warning: {warning}\n");
        }
        text
    });
    Ok(())
}
