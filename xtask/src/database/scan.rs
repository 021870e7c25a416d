//! Reading documents as raw bytes.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{ReadConcern, SelectionCriteria};
use mongodb::sync::Cursor;

use super::{Live, OPTION_REFUSED, server_code};
use crate::exec::check_interrupted;

/// Documents per answer of the server; 16 MiB is the server's own bound.
const BATCH_DOCUMENTS: u32 = 5_000;
/// How often an interruption is looked for.
const CHECK_EVERY: u64 = 4_096;

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
    pub fn scan(&self, collection: &str, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let reading = || format!("cannot read `{}.{collection}`", self.name());
        let mut cursor = self.cursor(collection).with_context(reading)?;
        let mut count = 0_u64;
        while cursor.advance().with_context(reading)? {
            visit(cursor.current().as_bytes())?;
            count += 1;
            if count.is_multiple_of(CHECK_EVERY) {
                check_interrupted()?;
            }
        }
        Ok(())
    }

    /// Atlas's small tiers refuse a cursor without a timeout: theirs ends only where nobody asks for ten minutes, and each
    /// batch is asked for as soon as the one before it is read.
    fn cursor(&self, collection: &str) -> Result<Cursor<RawDocumentBuf>> {
        match self.find(collection, true) {
            Err(error) if server_code(&error).is_some_and(|code| OPTION_REFUSED.contains(&code)) => {
                self.find(collection, false)
            }
            answer => answer,
        }
    }

    fn find(&self, collection: &str, no_timeout: bool) -> Result<Cursor<RawDocumentBuf>> {
        let collection = self.database.collection::<RawDocumentBuf>(collection);
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
        Ok(cursor.run()?)
    }
}
