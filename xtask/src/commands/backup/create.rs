//! `backup create`: one pass from mongodump's pipe to a verified file, then copies to the other places.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use serde::Serialize;

use super::meter::Meter;
use super::refusal;
use super::source::{self, Listing};
use super::{CreateOptions, first_directory, identities};
use crate::archive::{self, Check, ContainerOptions, Identities, Recipients, StoredBackup};
use crate::backup::{self, BackupFile};
use crate::config::Oplog;
use crate::context::Context;
use crate::database::Live;
use crate::domain::inventory::is_application;
use crate::domain::manifest::{BackupMetadata, Consistency, ConsistencyKind, NamespaceKind, NamespaceRecord};
use crate::error::Stop;
use crate::exec::check_interrupted;
use crate::places::directory::{self, Directory, Partial};
use crate::report;
use crate::secret::{Secret, scrub};
use crate::tools::mongodump;

/// Compressed documents are rarely larger than this part of themselves; and room that must stay in any case.
const ESTIMATED_RATIO_PERCENT: u64 = 50;
const SPARE_BYTES: u64 = 32 << 20;

/// How long the parts took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Timings {
    pub dump_ms: u64,
    pub verify_ms: u64,
    pub copies_ms: u64,
    pub total_ms: u64,
}

/// Takes a backup, and says how long it took.
pub fn create_timed(ctx: &Context, options: &CreateOptions) -> Result<(BackupFile, Timings)> {
    let started = Instant::now();
    let place = first_directory(ctx)?;
    let (mut backup, mut timings) =
        take(ctx, options, &place).map_err(|error| refusal::explain(error, &ctx.env().mongodb.database))?;
    let step = Instant::now();
    super::copies::copy_to_other_places(ctx, &place, &mut backup)?;
    // A workflow keeps the folder as the artifact `mongodb-backup-<id>`: `fetch` looks for that name.
    report::step_output("backup-id", &backup.metadata.id)?;
    report::step_output("backup-path", &backup.folder().to_string_lossy())?;
    timings.copies_ms = elapsed_ms(step);
    timings.total_ms = elapsed_ms(started);
    Ok((backup, timings))
}

/// A verified backup in the first place.
fn take(ctx: &Context, options: &CreateOptions, place: &Directory) -> Result<(BackupFile, Timings)> {
    let mut timings = Timings::default();
    let database = ctx.env().mongodb.database.as_str();
    let consistency = consistency(ctx.config.backup.oplog, database)?;
    let uri = ctx.secret(&ctx.env().mongodb.uri)?;
    let live = source::connect(&uri, database)?;
    let before = source::list(&live)?;
    let size_bytes = source::size_bytes(&live);
    if before.is_empty() && !options.allow_empty {
        return Err(nothing_there(&live, database));
    }
    require_room(place.path(), size_bytes)?;
    let partial = place.reserve(Utc::now())?;
    let keys = Keys::of(ctx)?;

    let step = Instant::now();
    report::progress(&format!("backing up `{database}` as {}", partial.id));
    let stored = dump(ctx, &uri, &partial, keys.recipients, size_bytes)?;
    timings.dump_ms = elapsed_ms(step);
    let after = source::list(&live)?;
    let mut warnings = compare_listings(database, &stored.manifest.namespaces, &before, &after)?;
    ensure_not_empty(&stored, options)?;
    let documents: u64 = stored.manifest.namespaces.iter().map(|n| n.documents).sum();
    report::progress(&format!(
        "dumped {documents} documents of {} collections in {}; reading the file back",
        stored.manifest.namespaces.len(),
        report::duration_ms(timings.dump_ms)
    ));

    let step = Instant::now();
    let mut metadata = stored.metadata(consistency);
    metadata.environment.clone_from(&ctx.env_name);
    metadata.purpose.clone_from(&options.purpose);
    metadata.recipients.clone_from(&ctx.config.backup.recipients);
    metadata.warnings.append(&mut warnings);
    let path = stored.commit()?;
    read_back(&path, &metadata, &keys.identities)?;
    metadata.verified = Some(Utc::now());
    timings.verify_ms = elapsed_ms(step);
    check_interrupted()?;

    let target = place.folder_of(&partial.id);
    metadata.storage.push(directory::stored(&target));
    backup::write_metadata(partial.path(), &metadata)?;
    let folder = partial.expose()?;
    let path = folder.join(&metadata.file);
    Ok((BackupFile { path, metadata }, timings))
}

