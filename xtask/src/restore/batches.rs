//! The changes that a restore makes in place, as the database keeps them: any machine can make or revert them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::context::Restore;
use super::delta_choice::DeltaConflict;
use super::names;
use crate::database::{DocumentChange, KeptBatch};
use crate::report;

/// States of a batch.
pub(super) const WAITING: &str = "waiting";
pub(super) const APPLIED: &str = "applied";
pub(super) const REVERTED: &str = "reverted";

const HAS_BEFORE: u8 = 1;
const HAS_AFTER: u8 = 2;

/// A batch of changes, and how far it is.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u32,
    pub(super) generation: i32,
    pub(super) state: String,
    pub(super) changes: Vec<DocumentChange>,
    /// Documents of it that were changed before it was made.
    pub(super) conflicts: Vec<DeltaConflict>,
}

impl Batch {
    pub(super) fn new(number: u32, changes: Vec<DocumentChange>) -> Self {
        Self {
            number,
            generation: 0,
            state: WAITING.to_owned(),
            changes,
            conflicts: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> String {
        id_of(self.number)
    }
}

impl Restore<'_> {
    /// Keeps a batch in the database: a new one, or the next generation of one that was amended.
    pub(super) fn keep_batch(&self, batch: &Batch) -> Result<()> {
        let notes = batch.conflicts.iter().map(report::json_line);
        let kept = KeptBatch {
            generation: batch.generation,
            state: batch.state.clone(),
            bytes: encoded(&batch.changes),
            notes: notes.collect::<Result<_>>()?,
        };
        self.live
            .keep_batch(&names::plan(&self.operation), &batch.id(), &kept)
    }

    pub(super) fn kept_batch(&self, number: u32) -> Result<Batch> {
        let kept = self
            .live
            .kept_batch(&names::plan(&self.operation), &id_of(number))?;
        let conflicts = kept.notes.iter().map(|note| serde_json::from_str(note));
        Ok(Batch {
            number,
            generation: kept.generation,
            state: kept.state,
            changes: decoded(&kept.bytes).context("a batch of changes is damaged")?,
            conflicts: conflicts
                .collect::<serde_json::Result<_>>()
                .context("a conflict is damaged")?,
        })
    }

    /// Every batch of the plan.
    pub(super) fn kept_batches(&self) -> Result<Vec<Batch>> {
        let swap = self.journal.history.swap.as_ref();
        let batches = swap.map_or(0, |swap| swap.delta.batches);
        (0..batches).map(|number| self.kept_batch(number)).collect()
    }

    /// The documents that were changed before they were put back, and what became of them.
    pub(super) fn conflicts(&self) -> Result<Vec<DeltaConflict>> {
        let swap = self.journal.history.swap.as_ref();
        let mut conflicts = swap.map_or_else(Vec::new, |swap| swap.delta.conflicts.clone());
        conflicts.extend(self.kept_batches()?.into_iter().flat_map(|batch| batch.conflicts));
        Ok(conflicts)
    }

    /// The documents that were, or will be, replaced or removed in place, by collection.
    pub(super) fn overwritten(&self) -> Result<BTreeMap<String, Vec<Vec<u8>>>> {
        let changes = self.kept_batches()?.into_iter().flat_map(|batch| batch.changes);
        Ok(overwritten(changes))
    }
}

pub(super) fn overwritten(
    changes: impl IntoIterator<Item = DocumentChange>,
) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut documents: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for change in changes {
        if let Some(before) = change.before {
            documents.entry(change.collection).or_default().push(before);
        }
    }
    documents
}

fn id_of(number: u32) -> String {
    format!("batch {number}")
}

/// Name, which sides there are, then these: a document states its own length.
fn encoded(changes: &[DocumentChange]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for change in changes {
        bytes.extend_from_slice(change.collection.as_bytes());
        bytes.push(0);
        let before = if change.before.is_some() { HAS_BEFORE } else { 0 };
        let after = if change.after.is_some() { HAS_AFTER } else { 0 };
        bytes.push(before | after);
        for document in change.before.iter().chain(&change.after) {
            bytes.extend_from_slice(document);
        }
    }
    bytes
}

fn decoded(mut bytes: &[u8]) -> Result<Vec<DocumentChange>> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let end = bytes
            .iter()
            .position(|byte| *byte == 0)
            .context("a name without an end")?;
        let name = bytes.split_off(..end).context("a name is cut")?;
        let marks = bytes.split_off(..2).context("a change without documents")?[1];
        let mut side = |mark: u8| -> Result<Option<Vec<u8>>> {
            if marks & mark == 0 {
                return Ok(None);
            }
            let length = bytes
                .first_chunk()
                .map(|bytes| u32::from_le_bytes(*bytes) as usize);
            let document = length.and_then(|length| bytes.split_off(..length));
            let document = document.filter(|document| document.len() > 4);
            Ok(Some(document.context("a document is cut")?.to_vec()))
        };
        let change = DocumentChange {
            collection: std::str::from_utf8(name)
                .context("a name that is not UTF-8")?
                .to_owned(),
            before: side(HAS_BEFORE)?,
            after: side(HAS_AFTER)?,
        };
        ensure!(
            change.before.is_some() || change.after.is_some(),
            "a change of nothing"
        );
        changes.push(change);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{doc, serialize_to_vec};

    use super::*;

    #[test]
    fn changes_come_out_as_they_went_in_and_a_cut_batch_is_refused() {
        let document = |n: i32| Some(serialize_to_vec(&doc! { "_id": 1, "n": n }).unwrap());
        let change = |collection: &str, before, after| DocumentChange {
            collection: collection.into(),
            before,
            after,
        };
        let changes = vec![
            change("users", document(1), document(2)),
            change("é e", None, document(3)),
            change("a.b", document(4), None),
        ];
        let bytes = encoded(&changes);
        assert_eq!(decoded(&bytes).unwrap(), changes);
        for cut in 1..bytes.len() {
            let rest = decoded(&bytes[..cut]);
            assert!(rest.is_err() || rest.unwrap().len() < changes.len(), "{cut}");
        }
        decoded(b"users\0\0").unwrap_err();
    }
}
