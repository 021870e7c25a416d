//! Puts documents of a rescue file back into the live database, where nothing stands in their place.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{RawDocument, RawDocumentBuf};
use serde::Serialize;
use serde_json::{Value, json};

use super::backup_documents::each_document;
use super::backup_file;
use super::context::connect;
use super::rescue::is_rescue;
use super::selection::Selection;
use crate::archive::Nobody;
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::database::{Live, document_of_json};
use crate::domain::ledger::OperationOutcome;
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::error::catalogue::restore as errors;
use crate::lock_proof::LockProof;
use crate::operation::basis::DataBasis;
use crate::operation::run::{Operation, is_taken_over};

/// The kind, in the ledger, of an operation that puts documents back.
pub(super) const REINSERT: &str = "reinsert";
/// Conflicts that are listed one by one; all are counted.
const MAX_LISTED: usize = 100;
/// The most that is held in memory before it is inserted; one document may be larger.
const BATCH_DOCUMENTS: usize = 500;
const BATCH_BYTES: usize = 8 << 20;

/// What is put back, and into what.
#[derive(Debug, Clone, Copy)]
pub struct ReinsertOptions<'a> {
    /// Only these collections of the file.
    pub only: &'a Selection,
    /// Whether the file may be of another host.
    pub other_host: bool,
    /// Kept in the ledger.
    pub reason: &'a str,
    /// What it was confirmed on; looked at again under the lock.
    pub basis: &'a DataBasis,
}

/// What became of the documents of a rescue file.
#[derive(Debug, Default, Serialize)]
pub struct Reinserted {
    /// Collections that were not there and were made, with the indexes that they had.
    pub created: Vec<String>,
    /// Documents put back, by collection.
    pub inserted: BTreeMap<String, u64>,
    pub conflicts: u64,
    /// The first conflicts.
    pub listed: Vec<ReinsertConflict>,
}

/// A document that was not put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReinsertConflict {
    pub collection: String,
    pub id: Value,
    pub why: String,
}

/// Inserts every document, of one collection or of all, whose `_id` and unique keys are free. Never changes a document.
///
/// # Errors
/// Refused (exit 3) where the file is not of this environment, host and
/// database, or while another operation holds the lock; midway (exit 4) once documents may have been inserted.
pub fn reinsert(ctx: &Context, file: &BackupFile, options: ReinsertOptions) -> Result<Reinserted> {
    let live = connect(ctx)?;
    let chosen = chosen(&live, file, options.only);
    let problems = problems(ctx, &live, file, &chosen, options)?;
    let listed = problems.iter().map(|problem| format!("\n    - {problem}"));
    ensure!(
        problems.is_empty(),
        errors::not_reinsertable(file.path.display(), listed.collect::<String>())
    );
    backup_file::require_undamaged(ctx, file, &mut Nobody)?;
    let request =
        json!({ "reinsert": file.metadata.id, "sha256": file.metadata.hash, "collections": options.only });
    let operation = Operation::begin(ctx, REINSERT, &file.metadata.id, options.reason, &request)?;
    let live = live.clone().fenced(operation.fence());
    let mut into = Into {
        live: &live,
        lock: operation.lock_proof(),
        done: Reinserted::default(),
    };
    let unchanged = options.basis.require_unchanged(ctx, &operation.id);
    let outcome = unchanged.and_then(|()| into.put_back(ctx, file, &chosen));
    let done = into.done;
    let inserted: u64 = done.inserted.values().sum();
    match outcome {
        Ok(()) => {
            let facts =
                json!({ "inserted": done.inserted, "created": done.created, "conflicts": done.conflicts });
            let again = format!(
                "cargo xtask restore --reinsert {}   (it skips what is there)",
                file.path.display()
            );
            operation.conclude_with(OperationOutcome::Done, facts, again)?;
            Ok(done)
        }
        Err(error) => {
            operation.record_end(OperationOutcome::Failed, &error)?;
            if is_taken_over(&error) {
                return Err(error.context(format!("{inserted} documents were inserted before")));
            }
            let changed = inserted > 0 || !done.created.is_empty();
            ensure!(!changed, errors::reinsert_stopped(format!("{error:#}"), inserted));
            Err(error)
        }
    }
}

/// What the file has of this database, or the collections that are asked for.
fn chosen<'a>(live: &'a Live, file: &'a BackupFile, only: &'a Selection) -> Vec<&'a NamespaceRecord> {
    let own = only.of(&file.metadata.namespaces, live.name());
    let own = own.filter(|n| n.kind == NamespaceKind::Collection);
    let mut own: Vec<&NamespaceRecord> = own.collect();
    own.sort_by(|a, b| a.collection.cmp(&b.collection));
    own
}

