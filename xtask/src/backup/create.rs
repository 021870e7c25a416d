//! Takes a backup: one pass from mongodump's pipe to a verified file, then copies to the other storages.

use std::io::Read;
use std::time::Instant;

use anyhow::{Context as _, Result};
use chrono::Utc;
use serde::Serialize;

use super::find::first_directory;
use super::moment::{Place, Watch};
use super::progress::Meter;
use super::room::require_room;
use super::source::BackupSource;
use super::{
    BackupFile, compare, encryption, error_hints, identities, increment, midway, open, restorable,
    write_metadata,
};
use crate::archive::{self, Base, Check, ContainerOptions, Identities, Recipients, StoredBackup};
use crate::context::Context;
use crate::domain::inventory::MARK_COLLECTION;
use crate::domain::manifest::{BackupMetadata, ChangeStart, NamespaceRecord};
use crate::domain::operation::OperationId;
use crate::domain::restore_name;
use crate::error::CliError;
use crate::exec::check_interrupted;
use crate::report;
use crate::secret::Secret;
use crate::storage::directory::{self, Directory, Partial};
use crate::tools::mongodump::{self, DumpOrder, Scope};
use crate::tools::railway::database_uri;
use crate::wait::elapsed_ms;

/// How a backup is taken.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// A database without documents is no error.
    pub allow_empty: bool,
    /// What it is taken for, for people.
    pub purpose: String,
    /// The operation that fills shadow collections while this backup is taken: they are left out.
    pub within: Option<OperationId>,
}

/// How long the parts took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct BackupTimings {
    pub dump_ms: u64,
    pub verify_ms: u64,
    pub copies_ms: u64,
    pub total_ms: u64,
}

/// Takes a backup of the environment's database. It counts only because it was read back whole.
pub fn create(ctx: &Context, options: &CreateOptions) -> Result<BackupFile> {
    create_timed(ctx, options, false).map(|(backup, _)| backup)
}

/// Takes a backup of the environment's database, or of everything on its server, and says how long it took.
pub fn create_timed(
    ctx: &Context,
    options: &CreateOptions,
    everything: bool,
) -> Result<(BackupFile, BackupTimings)> {
    let started = Instant::now();
    let what = format!("`{}`", ctx.mongodb()?.database);
    let explained = |error| error_hints::explain(&error, &what);
    let first = first_directory(ctx).map_err(explained)?;
    encryption::check(ctx)?;
    let (mut backup, mut timings) = take(ctx, options, everything, &first).map_err(explained)?;
    let step = Instant::now();
    super::copies::copy_to_other_storages(ctx, &first, &mut backup)?;
    // A workflow keeps the folder as the artifact `mongodb-backup-<id>`: `fetch` looks for that name.
    report::step_output("backup-id", &backup.metadata.id)?;
    report::step_output("backup-path", &backup.folder().to_string_lossy())?;
    timings.copies_ms = elapsed_ms(step);
    timings.total_ms = elapsed_ms(started);
    Ok((backup, timings))
}

