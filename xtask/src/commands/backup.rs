//! `cargo xtask backup`: take, verify, list and find backups.

mod drill;
mod fetch;
mod import;
mod list;
mod prune;
mod verify;

use anyhow::Result;
use serde::Serialize;

use crate::backup::{BackupFile, BackupTimings, CreateOptions, create_timed};
use crate::context::Context;
use crate::domain::manifest::{BackupKind, BackupMetadata, ConsistencyKind};
use crate::report;

const CREATE_HELP: &str = "\
Exit codes:
  0  the backup is verified, and every required storage has it
  1  failed; nothing live was changed
  2  wrong usage or configuration
  3  refused: a restore of the database is under way or stopped midway

Example:
  cargo xtask backup create --purpose \"before the migration\"";

const VERIFY_HELP: &str = "\
Exit codes:
  0  every backup is good
  1  a backup is damaged or cannot be read
  2  wrong usage or configuration

Example:
  cargo xtask backup verify 20260131-120000 --deep";

const LIST_HELP: &str = "\
Exit codes:
  0  listed; what could not be read is named as a problem
  1  failed
  2  wrong usage or configuration

Example:
  cargo xtask backup list --format json";

const FETCH_HELP: &str = "\
Exit codes:
  0  the backup is on this machine, its digest checked
  1  no storage has it undamaged; nothing live was changed
  2  wrong usage or configuration

Example:
  cargo xtask backup fetch 20260131-120000";

const IMPORT_HELP: &str = "\
Exit codes:
  0  the backup is verified, and every required storage has it
  1  failed; nothing live was changed
  2  no dump of the environment's database, or wrong usage

Example:
  cargo xtask backup import dump/
  cargo xtask backup import --snapshot 6a79468a2c88faeba59de489";

const DRILL_HELP: &str = "\
Exit codes:
  0  everything is equal, within the budget
  1  something differs, or the restore took too long; nothing live was changed
  2  wrong usage or configuration
  3  the scratch server is not empty

Example:
  cargo xtask backup drill --random --record";

const PRUNE_HELP: &str = "\
Exit codes:
  0  done; without --yes nothing is deleted
  1  failed; see which backups are left with: cargo xtask backup list
  2  wrong usage or configuration

Example:
  cargo xtask backup prune --yes";

/// Options of `backup`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = CREATE_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    create: CreateArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Take a backup and read it back (what `backup` alone does)
    #[command(after_help = CREATE_HELP)]
    Create(CreateArgs),
    /// Read backups whole and compare everything that is known about them
    #[command(after_help = VERIFY_HELP)]
    Verify(verify::Args),
    /// List the backups and the storages that have them
    #[command(after_help = LIST_HELP)]
    List,
    /// Download a backup from the first storage that has it
    #[command(after_help = FETCH_HELP)]
    Fetch(fetch::Args),
    /// Make a verified backup of a dump that mongodump wrote by itself, or of a snapshot on Atlas
    #[command(after_help = IMPORT_HELP)]
    Import(import::Args),
    /// Restore a backup into a scratch server, compare everything, measure the time
    #[command(after_help = DRILL_HELP)]
    Drill(drill::Args),
    /// Delete backups older than the retention; without --yes, only show them
    #[command(after_help = PRUNE_HELP)]
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
        Action::Import(args) => import::run(&args, ctx),
        Action::Drill(args) => drill::run(&args, ctx),
        Action::Prune => prune::run(ctx),
    }
}

fn run_create(args: CreateArgs, ctx: &Context) -> Result<()> {
    let options = CreateOptions {
        allow_empty: args.allow_empty,
        purpose: args.purpose,
        within: None,
    };
    let (backup, timings) = create_timed(ctx, &options, args.all_databases)?;
    let created = Created {
        path: backup.path.display().to_string(),
        metadata: &backup.metadata.sealed()?,
        timings,
    };
    report::emit_done(ctx.format, "backup/1", &created, || text(&backup, timings));
    Ok(())
}

fn text(backup: &BackupFile, timings: BackupTimings) -> String {
    let metadata = &backup.metadata;
    let kind = if metadata.encrypted {
        "encrypted"
    } else {
        "not encrypted"
    };
    let contents = match metadata.kind {
        BackupKind::Full => "full",
        BackupKind::Differential => "differential",
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
            report::bytes(metadata.size_bytes),
        ),
        format!("  file: {}", backup.path.display()),
        format!("  sha256: {}", metadata.hash),
        format!("  kind: {contents} ({})", metadata.kind_reason),
        "  verified: read back whole, every digest equal".to_owned(),
        format!("  consistency: {consistency} ({})", metadata.consistency.reason),
    ];
    let copies = metadata.storage.iter().skip(1);
    lines.extend(copies.map(|copy| format!("  copy: {} {}", copy.kind, copy.location)));
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
