//! `cargo xtask backup`: take, verify, list and find backups.

mod drill;
mod fetch;
mod list;
mod prune;
mod verify;

use anyhow::Result;
use serde::Serialize;

use crate::backup::{BackupFile, BackupTimings, CreateOptions, create_timed};
use crate::context::Context;
use crate::domain::manifest::{BackupMetadata, ConsistencyKind};
use crate::report;

/// Options of `backup`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    create: CreateArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Take a backup and read it back (what `backup` alone does)
    Create(CreateArgs),
    /// Read backups whole and compare everything that is known about them
    Verify(verify::Args),
    /// What is kept where
    List,
    /// Get a backup from the first place that has it
    Fetch(fetch::Args),
    /// Restore a backup into a scratch server, compare everything, measure the time
    Drill(drill::Args),
    /// Delete what is older than the retention; without --yes, say what would go
    Prune,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Accept a database without documents
    #[arg(long)]
    allow_empty: bool,
    /// All databases of the server, of one moment where it has an oplog; only mongorestore restores such a backup
    #[arg(long)]
    all_databases: bool,
    /// What it is taken for; shown by `backup list`
    #[arg(long, default_value = "by hand")]
    purpose: String,
}

#[derive(Serialize)]
struct Created<'a> {
    path: String,
    metadata: &'a BackupMetadata,
    timings: BackupTimings,
}

/// Runs the subcommand; without one, takes a backup.
pub fn run(args: Args, ctx: &Context) -> Result<()> {
    match args.action.unwrap_or(Action::Create(args.create)) {
        Action::Create(args) => run_create(args, ctx),
        Action::Verify(args) => verify::run(&args, ctx),
        Action::List => list::run(ctx),
        Action::Fetch(args) => fetch::run(&args, ctx),
        Action::Drill(args) => drill::run(&args, ctx),
        Action::Prune => prune::run(ctx),
    }
}

fn run_create(args: CreateArgs, ctx: &Context) -> Result<()> {
    let options = CreateOptions {
        allow_empty: args.allow_empty,
        purpose: args.purpose,
    };
    let (backup, timings) = create_timed(ctx, &options, args.all_databases)?;
    let created = Created {
        path: backup.path.display().to_string(),
        metadata: &backup.metadata,
        timings,
    };
    report::emit(ctx.format, "backup/1", &created, || text(&backup, timings))
}

fn text(backup: &BackupFile, timings: BackupTimings) -> String {
    let metadata = &backup.metadata;
    let kind = if metadata.encrypted {
        "encrypted"
    } else {
        "not encrypted"
    };
    let consistency = match metadata.consistency.kind {
        ConsistencyKind::PointInTime => "one point in time",
        ConsistencyKind::PerCollection => "per collection",
    };
    let mut lines = vec![
        format!(
            "backup {}: {} documents of {} collections, {} stored as {} ({kind})",
            metadata.id,
            metadata.documents,
            metadata.namespaces.len(),
            report::bytes(metadata.archive_bytes),
            report::bytes(metadata.size),
        ),
        format!("  file: {}", backup.path.display()),
        format!("  sha256: {}", metadata.hash),
        "  verified: read back whole, every digest equal".to_owned(),
        format!("  consistency: {consistency} ({})", metadata.consistency.reason),
    ];
    let copies = metadata.storage.iter().skip(1);
    lines.extend(copies.map(|place| format!("  copy: {} {}", place.kind, place.location)));
    lines.extend(
        metadata
            .warnings
            .iter()
            .map(|warning| format!("  warning: {warning}")),
    );
    lines.push(format!(
        "  time: {} (dump {}, verify {}, copies {})\n",
        report::duration_ms(timings.total_ms),
        report::duration_ms(timings.dump_ms),
        report::duration_ms(timings.verify_ms),
        report::duration_ms(timings.copies_ms)
    ));
    lines.join("\n")
}