/// A verified backup in the first storage.
fn take(
    ctx: &Context,
    options: &CreateOptions,
    everything: bool,
    first: &Directory,
) -> Result<(BackupFile, BackupTimings)> {
    let mut timings = BackupTimings::default();
    let mongodb = ctx.mongodb()?;
    let uri = database_uri(ctx)?;
    let source = BackupSource::connect(&uri, &mongodb.database, everything)?;
    let before = source.list()?;
    let size_bytes = source.size_bytes();
    midway::require_none(&source, &before)?;
    if before.own.is_empty() && !options.allow_empty {
        return Err(nothing_there(&source));
    }
    require_room(first.path(), size_bytes)?;
    let partial = first.reserve(Utc::now())?;
    let keys = Keys::of(ctx)?;
    let shadows = options.within.as_ref().map(restore_name::shadow_prefix);
    let watch = Watch::begin(ctx, &source, &before.own, &partial.id, shadows.as_deref())?;
    let change_start = source.mark_start();
    check_interrupted()?;

    let increment::Choice {
        incremental,
        base,
        reason,
    } = increment::choose(ctx, &source, size_bytes);
    let kind = if base.is_some() { "differential" } else { "full" };

    let step = Instant::now();
    report::progress(&format!(
        "backing up {} as {} ({kind}: {reason})",
        source.name(),
        partial.id
    ));
    let beside = before.beside.iter().map(|(_, name)| name.clone());
    let beside: Vec<String> = beside.chain([MARK_COLLECTION.to_owned()]).collect();
    let scope = source.scope(watch.takes_oplog(), &beside, shadows.as_deref());
    let order = if incremental {
        DumpOrder::Same
    } else {
        DumpOrder::Mixed
    };
    let dumping = Dumping {
        uri: &uri,
        scope,
        order,
        size_bytes,
    };
    let container = ContainerOptions::new(partial.path(), partial.id.as_str(), keys.recipients);
    let stored = dump(ctx, dumping, base, &partial, &container)?;
    let place = Place {
        partial: &partial,
        options: &container,
        identities: &keys.identities,
    };
    let (stored, consistency, as_of) = watch.settle(ctx, &source, &place, stored)?;
    timings.dump_ms = elapsed_ms(step);
    let namespaces = &stored.manifest.namespaces;
    let only = (!everything).then_some(source.database());
    let after = source.list()?;
    midway::require_still(&before, &after, only.map(|_| namespaces.as_slice()))?;
    let mut warnings = compare::listings(only, namespaces, &before.own, &after.own)?;
    ensure_not_empty(&stored, options)?;
    if let Some(database) = only {
        warnings.extend(not_restorable(namespaces, database));
        let bytes = namespaces.iter().map(|n| n.bytes).sum();
        for why in source.server_problems(&after, bytes)? {
            warnings.push(shown(format!(
                "`cargo xtask restore` cannot restore this backup now: {why}"
            )));
        }
    }
    let documents: u64 = namespaces.iter().map(|n| n.documents).sum();
    report::progress(&format!(
        "dumped {documents} documents of {} collections in {}; reading the file back",
        namespaces.len(),
        report::duration_ms(timings.dump_ms)
    ));

    let step = Instant::now();
    let mut metadata = stored.metadata(consistency);
    match change_start {
        Ok(start) => metadata.change_start = Some(ChangeStart { as_of, ..start }),
        Err(why) => metadata.no_change_start = why,
    }
    metadata.environment.clone_from(&ctx.env_name);
    source.host().clone_into(&mut metadata.host);
    metadata.purpose.clone_from(&options.purpose);
    metadata.recipients = keys.configured;
    metadata.kind_reason = reason;
    let search = source.search_indexes(&after)?;
    metadata.search_indexes = search.recorded()?;
    warnings.extend(search.hidden_text().map(shown));
    metadata.warnings.append(&mut warnings);
    let backup = seal(ctx, first, partial, stored, metadata, &keys.identities)?;
    timings.verify_ms = elapsed_ms(step);
    Ok((backup, timings))
}

/// Reads the file back, records that it is verified, and gives the backup its name in the first storage.
pub(super) fn seal(
    ctx: &Context,
    first: &Directory,
    partial: Partial,
    stored: StoredBackup,
    metadata: BackupMetadata,
    identities: &Identities,
) -> Result<BackupFile> {
    let path = stored.commit()?;
    let backup = BackupFile { path, metadata };
    read_back(ctx, &backup, identities)?;
    let mut metadata = backup.metadata;
    metadata.verified = Some(Utc::now());
    check_interrupted()?;
    let target = first.folder_of(&partial.id);
    metadata.storage.push(directory::stored(&target));
    write_metadata(partial.path(), &metadata)?;
    let folder = partial.expose()?;
    let path = folder.join(&metadata.file);
    Ok(BackupFile { path, metadata })
}

/// What mongodump is asked for.
#[derive(Clone, Copy)]
struct Dumping<'a> {
    uri: &'a Secret,
    scope: Scope<'a>,
    order: DumpOrder,
    size_bytes: u64,
}

