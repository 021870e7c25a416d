//! An `_id` as the bytes that a document has it in. No decoder stands between: one that takes `{"$oid": "short"}` for an
//! object id, or refuses a text that is not UTF-8, would not find the document again.

use std::iter::Peekable;

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, Utf8Lossy, doc};
use mongodb::options::{ReadPreference, SelectionCriteria};

use super::Live;
use crate::archive::{RawField, elements, id_field};

pub(super) const DOCUMENT: u8 = 0x03;
pub(super) const ARRAY: u8 = 0x04;
const INT64: u8 = 0x12;
const TEXT: u8 = 0x02;
const UNDEFINED: u8 = 0x06;
const NULL: u8 = 0x0a;
const PATTERN: u8 = 0x0b;
/// The most ids of one command, and their bytes: a command may have 16 MB, and one `_id` nearly as many.
const BATCH_IDS: usize = 1_000;
const BATCH_BYTES: usize = 8 << 20;

/// The value of an `_id`; null where the document has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawId {
    kind: u8,
    value: Vec<u8>,
}

impl RawId {
    /// The value of a field.
    pub fn of(field: Option<RawField<'_>>) -> Self {
        let (kind, value) = field.map_or((NULL, &[][..]), |field| (field.kind, field.value));
        Self {
            kind,
            value: value.to_vec(),
        }
    }

    /// The `_id` of a document; null where it has none.
    ///
    /// # Errors
    /// The document is damaged.
    pub fn of_document(document: &[u8]) -> Result<Self> {
        Ok(Self::of(id_field(document)?))
    }

    /// A whole number.
    pub fn of_number(number: i64) -> Self {
        Self {
            kind: INT64,
            value: number.to_le_bytes().to_vec(),
        }
    }

    /// A text.
    pub(super) fn of_text(text: &str) -> Self {
        let length = u32::try_from(text.len() + 1).unwrap_or(u32::MAX).to_le_bytes();
        Self {
            kind: TEXT,
            value: [&length[..], text.as_bytes(), &[0]].concat(),
        }
    }

    /// As a field of this name: type, name, value.
    pub(super) fn field<'a>(&'a self, name: &'a str) -> (u8, &'a str, &'a [u8]) {
        (self.kind, name, &self.value[..])
    }

    /// Whether `$in` takes it for a value and nothing else: a pattern finds texts, and a document whose first name begins with `$` is
    /// refused as an operator.
    pub fn is_value(&self) -> bool {
        match self.kind {
            UNDEFINED | ARRAY | PATTERN => false,
            DOCUMENT => self.value.get(5) != Some(&b'$'),
            _ => true,
        }
    }

    /// Its length in a command and in memory.
    pub fn len_bytes(&self) -> usize {
        self.value.len()
    }

    /// As people read it: what is not UTF-8 in it is replaced.
    pub fn shown(&self) -> Result<Bson> {
        let document = shown_document(&document_of([(self.kind, "_id", &self.value[..])]))?;
        Ok(document.get("_id").cloned().unwrap_or(Bson::Null))
    }
}

impl Live {
    /// The document with this `_id`, as raw bytes.
    pub fn raw_by_id(&self, collection: &str, id: &RawId) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        self.scan_ids(collection, [Ok(id.clone())], |raw| {
            found = Some(raw.to_vec());
            Ok(())
        })?;
        Ok(found)
    }

    /// Gives the documents with these ids to `visit`, however many there are.
    pub fn scan_ids(
        &self,
        collection: &str,
        ids: impl IntoIterator<Item = Result<RawId>>,
        visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.find_batches(collection, ids, &doc! { "level": "local" }, visit)
    }

    /// The same as of one moment, which the server keeps for some minutes (`minSnapshotHistoryWindowInSeconds`, 300 s).
    pub fn scan_ids_at(
        &self,
        collection: &str,
        ids: impl IntoIterator<Item = Result<RawId>>,
        at: Timestamp,
        visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let concern = doc! { "level": "snapshot", "atClusterTime": at };
        self.find_batches(collection, ids, &concern, visit)
    }

    fn find_batches(
        &self,
        collection: &str,
        ids: impl IntoIterator<Item = Result<RawId>>,
        concern: &Document,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut ids = ids.into_iter().peekable();
        loop {
            let batch = next_batch(&mut ids)?;
            if batch.is_empty() {
                return Ok(());
            }
            self.find_ids(collection, &batch, concern.clone(), &mut visit)?;
        }
    }

    fn find_ids(
        &self,
        collection: &str,
        ids: &[RawId],
        concern: Document,
        visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let reading = || format!("cannot read `{}.{collection}`", self.name());
        let ids: Vec<&RawId> = ids.iter().collect();
        let command = find_by_ids(collection, &ids, Some(concern)).with_context(reading)?;
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let cursor = self.ask(move |_, database| {
            let cursor = database.run_raw_cursor_command(command.clone());
            cursor.selection_criteria(primary.clone()).run()
        });
        self.read_out(cursor.with_context(reading)?, reading, visit)
    }
}

