//! Which documents change while a database is read, by a change stream: so that a dump of many minutes can be brought to one
//! moment.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mongodb::bson::{RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::sync::ChangeStream;

use super::deadline::on_a_thread;
use super::{Live, RawId};
use crate::domain::inventory::{MARK_COLLECTION, is_application};

/// How long the server waits for an event before it answers that there is none.
const AWAIT: Duration = Duration::from_secs(1);
/// The ids of what changed are kept in memory.
const MAX_ID_BYTES: usize = 64 << 20;

/// The documents that changed, by collection.
type Changed = BTreeMap<String, HashSet<RawId>>;

/// Documents that changed since [`Live::follow`], and the moment at which all of them are known.
#[derive(Debug)]
pub struct ChangesDuring {
    pub at: Timestamp,
    pub documents: Changed,
}

/// A change stream that is read by a thread of its own. Dropped, it ends.
#[derive(Debug)]
pub struct Following {
    live: Live,
    mark: String,
    ended: Receiver<Result<Changed>>,
    stop: Arc<AtomicBool>,
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
        let mut pipeline = Vec::new();
        if let Some(prefix) = left_out_prefix {
            let theirs = format!("^{}", regex::escape(prefix));
            pipeline.push(doc! { "$match": { "ns.coll": { "$not": { "$regex": theirs } } } });
        }
        pipeline.push(doc! { "$project": { "operationType": 1, "ns": 1, "to": 1, "documentKey": 1 } });
        let open = |expanded: bool| {
            let pipeline = pipeline.clone();
            self.ask(move |_, database| {
                let watch = database.watch().pipeline(pipeline.clone()).max_await_time(AWAIT);
                // Servers before 6.0 do not know the option: there new collections and indexes make no event.
                let watch = if expanded {
                    watch.show_expanded_events(true)
                } else {
                    watch
                };
                watch.run()
            })
        };
        let stream = open(true).or_else(|_| open(false))?.with_type::<RawDocumentBuf>();
        let (sender, ended) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (mark, stopped) = (mark.to_owned(), Arc::clone(&stop));
        let collected = mark.clone();
        on_a_thread(move || drop(sender.send(collect(stream, &collected, &stopped))))?;
        Ok(Following {
            live: self.clone(),
            mark,
            ended,
            stop,
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
        let marked = self
            .live
            .change(doc! { "insert": MARK_COLLECTION, "documents": [{ "_id": &self.mark }] });
        let documents = marked.and_then(|_| {
            let ended = self.ended.recv_timeout(self.live.answer);
            ended.context("the change stream did not reach the mark")?
        });
        let dropped = self.live.drop_own(MARK_COLLECTION);
        let documents = documents?;
        dropped?;
        Ok(ChangesDuring { at, documents })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
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

/// Reads the stream up to the mark.
fn collect(mut stream: ChangeStream<RawDocumentBuf>, mark: &str, stop: &AtomicBool) -> Result<Changed> {
    let mut collected = Collected::default();
    while !stop.load(Ordering::SeqCst) {
        match stream.next_if_any()? {
            Some(event) if collected.note(&event, mark)? => return Ok(collected.documents),
            Some(_) => {}
            None => ensure!(stream.is_alive(), "the change stream ended"),
        }
    }
    bail!("nobody waits for the change stream any more")
}

#[derive(Default)]
struct Collected {
    documents: Changed,
    id_bytes: usize,
}

impl Collected {
    /// Whether the event is the mark's.
    fn note(&mut self, event: &RawDocument, mark: &str) -> Result<bool> {
        let kind = event.get_str("operationType")?;
        let name = |field: &str| -> Option<String> {
            let namespace = event.get_document(field).ok()?;
            namespace.get_str("coll").ok().map(str::to_owned)
        };
        let collection = name("ns");
        if !["insert", "update", "replace", "delete"].contains(&kind) {
            // A rename has two names; `dropDatabase` and `invalidate` have none.
            let names: Vec<String> = collection.into_iter().chain(name("to")).collect();
            let what = names.iter().find(|name| is_application(name));
            if let Some(name) = what {
                bail!("`{kind}` of `{name}` came during the dump");
            }
            ensure!(!names.is_empty(), "`{kind}` came during the dump");
            return Ok(false);
        }
        let collection = collection.context("an event without collection")?;
        let key = event.get_document("documentKey")?;
        if collection == MARK_COLLECTION {
            return Ok(kind == "insert" && key.get_str("_id").is_ok_and(|id| id == mark));
        }
        if is_application(&collection) {
            let id = RawId::of_document(key.as_bytes())?;
            self.id_bytes += id.len_bytes() + size_of::<RawId>();
            ensure!(
                self.id_bytes <= MAX_ID_BYTES,
                "more documents changed during the dump than can be kept in memory"
            );
            self.documents.entry(collection).or_default().insert(id);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, serialize_to_raw_document_buf};

    use super::*;

    fn note(collected: &mut Collected, event: &Document) -> Result<bool> {
        collected.note(&serialize_to_raw_document_buf(event).unwrap(), "mark")
    }

    fn event(kind: &str, collection: &str, id: i32) -> Document {
        doc! { "operationType": kind, "ns": { "db": "shop", "coll": collection }, "documentKey": { "_id": id } }
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
        let mark = doc! {
            "operationType": "insert", "ns": { "db": "shop", "coll": MARK_COLLECTION }, "documentKey": { "_id": "mark" },
        };
        assert!(note(&mut collected, &mark).unwrap());
    }
}
