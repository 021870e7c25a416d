//! Reading documents as raw bytes.

use anyhow::{Context as _, Result};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{ReadConcern, SelectionCriteria};
use mongodb::sync::Cursor;

use super::Live;
use crate::exec::check_interrupted;

/// Documents per answer of the server; 16 MiB is the server's own bound.
const BATCH_DOCUMENTS: u32 = 5_000;
/// How often an interruption is looked for.
const CHECK_EVERY: u64 = 4_096;

impl Live {
    /// Gives every document of a collection, in the server's natural order, to `visit`.
    pub fn scan(&self, collection: &str, visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.scan_where(collection, doc! {}, visit)
    }

    /// Gives every document that the filter finds to `visit`.
    pub fn scan_where(
        &self,
        collection: &str,
        filter: Document,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let reading = || format!("cannot read `{}.{collection}`", self.name());
        let mut cursor = self
            .database
            .collection::<RawDocumentBuf>(collection)
            .find(filter)
            .batch_size(BATCH_DOCUMENTS)
            .no_cursor_timeout(true)
            .selection_criteria(SelectionCriteria::ReadPreference(
                mongodb::options::ReadPreference::Primary,
            ))
            .read_concern(ReadConcern::local())
            .run()
            .with_context(reading)?;
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

    /// The document with this `_id`, as raw bytes.
    pub fn raw_by_id(&self, collection: &str, filter: Document) -> Result<Option<Vec<u8>>> {
        let mut cursor: Cursor<RawDocumentBuf> = self
            .database
            .collection(collection)
            .find(filter)
            .limit(1)
            .run()
            .with_context(|| format!("cannot read `{}.{collection}`", self.name()))?;
        let found = cursor
            .advance()
            .with_context(|| format!("cannot read `{}.{collection}`", self.name()))?;
        Ok(found.then(|| cursor.current().as_bytes().to_vec()))
    }
}

/// The filter that finds a document by its `_id`: `$eq`, because an `_id` may itself look like an operator or a pattern.
pub fn id_filter(id: mongodb::bson::Bson) -> Document {
    doc! { "_id": { "$eq": id } }
}
