//! Checks on raw BSON that copy nothing.

use anyhow::{Context, Result, anyhow, bail, ensure};
use mongodb::bson::{RawBsonRef, RawDocument};

/// `MaxBSONSize` of the MongoDB tools: the server's 16 MiB and what an oplog entry may add to it.
pub(super) const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024 + 16 * 1024;
/// An empty document: its length and its terminator.
pub(super) const MIN_DOCUMENT_BYTES: usize = 5;
/// The server accepts about 180 levels. Without a bound a hostile document would overflow our stack.
const MAX_DEPTH: usize = 200;

/// Whole documents that lie one after the other without gaps.
#[derive(Debug)]
pub struct Documents<'a> {
    rest: &'a [u8],
}

/// Takes them apart; a length that cannot be is an error, and the last item.
pub fn split_documents(bytes: &[u8]) -> Documents<'_> {
    Documents { rest: bytes }
}

impl<'a> Iterator for Documents<'a> {
    type Item = Result<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.rest);
        if bytes.is_empty() {
            return None;
        }
        let length = bytes
            .first_chunk::<4>()
            .map_or(0, |length| u32::from_le_bytes(*length) as usize);
        if length < MIN_DOCUMENT_BYTES || length > bytes.len() {
            return Some(Err(anyhow!(
                "a document of {length} bytes where {} are left",
                bytes.len()
            )));
        }
        let (document, rest) = bytes.split_at(length);
        self.rest = rest;
        Some(Ok(document))
    }
}

/// Refuses a document unless every element in it, to any depth, has a known type and a length that fits. Texts need not be
/// UTF-8: servers store what drivers send, and a restore writes the same bytes again.
pub(super) fn check_strict(document: &[u8]) -> Result<()> {
    check_elements(document, 0).context("a document is not valid BSON")
}

fn check_elements(document: &[u8], depth: usize) -> Result<()> {
    ensure!(depth <= MAX_DEPTH, "nested more than {MAX_DEPTH} deep");
    for element in elements(document)? {
        let element = element?;
        match (element.kind, element.value) {
            (DOCUMENT | ARRAY, inner) => check_elements(inner, depth + 1)?,
            // Its length, a text, and a document.
            (CODE_WITH_SCOPE, code) => {
                let code = code.get(LENGTH_BYTES..).unwrap_or_default();
                let text = text_bytes(code).context("code without text")?;
                check_elements(code.get(text..).unwrap_or_default(), depth + 1)?;
            }
            (BOOLEAN, flag) => ensure!(
                matches!(flag, [0 | 1]),
                "a boolean that is neither true nor false"
            ),
            _ => {}
        }
    }
    Ok(())
}

const LENGTH_BYTES: usize = 4;
pub(super) const DOCUMENT: u8 = 0x03;
pub(super) const ARRAY: u8 = 0x04;
pub(super) const BOOLEAN: u8 = 0x08;
const CODE_WITH_SCOPE: u8 = 0x0f;

/// One field of a raw document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawField<'a> {
    /// The number of its BSON type.
    pub kind: u8,
    /// Its name, which need not be UTF-8.
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// The fields of a raw document, without reading what is inside of them.
#[derive(Debug)]
pub struct RawFields<'a> {
    rest: &'a [u8],
}

/// The field `_id`, where there is one.
pub fn id_field(document: &[u8]) -> Result<Option<RawField<'_>>> {
    for field in elements(document).context("a document is damaged")? {
        let field = field.context("a document is damaged")?;
        if field.name == b"_id" {
            return Ok(Some(field));
        }
    }
    Ok(None)
}

/// Takes a document apart; a length that cannot be is an error, and the last item.
pub fn elements(document: &[u8]) -> Result<RawFields<'_>> {
    let stated = length_at(document).context("a document without length")?;
    ensure!(
        stated == document.len() && stated >= MIN_DOCUMENT_BYTES,
        "a document of {} bytes states {stated}",
        document.len()
    );
    match document.get(LENGTH_BYTES..) {
        Some([rest @ .., 0]) => Ok(RawFields { rest }),
        _ => bail!("a document without end"),
    }
}