/// One pass; what mongodump says it dumped is compared with what was counted.
fn dump(
    ctx: &Context,
    dumping: Dumping<'_>,
    base: Option<Base>,
    partial: &Partial,
    options: &ContainerOptions,
) -> Result<StoredBackup> {
    let Dumping {
        uri,
        scope,
        order,
        size_bytes,
    } = dumping;
    let mut meter = Meter::new("dump", size_bytes);
    let dumped = mongodump::archive(&ctx.shell()?, uri, scope, order, |stream: &mut dyn Read| {
        archive::store_upon(base, stream, options, partial.created, &mut |progress| {
            meter.at(progress);
        })
    })?;
    check_interrupted()?;
    compare::counts(&dumped.value.manifest.namespaces, &dumped.counts)?;
    Ok(dumped.value)
}

fn ensure_not_empty(stored: &StoredBackup, options: &CreateOptions) -> Result<()> {
    let mut own = stored.manifest.namespaces.iter().filter(|n| compare::is_own(n));
    if options.allow_empty || own.any(|n| n.documents > 0) {
        return Ok(());
    }
    Err(CliError::failed("there is not one document in the database")
        .next("check the name of the database; if it is meant to be empty, add --allow-empty")
        .into())
}

/// What `restore` will not restore of it, or not as it was, as warnings: the backup is worth keeping, because `mongorestore` may.
pub(super) fn not_restorable(namespaces: &[NamespaceRecord], database: &str) -> Vec<String> {
    if namespaces.is_empty() {
        // Nothing was there, and --allow-empty was given.
        return Vec::new();
    }
    let found = restorable(namespaces, database);
    let cannot = |why| format!("`cargo xtask restore` cannot restore this backup: {why}");
    found
        .problems
        .into_iter()
        .map(cannot)
        .chain(found.left_alone)
        .chain(found.altered)
        .map(shown)
        .collect()
}

/// A warning that goes into the metadata is shown too.
fn shown(warning: String) -> String {
    report::progress(&format!("warning: {warning}"));
    warning
}

/// Reads the whole file as it is on the disk, through decryption and decompression, to the last digest.
fn read_back(ctx: &Context, backup: &BackupFile, identities: &Identities) -> Result<()> {
    let mut meter = Meter::new("verify", backup.metadata.archive_bytes);
    let report = archive::verify(
        &backup.path,
        open::open_with(ctx, backup, Some(identities)),
        Some(&backup.metadata),
        // As a restore reads it: what cannot be restored is found now.
        Check::Strict,
        &mut |progress| meter.at(progress),
    )?;
    if report.is_good() {
        return Ok(());
    }
    Err(CliError::failed(format!(
        "the backup was written, but reading it back found: {}",
        report.problems.join("; ")
    ))
    .live("nothing was changed, and the bad file was removed")
    .next("check backup.identity and backup.recipients in pipeline.toml belong together, and the disk's health; then run the command again")
    .into())
}

/// Who can read the backup, and the key that it is read back with.
pub(super) struct Keys {
    pub(super) recipients: Option<Recipients>,
    pub(super) identities: Identities,
    /// The public keys of the configuration.
    pub(super) configured: Vec<String>,
}

impl Keys {
    /// Where the machine has no key of its own to read what it encrypts (it needs none to take backups), the file is
    /// encrypted to a new key too, that only this process has: so it can be read back whole, once.
    pub(super) fn of(ctx: &Context) -> Result<Self> {
        let configured = encryption::public_keys(ctx)?;
        let (passing, public) = Identities::ephemeral();
        if configured.is_empty() {
            return Ok(Self {
                recipients: None,
                identities: passing,
                configured,
            });
        }
        let mut texts = configured.clone();
        let identities = if let Some(own) = identities(ctx)? {
            own
        } else {
            texts.push(public);
            passing
        };
        let recipients =
            Recipients::parse(&texts).context("backup.recipients in pipeline.toml cannot be used")?;
        Ok(Self {
            recipients: Some(recipients),
            identities,
            configured,
        })
    }
}

fn nothing_there(source: &BackupSource) -> anyhow::Error {
    let others = source.others();
    let known = if others.is_empty() {
        String::new()
    } else {
        format!(" (there are: {})", others.join(", "))
    };
    let what = if source.is_everything() {
        format!("no database of {} has a collection", source.name())
    } else {
        format!("the database {} has no collections{known}", source.name())
    };
    CliError::failed(what)
        .next("correct `mongodb.database` in pipeline.toml, or the connection string; if it is meant to be empty, add --allow-empty")
        .into()
}
