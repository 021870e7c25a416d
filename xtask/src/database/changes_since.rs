//! Which documents have changed since a backup was begun: so that a restore reads these and no others.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Timestamp, doc};

use super::stream::{PreImage, StreamEvent};
use super::{Listed, Live, RawId};
use crate::domain::inventory::MARK_COLLECTION;
use crate::domain::manifest::{ChangeStart, ServerTime};

/// Of a collection of which more has changed everything is compared: these ids are kept in memory.
const MAX_IDS: usize = 100_000;
/// All ids together.
const MAX_ID_BYTES: usize = 64 << 20;
/// All pre-images together: what the others were is read from the backup.
const MAX_IMAGE_BYTES: usize = 64 << 20;
/// Comparing everything may be faster than reading what happened in months.
const LONGEST: Duration = Duration::from_mins(2);

/// What has happened since a [`ChangeStart`].
#[derive(Debug, Default)]
pub struct ChangesSince {
    /// The documents that were written or deleted, by collection, each as the backup has it.
    pub documents: BTreeMap<String, HashMap<RawId, PreImage>>,
    /// Collections of which more is to be compared, and why.
    pub whole: BTreeMap<String, String>,
}

impl Live {
    /// Writes a mark, so that a change stream can later be proved to have everything from now on. Nothing of it stays.
    ///
    /// # Errors
    /// Where the server has no operation times (it is no replica set), or the user lacks the role `readWrite`.
    pub fn mark_start(&self) -> Result<ChangeStart> {
        let answer = self.command(&doc! { "ping": 1 })?;
        let at = answer.get_timestamp("operationTime");
        let at = at.map_err(|_| anyhow::anyhow!("the server is no member of a replica set"))?;
        let mark = ObjectId::new().to_hex();
        let marked = self.write_mark(&mark);
        let dropped = self.drop_own(MARK_COLLECTION);
        marked?;
        dropped?;
        Ok(ChangeStart {
            time: at.time,
            increment: at.increment,
            mark,
            as_of: None,
        })
    }

    /// Whether the server keeps of any collection what documents were before a write.
    pub fn keeps_pre_images(&self) -> Result<bool> {
        let keeps = |listed: &Listed| {
            let option = listed.options.get_document("changeStreamPreAndPostImages");
            option.is_ok_and(|option| option.get_bool("enabled").unwrap_or(false))
        };
        Ok(self.listed()?.values().any(keeps))
    }

    /// What has happened since then. Another mark ends it, for the same reason as at the end of a dump. With `pre_images` the server
    /// is asked for what the documents were; that is what the backup has of them only where it is as of one moment.
    ///
    /// # Errors
    /// Where that is not known: the reason.
    pub fn changes_since(&self, start: &ChangeStart, pre_images: bool) -> Result<ChangesSince> {
        let from = Timestamp {
            time: start.time,
            increment: start.increment,
        };
        let end = ObjectId::new().to_hex();
        let mut collected = Collected {
            start: start.mark.clone(),
            end: end.clone(),
            as_of: start.as_of,
            begun: false,
            id_bytes: 0,
            image_bytes: 0,
            changes: ChangesSince::default(),
        };
        let reading = self.read_stream(Some(from), None, pre_images, move |event| collected.note(event))?;
        let marked = self.write_mark(&end);
        let changes = marked.and_then(|()| reading.wait(LONGEST));
        let dropped = self.drop_own(MARK_COLLECTION);
        let changes = changes?;
        dropped.context("cannot drop the mark")?;
        Ok(changes)
    }
}

struct Collected {
    start: String,
    end: String,
    as_of: Option<ServerTime>,
    /// Whether the mark of the start came.
    begun: bool,
    id_bytes: usize,
    image_bytes: usize,
    changes: ChangesSince,
}

impl Collected {
    /// What has happened, once the event is that of the last mark.
    fn note(&mut self, event: StreamEvent) -> Result<Option<ChangesSince>> {
        match event {
            StreamEvent::Mark(mark) if mark == self.start => self.begun = true,
            StreamEvent::Mark(mark) if mark == self.end => {
                ensure!(
                    self.begun,
                    "the server does not keep its history back to the backup"
                );
                return Ok(Some(std::mem::take(&mut self.changes)));
            }
            StreamEvent::Mark(_) | StreamEvent::Own => {}
            StreamEvent::Other { kind, names } if names.is_empty() => bail!("`{kind}` came since the backup"),
            StreamEvent::Other { kind, names } => {
                for name in names {
                    self.leave(name, format!("`{kind}` came since the backup"));
                }
            }
            // It came during the dump, and the backup has what it made.
            StreamEvent::Document { at, .. } if self.as_of.is_some_and(|as_of| at <= as_of) => {}
            StreamEvent::Document {
                collection,
                id,
                before,
                ..
            } => self.keep(collection, id, before)?,
        }
        Ok(None)
    }

