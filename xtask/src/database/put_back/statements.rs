//! Commands that write documents, as raw bytes.

use mongodb::bson::{RawDocumentBuf, doc};

use super::super::RawId;
use super::super::raw_id::{ARRAY, DOCUMENT, document_of};

/// The most statements of one command, and their bytes: a message may have 48 MB.
const COMMAND_DOCUMENTS: usize = 1_000;
const COMMAND_BYTES: usize = 8 << 20;

/// The number of the BSON type.
const INT32: u8 = 0x10;

/// The statements that one command takes; one that alone has more than its bytes is alone.
pub(super) fn chunks<T>(items: &[T], bytes_of: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, item) in items.iter().enumerate() {
        let own = bytes_of(item);
        if at > start && (at - start == COMMAND_DOCUMENTS || bytes + own > COMMAND_BYTES) {
            chunks.push(&items[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += own;
    }
    if start < items.len() {
        chunks.push(&items[start..]);
    }
    chunks
}

/// `{ _id: { $eq: ID } }`: an `_id` that is a document may have names that begin with `$`.
fn query(id: &RawId) -> Vec<u8> {
    let equal = document_of([id.field("$eq")]);
    document_of([(DOCUMENT, "_id", &equal[..])])
}

pub(super) fn removal(id: &RawId) -> Vec<u8> {
    let one = 1_i32.to_le_bytes();
    document_of([(DOCUMENT, "q", &query(id)[..]), (INT32, "limit", &one[..])])
}

pub(super) fn replacement(id: &RawId, after: &[u8]) -> Vec<u8> {
    document_of([(DOCUMENT, "q", &query(id)[..]), (DOCUMENT, "u", after)])
}

pub(in crate::database) fn write_command(
    command: &str,
    list: &str,
    collection: &str,
    statements: &[Vec<u8>],
    unvalidated: bool,
) -> mongodb::error::Result<RawDocumentBuf> {
    let mut start = doc! { command: collection, "ordered": true };
    if unvalidated {
        start.insert("bypassDocumentValidation", true);
    }
    let numbered: Vec<String> = (0..statements.len()).map(|number| number.to_string()).collect();
    let listed = statements.iter().zip(&numbered);
    let listed = document_of(listed.map(|(statement, number)| (DOCUMENT, number.as_str(), &statement[..])));
    let start = RawDocumentBuf::try_from(&start)?.into_bytes();
    // The fields of the beginning, then the list: a command's name must come first.
    let mut bytes = start[..start.len() - 1].to_vec();
    bytes.push(ARRAY);
    bytes.extend_from_slice(list.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&listed);
    bytes.push(0);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    RawDocumentBuf::from_bytes(bytes).map_err(damaged)
}

pub(super) fn damaged(error: impl std::fmt::Display) -> mongodb::error::Error {
    mongodb::error::Error::custom(format!("a document is damaged: {error:#}"))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Document;

    use super::*;

    #[test]
    fn commands_are_bounded_and_no_statement_is_lost() {
        let lengths = |items: &[usize]| -> Vec<usize> {
            chunks(items, |bytes| *bytes)
                .iter()
                .map(|chunk| chunk.len())
                .collect()
        };
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&vec![10; 2_500]), [1_000, 1_000, 500]);
        assert_eq!(lengths(&[10 << 20, 1, 10 << 20]), [1, 1, 1]);
        assert_eq!(lengths(&[4 << 20, 4 << 20, 1]), [2, 1]);
    }

    #[test]
    fn a_command_has_its_name_first_and_the_statements_as_they_are() {
        let statement = RawDocumentBuf::try_from(&doc! { "_id": 1, "x": { "$y": 2 } })
            .unwrap()
            .into_bytes();
        let command = write_command("insert", "documents", "users", &[statement], true).unwrap();
        let command: Document = command.try_into().unwrap();
        let expected = doc! {
            "insert": "users", "ordered": true, "bypassDocumentValidation": true,
            "documents": [{ "_id": 1, "x": { "$y": 2 } }],
        };
        assert_eq!(command, expected);
        assert_eq!(command.keys().next().map(String::as_str), Some("insert"));
    }
}
