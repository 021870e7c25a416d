//! What is put back in place: the documents that differ between the backup and what is live, as both have them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result, ensure};

use super::backup_documents::{BackupPass, each_document, in_scope};
use super::context::Restore;
use super::delta_choice::DeltaCounts;
use super::method::{
    MAX_BYTES, MAX_DOCUMENTS, TRANSACTION_BYTES, TRANSACTION_DOCUMENTS, has_unique_index, unfit,
};
use super::preview::{RowLoss, differing};
use super::scope::CompareScope;
use crate::archive::elements;
use crate::backup::BackupFile;
use crate::database::{Digests, DocumentChange, RawId, backup_inventory};
use crate::domain::content_digest::ContentDigest;
use crate::report;

/// The number of the BSON type of timestamps.
const TIMESTAMP: u8 = 0x11;

/// What is put back in place.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Those of one collection follow each other.
    pub(super) changes: Vec<DocumentChange>,
    /// Every collection of it, also those in which nothing differs.
    pub(super) collections: BTreeSet<String>,
}

impl Delta {
    /// Numbers of documents, by collection.
    pub(super) fn counts(&self) -> BTreeMap<String, DeltaCounts> {
        let none = |name: &String| (name.clone(), DeltaCounts::default());
        let mut counts: BTreeMap<String, DeltaCounts> = self.collections.iter().map(none).collect();
        for change in &self.changes {
            let count = counts.entry(change.collection.clone()).or_default();
            match (&change.before, &change.after) {
                (Some(_), Some(_)) => count.changed += 1,
                (Some(_), None) => count.created += 1,
                (None, _) => count.deleted += 1,
            }
        }
        counts
    }

    /// The documents of one collection that are not the same on both sides.
    fn add(&mut self, collection: &str, sides: HashMap<RawId, Sides>) {
        let changes = sides.into_values().filter(|sides| sides.before != sides.after);
        self.changes.extend(changes.map(|sides| DocumentChange {
            collection: collection.to_owned(),
            before: sides.before,
            after: sides.after,
        }));
    }

    fn without(&mut self, collection: &str) {
        self.collections.remove(collection);
        self.changes.retain(|change| change.collection != collection);
    }

    /// Too much differs.
    fn nothing(&mut self) {
        for name in std::mem::take(&mut self.collections) {
            whole(&name, "more differs than is put back in place");
        }
    }

    fn bytes(&self) -> usize {
        self.changes.iter().map(DocumentChange::bytes).sum()
    }