impl<'a> Iterator for RawFields<'a> {
    type Item = Result<RawField<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.rest);
        let (kind, after) = bytes.split_first()?;
        let Some((field, rest)) = field_of(*kind, after) else {
            return Some(Err(anyhow!("a damaged element of type {kind:#04x}")));
        };
        self.rest = rest;
        Some(Ok(field))
    }
}

fn field_of(kind: u8, bytes: &[u8]) -> Option<(RawField<'_>, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (name, after) = (&bytes[..end], &bytes[end + 1..]);
    let (value, rest) = after.split_at_checked(value_bytes(kind, after)?)?;
    Some((RawField { kind, name, value }, rest))
}

/// How many bytes a value of this type has. The numbers are those of the specification, version 1.1.
fn value_bytes(kind: u8, bytes: &[u8]) -> Option<usize> {
    Some(match kind {
        0x06 | 0x0a | 0x7f | 0xff => 0,
        BOOLEAN => 1,
        0x10 => 4,
        0x01 | 0x09 | 0x11 | 0x12 => 8,
        0x07 => 12,
        0x13 => 16,
        0x02 | 0x0d | 0x0e => text_bytes(bytes)?,
        DOCUMENT | ARRAY => length_at(bytes).filter(|length| *length >= MIN_DOCUMENT_BYTES)?,
        CODE_WITH_SCOPE => {
            let length = length_at(bytes)?;
            let text = text_bytes(bytes.get(LENGTH_BYTES..length)?)?;
            let scope = length.checked_sub(LENGTH_BYTES + text)?;
            (scope >= MIN_DOCUMENT_BYTES).then_some(length)?
        }
        // Length, subtype, bytes; those of the old subtype begin with their length once more.
        0x05 => {
            let length = length_at(bytes)?;
            let old = bytes.get(LENGTH_BYTES) == Some(&2);
            let inner = bytes.get(LENGTH_BYTES + 1..).and_then(length_at);
            let fits = !old || inner.is_some_and(|inner| inner + LENGTH_BYTES == length);
            fits.then_some(LENGTH_BYTES + 1 + length)?
        }
        // A pattern and its options, each with an end.
        0x0b => {
            let mut ends = (0..bytes.len()).filter(|at| bytes[*at] == 0);
            ends.nth(1)? + 1
        }
        0x0c => text_bytes(bytes)? + 12,
        _ => return None,
    })
}

/// Length of a text with its own length and its end.
fn text_bytes(bytes: &[u8]) -> Option<usize> {
    let length = length_at(bytes).filter(|length| *length >= 1)?;
    let whole = LENGTH_BYTES + length;
    (bytes.get(whole - 1) == Some(&0)).then_some(whole)
}

/// A length, which is never negative.
fn length_at(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_le_bytes(*bytes.first_chunk()?);
    usize::try_from(length).ok()
}