/// One pass; what mongodump says it dumped is compared with what was counted.
fn dump(
    ctx: &Context,
    uri: &Secret,
    partial: &Partial,
    recipients: Option<Recipients>,
    size_bytes: u64,
) -> Result<StoredBackup> {
    let options = ContainerOptions::new(partial.path(), partial.id.as_str(), recipients);
    let database = &ctx.env().mongodb.database;
    let mut meter = Meter::new("dump", size_bytes);
    let dumped = mongodump::archive(&ctx.shell()?, uri, database, |stream: &mut dyn Read| {
        archive::store(stream, &options, partial.created, &mut |progress| {
            meter.at(progress);
        })
    })?;
    check_interrupted()?;
    compare_counts(&dumped.value.manifest.namespaces, &dumped.counts)?;
    Ok(dumped.value)
}

/// Every collection has its `done dumping` line with our count, and no line is about something else.
fn compare_counts(namespaces: &[NamespaceRecord], said: &BTreeMap<String, u64>) -> Result<()> {
    let mut said = said.clone();
    for namespace in namespaces {
        let name = namespace.name();
        // Servers before 8.3 keep a time-series collection in a bucket collection, which is what is dumped.
        let buckets = format!("{}.system.buckets.{}", namespace.database, namespace.collection);
        let count = said
            .remove(&scrub(&name))
            .or_else(|| said.remove(&scrub(&buckets)));
        match count {
            Some(count) if count == namespace.documents => {}
            Some(count) => anyhow::bail!(
                "mongodump says it dumped {count} documents of `{name}`, but {} arrived",
                namespace.documents
            ),
            // Some versions say so of a view, with 0 documents, and some do not.
            None if namespace.kind == NamespaceKind::View => {}
            None => anyhow::bail!("mongodump does not say that it finished `{name}`"),
        }
    }
    let unknown: Vec<String> = said.into_keys().collect();
    ensure!(
        unknown.is_empty(),
        "mongodump says it dumped {}, but nothing of it arrived",
        unknown.join(", ")
    );
    Ok(())
}

