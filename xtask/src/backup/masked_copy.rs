//! A backup of one environment as a backup for another one: with masks, under the name of the other database. It is made in
//! one pass from the archive to the new file, so that no original value of a masked field is anywhere else than in memory.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;

use super::create::{Keys, not_restorable, seal};
use super::find::first_directory;
use super::open::open_archive;
use super::rewrite::{Edit, rewrite};
use super::room::require_room;
use super::{BackupFile, copies, encryption};
use crate::archive::mask::{CollectionMasks, MaskKey};
use crate::archive::writer::store_written;
use crate::archive::{ContainerOptions, split_documents};
use crate::config::MaskRule;
use crate::context::Context;
use crate::database::document_of_json;
use crate::domain::manifest::{Consistency, ConsistencyKind, NamespaceRecord};
use crate::error::catalogue::backup as errors;
use crate::report;

/// What the copy is made for.
#[derive(Debug)]
pub struct CopyTarget<'a> {
    pub environment: &'a str,
    pub database: &'a str,
    pub host: &'a str,
}

/// A masked copy.
#[derive(Debug)]
pub struct MaskedCopy {
    pub file: BackupFile,
    /// Values that were replaced, by the name of the mask.
    pub masked: BTreeMap<String, u64>,
}

/// The masks of pipeline.toml for the collections of a backup.
#[derive(Debug)]
pub struct Masks {
    by_collection: BTreeMap<String, (Vec<String>, CollectionMasks)>,
}

impl Masks {
    /// The masks of `[mask]`, for these namespaces of a backup. A collection may have dots: a mask that fits two collections
    /// masks both.
    ///
    /// # Errors
    /// Usage (exit 2) for a mask without a collection in the backup, and where the secret is missing or too short; refused
    /// (exit 3) where a unique index would have one value many times.
    pub fn of(ctx: &Context, backup: &BackupFile, records: &[&NamespaceRecord]) -> Result<Self> {
        let rules = &ctx.config.mask;
        let per_backup = ctx.config.restore.mask_per_backup;
        let hashes = rules.values().any(|rule| *rule == MaskRule::Hash);
        let variable = ctx.config.restore.mask_key.as_ref().filter(|_| hashes);
        let key = variable
            .map(|variable| {
                let secret = ctx.secret(variable)?;
                let id = per_backup.then_some(backup.metadata.id.as_str());
                MaskKey::of(secret.expose().as_bytes(), id)
                    .map_err(|error| anyhow::Error::from(errors::mask_key_short(variable, error)))
            })
            .transpose()?;
        let all = backup.metadata.namespaces.iter();
        let names: Vec<&str> = all.map(|n| n.collection.as_str()).collect();
        for mask in rules.keys() {
            let fits = names.iter().any(|name| path_within(mask, name).is_some());
            ensure!(fits, errors::mask_without_collection(mask, &backup.metadata.id));
        }
        let mut by_collection = BTreeMap::new();
        for record in records {
            let own = rules
                .iter()
                .filter_map(|(mask, rule)| Some((mask, path_within(mask, &record.collection)?, rule)));
            let own: Vec<(&String, &str, &MaskRule)> = own.collect();
            for (mask, path, rule) in &own {
                require_maskable(record, mask, path, rule)?;
            }
            let masks = CollectionMasks::new(own.iter().map(|(_, path, rule)| (*path, *rule)), key.as_ref());
            let names = own.iter().map(|(mask, ..)| (*mask).clone()).collect();
            by_collection.insert(record.collection.clone(), (names, masks));
        }
        Ok(Self { by_collection })
    }

    /// Their names with the number of values that each has replaced.
    fn replaced(&self) -> BTreeMap<String, u64> {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for (names, masks) in self.by_collection.values() {
            for (name, count) in names.iter().zip(&masks.replaced) {
                *found.entry(name.clone()).or_default() += count;
            }
        }
        found
    }
}

