//! What drivers and servers of before have stored, and a `mongod` gives back as it is: texts that are not UTF-8, and indexes with
//! options, key values and expiries that servers of today refuse. So does the local server. It has other bytes in their place,
//! and an index that is built in another way than any that a restore builds.

use mongodb::bson::{Bson, Document, deserialize_from_slice, doc, serialize_to_vec};

use super::HEADER_BYTES;

/// The local server has this where others see [`NOT_UTF8`]: as many bytes, which nothing else has by chance.
pub const IN_PLACE_OF_NOT_UTF8: &str = "\u{1ff}\u{1ff}\u{1ff}";
const NOT_UTF8: [u8; 6] = [0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe];
/// The NaN of Go. Others have other bits, and mongodump since 100.11 refuses what it cannot write as JSON and read back as it was.
const NAN: u64 = 0x7ff8_0000_0000_0001;
/// Begins the names of the indexes.
const OF_BEFORE: &str = "of before: ";
/// The document of a message: behind the header, the flags and the kind of its section.
pub(super) const DOCUMENT_AT: usize = HEADER_BYTES + 4 + 1;

/// An index of before: as it is built on the local server, and what others see of it. A restore builds keys as whole numbers.
pub fn indexes_of_before() -> Vec<(Document, Document)> {
    vec![
        (
            built("n", "options"),
            doc! { "key": { "n": 1 }, "name": name("options"), "w": 1, "safe": Bson::Null, "dropDups": true, "background": true },
        ),
        (
            built("words", "true"),
            doc! { "key": { "words": true }, "name": name("true") },
        ),
        (
            built("value", "no text"),
            doc! { "key": { "value": "" }, "name": name("no text") },
        ),
        expiring("seen", "never", f64::from_bits(NAN)),
        expiring("at", "below", Bson::Int32(-1)),
        expiring("since", "above", Bson::Int64(3_000_000_000)),
    ]
}

/// One that mongodump does not write.
pub fn index_that_is_not_dumped() -> (Document, Document) {
    expiring("at", "not dumped", f64::NAN)
}

fn name(name: &str) -> String {
    format!("{OF_BEFORE}{name}")
}

fn built(field: &str, of: &str) -> Document {
    doc! { "key": { field: 1.0 }, "name": name(of) }
}

fn expiring(field: &str, of: &str, expiry: impl Into<Bson>) -> (Document, Document) {
    let (mut built, mut seen) = (built(field, of), built(field, of));
    built.insert("expireAfterSeconds", 2_000_000_000);
    seen.insert("expireAfterSeconds", expiry);
    (built, seen)
}

/// A request, as the local server takes it.
pub(super) fn to_local(message: &mut [u8]) {
    replace(message, &NOT_UTF8, IN_PLACE_OF_NOT_UTF8.as_bytes());
}

/// An answer of the local server, as others see it.
pub(super) fn from_local(message: &mut Vec<u8>) {
    replace(message, IN_PLACE_OF_NOT_UTF8.as_bytes(), &NOT_UTF8);
    if position(message, OF_BEFORE.as_bytes()).is_some()
        && let Some(changed) = with_indexes_of_before(message)
    {
        *message = changed;
    }
}

fn with_indexes_of_before(message: &[u8]) -> Option<Vec<u8>> {
    let mut answer: Document = deserialize_from_slice(message.get(DOCUMENT_AT..)?).ok()?;
    let cursor = answer.get_document_mut("cursor").ok()?;
    let mut known = indexes_of_before();
    known.push(index_that_is_not_dumped());
    for listed in cursor.get_array_mut("firstBatch").ok()? {
        let listed = listed.as_document_mut()?;
        let is_built = |built: &Document| {
            built
                .iter()
                .all(|(option, value)| listed.get(option) == Some(value))
        };
        if let Some((_, seen)) = known.iter().find(|(built, _)| is_built(built)) {
            listed.extend(seen.clone());
        }
    }
    with_document(message, &answer)
}

/// The same message with another document.
pub(super) fn with_document(message: &[u8], document: &Document) -> Option<Vec<u8>> {
    let document = serialize_to_vec(document).ok()?;
    let mut changed = [&message[..DOCUMENT_AT], &document[..]].concat();
    let length = i32::try_from(changed.len()).ok()?;
    changed[..4].copy_from_slice(&length.to_le_bytes());
    Some(changed)
}

/// Both have as many bytes.
fn replace(message: &mut [u8], from: &[u8], to: &[u8]) {
    let mut start = HEADER_BYTES;
    while let Some(at) = position(&message[start..], from) {
        start += at;
        message[start..start + to.len()].copy_from_slice(to);
        start += to.len();
    }
}

/// Where these bytes stand. Messages have megabytes: only places with the first byte are compared.
fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        start += bytes[start..].iter().position(|byte| *byte == wanted[0])?;
        if bytes[start..].starts_with(wanted) {
            return Some(start);
        }
        start += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_sent_and_indexes_are_seen_as_of_before() {
        let message = |document: &Document| {
            let bytes = serialize_to_vec(document).unwrap();
            let mut message = vec![0; DOCUMENT_AT];
            message.extend(bytes);
            message
        };
        let stored = message(&doc! { "a": format!("x{IN_PLACE_OF_NOT_UTF8}y{IN_PLACE_OF_NOT_UTF8}") });
        let mut seen = stored.clone();
        from_local(&mut seen);
        assert!(position(&seen, &NOT_UTF8).is_some() && position(&seen, &[0xc7]).is_none());
        to_local(&mut seen);
        assert_eq!(seen, stored);

        let (built, listed): (Vec<_>, Vec<_>) = indexes_of_before().into_iter().unzip();
        let by_restore = doc! { "key": { "words": 1 }, "name": format!("{OF_BEFORE}true") };
        let batch = |mut indexes: Vec<Document>| {
            indexes.push(by_restore.clone());
            message(&doc! { "cursor": { "firstBatch": indexes } })
        };
        let mut answer = batch(built);
        from_local(&mut answer);
        assert_eq!(answer[DOCUMENT_AT..], batch(listed)[DOCUMENT_AT..]);
    }
}
