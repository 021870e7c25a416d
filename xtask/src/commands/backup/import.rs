//! `backup import`: makes a backup of a dump that mongodump wrote by itself.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::backup::import::import;
use crate::context::Context;
use crate::domain::manifest::BackupMetadata;
use crate::report;

/// Options of `backup import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An archive (`mongodump --archive`), a compressed one, or the folder that mongodump wrote
    dump: PathBuf,
    /// What it is for; shown by `backup list`
    #[arg(long, default_value = "imported from a dump")]
    purpose: String,
}

#[derive(Serialize)]
struct Imported<'a> {
    path: String,
    metadata: &'a BackupMetadata,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let backup = import(ctx, &args.dump, &args.purpose)?;
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