impl Edit for Masks {
    fn documents(&mut self, collection: &str, documents: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let masks = self.by_collection.get_mut(collection);
        let (_, masks) = masks.context("a collection without record")?;
        for document in split_documents(documents) {
            let applied = masks.apply(document?, out);
            applied.with_context(|| format!("a document of `{collection}`"))?;
        }
        Ok(())
    }
}

/// The path of the field, where the mask is of this collection.
fn path_within<'a>(mask: &'a str, collection: &str) -> Option<&'a str> {
    let path = mask.strip_prefix(collection)?.strip_prefix('.')?;
    (!path.is_empty()).then_some(path)
}

/// One value for all documents would break a unique index of that field alone; an `_id` is never masked.
fn require_maskable(record: &NamespaceRecord, mask: &str, path: &str, rule: &MaskRule) -> Result<()> {
    let of_id = path == "_id" || path.starts_with("_id.");
    ensure!(!of_id, errors::mask_of_id(mask, &record.collection));
    if !matches!(rule, MaskRule::Null | MaskRule::Fixed(_)) {
        return Ok(());
    }
    for index in &record.indexes {
        let index = document_of_json(index).context("an index of the backup is not readable")?;
        let unique = index.get_bool("unique").unwrap_or(false);
        let keys: Vec<&String> = index
            .get_document("key")
            .iter()
            .flat_map(|key| key.keys())
            .collect();
        let same = |key: &&String| {
            key.as_str() == path || key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        };
        let broken = unique && !keys.is_empty() && keys.iter().all(same);
        let name = index.get_str("name").unwrap_or_default();
        ensure!(!broken, errors::mask_breaks_index(mask, name, &record.collection));
    }
    Ok(())
}

/// Copies these namespaces of one database of the backup. The copy is read back whole and goes to the storages as every backup
/// does.
///
/// # Errors
/// Failed (exit 1) where a value has no hash, or the backup is damaged: nothing of the copy remains.
pub fn copy_masked(
    ctx: &Context,
    backup: &BackupFile,
    records: &[&NamespaceRecord],
    mut masks: Masks,
    target: &CopyTarget<'_>,
) -> Result<MaskedCopy> {
    let first = first_directory(ctx)?;
    encryption::check(ctx)?;
    require_room(first.path(), records.iter().map(|record| record.bytes).sum())?;
    let partial = first.reserve(Utc::now())?;
    let keys = Keys::of(ctx)?;
    let options = ContainerOptions::new(partial.path(), partial.id.as_str(), keys.recipients);
    let ticker = report::Ticker::start(format!("copying backup {} with its masks", backup.metadata.id));
    let written = store_written(None, &options, partial.created, |pipe| {
        let opened = open_archive(ctx, backup)?;
        rewrite(backup, opened, records, target.database, &mut masks, pipe)
    });
    drop(ticker);
    let ((), stored) =
        written.map_err(|error| errors::copy_not_made(&backup.metadata.id, format!("{error:#}")))?;
    let warnings = not_restorable(&stored.manifest.namespaces, target.database);
    let mut metadata = stored.metadata(Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: format!(
            "a copy of backup {}, as consistent as that is",
            backup.metadata.id
        ),
    });
    target.environment.clone_into(&mut metadata.environment);
    target.host.clone_into(&mut metadata.host);
    metadata.purpose = format!(
        "copy of backup {} of {} for {}",
        backup.metadata.id, backup.metadata.environment, target.environment
    );
    metadata.recipients = keys.configured;
    metadata.warnings.extend(warnings);
    let mut file = seal(ctx, &first, partial, stored, metadata, &keys.identities)?;
    copies::copy_to_other_storages(ctx, &first, &mut file)?;
    Ok(MaskedCopy {
        file,
        masked: masks.replaced(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_of_each_collection_whose_name_it_begins_with() {
        assert_eq!(path_within("users.email", "users"), Some("email"));
        assert_eq!(path_within("a.b.c", "a"), Some("b.c"));
        assert_eq!(path_within("a.b.c", "a.b"), Some("c"));
        for other in ["user", "users.email", "users.e", ""] {
            assert_eq!(path_within("users.email", other), None, "{other}");
        }
    }
}
