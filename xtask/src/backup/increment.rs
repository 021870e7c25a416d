//! Whether a backup holds everything or what changed since the last full one, which is chosen here.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use chrono::{Duration, Utc};

use super::find::stores;
use super::open::{identities, open_archive, recorded_file};
use super::source::BackupSource;
use crate::archive::{Base, BaseArchive, BaseIndex};
use crate::config::IncrementalAbove;
use crate::context::Context;
use crate::domain::manifest::{BackupKind, BackupMetadata};
use crate::domain::release::BackupRef;
use crate::report;

/// A base is not older.
const FULL_EVERY: Duration = Duration::days(7);
/// A differential backup that is a larger part of its base is the last one on it.
const PART_OF_BASE: u64 = 3;

/// Whether a backup holds everything, and why.
#[derive(Debug)]
pub(super) struct Choice {
    /// The database is so large that the next backups may build on this one.
    pub(super) incremental: bool,
    pub(super) base: Option<Base>,
    pub(super) reason: String,
}

/// Chooses the base for a backup of `size_bytes` of documents.
pub(super) fn choose(ctx: &Context, source: &BackupSource, size_bytes: u64) -> Choice {
    let full = |incremental: bool, reason: String| Choice {
        incremental,
        base: None,
        reason,
    };
    match ctx.config.backup.incremental_above {
        IncrementalAbove(None) => return full(false, "`backup.incremental_above` is \"off\"".to_owned()),
        IncrementalAbove(Some(above)) if size_bytes < above => {
            let above = report::bytes(above);
            return full(
                false,
                format!("it has less than {above} of documents (`backup.incremental_above`)"),
            );
        }
        IncrementalAbove(Some(_)) => {}
    }
    let metadata = match candidate(ctx, source) {
        Ok(metadata) => metadata,
        Err(why) => return full(true, why),
    };
    let id = metadata.id.clone();
    match read(ctx, &metadata) {
        Ok(base) => Choice {
            incremental: true,
            base: Some(base),
            reason: format!("what changed since the full backup {id}"),
        },
        Err(error) => {
            let why = format!("the last full backup {id} cannot be read here: {error:#}");
            report::progress(&format!("warning: {why}; taking a full backup"));
            full(true, why)
        }
    }
}

/// The newest full backup of this database, young enough and with room for one more; else why there is none.
fn candidate(ctx: &Context, source: &BackupSource) -> Result<BackupMetadata, String> {
    let recent = recent(ctx, source).map_err(|error| format!("the storages cannot be listed: {error:#}"))?;
    let full = recent
        .values()
        .rev()
        .find(|metadata| metadata.kind == BackupKind::Full);
    let days = FULL_EVERY.num_days();
    let full = full.ok_or_else(|| format!("no full backup of the last {days} days is known"))?;
    let upon = recent.values().rev().find(|metadata| {
        let base = metadata.base.as_ref();
        base.is_some_and(|base| base.id == full.id)
    });
    match upon.filter(|last| last.size_bytes.saturating_mul(PART_OF_BASE) > full.size_bytes) {
        Some(last) => Err(format!(
            "the last differential backup {} has {}, more than a third of {} with {}",
            last.id,
            report::bytes(last.size_bytes),
            full.id,
            report::bytes(full.size_bytes)
        )),
        None => Ok(full.clone()),
    }
}

/// Verified backups of the same databases that are young enough, by id. The storages after the first that has a full one are
/// not asked.
fn recent(ctx: &Context, source: &BackupSource) -> Result<BTreeMap<String, BackupMetadata>> {
    let since = Utc::now() - FULL_EVERY;
    let first_id = since.format("%Y%m%d-%H%M%S").to_string();
    let databases = |metadata: &BackupMetadata| {
        let mut databases = metadata.namespaces.iter().map(|n| n.database.as_str());
        source.is_everything() || databases.all(|database| database == source.database())
    };
    let mut found = BTreeMap::new();
    for store in stores(ctx)? {
        let ids = store.ids()?.into_iter().filter(|id| *id >= first_id);
        for id in ids {
            let Some(metadata) = store.metadata(&id)? else {
                continue;
            };
            let fits = metadata.environment == ctx.env_name
                && source.is_at(&metadata.host)
                && metadata.verified.is_some()
                && metadata.timestamp >= since
                && databases(&metadata);
            if fits {
                found.insert(metadata.id.clone(), metadata);
            }
        }
        if found.values().any(|metadata| metadata.kind == BackupKind::Full) {
            break;
        }
    }
    Ok(found)
}

/// The base of a backup that is written once more.
pub(super) fn again(ctx: &Context, base: &BackupRef) -> Result<Base> {
    read(ctx, &recorded_file(ctx, base, None)?.metadata)
}

/// Reads the whole base once for what a differential backup has in common with it, and opens it anew.
fn read(ctx: &Context, metadata: &BackupMetadata) -> Result<Base> {
    let own = identities(ctx)?;
    ensure!(
        !metadata.encrypted || own.is_some(),
        "it is encrypted, and this machine has only the public keys"
    );
    let file = recorded_file(ctx, &metadata.reference(), None)?;
    let open = || open_archive(ctx, &file);
    let _ticker = report::Ticker::start(format!("reading the full backup {}", metadata.id));
    let index = BaseIndex::read(open()?, &metadata.namespaces, &metadata.hash)?;
    let archive = BaseArchive::new(open()?, file.reference());
    Ok(Base { index, archive })
}
