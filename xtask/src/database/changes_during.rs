//! Which documents change while a database is read: so that a dump of many minutes can be brought to one moment.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Result, bail, ensure};
use mongodb::bson::{Timestamp, doc};

use super::stream::{Reading, StreamEvent};
use super::{Live, RawId};
use crate::domain::inventory::MARK_COLLECTION;

/// The ids of what changed are kept in memory.
const MAX_ID_BYTES: usize = 64 << 20;

/// The documents that changed, by collection.
pub(super) type Changed = BTreeMap<String, HashSet<RawId>>;

/// Documents that changed since [`Live::follow`], and the moment at which all of them are known.
#[derive(Debug)]
pub struct ChangesDuring {
    pub at: Timestamp,
    /// `_id` of the mark that was written after it.
    pub mark: String,
    pub documents: Changed,
}

/// What changes in a database is collected until it ends. Dropped, it ends.
#[derive(Debug)]
pub struct Following {
    live: Live,
    mark: String,
    reading: Reading<Changed>,
}

impl Live {
    /// Follows what changes in the database from now on. `mark` is a text that nobody else takes. Collections whose names begin
    /// with `left_out_prefix` are not followed.
    ///
    /// # Errors
    /// Where the server has no change streams (it is no replica set), or the user lacks a role: `readWrite` on the database.
    pub fn follow(&self, mark: &str, left_out_prefix: Option<&str>) -> Result<Following> {
        // One that a killed process left.
        self.drop_own(MARK_COLLECTION)?;
        let (mut collected, end) = (Collected::default(), mark.to_owned());
        let note = move |event| {
            let is_end = collected.note(event, &end)?;
            Ok(is_end.then(|| std::mem::take(&mut collected.documents)))
        };
        Ok(Following {
            live: self.clone(),
            mark: mark.to_owned(),
            reading: self.read_stream(None, left_out_prefix, false, note)?,
        })
    }
}

impl Following {
    /// Ends with the moment of now, of which the server still gives all documents. `collection` is any one of the database.
    ///
    /// A document that is written after that moment marks the end: the event of it comes after all that are wanted. A time alone
    /// proves nothing: an empty answer does not show how far the server has read.
    ///
    /// # Errors
    /// Where the server reads no snapshots, the stream broke off, or what happened is more than a change of documents.
    pub fn until_now(self, collection: &str) -> Result<ChangesDuring> {
        let at = self.live.snapshot_time(collection)?;
        let marked = self.live.write_mark(&self.mark);
        let documents = marked.and_then(|()| self.reading.wait(self.live.answer));
        let dropped = self.live.drop_own(MARK_COLLECTION);
        let documents = documents?;
        dropped?;
        Ok(ChangesDuring {
            at,
            mark: self.mark,
            documents,
        })
    }
}

impl Live {
    /// The moment of a snapshot that the server reads now.
    fn snapshot_time(&self, collection: &str) -> Result<Timestamp> {
        let answer = self.command(&doc! {
            "find": collection, "projection": { "_id": 1 }, "limit": 1, "singleBatch": true,
            "readConcern": { "level": "snapshot" },
        })?;
        let cursor = answer
            .get_document("cursor")
            .context("an answer without cursor")?;
        cursor
            .get_timestamp("atClusterTime")
            .context("the answer lacks the moment of the snapshot")
    }
}

#[derive(Default)]
struct Collected {
    documents: Changed,
    id_bytes: usize,
}

impl Collected {
    /// Whether the event is the mark's.
    fn note(&mut self, event: StreamEvent, mark: &str) -> Result<bool> {
        match event {
            StreamEvent::Mark(found) => return Ok(found == mark),
            StreamEvent::Other { kind, names } => match names.first() {
                Some(name) => bail!("`{kind}` of `{name}` came during the dump"),
                None => bail!("`{kind}` came during the dump"),
            },
            StreamEvent::Document { collection, id, .. } => {
                self.id_bytes += id.len_bytes() + size_of::<RawId>();
                ensure!(
                    self.id_bytes <= MAX_ID_BYTES,
                    "more documents changed during the dump than can be kept in memory"
                );
                self.documents.entry(collection).or_default().insert(id);
            }
            StreamEvent::Own => {}
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Document;

    use super::super::stream::tests::{event, mark, read};
    use super::*;

    fn note(collected: &mut Collected, event: &Document) -> Result<bool> {
        collected.note(read(event), "mark")
    }

    #[test]
    fn changes_of_documents_are_kept_and_changes_of_collections_end_the_knowledge() {
        let mut collected = Collected::default();
        for (kind, id) in [("insert", 1), ("update", 1), ("replace", 2), ("delete", 3)] {
            assert!(!note(&mut collected, &event(kind, "users", id)).unwrap());
        }
        // What a restore keeps beside the live collections, and the mark of another backup.
        note(
            &mut collected,
            &event("insert", "__new_20260102-030405-ab12_users", 9),
        )
        .unwrap();
        note(&mut collected, &event("create", "__xtask_mark", 0)).unwrap();
        note(&mut collected, &event("insert", MARK_COLLECTION, 0)).unwrap();
        assert!(!note(&mut collected, &mark("of another")).unwrap());
        assert_eq!(collected.documents.keys().collect::<Vec<_>>(), ["users"]);
        assert_eq!(collected.documents["users"].len(), 3);
        for (kind, name) in [("drop", "users"), ("create", "late"), ("createIndexes", "users")] {
            let error = note(&mut collected, &event(kind, name, 0))
                .unwrap_err()
                .to_string();
            assert!(error.contains(kind) && error.contains(name), "{error}");
        }
        let mut renamed = event("rename", "__new_20260102-030405-ab12_users", 0);
        renamed.insert("to", doc! { "db": "shop", "coll": "users" });
        note(&mut collected, &renamed).unwrap_err();
        note(&mut collected, &doc! { "operationType": "invalidate" }).unwrap_err();
        assert!(note(&mut collected, &mark("mark")).unwrap());
    }
}
