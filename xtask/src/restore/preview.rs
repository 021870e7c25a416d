//! What a restore would lose: the documents that live has and the backup has not, that differ, that live lacks.
//!
//! An archive holds documents in the server's order, not by `_id`: so both sides are read once, each on a core of its own,
//! reduced to key and digest, sorted in flat memory and merged.

mod elsewhere;
mod examples;
mod key;
mod merge;
mod sorter;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use self::elsewhere::missing_elsewhere;
use self::merge::{Merge, merge};
use self::sorter::{Sorted, Sorter};
use super::backup_documents::{BackupPass, in_scope, require_own_digest};
use super::context::connect;
use super::scope::{CollectionScope, CompareScope, Compared};
use super::selection::Selection;
use super::time_series;
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Digests, Live, RawId, backup_inventory};
use crate::domain::inventory::{Difference, Inventory, is_application};
use crate::domain::manifest::NamespaceKind;
use crate::report;

/// Examples of each kind and collection.
const EXAMPLES: usize = 3;

/// How closely the two sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LossDetail {
    /// Every document.
    #[default]
    Full,
    /// Only the numbers that the server states: for very large data.
    Counts,
    /// Nothing: what the replaced data have alone is counted when it is kept in the rescue file.
    None,
}

/// What would be lost, and what else would change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LossPreview {
    /// Collections with documents that are not on both sides alike; empty where only counts were compared.
    pub collections: Vec<CollectionLoss>,
    /// Collections, views, indexes and options that are not on both sides alike; with counts alone also numbers.
    pub structure: Vec<Difference>,
    /// How closely it was compared.
    pub delta: LossDetail,
    /// Whether every document was compared, but for those of time-series collections.
    pub exact: bool,
    /// How much of each collection was compared, and why; empty where no documents were.
    pub scope: Vec<CollectionScope>,
    /// Time-series collections of either side, in words: they stay as they are.
    pub time_series: Vec<String>,
}

/// One collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectionLoss {
    pub collection: String,
    /// Live has them, the backup has not: written since.
    pub created: DocumentCount,
    /// On both sides, with other content.
    pub changed: DocumentCount,
    /// The backup has them, live has not: deleted since.
    pub deleted: DocumentCount,
    pub examples: Vec<LossExample>,
}

/// Numbers of documents and bytes; bytes as they are live, for deleted ones as they are in the backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DocumentCount {
    pub documents: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowLoss {
    Created,
    Changed,
    Deleted,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LossExample {
    #[serde(rename = "fate")]
    pub loss: RowLoss,
    pub id: Value,
    /// Names of the fields that differ, with dots into embedded documents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Whole documents, only where values were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Value>,
}

impl LossPreview {
    /// Whether every document of both sides was read.
    pub(super) fn is_all_read(&self) -> bool {
        self.exact && self.scope.iter().all(|scope| scope.compared == Compared::All)
    }

    /// Documents of all collections: created, changed, deleted.
    pub fn totals(&self) -> [DocumentCount; 3] {
        let sum = |count: fn(&CollectionLoss) -> DocumentCount| {
            self.collections
                .iter()
                .map(count)
                .fold(DocumentCount::default(), |a, b| DocumentCount {
                    documents: a.documents + b.documents,
                    bytes: a.bytes + b.bytes,
                })
        };
        [sum(|c| c.created), sum(|c| c.changed), sum(|c| c.deleted)]
    }
}

/// Compares the whole backup with what is live now. Changes no data.
pub fn preview(
    ctx: &Context,
    backup: &BackupFile,
    detail: LossDetail,
    show_values: bool,
) -> Result<LossPreview> {
    preview_of(ctx, backup, &Selection::default(), detail, show_values)
}

/// Compares these collections of the backup with what is live now. Changes no data.
pub(super) fn preview_of(
    ctx: &Context,
    backup: &BackupFile,
    selection: &Selection,
    detail: LossDetail,
    show_values: bool,
) -> Result<LossPreview> {
    let live = connect(ctx)?;
    if detail == LossDetail::None {
        return Ok(LossPreview {
            collections: Vec::new(),
            structure: Vec::new(),
            delta: detail,
            exact: false,
            scope: Vec::new(),
            time_series: time_series::stay(&live, backup, selection, Digests::Structure)?,
        });
    }
    let mut expected = backup_inventory(&backup.metadata.namespaces, live.name());
    expected.collections.retain(|name, _| selection.has(name));
    let taken = |name: &str| is_application(name) && selection.has(name);
    let inventory = |digests| live.inventory_of(digests, |name| taken(name).then(|| name.to_owned()));
    let digests = if detail == LossDetail::Full {
        Digests::Full
    } else {
        Digests::Structure
    };
    let time_series = time_series::stay(&live, backup, selection, digests)?;
    if detail == LossDetail::Counts {
        // Nothing of it is read below.
        require_own_digest(backup)?;
        let found = inventory(Digests::None)?;
        return Ok(LossPreview {
            collections: Vec::new(),
            structure: expected.compare(&found),
            delta: detail,
            exact: false,
            scope: Vec::new(),
            time_series,
        });
    }
    // Every document is read below: nobody has to count them before.
    let found = inventory(Digests::Structure)?;
    let mut structure = expected.compare(&found);
    structure.retain(|difference| !difference.aspect.is_data());
    let _ticker = report::Ticker::start("comparing the backup with what is live");
    let names = names(&expected, &found);
    let scope = CompareScope::of(&live, backup, &names)?;
    let folder = ctx.state_dir("tmp")?;
    let as_named = |name: &str| Some(name.to_owned());
    let (of_backup, of_live) = both_sides(ctx, backup, &live, &names, &scope, &folder, &as_named)?;
    let merged = merge(of_backup, of_live, names.len())?;
    let collections = examples::describe(ctx, backup, &live, &names, &scope, merged, show_values)?;
    Ok(LossPreview {
        collections,
        structure,
        delta: detail,
        exact: true,
        scope: scope.listed(),
        time_series,
    })
}

/// Every collection that holds documents on either side.
fn names(expected: &Inventory, found: &Inventory) -> Vec<String> {
    let collections = expected.collections.iter().chain(&found.collections);
    let names: BTreeSet<&String> = collections
        .filter(|(_, facts)| facts.kind == NamespaceKind::Collection)
        .map(|(name, _)| name)
        .collect();
    names.into_iter().cloned().collect()
}

fn both_sides(
    ctx: &Context,
    backup: &BackupFile,
    live: &Live,
    names: &[String],
    scope: &CompareScope,
    folder: &Path,
    full_name_of: &dyn Fn(&str) -> Option<String>,
) -> Result<(Sorted, Sorted)> {
    std::thread::scope(|threads| {
        let of_backup = threads.spawn(|| read_backup(ctx, backup, live.name(), names, scope, folder));
        let of_live = read_live(live, names, scope, folder, full_name_of);
        let of_backup = of_backup
            .join()
            .map_err(|_| anyhow!("the thread that reads the backup panicked"))?;
        Ok((of_backup?, of_live?))
    })
}

fn read_live(
    live: &Live,
    names: &[String],
    scope: &CompareScope,
    folder: &Path,
    full_name_of: &dyn Fn(&str) -> Option<String>,
) -> Result<Sorted> {
    let mut sorter = Sorter::new(folder);
    let listed = live.listed()?;
    for (number, name) in names.iter().enumerate() {
        let Some(full) = full_name_of(name) else { continue };
        let kind = listed.get(&full).map(|l| l.kind);
        if kind == Some(NamespaceKind::Collection) {
            scope.scan(live, name, &full, |document| {
                sorter.push(&key::entry(number, document)?)
            })?;
        }
    }
    sorter.finish()
}

fn read_backup(
    ctx: &Context,
    backup: &BackupFile,
    database: &str,
    names: &[String],
    scope: &CompareScope,
    folder: &Path,
) -> Result<Sorted> {
    let mut sorter = Sorter::new(folder);
    in_scope(
        ctx,
        backup,
        database,
        names,
        scope,
        BackupPass::Own,
        |number, document| sorter.push(&key::entry(number, document)?),
    )?;
    sorter.finish()
}

/// What an application wrote to one restored collection: documents that it created, changed and deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenSince {
    pub collection: String,
    pub created: u64,
    pub changed: u64,
    pub deleted: u64,
}