    /// Of the first write to a document since the backup the state before it is what the backup has.
    fn keep(&mut self, collection: String, id: RawId, before: PreImage) -> Result<()> {
        if self.changes.whole.contains_key(&collection) {
            return Ok(());
        }
        let documents = self.changes.documents.entry(collection.clone()).or_default();
        if documents.contains_key(&id) {
            return Ok(());
        }
        self.id_bytes += id.len_bytes() + size_of_val(&id);
        ensure!(
            self.id_bytes <= MAX_ID_BYTES,
            "more documents have changed than are kept in memory"
        );
        if let PreImage::Document(document) = &before {
            self.image_bytes += document.len();
        }
        let is_known = self.as_of.is_some() && self.image_bytes <= MAX_IMAGE_BYTES;
        documents.insert(id, if is_known { before } else { PreImage::Unknown });
        if documents.len() > MAX_IDS {
            self.leave(collection, format!("more than {MAX_IDS} documents have changed"));
        }
        Ok(())
    }

    /// All of this collection is to be compared.
    fn leave(&mut self, collection: String, why: String) {
        self.changes.documents.remove(&collection);
        self.changes.whole.entry(collection).or_insert(why);
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Document;

    use super::super::stream::tests::{event, event_at, mark, read};
    use super::*;

    fn collect(events: &[Document]) -> Result<Option<ChangesSince>> {
        collect_as_of(None, events)
    }

    fn collect_as_of(as_of: Option<ServerTime>, events: &[Document]) -> Result<Option<ChangesSince>> {
        let mut collected = Collected {
            start: "start".into(),
            end: "end".into(),
            as_of,
            begun: false,
            id_bytes: 0,
            image_bytes: 0,
            changes: ChangesSince::default(),
        };
        for event in events {
            if let Some(changes) = collected.note(read(event))? {
                return Ok(Some(changes));
            }
        }
        Ok(None)
    }

    #[test]
    fn only_a_stream_that_has_the_mark_of_the_backup_is_believed() {
        let write = event("insert", "users", 1);
        let error = collect(&[write.clone(), mark("end")]).unwrap_err().to_string();
        assert!(error.contains("history"), "{error}");
        let other = collect(&[mark("of another"), write.clone(), mark("end")]);
        other.unwrap_err();
        assert!(collect(&[mark("start"), write.clone()]).unwrap().is_none());
        let changes = collect(&[mark("start"), write, mark("end"), event("insert", "users", 2)]);
        assert_eq!(changes.unwrap().unwrap().documents["users"].len(), 1);
    }

    #[test]
    fn what_happens_to_a_collection_ends_the_knowledge_of_it_and_of_no_other() {
        let mut renamed = event("rename", "users", 0);
        renamed.insert("to", doc! { "db": "shop", "coll": "people" });
        let events = [
            mark("start"),
            event("update", "users", 1),
            event("update", "orders", 1),
            renamed,
            event("insert", "users", 2),
            event("drop", "gone", 0),
            event("modify", "odd", 0),
            event("create", "__plan_20260102-030405-ab12", 0),
            mark("end"),
        ];
        let changes = collect(&events).unwrap().unwrap();
        assert_eq!(changes.documents.keys().collect::<Vec<_>>(), ["orders"]);
        let whole: Vec<_> = changes.whole.keys().collect();
        assert_eq!(whole, ["gone", "odd", "people", "users"]);
        for kind in ["dropDatabase", "invalidate"] {
            let error = collect(&[mark("start"), doc! { "operationType": kind }]).unwrap_err();
            assert!(error.to_string().contains(kind));
        }
    }

    #[test]
    fn what_the_backup_has_is_what_a_document_was_before_the_first_write_after_its_moment() {
        let second = |time| ServerTime { time, increment: 1 };
        let update = |id: i32, time: u32, before: &str| {
            let mut event = event_at("update", "users", id, time);
            event.insert("fullDocumentBeforeChange", doc! { "_id": id, "is": before });
            event
        };
        let events = [
            mark("start"),
            update(1, 5, "of the dump"),
            update(1, 6, "of the backup"),
            update(1, 7, "newer"),
            event_at("insert", "users", 2, 7),
            event_at("delete", "users", 2, 8),
            event_at("insert", "during", 3, 4),
            event_at("delete", "without", 4, 7),
            mark("end"),
        ];
        let changes = collect_as_of(Some(second(5)), &events).unwrap().unwrap();
        assert_eq!(changes.documents.keys().collect::<Vec<_>>(), ["users", "without"]);
        let id = |id: i32| RawId::of_document(&mongodb::bson::serialize_to_vec(&doc! { "_id": id }).unwrap());
        let of = |collection: &str, number| &changes.documents[collection][&id(number).unwrap()];
        let backup = mongodb::bson::serialize_to_vec(&doc! { "_id": 1, "is": "of the backup" }).unwrap();
        assert_eq!(*of("users", 1), PreImage::Document(backup));
        assert_eq!(*of("users", 2), PreImage::Absent);
        assert_eq!(*of("without", 4), PreImage::Unknown);
        // Which of the states the dump has is not known.
        let changes = collect(&events).unwrap().unwrap();
        for documents in changes.documents.values() {
            assert!(documents.values().all(|before| *before == PreImage::Unknown));
        }
    }

    #[test]
    fn a_collection_in_which_too_much_has_changed_is_compared_whole() {
        let last = i32::try_from(MAX_IDS).unwrap();
        let mut events = vec![mark("start")];
        events.extend((0..=last).map(|id| event("insert", "users", id)));
        events.extend([event("insert", "orders", 1), mark("end")]);
        let changes = collect(&events).unwrap().unwrap();
        assert!(changes.whole["users"].contains("100000"));
        assert_eq!(changes.documents.keys().collect::<Vec<_>>(), ["orders"]);
    }
}
