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

/// Refuses a document unless every element in it, to any depth, is valid BSON.
pub(super) fn check_strict(document: &[u8]) -> Result<()> {
    let document = RawDocument::from_bytes(document).context("a document is not valid BSON")?;
    check_elements(document, 0).context("a document is not valid BSON")
}

fn check_elements(document: &RawDocument, depth: usize) -> Result<()> {
    ensure!(depth <= MAX_DEPTH, "nested more than {MAX_DEPTH} deep");
    for element in document {
        match element?.1 {
            RawBsonRef::Document(inner) => check_elements(inner, depth + 1)?,
            RawBsonRef::Array(inner) => {
                check_elements(RawDocument::from_bytes(inner.as_bytes())?, depth + 1)?;
            }
            RawBsonRef::JavaScriptCodeWithScope(code) => check_elements(code.scope, depth + 1)?,
            _ => {}
        }
    }
    Ok(())
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
        inner[at] = 0xff; // not UTF-8
        assert!(check_strict(&inner).is_err());
        assert!(check_strict(&[5, 0, 0, 0, 1]).is_err());
        assert!(check_strict(&[]).is_err());
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