/// The named fields of a small document of the archive format; unknown fields are passed over, as mongorestore
/// does, but a field that appears twice is an error: two readers could take different ones.
pub(super) struct Fields<'a, const N: usize> {
    names: [&'static str; N],
    values: [Option<RawBsonRef<'a>>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    pub(super) fn read(bytes: &'a [u8], names: [&'static str; N]) -> Result<Self> {
        let mut values = [None; N];
        for element in RawDocument::from_bytes(bytes)? {
            let (key, value) = element?;
            if let Some(at) = names.iter().position(|name| *name == key.as_str()) {
                ensure!(values[at].replace(value).is_none(), "key {key:?} appears twice");
            }
        }
        Ok(Self { names, values })
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str> {
        match self.value(name)? {
            RawBsonRef::String(text) => Ok(text),
            _ => bail!("key {name:?} is not a string"),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.value(name)? {
            RawBsonRef::Boolean(flag) => Ok(flag),
            _ => bail!("key {name:?} is not a boolean"),
        }
    }

    /// Go's encoder writes `int` as 32 or 64 bits, after its value.
    pub(super) fn integer(&self, name: &str) -> Result<i64> {
        match self.value(name)? {
            RawBsonRef::Int32(number) => Ok(number.into()),
            RawBsonRef::Int64(number) => Ok(number),
            _ => bail!("key {name:?} is not an integer"),
        }
    }

    fn value(&self, name: &str) -> Result<RawBsonRef<'a>> {
        let at = self.names.iter().position(|known| *known == name);
        at.and_then(|at| self.values[at])
            .with_context(|| format!("key {name:?} is missing"))
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, Document, doc, oid::ObjectId, serialize_to_vec};

    use super::*;

    #[test]
    fn every_type_passes_and_damage_inside_does_not() {
        let all = doc! {
            "d": 1.5, "s": "text", "o": { "a": [1, { "b": null }] }, "i": ObjectId::new(), "t": true,
            "l": 1_i64, "js": Bson::JavaScriptCodeWithScope(mongodb::bson::JavaScriptCodeWithScope {
                code: "f()".into(), scope: doc! { "x": 1 } }),
            "bin": mongodb::bson::Binary { subtype: mongodb::bson::spec::BinarySubtype::Generic, bytes: vec![1, 2] },
            "min": Bson::MinKey, "max": Bson::MaxKey, "date": mongodb::bson::DateTime::from_millis(7),
            "re": mongodb::bson::Regex { pattern: mongodb::bson::cstr!("a.*").into(),
                options: mongodb::bson::cstr!("i").into() },
        };
        check_strict(&serialize_to_vec(&all).unwrap()).unwrap();
        let mut inner = serialize_to_vec(&doc! { "a": { "b": [ { "c": "text" } ] } }).unwrap();
        let at = inner.iter().position(|b| *b == b't').unwrap();
        inner[at] = 0xff;
        // Not UTF-8, as servers store it.
        check_strict(&inner).unwrap();
        inner[at - 4] = 0xff;
        assert!(check_strict(&inner).is_err());
        assert!(check_strict(&[5, 0, 0, 0, 1]).is_err());
        assert!(check_strict(&[]).is_err());
    }

    #[test]
    fn no_flip_of_a_bit_makes_the_check_panic_and_lengths_are_checked_to_any_depth() {
        let scope = mongodb::bson::JavaScriptCodeWithScope {
            code: "f()".into(),
            scope: doc! { "x": "y" },
        };
        let document = doc! { "a": [{ "s": "text", "b": true }], "js": Bson::JavaScriptCodeWithScope(scope) };
        let bytes = serialize_to_vec(&document).unwrap();
        check_strict(&bytes).unwrap();
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            check_strict(&changed).ok();
        }
        for at in 0..bytes.len() {
            assert!(check_strict(&bytes[..at]).is_err(), "cut at {at}");
        }
        let names: Vec<&[u8]> = elements(&bytes)
            .unwrap()
            .map(|field| field.unwrap().name)
            .collect();
        assert_eq!(names, [&b"a"[..], b"js"]);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| {
            let document = (0..depth).fold(doc! {}, |inner, _| doc! { "a": inner });
            serialize_to_vec(&document).unwrap()
        };
        check_strict(&nested(MAX_DEPTH)).unwrap();
        assert!(check_strict(&nested(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn fields_have_a_name_a_type_and_appear_once() {
        let bytes = serialize_to_vec(&doc! { "db": "a", "n": 3, "EOF": true, "other": 1 }).unwrap();
        let fields = Fields::read(&bytes, ["db", "n", "EOF", "gone"]).unwrap();
        assert_eq!(fields.text("db").unwrap(), "a");
        assert_eq!(fields.integer("n").unwrap(), 3);
        assert!(fields.flag("EOF").unwrap());
        assert!(fields.text("n").is_err());
        assert!(fields.text("gone").is_err());
        let twice = serialize_to_vec(&Document::from_iter([
            ("xb".into(), Bson::Int32(1)),
            ("db".into(), Bson::Int32(1)),
        ]));
        let mut twice = twice.unwrap();
        twice[5] = b'd';
        assert!(Fields::read(&twice, ["db"]).is_err());
    }
}
