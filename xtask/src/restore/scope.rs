//! What a comparison of a backup with the live database has to read. Where a change stream has everything that was written since the
//! backup was begun, these documents are all that can differ. Otherwise all of a collection is read, and the reason is reported.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use serde::Serialize;

use crate::backup::{self, BackupFile};
use crate::database::{ChangesSince, Listed, Live, PreImage, RawId, listed_options, refusal};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::exec::check_interrupted;

/// How much of one collection is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionScope {
    pub collection: String,
    pub compared: Compared,
    /// Documents that were written since the backup was begun, where no others are read.
    pub documents: u64,
    /// Why all of it is compared.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// Every document.
    All,
    /// The documents that were written since.
    Changed,
    /// No document was written since, and there are as many as in the backup.
    Counted,
}

/// What is to be read of each collection.
#[derive(Debug, Default)]
pub(super) struct CompareScope {
    /// The documents that may differ, each as the backup has it.
    changed: BTreeMap<String, HashMap<RawId, PreImage>>,
    /// Why all of the others is compared.
    whole: BTreeMap<String, String>,
}

impl CompareScope {
    /// Everything is compared.
    pub(super) fn everything() -> Self {
        Self::default()
    }

    /// Asks the server what has happened to these collections since the backup was begun.
    pub(super) fn of(live: &Live, backup: &BackupFile, names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Ok(Self::everything());
        }
        let since = changes_since(live, backup);
        check_interrupted()?;
        let mut since = match since {
            Ok(since) => since,
            Err(why) => {
                let whole = names.iter().map(|name| (name.clone(), why.clone()));
                return Ok(Self {
                    whole: whole.collect(),
                    ..Self::default()
                });
            }
        };
        let listed = live.listed()?;
        let mut scope = Self::default();
        for name in names {
            let record = backup.metadata.namespaces.iter();
            let record = record
                .filter(|record| record.database == live.name())
                .find(|record| record.collection == *name);
            let ids = since.documents.remove(name).unwrap_or_default();
            let reason = match since.whole.remove(name) {
                Some(reason) => Some(reason),
                None => blind(record, listed.get(name), &ids),
            };
            let reason = match (reason, record) {
                (None, Some(record)) if ids.is_empty() => other_number(live, record)?,
                (reason, _) => reason,
            };
            match reason {
                Some(reason) => drop(scope.whole.insert(name.clone(), reason)),
                None => drop(scope.changed.insert(name.clone(), ids)),
            }
        }
        Ok(scope)
    }

    /// The documents that may differ, each as the backup has it; `None` where all of the collection is compared.
    pub(super) fn ids(&self, collection: &str) -> Option<&HashMap<RawId, PreImage>> {
        self.changed.get(collection)
    }

    /// What the backup has of the documents that may differ, where the server has kept all of them: nobody has to read it then.
    pub(super) fn of_backup(&self, collection: &str) -> Option<impl Iterator<Item = &[u8]>> {
        let images = self.ids(collection)?;
        if images.values().any(|image| *image == PreImage::Unknown) {
            return None;
        }
        Some(images.values().filter_map(|image| match image {
            PreImage::Document(document) => Some(&document[..]),
            PreImage::Absent | PreImage::Unknown => None,
        }))
    }

    /// Gives the live documents of a collection that may differ to `visit`, each once.
    pub(super) fn scan(
        &self,
        live: &Live,
        collection: &str,
        full_name: &str,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(ids) = self.ids(collection) else {
            return live.scan(full_name, visit);
        };
        // One document may be found by two ids: 1 and 1.0 are the same to the server.
        let mut left: HashSet<&RawId> = ids.keys().collect();
        live.scan_ids(full_name, ids.keys().cloned().map(Ok), |raw| {
            if left.remove(&RawId::of_document(raw)?) {
                visit(raw)?;
            }
            Ok(())
        })
    }

    /// For the plan.
    pub(super) fn listed(&self) -> Vec<CollectionScope> {
        let changed = self.changed.iter().map(|(collection, ids)| CollectionScope {
            collection: collection.clone(),
            compared: if ids.is_empty() {
                Compared::Counted
            } else {
                Compared::Changed
            },
            documents: ids.len() as u64,
            reason: String::new(),
        });
        let whole = self.whole.iter().map(|(collection, reason)| CollectionScope {
            collection: collection.clone(),
            compared: Compared::All,
            documents: 0,
            reason: reason.clone(),
        });
        let mut listed: Vec<CollectionScope> = changed.chain(whole).collect();
        listed.sort_by(|a, b| a.collection.cmp(&b.collection));
        listed
    }
}

fn changes_since(live: &Live, backup: &BackupFile) -> Result<ChangesSince, String> {
    let metadata = &backup.metadata;
    let Some(start) = &metadata.change_start else {
        let why = &metadata.no_change_start;
        let why = if why.is_empty() { "" } else { ": " }.to_owned() + why;
        return Err(format!(
            "the backup has no mark in the server's change stream{why}"
        ));
    };
    let pre_images = start.as_of.is_some() && live.keeps_pre_images().unwrap_or(false);
    let since = live.changes_since(start, pre_images);
    since.map_err(|error| format!("what has changed since is not known: {}", refusal(&error)))
}

/// Why the stream does not show all that has changed in a collection.
fn blind(
    record: Option<&NamespaceRecord>,
    live: Option<&Listed>,
    ids: &HashMap<RawId, PreImage>,
) -> Option<String> {
    let is_collection = |kind: NamespaceKind| kind == NamespaceKind::Collection;
    let Some(record) = record.filter(|record| is_collection(record.kind)) else {
        return Some("the backup has no collection of this name".to_owned());
    };
    let Some(live) = live.filter(|live| is_collection(live.kind)) else {
        return Some("no collection of this name is live".to_owned());
    };
    // What it loses at its other end makes no event.
    if backup::is_capped(record) || listed_options(&live.options).contains_key("capped") {
        return Some("it is capped".to_owned());
    }
    let is_odd = ids.keys().any(|id| !id.is_value());
    is_odd.then(|| "it has an `_id` that no query finds".to_owned())
}

/// A collection without an event has the documents of the backup. Their number costs one question.
fn other_number(live: &Live, record: &NamespaceRecord) -> Result<Option<String>> {
    let found = live.stated_documents(&record.collection)?;
    let expected = record.documents;
    Ok((found != expected).then(|| {
        format!("the server counts {found} documents instead of {expected}, and nothing was written")
    }))
}