/// The command that finds the documents with these ids.
pub(super) fn find_by_ids(
    collection: &str,
    ids: &[&RawId],
    concern: Option<Document>,
) -> Result<RawDocumentBuf> {
    let numbered: Vec<String> = (0..ids.len()).map(|number| number.to_string()).collect();
    let listed = ids.iter().zip(&numbered);
    let listed = document_of(listed.map(|(id, number)| id.field(number)));
    let wanted = document_of([(ARRAY, "$in", &listed[..])]);
    let filter = document_of([(DOCUMENT, "_id", &wanted[..])]);
    let mut command = doc! { "find": collection };
    if let Some(concern) = concern {
        command.insert("readConcern", concern);
    }
    let mut command = RawDocumentBuf::try_from(&command)?;
    command.append(
        mongodb::bson::cstr!("filter"),
        RawDocumentBuf::from_bytes(filter)?,
    );
    Ok(command)
}

/// The ids of the next command; one that alone has more than its bytes is alone.
fn next_batch(ids: &mut Peekable<impl Iterator<Item = Result<RawId>>>) -> Result<Vec<RawId>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let has_room = |count: usize, bytes: usize, next: &Result<RawId>| {
        let next_bytes = next.as_ref().map_or(0, RawId::len_bytes);
        count == 0 || (count < BATCH_IDS && bytes + next_bytes <= BATCH_BYTES)
    };
    while let Some(id) = ids.next_if(|id| has_room(batch.len(), bytes, id)) {
        let id = id?;
        bytes += id.len_bytes();
        batch.push(id);
    }
    Ok(batch)
}

/// A document as people read it: its types as they are, names and texts that are not UTF-8 with replacements.
pub fn shown_document(raw: &[u8]) -> Result<Document> {
    let mut shown = Document::new();
    for field in elements(raw).context("a document is damaged")? {
        let field = field.context("a document is damaged")?;
        let name = String::from_utf8_lossy(field.name).into_owned();
        shown.insert(name, shown_value(&field)?);
    }
    Ok(shown)
}

fn shown_value(field: &RawField<'_>) -> Result<Bson> {
    Ok(match field.kind {
        DOCUMENT => Bson::Document(shown_document(field.value)?),
        ARRAY => Bson::Array(
            shown_document(field.value)?
                .into_iter()
                .map(|(_, value)| value)
                .collect(),
        ),
        kind => {
            let alone = document_of([(kind, "value", field.value)]);
            let alone = RawDocument::from_bytes(&alone).context("a document is damaged")?;
            let alone: Utf8Lossy<Document> = alone.try_into().context("a document is damaged")?;
            alone.0.get("value").cloned().unwrap_or(Bson::Null)
        }
    })
}

/// A raw document of these fields: type, name, value.
pub(super) fn document_of<'a>(fields: impl IntoIterator<Item = (u8, &'a str, &'a [u8])>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for (kind, name, value) in fields {
        bytes.push(kind);
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value);
    }
    bytes.push(0);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_operators_are_no_values() {
        let is_value = |id: Bson| {
            let document = mongodb::bson::serialize_to_vec(&doc! { "_id": id }).unwrap();
            RawId::of_document(&document).unwrap().is_value()
        };
        let pattern = mongodb::bson::Regex {
            pattern: mongodb::bson::cstr!("a").into(),
            options: mongodb::bson::cstr!("").into(),
        };
        for id in [
            Bson::RegularExpression(pattern),
            Bson::Undefined,
            doc! { "$x": 1 }.into(),
        ] {
            assert!(!is_value(id));
        }
        for id in [
            Bson::Null,
            1.into(),
            doc! {}.into(),
            doc! { "a": { "$x": 1 } }.into(),
        ] {
            assert!(is_value(id));
        }
    }

    #[test]
    fn a_batch_of_ids_is_bounded_in_number_and_bytes_and_none_is_lost() {
        let id = |bytes: usize| {
            Ok(RawId {
                kind: 0x05,
                value: vec![0; bytes],
            })
        };
        let lengths = |ids: Vec<usize>| -> Vec<usize> {
            let mut ids = ids.into_iter().map(id).peekable();
            let batches = std::iter::from_fn(|| {
                let batch = next_batch(&mut ids).unwrap();
                (!batch.is_empty()).then_some(batch.len())
            });
            batches.collect()
        };
        assert_eq!(lengths(vec![]), [0; 0]);
        assert_eq!(lengths(vec![12; 2_500]), [1_000, 1_000, 500]);
        assert_eq!(lengths(vec![15 << 20, 1, 15 << 20, 15 << 20]), [1, 1, 1, 1]);
        assert_eq!(lengths(vec![4 << 20, 4 << 20, 1, 1]), [2, 2]);
    }
}
