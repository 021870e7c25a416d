//! Reading documents as raw bytes.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use anyhow::{Context as _, Result, bail, ensure};
use mongodb::bson::{RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{ReadConcern, SelectionCriteria};
use mongodb::sync::{Cursor, Database};

use super::deadline::on_a_thread;
use super::{Live, OPTION_REFUSED, server_code};
use crate::error::catalogue::database as errors;
use crate::exec::check_interrupted;

/// Documents per answer of the server; 16 MiB is the server's own bound.
const BATCH_DOCUMENTS: u32 = 5_000;
/// So many bytes of documents are handed over at once; so many of these are read before they are asked for.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;

impl Live {
    /// The texts that the documents of a small collection have as fields.
    ///
    /// # Errors
    /// Where it has more than `limit` of them, or cannot be read.
    pub fn texts(&self, collection: &str, limit: usize) -> Result<BTreeSet<String>> {
        let mut texts = BTreeSet::new();
        self.scan(collection, |document| {
            for field in RawDocument::from_bytes(document)? {
                if let (_, RawBsonRef::String(text)) = field? {
                    texts.insert(text.to_owned());
                }
            }
            ensure!(texts.len() <= limit, "`{collection}` has more than {limit} texts");
            Ok(())
        })?;
        Ok(texts)
    }

    /// Gives every document of a collection, in the server's natural order, to `visit`.
    pub fn scan(&self, collection: &str, visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let reading = || format!("cannot read `{}.{collection}`", self.name());
        self.read_out(self.cursor(collection).with_context(reading)?, reading, visit)
    }

    /// Gives the documents of a cursor. They are read by a thread of its own: the driver waits for the next ones without an end.
    pub(super) fn read_out<T: Send + 'static>(
        &self,
        cursor: Cursor<T>,
        reading: impl Fn() -> String,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        on_a_thread(move || {
            let sent = sender.clone();
            let end = send_chunks(cursor, |chunk| sent.send(Ok(Some(chunk))).is_ok());
            // Nobody listens any more where that fails.
            sender.send(end.map(|()| None)).ok();
        })?;
        loop {
            let chunk = match chunks.recv_timeout(self.answer) {
                Ok(read) => read.with_context(&reading)?,
                Err(RecvTimeoutError::Timeout) => {
                    let silent = errors::database_silent(self.host(), self.answer.as_secs_f32());
                    return Err(silent).with_context(reading);
                }
                Err(RecvTimeoutError::Disconnected) => bail!("{}: it broke off", reading()),
            };
            let Some(chunk) = chunk else { return Ok(()) };
            let mut rest = &chunk[..];
            while let Some(length) = rest
                .first_chunk()
                .map(|bytes| u32::from_le_bytes(*bytes) as usize)
            {
                let document = rest.split_off(..length).context("a document is damaged")?;
                visit(document)?;
            }
            check_interrupted()?;
        }
    }

    /// Atlas's small tiers refuse a cursor without a timeout: theirs ends only where nobody asks for ten minutes, and each
    /// batch is asked for as soon as the one before it is read.
    fn cursor(&self, collection: &str) -> Result<Cursor<RawDocumentBuf>> {
        let find = |no_timeout| {
            let name = collection.to_owned();
            self.ask(move |_, database| find(database, &name, no_timeout))
        };
        match find(true) {
            Err(error) if server_code(&error).is_some_and(|code| OPTION_REFUSED.contains(&code)) => {
                find(false)
            }
            answer => answer,
        }
    }
}

fn find(
    database: &Database,
    collection: &str,
    no_timeout: bool,
) -> mongodb::error::Result<Cursor<RawDocumentBuf>> {
    let collection = database.collection::<RawDocumentBuf>(collection);
    let cursor = collection
        .find(doc! {})
        .batch_size(BATCH_DOCUMENTS)
        .selection_criteria(SelectionCriteria::ReadPreference(
            mongodb::options::ReadPreference::Primary,
        ))
        .read_concern(ReadConcern::local());
    // Not even `false`: these tiers refuse the option by its name.
    let cursor = if no_timeout {
        cursor.no_cursor_timeout(true)
    } else {
        cursor
    };
    cursor.run()
}

/// Hands over the documents of a cursor, one after another in chunks, until nobody takes them.
fn send_chunks<T>(mut cursor: Cursor<T>, send: impl Fn(Vec<u8>) -> bool) -> mongodb::error::Result<()> {
    let mut chunk = Vec::new();
    while cursor.advance()? {
        chunk.extend_from_slice(cursor.current().as_bytes());
        if chunk.len() >= CHUNK_BYTES && !send(std::mem::take(&mut chunk)) {
            return Ok(());
        }
    }
    send(chunk);
    Ok(())
}
