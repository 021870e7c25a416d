//! `cargo xtask backup`: take, verify, list and find backups.

mod compare;
mod copies;
mod create;
mod drill;
mod fetch;
mod list;
mod meter;
mod prune;
mod refusal;
mod source;
mod verify;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::archive::{FileDigest, Identities, verify_file};
use crate::backup::BackupFile;
use crate::config::StorageConfig;
use crate::context::Context;
use crate::domain::manifest::{BackupMetadata, ConsistencyKind};
use crate::error::CliError;
use crate::report;
use crate::storage::directory::Directory;
use crate::storage::{self, BackupStore};

pub use create::{Timings, create_timed};
pub use list::{Listed, list};
pub use verify::{resolve, verify};

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

/// How a backup is taken.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// A database without documents is no error.
    pub allow_empty: bool,
    /// What it is taken for, for people.
    pub purpose: String,
}

#[derive(Serialize)]
struct Created<'a> {
    path: String,
    metadata: &'a BackupMetadata,
    timings: Timings,
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

/// Takes a backup of the environment's database. It counts only because it was read back whole.
pub fn create(ctx: &Context, options: &CreateOptions) -> Result<BackupFile> {
    create_timed(ctx, options, false).map(|(backup, _)| backup)
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

fn text(backup: &BackupFile, timings: Timings) -> String {
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

/// The backup with this id from the first place that has it undamaged: its size and SHA-256 are checked.
pub fn find(ctx: &Context, id: &str) -> Result<BackupFile> {
    let mut damaged = None;
    for directory in directories(ctx)? {
        match whole_in(&directory, id) {
            Ok(None) => {}
            Ok(Some(backup)) => return Ok(backup),
            Err(error) => {
                report::progress(&format!("warning: {}: {error:#}", directory.path().display()));
                damaged = Some(error);
            }
        }
    }
    if let Some(backup) = fetch::from_afar(ctx, id)? {
        return Ok(backup);
    }
    let what = damaged.map_or_else(
        || format!("no place has a backup {id}"),
        |error| format!("no place has an undamaged backup {id}: {error:#}"),
    );
    Err(CliError::failed(what)
        .live("nothing was changed")
        .next("see what there is with: cargo xtask backup list")
        .into())
}

fn whole_in(directory: &Directory, id: &str) -> Result<Option<BackupFile>> {
    let Some(backup) = directory.get(id)? else {
        return Ok(None);
    };
    let expected = FileDigest {
        size: backup.metadata.size,
        sha256: backup.metadata.hash.clone(),
    };
    verify_file(&backup.path, &expected)?;
    Ok(Some(backup))
}

/// The keys that open encrypted backups, where this machine has them.
pub fn identities(ctx: &Context) -> Result<Option<Identities>> {
    let Some(variable) = &ctx.config.backup.identity else {
        return Ok(None);
    };
    let Some(secret) = ctx.secret_if_set(variable) else {
        return Ok(None);
    };
    Identities::parse(secret.expose())
        .map(Some)
        .with_context(|| format!("the environment variable {variable} holds no usable age identity"))
}

/// The folders that keep backups: those configured, and the one for local state where backups of other places land.
fn directories(ctx: &Context) -> Result<Vec<Directory>> {
    let configured = ctx.config.backup.places.iter().filter_map(|place| match place {
        StorageConfig::Directory { path, .. } => Some(ctx.root.join(path)),
        _ => None,
    });
    let local = ctx.state_dir("backups")?;
    configured.chain([local]).map(Directory::open).collect()
}

/// All places, ready for use.
type Keepers = Vec<Box<dyn BackupStore>>;

/// The places of pipeline.toml, and the folder for local state.
fn keepers(ctx: &Context) -> Result<Keepers> {
    let configured = ctx
        .config
        .backup
        .places
        .iter()
        .map(|place| storage::open(ctx, place));
    let local = Directory::open(ctx.state_dir("backups")?)?;
    let local: Box<dyn BackupStore> = Box::new(local);
    configured.chain([Ok(local)]).collect()
}

/// Where a new backup is written: the first folder that is required, else the first, else the one for local state.
fn first_directory(ctx: &Context) -> Result<Directory> {
    let directory = |wanted: bool| {
        ctx.config.backup.places.iter().find_map(|place| match place {
            StorageConfig::Directory { path, required } if *required || !wanted => Some(ctx.root.join(path)),
            _ => None,
        })
    };
    match directory(true).or_else(|| directory(false)) {
        Some(path) => Directory::open(path),
        None => Directory::open(ctx.state_dir("backups")?),
    }
}
