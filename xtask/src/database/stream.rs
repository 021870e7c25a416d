//! Change streams of a database: what happens in it, read by a thread of its own up to a document that marks the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mongodb::bson::{RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::options::FullDocumentBeforeChangeType;

use super::deadline::on_a_thread;
use super::{Live, RawId};
use crate::domain::inventory::{MARK_COLLECTION, is_application};
use crate::domain::manifest::ServerTime;

/// How long the server waits for an event before it answers that there is none.
const AWAIT: Duration = Duration::from_secs(1);
/// The field of an event that has the document as it was before.
const PRE_IMAGE: &str = "fullDocumentBeforeChange";

/// What one event is about.
pub(super) enum StreamEvent {
    /// The mark with this `_id` was inserted.
    Mark(String),
    /// A document of the application was written or deleted.
    Document {
        collection: String,
        id: RawId,
        /// The operation time of the write.
        at: ServerTime,
        before: PreImage,
    },
    /// Something happened to collections: a rename has two names, `dropDatabase` and `invalidate` have none.
    Other { kind: String, names: Vec<String> },
    /// It concerns what is not the application's.
    Own,
}

impl From<Timestamp> for ServerTime {
    fn from(at: Timestamp) -> Self {
        Self {
            time: at.time,
            increment: at.increment,
        }
    }
}

/// A document as it was before a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreImage {
    /// It was inserted.
    Absent,
    Document(Vec<u8>),
    /// The collection keeps none (`changeStreamPreAndPostImages`), it has expired, or it was not asked for.
    Unknown,
}

impl StreamEvent {
    fn read(event: &RawDocument) -> Result<Self> {
        let kind = event.get_str("operationType")?;
        let name = |field: &str| -> Option<String> {
            let namespace = event.get_document(field).ok()?;
            namespace.get_str("coll").ok().map(str::to_owned)
        };
        let collection = name("ns");
        if !["insert", "update", "replace", "delete"].contains(&kind) {
            let all: Vec<String> = collection.into_iter().chain(name("to")).collect();
            let (none, mut names) = (all.is_empty(), all);
            names.retain(|name| is_application(name));
            return Ok(if none || !names.is_empty() {
                let kind = kind.to_owned();
                Self::Other { kind, names }
            } else {
                Self::Own
            });
        }
        let collection = collection.context("an event without collection")?;
        let key = event.get_document("documentKey")?;
        if collection == MARK_COLLECTION && kind == "insert" {
            return Ok(key
                .get_str("_id")
                .map_or(Self::Own, |id| Self::Mark(id.to_owned())));
        }
        if !is_application(&collection) {
            return Ok(Self::Own);
        }
        let before = match event.get_document(PRE_IMAGE) {
            _ if kind == "insert" => PreImage::Absent,
            Ok(document) => PreImage::Document(document.as_bytes().to_vec()),
            Err(_) => PreImage::Unknown,
        };
        Ok(Self::Document {
            collection,
            id: RawId::of_document(key.as_bytes())?,
            at: event.get_timestamp("clusterTime")?.into(),
            before,
        })
    }
}

/// A change stream that is read by a thread of its own. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Reading<T> {
    ended: Receiver<Result<T>>,
    stop: Arc<AtomicBool>,
}

impl<T> Reading<T> {
    /// What was collected, as soon as it is complete.
    pub(super) fn wait(&self, longest: Duration) -> Result<T> {
        let ended = self.ended.recv_timeout(longest);
        ended.context("the change stream did not reach the mark")?
    }
}

impl<T> Drop for Reading<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl Live {
    /// Reads the change stream of the database from a moment on, or from now on, and gives each event to `note`, until it gives what
    /// it has collected. Collections whose names begin with `left_out_prefix` are left out. Pre-images are costly to read.
    ///
    /// # Errors
    /// Where the server has no change streams (it is no replica set), or the user lacks a role.
    pub(super) fn read_stream<T: Send + 'static>(
        &self,
        from: Option<Timestamp>,
        left_out_prefix: Option<&str>,
        pre_images: bool,
        mut note: impl FnMut(StreamEvent) -> Result<Option<T>> + Send + 'static,
    ) -> Result<Reading<T>> {
        let mut pipeline = Vec::new();
        if let Some(prefix) = left_out_prefix {
            let theirs = format!("^{}", regex::escape(prefix));
            pipeline.push(doc! { "$match": { "ns.coll": { "$not": { "$regex": theirs } } } });
        }
        let mut fields = doc! { "operationType": 1, "ns": 1, "to": 1, "documentKey": 1, "clusterTime": 1 };
        if pre_images {
            fields.insert(PRE_IMAGE, 1);
        }
        pipeline.push(doc! { "$project": fields });
        let open = |expanded: bool| {
            let pipeline = pipeline.clone();
            self.ask(move |_, database| {
                let mut watch = database.watch().pipeline(pipeline.clone()).max_await_time(AWAIT);
                // Servers before 6.0 do not know the option: there new collections and indexes make no event.
                if expanded {
                    watch = watch.show_expanded_events(true);
                }
                if pre_images {
                    watch = watch.full_document_before_change(FullDocumentBeforeChangeType::WhenAvailable);
                }
                if let Some(from) = from {
                    watch = watch.start_at_operation_time(from);
                }
                watch.run()
            })
        };
        let mut stream = open(true).or_else(|_| open(false))?.with_type::<RawDocumentBuf>();
        let (sender, ended) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut read = move || {
            while !stopped.load(Ordering::SeqCst) {
                let Some(event) = stream.next_if_any()? else {
                    ensure!(stream.is_alive(), "the change stream ended");
                    continue;
                };
                if let Some(collected) = note(StreamEvent::read(&event)?)? {
                    return Ok(collected);
                }
            }
            bail!("nobody waits for the change stream any more")
        };
        on_a_thread(move || drop(sender.send(read())))?;
        Ok(Reading { ended, stop })
    }

    /// Inserts the document whose event is a mark in the change stream. `mark` is a text that nobody else takes.
    pub(super) fn write_mark(&self, mark: &str) -> Result<()> {
        let insert = doc! { "insert": MARK_COLLECTION, "documents": [{ "_id": mark }] };
        self.change(insert).map(drop)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use mongodb::bson::{Document, serialize_to_raw_document_buf};

    use super::*;

    pub(in super::super) fn read(event: &Document) -> StreamEvent {
        StreamEvent::read(&serialize_to_raw_document_buf(event).unwrap()).unwrap()
    }

    pub(in super::super) fn event(kind: &str, collection: &str, id: i32) -> Document {
        event_at(kind, collection, id, 1)
    }

    /// An event of this second.
    pub(in super::super) fn event_at(kind: &str, collection: &str, id: i32, time: u32) -> Document {
        doc! {
            "operationType": kind, "ns": { "db": "shop", "coll": collection }, "documentKey": { "_id": id },
            "clusterTime": Timestamp { time, increment: 1 },
        }
    }

    pub(in super::super) fn mark(id: &str) -> Document {
        doc! {
            "operationType": "insert", "ns": { "db": "shop", "coll": MARK_COLLECTION }, "documentKey": { "_id": id },
        }
    }
}