/// Everything that forbids it, at once.
fn problems(
    ctx: &Context,
    live: &Live,
    file: &BackupFile,
    chosen: &[&NamespaceRecord],
    options: ReinsertOptions,
) -> Result<Vec<String>> {
    let metadata = &file.metadata;
    let mut problems = Vec::new();
    if !is_rescue(metadata) {
        problems.push(
            "it is a backup and no rescue file: it has documents too that were deleted since on purpose"
                .into(),
        );
    }
    if metadata.environment != ctx.env_name {
        problems.push(format!(
            "it is of the environment `{}`, and this is `{}`",
            metadata.environment, ctx.env_name
        ));
    }
    if !live.is_at(&metadata.host) && !options.other_host {
        problems.push(format!(
            "it is of the host `{}`, and this is `{}`: add --other-host if that is intended",
            metadata.host,
            live.host()
        ));
    }
    if chosen.is_empty() {
        problems.push(format!("it has no collection of the database `{}`", live.name()));
    }
    let listed = live.listed()?;
    for record in chosen {
        let name = &record.collection;
        match listed.get(name) {
            Some(found) if found.kind != NamespaceKind::Collection => {
                problems.push(format!("`{name}` is not a collection now"));
            }
            // Files of earlier versions have neither a host nor indexes.
            None if record.documents > 0 && metadata.host.is_empty() => {
                problems.push(format!(
                    "`{name}` is not there, and the file has not the indexes that it had"
                ));
            }
            _ => {}
        }
    }
    Ok(problems)
}

/// The database that documents are put back into, and what became of them so far.
struct Into<'a> {
    live: &'a Live,
    /// Whoever took over has perhaps restored other data since: asked before each change.
    lock: LockProof,
    done: Reinserted,
}

impl Into<'_> {
    fn put_back(&mut self, ctx: &Context, file: &BackupFile, chosen: &[&NamespaceRecord]) -> Result<()> {
        let listed = self.live.listed()?;
        for record in chosen {
            let name = &record.collection;
            if record.documents > 0 && !listed.contains_key(name) {
                self.lock.check()?;
                self.live
                    .create_collection(name, &document_of_json(&record.options)?)?;
                self.done.created.push(name.clone());
                self.live
                    .create_indexes(name, &backup::secondary_indexes(record)?)?;
            }
        }
        let names: Vec<String> = chosen.iter().map(|record| record.collection.clone()).collect();
        let mut batch = Batch::default();
        each_document(ctx, file, self.live.name(), &names, |number, raw| {
            if number != batch.collection || batch.is_full() {
                self.insert(&mut batch, &names)?;
                batch.collection = number;
            }
            let document =
                RawDocument::from_bytes(raw).context("a document of the rescue file is damaged")?;
            batch.bytes += raw.len();
            batch.documents.push(document.to_owned());
            Ok(true)
        })?;
        self.insert(&mut batch, &names)
    }

    /// Inserts what the batch holds, and empties it.
    fn insert(&mut self, batch: &mut Batch, names: &[String]) -> Result<()> {
        let documents = std::mem::take(&mut batch.documents);
        batch.bytes = 0;
        let Some(collection) = names.get(batch.collection).filter(|_| !documents.is_empty()) else {
            return Ok(());
        };
        self.lock.check()?;
        let refused = self.live.insert_where_free(collection, &documents)?;
        let inserted = documents.len() - refused.len();
        *self.done.inserted.entry(collection.clone()).or_default() += inserted as u64;
        self.done.conflicts += refused.len() as u64;
        for (at, why) in refused {
            if self.done.listed.len() < MAX_LISTED {
                let id = documents[at].get("_id").ok().flatten();
                let id = id
                    .and_then(|id| serde_json::to_value(id).ok())
                    .unwrap_or(Value::Null);
                let collection = collection.clone();
                self.done.listed.push(ReinsertConflict { collection, id, why });
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Batch {
    collection: usize,
    documents: Vec<RawDocumentBuf>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.documents.len() >= BATCH_DOCUMENTS || self.bytes >= BATCH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_in_documents_and_in_bytes() {
        let with = |documents: usize, bytes: usize| Batch {
            collection: 0,
            documents: vec![RawDocumentBuf::new(); documents],
            bytes,
        };
        assert!(!with(BATCH_DOCUMENTS - 1, BATCH_BYTES - 1).is_full());
        assert!(with(1, BATCH_BYTES).is_full() && with(BATCH_DOCUMENTS, 0).is_full());
    }
}