/// What the server lists before and after the dump is what the archive holds. Collections that came or went while the
/// dump ran are warnings; one that was there all the time must be in the archive.
fn compare_listings(
    database: &str,
    namespaces: &[NamespaceRecord],
    before: &Listing,
    after: &Listing,
) -> Result<Vec<String>> {
    let dumped: BTreeMap<&str, NamespaceKind> = namespaces
        .iter()
        .filter(|n| n.database == database && is_application(&n.collection))
        .map(|n| (n.collection.as_str(), n.kind))
        .collect();
    if let Some(foreign) = namespaces.iter().find(|n| n.database != database) {
        anyhow::bail!("the archive holds `{}`, which was not asked for", foreign.name());
    }
    let mut warnings = Vec::new();
    for (name, listed) in before {
        match (dumped.get(name.as_str()), after.get(name)) {
            (Some(kind), _) => ensure!(
                kind == listed,
                "`{name}` is another type of collection in the archive than on the server"
            ),
            (None, Some(_)) => anyhow::bail!(
                "`{database}.{name}` was on the server before and after the dump, but is not in the archive"
            ),
            (None, None) => warnings.push(format!(
                "`{name}` was dropped while the dump began: it is not in the backup"
            )),
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        if dumped.contains_key(name.as_str()) {
            warnings.push(format!(
                "`{name}` was dropped during the dump: it is in the backup"
            ));
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        let held = if dumped.contains_key(name.as_str()) {
            "it is"
        } else {
            "it is not"
        };
        warnings.push(format!(
            "`{name}` was created during the dump: {held} in the backup"
        ));
    }
    Ok(warnings)
}

fn ensure_not_empty(stored: &StoredBackup, options: &CreateOptions) -> Result<()> {
    if options.allow_empty || stored.manifest.namespaces.iter().any(|n| n.documents > 0) {
        return Ok(());
    }
    Err(Stop::failed("there is not one document in the database")
        .live("nothing was changed, and no backup was made")
        .next("check the name of the database; if it is meant to be empty, add --allow-empty")
        .into())
}

/// Reads the whole file as it is on the disk, through decryption and decompression, to the last digest.
fn read_back(path: &Path, metadata: &BackupMetadata, identities: &Identities) -> Result<()> {
    let mut meter = Meter::new("verify", metadata.archive_bytes);
    let report = archive::verify(
        path,
        Some(metadata),
        Some(identities),
        Check::Outline,
        &mut |progress| meter.at(progress),
    )?;
    if report.is_good() {
        return Ok(());
    }
    Err(Stop::failed(format!(
        "the backup was written, but reading it back found: {}",
        report.problems.join("; ")
    ))
    .live("nothing was changed, and the bad file was removed")
    .next("check backup.identity and backup.recipients in pipeline.toml belong together, and the disk's health; then run the command again")
    .into())
}

/// Who can read the backup, and the key that it is read back with.
struct Keys {
    recipients: Option<Recipients>,
    identities: Identities,
}

impl Keys {
    /// Where the machine has no key of its own to read what it encrypts (it needs none to take backups), the file is
    /// encrypted to a new key too, that only this process has: so it can be read back whole, once.
    fn of(ctx: &Context) -> Result<Self> {
        let configured = &ctx.config.backup.recipients;
        let (passing, public) = Identities::ephemeral();
        if configured.is_empty() {
            return Ok(Self {
                recipients: None,
                identities: passing,
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
        })
    }
}

/// mongodump reads the oplog only when it dumps every database of a replica set.
fn consistency(oplog: Oplog, database: &str) -> Result<Consistency> {
    if oplog == Oplog::Require {
        return Err(Stop::usage(format!(
            "backup.oplog = \"require\" cannot be had: mongodump takes the oplog only with all databases, and this backs up `{database}` alone"
        ))
        .live("nothing was changed")
        .next("set backup.oplog to \"auto\" in pipeline.toml, and stop the writers during the backup where one moment is needed")
        .into());
    }
    Ok(Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: if oplog == Oplog::Never {
            "pipeline.toml says backup.oplog = \"never\"".into()
        } else {
            format!("mongodump takes the oplog only with all databases, and this is `{database}` alone")
        },
    })
}

fn nothing_there(live: &Live, database: &str) -> anyhow::Error {
    let others: Vec<String> = live
        .databases()
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "admin" | "config" | "local"))
        .collect();
    let known = if others.is_empty() {
        String::new()
    } else {
        format!(" (there are: {})", others.join(", "))
    };
    Stop::failed(format!("the database `{database}` has no collections{known}"))
        .live("nothing was changed, and no backup was made")
        .next("correct `mongodb.database` in pipeline.toml, or the connection string; if it is meant to be empty, add --allow-empty")
        .into()
}

/// A full disk is found while writing too, but then minutes are lost.
fn require_room(folder: &Path, size_bytes: u64) -> Result<()> {
    let needed = size_bytes / 100 * ESTIMATED_RATIO_PERCENT + SPARE_BYTES;
    let stat = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot ask for the free room in {}", folder.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(Stop::failed(format!(
        "{} has {} free, and a backup of {} of documents needs about {}",
        folder.display(),
        report::bytes(free),
        report::bytes(size_bytes),
        report::bytes(needed)
    ))
    .live("nothing was changed, and no backup was made")
    .next("make room (cargo xtask backup prune), or name another folder in backup.places")
    .into())
}

pub(super) fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
