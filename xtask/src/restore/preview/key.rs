//! The key that a document is found by on both sides: its collection and its `_id`.

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, cstr, deserialize_from_slice};
use sha2::{Digest as _, Sha256};

use super::sorter::{DIGEST_BYTES, Entry};
use crate::database::id_filter;

/// What is kept of a raw document.
pub(super) fn entry(collection: usize, document: &[u8]) -> Result<Entry> {
    let hash = Sha256::digest(document);
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&hash[..DIGEST_BYTES]);
    Ok(Entry {
        key: key(collection, document)?,
        digest,
        bytes: u32::try_from(document.len()).context("a document of 4 GiB")?,
    })
}

/// The number of the collection, then a document of the `_id` alone.
pub(super) fn key(collection: usize, document: &[u8]) -> Result<Vec<u8>> {
    let document = RawDocument::from_bytes(document).context("a document is damaged")?;
    let mut id = RawDocumentBuf::new();
    if let Some(value) = document.get("_id").context("a document is damaged")? {
        id.append(cstr!("_id"), value);
    }
    let number = u32::try_from(collection).context("too many collections")?;
    let mut key = number.to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    Ok(key)
}

/// Which collection a key belongs to.
pub(super) fn collection_of(key: &[u8]) -> Result<usize> {
    let number = key.first_chunk::<4>().context("a key without collection")?;
    Ok(u32::from_be_bytes(*number) as usize)
}

/// The `_id` in a key; null where the document has none.
pub(super) fn id_of(key: &[u8]) -> Result<Bson> {
    let document: Document = deserialize_from_slice(key.get(4..).unwrap_or_default())?;
    Ok(document.get("_id").cloned().unwrap_or(Bson::Null))
}

/// The filter that finds the document of a key.
pub(super) fn filter_of(key: &[u8]) -> Result<Document> {
    id_of(key).map(id_filter)
}
