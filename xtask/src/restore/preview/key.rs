//! The key that a document is found by on both sides: its collection and its `_id`.

use anyhow::{Context as _, Result};

use super::sorter::{DIGEST_BYTES, Entry};
use crate::archive::id_field;
use crate::database::RawId;

const LENGTH_BYTES: usize = 4;
/// What a document has besides its elements: its length, and a zero at its end.
const AROUND_ELEMENTS_BYTES: usize = LENGTH_BYTES + 1;

/// What is kept of a raw document.
pub(super) fn entry(collection: usize, document: &[u8]) -> Result<Entry> {
    // `ring` for the same reason as in the content digest: generic code would not be optimised in the dev profile.
    let hash = ring::digest::digest(&ring::digest::SHA256, document);
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&hash.as_ref()[..DIGEST_BYTES]);
    Ok(Entry {
        key: key(collection, document)?,
        digest,
        bytes: u32::try_from(document.len()).context("a document of 4 GiB")?,
    })
}

/// The number of the collection, then a document of the `_id` alone. Whole slices are copied: it is made of every document.
pub(super) fn key(collection: usize, document: &[u8]) -> Result<Vec<u8>> {
    let id = id_field(document)?;
    let id_bytes = id.map_or(0, |id| 1 + id.name.len() + 1 + id.value.len());
    let number = u32::try_from(collection).context("too many collections")?;
    let length = u32::try_from(id_bytes + AROUND_ELEMENTS_BYTES).context("an `_id` of 4 GiB")?;
    let mut key = Vec::with_capacity(4 + id_bytes + AROUND_ELEMENTS_BYTES);
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(&length.to_le_bytes());
    if let Some(id) = id {
        key.push(id.kind);
        key.extend_from_slice(id.name);
        key.push(0);
        key.extend_from_slice(id.value);
    }
    key.push(0);
    Ok(key)
}

/// Which collection a key belongs to.
pub(super) fn collection_of(key: &[u8]) -> Result<usize> {
    let number = key.first_chunk::<4>().context("a key without collection")?;
    Ok(u32::from_be_bytes(*number) as usize)
}

/// The `_id` in a key; null where the document has none.
pub(super) fn id_of(key: &[u8]) -> Result<RawId> {
    RawId::of_document(key.get(4..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, DateTime, Timestamp, doc, oid::ObjectId, serialize_to_vec};

    use super::*;

    #[test]
    fn ids_of_every_type_come_out_as_they_went_in() {
        let ids = [
            Bson::Null,
            Bson::Int32(-7),
            Bson::Int64(1 << 40),
            Bson::Double(1.5),
            Bson::String("ü".into()),
            Bson::ObjectId(ObjectId::from_bytes([7; 12])),
            Bson::DateTime(DateTime::from_millis(5)),
            Bson::Timestamp(Timestamp {
                time: 1,
                increment: 2,
            }),
            Bson::Boolean(true),
            Bson::MinKey,
            Bson::Document(doc! { "a": { "b": 1 }, "_id": "inner" }),
            Bson::Array(vec![Bson::Int32(1), Bson::Null]),
            Bson::Document(doc! { "$oid": "short" }),
            Bson::Document(doc! { "$date": { "$numberLong": 5 } }),
        ];
        for id in ids {
            // Not always first: a backup may hold what another tool wrote.
            let documents = [
                doc! { "_id": id.clone(), "x": 1 },
                doc! { "x": "before", "y": { "_id": 3 }, "_id": id.clone() },
            ];
            let keys = documents.map(|document| key(5, &serialize_to_vec(&document).unwrap()).unwrap());
            assert_eq!(keys[0], keys[1], "{id}");
            assert_eq!(collection_of(&keys[0]).unwrap(), 5);
            assert_eq!(id_of(&keys[0]).unwrap().shown().unwrap(), id);
        }
    }

    #[test]
    fn a_document_without_id_has_a_key_too_and_a_damaged_one_none() {
        let without = serialize_to_vec(&doc! { "x": 1 }).unwrap();
        assert_eq!(
            id_of(&key(0, &without).unwrap()).unwrap().shown().unwrap(),
            Bson::Null
        );
        let mut damaged = serialize_to_vec(&doc! { "_id": "text" }).unwrap();
        damaged[9] = 200;
        assert!(key(0, &damaged).is_err());
    }
}