impl WrittenSince {
    /// For people.
    pub fn text(&self) -> String {
        format!(
            "`{}`: {} documents created, {} changed, {} deleted",
            self.collection, self.created, self.changed, self.deleted
        )
    }
}

/// Counts in what these collections, sorted by name, differ from the backup now. Writers may continue.
pub(super) fn written(
    ctx: &Context,
    backup: &BackupFile,
    live: &Live,
    names: Vec<String>,
    scope: &CompareScope,
) -> Result<Vec<WrittenSince>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let folder = ctx.state_dir("tmp")?;
    let as_named = |name: &str| Some(name.to_owned());
    let (of_backup, of_live) = both_sides(ctx, backup, live, &names, scope, &folder, &as_named)?;
    let merged = merge(of_backup, of_live, names.len())?;
    let counted = names.into_iter().zip(merged).map(|(collection, found)| {
        let [created, changed, deleted] = found.counts.map(|count| count.documents);
        WrittenSince {
            collection,
            created,
            changed,
            deleted,
        }
    });
    Ok(counted.collect())
}

/// One document that is not on both sides alike.
pub(super) struct Differing {
    pub(super) collection: usize,
    pub(super) loss: RowLoss,
    pub(super) id: RawId,
}

/// What differs between the backup and collections that stand aside (their names, and the names they are compared by),
/// collection by collection.
pub(super) fn differing(
    ctx: &Context,
    backup: &BackupFile,
    live: &Live,
    names: &[String],
    scope: &CompareScope,
    aside: &[(String, String)],
) -> Result<impl Iterator<Item = Result<Differing>>> {
    let folder = ctx.state_dir("tmp")?;
    let full_name_of = |name: &str| {
        aside
            .iter()
            .find(|(_, n)| n == name)
            .map(|(full, _)| full.clone())
    };
    let (of_backup, of_aside) = both_sides(ctx, backup, live, names, scope, &folder, &full_name_of)?;
    let mut merge = Merge::new(of_backup, of_aside)?;
    Ok(std::iter::from_fn(move || {
        merge.next().transpose().map(|found| {
            let (loss, entry) = found?;
            Ok(Differing {
                collection: key::collection_of(&entry.key)?,
                loss,
                id: key::id_of(&entry.key)?,
            })
        })
    }))
}