    /// In as many transactions as it needs: one, where it fits.
    pub(super) fn into_batches(self) -> Vec<Vec<DocumentChange>> {
        let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
        for change in self.changes {
            let own = change.bytes();
            let is_full = batch.len() == TRANSACTION_DOCUMENTS || bytes + own > TRANSACTION_BYTES;
            if is_full && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += own;
            batch.push(change);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

impl Restore<'_> {
    /// Compares the chosen collections with the backup. What cannot be put back in place after all is left to the swap, with a
    /// line that has the reason.
    pub(super) fn read_delta(&mut self, backup: &BackupFile) -> Result<Delta> {
        let mut delta = Delta::default();
        if self.delta.is_none() {
            return Ok(delta);
        }
        let _ticker = report::Ticker::start("comparing what is put back in place");
        let expected = backup_inventory(&backup.metadata.namespaces, self.live.name());
        let wanted = |name: &str| self.delta.collections.contains(name).then(|| name.to_owned());
        let found = self.live.inventory_of(Digests::Structure, wanted)?;
        let has_transactions = self.live.has_transactions()?;
        for name in &self.delta.collections {
            let reason = match expected.collections.get(name) {
                _ if !has_transactions => Some("the server has no transactions".to_owned()),
                None => Some("the backup has none of this name".to_owned()),
                Some(facts) => unfit(facts, found.collections.get(name)),
            };
            match reason {
                Some(reason) => whole(name, &reason),
                None => drop(delta.collections.insert(name.clone())),
            }
        }
        self.read_changes(backup, &mut delta)?;
        if delta.changes.len() > TRANSACTION_DOCUMENTS || delta.bytes() > TRANSACTION_BYTES {
            for name in delta.collections.clone() {
                if expected.collections.get(&name).is_some_and(has_unique_index) {
                    whole(
                        &name,
                        "more documents differ than one transaction holds, and it has a unique index",
                    );
                    delta.without(&name);
                }
            }
        }
        self.delta.collections.clone_from(&delta.collections);
        Ok(delta)
    }

    fn read_changes(&mut self, backup: &BackupFile, delta: &mut Delta) -> Result<()> {
        let names: Vec<String> = delta.collections.iter().cloned().collect();
        let scope = CompareScope::of(&self.live, backup, &names)?;
        let is_unpacked = names.iter().any(|name| scope.of_backup(name).is_none());
        let is_known = |name: &&String| scope.ids(name).is_some();
        let mut written: Vec<String> = names.iter().filter(is_known).cloned().collect();
        let mut bytes = 0;
        let known = self.read_written(backup, &written, &scope, is_unpacked, &mut bytes)?;
        if is_unpacked {
            self.require_undamaged(backup)?;
        }
        if bytes > MAX_BYTES {
            // Many may be as they were: those are not kept then.
            written.clear();
            bytes = 0;
        }
        let others: Vec<String> = names.into_iter().filter(|name| !written.contains(name)).collect();
        self.read_differing(backup, &others, &scope, bytes, delta)?;
        if delta.collections.is_empty() {
            return Ok(());
        }
        for (name, sides) in written.iter().zip(known) {
            self.of_backup.insert(name.clone(), readings(&sides));
            delta.add(name, sides);
        }
        if delta.changes.len() as u64 > MAX_DOCUMENTS {
            delta.changes.clear();
            delta.nothing();
        }
        leave_odd_documents(delta)
    }

    /// Both sides of all documents that were written since the backup: one pass over the backup, where there is any. Where it
    /// is unpacked at all, that pass compares everything that is recorded of it.
    fn read_written(
        &mut self,
        backup: &BackupFile,
        names: &[String],
        scope: &CompareScope,
        is_unpacked: bool,
        bytes: &mut u64,
    ) -> Result<Vec<HashMap<RawId, Sides>>> {
        let mut known: Vec<HashMap<RawId, Sides>> = Vec::new();
        for name in names {
            let ids = scope.ids(name).into_iter().flat_map(HashMap::keys);
            let mut sides: HashMap<RawId, Sides> = ids.map(|id| (id.clone(), Sides::default())).collect();
            scope.scan(&self.live, name, name, |raw| {
                *bytes += raw.len() as u64;
                let own = sides.get_mut(&RawId::of_document(raw)?);
                if let Some(own) = own.filter(|_| *bytes <= MAX_BYTES) {
                    own.before = Some(raw.to_vec());
                }
                Ok(())
            })?;
            known.push(sides);
        }
        if names.is_empty() {
            return Ok(known);
        }
        let (ctx, database) = (self.ctx, self.live.name().to_owned());
        let take = |number: usize, raw: &[u8]| {
            *bytes += raw.len() as u64;
            let own = known[number].get_mut(&RawId::of_document(raw)?);
            if let Some(own) = own.filter(|_| *bytes <= MAX_BYTES) {
                own.after = Some(raw.to_vec());
            }
            Ok(())
        };
        let read = |pass| in_scope(ctx, backup, &database, names, scope, pass, take);
        if is_unpacked && !self.is_checked {
            self.check_file(backup, || read(BackupPass::Undamaged))?;
        } else {
            read(BackupPass::Own)?;
        }
        Ok(known)
    }

    /// What differs in the others, document by document.
    fn read_differing(
        &self,
        backup: &BackupFile,
        names: &[String],
        scope: &CompareScope,
        mut bytes: u64,
        delta: &mut Delta,
    ) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let as_named: Vec<(String, String)> = names.iter().map(|name| (name.clone(), name.clone())).collect();
        let mut ids: Vec<HashMap<RawId, Sides>> = vec![HashMap::new(); names.len()];
        for found in differing(self.ctx, backup, &self.live, names, scope, &as_named)? {
            let found = found?;
            let wanted = Sides {
                of_backup: found.loss != RowLoss::Created,
                ..Sides::default()
            };
            let of_collection = ids
                .get_mut(found.collection)
                .context("a document of no collection")?;
            of_collection.insert(found.id, wanted);
            let documents: usize = ids.iter().map(HashMap::len).sum();
            if documents as u64 > MAX_DOCUMENTS {
                delta.nothing();
                return Ok(());
            }
        }
        for (name, wanted) in names.iter().zip(&mut ids) {
            let listed: Vec<Result<RawId>> = wanted.keys().cloned().map(Ok).collect();
            self.live.scan_ids(name, listed, |raw| {
                bytes += raw.len() as u64;
                if let Some(sides) = wanted
                    .get_mut(&RawId::of_document(raw)?)
                    .filter(|_| bytes <= MAX_BYTES)
                {
                    sides.before = Some(raw.to_vec());
                }
                Ok(())
            })?;
        }
        let mut missing = ids
            .iter()
            .flat_map(HashMap::values)
            .filter(|sides| sides.of_backup)
            .count();
        if missing > 0 {
            each_document(self.ctx, backup, self.live.name(), names, |number, raw| {
                if let Some(sides) = ids[number].get_mut(&RawId::of_document(raw)?)
                    && sides.of_backup
                    && sides.after.is_none()
                {
                    bytes += raw.len() as u64;
                    sides.after = Some(raw.to_vec());
                    missing -= 1;
                }
                Ok(missing > 0 && bytes <= MAX_BYTES)
            })?;
        }
        if bytes > MAX_BYTES {
            delta.nothing();
            return Ok(());
        }
        ensure!(
            missing == 0,
            "the backup lacks {missing} documents that it had a moment ago"
        );
        for (name, sides) in names.iter().zip(ids) {
            delta.add(name, sides);
        }
        Ok(())
    }
}

/// Documents that a server does not store as they are when it is asked to replace or insert them.
fn leave_odd_documents(delta: &mut Delta) -> Result<()> {
    let mut odd = BTreeSet::new();
    for change in &delta.changes {
        for document in change.before.iter().chain(&change.after) {
            if is_odd(document)? {
                odd.insert(change.collection.clone());
            }
        }
    }
    for name in odd {
        whole(&name, "a server does not store one of its documents as it is");
        delta.without(&name);
    }
    Ok(())
}

fn whole(name: &str, reason: &str) {
    report::progress(&format!("  `{name}` is restored whole: {reason}"));
}

/// What the backup has of each document.
fn readings(sides: &HashMap<RawId, Sides>) -> HashMap<RawId, Option<(ContentDigest, u64)>> {
    let reading = |raw: &Vec<u8>| (ContentDigest::of(raw), raw.len() as u64);
    let readings = sides.iter();
    readings
        .map(|(id, sides)| (id.clone(), sides.after.as_ref().map(reading)))
        .collect()
}

/// Both sides of one document.
#[derive(Debug, Clone, Default)]
struct Sides {
    of_backup: bool,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

/// Whether a server changes the document when it stores it: an empty timestamp becomes the time of now, the `_id` the first field
/// (`fixDocumentForInsert` of mongod); or takes it for something else: a name that begins with `$` may be an operator.
fn is_odd(document: &[u8]) -> Result<bool> {
    for (at, field) in elements(document).context("a document is damaged")?.enumerate() {
        let field = field.context("a document is damaged")?;
        let is_first_id = at > 0 || field.name == b"_id";
        let is_empty_timestamp = field.kind == TIMESTAMP && field.value.iter().all(|byte| *byte == 0);
        if !is_first_id || is_empty_timestamp || field.name.starts_with(b"$") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, Timestamp, doc, serialize_to_vec};

    use super::*;

    #[test]
    fn documents_that_a_server_changes_are_left_to_the_swap() {
        let odd = |document: Document| is_odd(&serialize_to_vec(&document).unwrap()).unwrap();
        let empty = Timestamp {
            time: 0,
            increment: 0,
        };
        assert!(!odd(doc! { "_id": { "$x": 1 }, "a": { "$b": empty } }));
        assert!(odd(doc! { "a": 1, "_id": 1 }));
        assert!(odd(doc! { "_id": 1, "a": empty }));
        assert!(odd(doc! { "_id": 1, "$set": { "a": 1 } }));
    }

    #[test]
    fn what_fits_is_one_transaction() {
        let change = |bytes: usize| DocumentChange {
            collection: "users".into(),
            before: None,
            after: Some(vec![0; bytes]),
        };
        let lengths = |changes: Vec<DocumentChange>| -> Vec<usize> {
            let delta = Delta {
                changes,
                collections: BTreeSet::new(),
            };
            delta.into_batches().iter().map(Vec::len).collect()
        };
        assert_eq!(lengths(vec![]), [0; 0]);
        assert_eq!(
            lengths(vec![change(10); TRANSACTION_DOCUMENTS]),
            [TRANSACTION_DOCUMENTS]
        );
        assert_eq!(
            lengths(vec![change(10); TRANSACTION_DOCUMENTS + 1]),
            [TRANSACTION_DOCUMENTS, 1]
        );
        assert_eq!(lengths(vec![change(20 << 20); 5]), [2, 2, 1]);
    }
}
