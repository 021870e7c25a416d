//! Masks the documents of an archive as they pass: nothing of the original values is in what comes out.

use anyhow::{Result, bail, ensure};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::bson::{ARRAY, BOOLEAN, DOCUMENT, RawField, elements};
use crate::config::{FixedValue, MaskRule};

/// As much of the digest as is kept: two values get the same one in no database that exists.
const HASH_BYTES: usize = 16;
/// A secret that is shorter can be found by trying.
pub const LEAST_KEY_BYTES: usize = 16;

const DOUBLE: u8 = 0x01;
const TEXT: u8 = 0x02;
const BINARY: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const OBJECT_ID: u8 = 0x07;
const NULL: u8 = 0x0a;
const SYMBOL: u8 = 0x0e;
const INTEGER: u8 = 0x12;
/// Subtypes of binary values that are bytes and nothing else: generic, both of UUID, MD5.
const PLAIN_SUBTYPES: [u8; 4] = [0, 3, 4, 5];

/// The key of the hashes.
#[derive(Clone)]
pub struct MaskKey(Vec<u8>);

impl MaskKey {
    /// The key of a secret; with a backup's id another one for each backup.
    ///
    /// # Errors
    /// The secret is short enough to be found by trying.
    pub fn of(secret: &[u8], backup_id: Option<&str>) -> Result<Self> {
        ensure!(
            secret.len() >= LEAST_KEY_BYTES,
            "it has less than {LEAST_KEY_BYTES} bytes"
        );
        let Some(id) = backup_id else {
            return Ok(Self(secret.to_vec()));
        };
        Ok(Self(Self(secret.to_vec()).digest(0, id.as_bytes()).to_vec()))
    }

    fn digest(&self, kind: u8, value: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(&[kind]);
        mac.update(value);
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskKey").finish_non_exhaustive()
    }
}

/// One field and what becomes of its values.
#[derive(Debug, Clone)]
struct FieldMask {
    path: Vec<Vec<u8>>,
    rule: MaskRule,
}

/// The masks of one collection.
#[derive(Debug, Clone, Default)]
pub struct CollectionMasks {
    masks: Vec<FieldMask>,
    key: Option<MaskKey>,
    /// Values that were replaced, of each mask.
    pub replaced: Vec<u64>,
}

/// What is left of the path of a mask below some document.
type Below<'a> = Vec<(usize, &'a [Vec<u8>])>;

impl CollectionMasks {
    /// Masks of dotted paths, none of which is within another.
    pub fn new<'a>(masks: impl Iterator<Item = (&'a str, &'a MaskRule)>, key: Option<&MaskKey>) -> Self {
        let masks: Vec<FieldMask> = masks
            .map(|(path, rule)| FieldMask {
                path: path.split('.').map(|part| part.as_bytes().to_vec()).collect(),
                rule: rule.clone(),
            })
            .collect();
        Self {
            replaced: vec![0; masks.len()],
            masks,
            key: key.cloned(),
        }
    }

    /// Appends the masked document to `out`. Arrays on the way to a field are gone through, to any depth.
    ///
    /// # Errors
    /// A value that has no hash: `out` is of no use then. The error names its field and type, and no value.
    pub fn apply(&mut self, document: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let masks = std::mem::take(&mut self.masks);
        let below: Below = (0..)
            .zip(&masks)
            .map(|(at, mask)| (at, mask.path.as_slice()))
            .collect();
        let applied = Pass {
            masks: &masks,
            key: self.key.as_ref(),
            replaced: &mut self.replaced,
        }
        .document(document, &below, out);
        self.masks = masks;
        applied
    }
}

struct Pass<'a> {
    masks: &'a [FieldMask],
    key: Option<&'a MaskKey>,
    replaced: &'a mut [u64],
}

impl Pass<'_> {
    fn document(&mut self, document: &[u8], below: &Below, out: &mut Vec<u8>) -> Result<()> {
        framed(out, |out| {
            for field in elements(document)? {
                let field = field?;
                let named = below.iter().filter(|(_, path)| path[0] == field.name);
                let inner: Below = named.map(|(at, path)| (*at, &path[1..])).collect();
                self.field(field, &inner, out)?;
            }
            Ok(())
        })
    }

    fn array(&mut self, array: &[u8], below: &Below, out: &mut Vec<u8>) -> Result<()> {
        framed(out, |out| {
            for element in elements(array)? {
                self.inside(element?, below, out)?;
            }
            Ok(())
        })
    }

    fn field(&mut self, field: RawField<'_>, inner: &Below, out: &mut Vec<u8>) -> Result<()> {
        match inner.iter().find(|(_, path)| path.is_empty()) {
            Some((at, _)) => self.masked(field, *at, out),
            None => self.inside(field, inner, out),
        }
    }

    /// A field or an element that is not masked itself.
    fn inside(&mut self, field: RawField<'_>, inner: &Below, out: &mut Vec<u8>) -> Result<()> {
        begin(out, field.kind, field.name);
        match field.kind {
            DOCUMENT if !inner.is_empty() => self.document(field.value, inner, out),
            ARRAY if !inner.is_empty() => self.array(field.value, inner, out),
            _ => {
                out.extend_from_slice(field.value);
                Ok(())
            }
        }
    }

    fn masked(&mut self, field: RawField<'_>, at: usize, out: &mut Vec<u8>) -> Result<()> {
        let masks = self.masks;
        let rule = &masks[at].rule;
        self.replaced[at] += u64::from(*rule != MaskRule::Keep);
        match rule {
            MaskRule::Keep => {
                begin(out, field.kind, field.name);
                out.extend_from_slice(field.value);
            }
            MaskRule::Null => begin(out, NULL, field.name),
            MaskRule::Fixed(value) => fixed(field.name, value, out)?,
            MaskRule::Hash => self.hashed(field, at, out)?,
        }
        Ok(())
    }

    fn hashed(&mut self, field: RawField<'_>, at: usize, out: &mut Vec<u8>) -> Result<()> {
        let Some(key) = self.key else {
            bail!("there is no key to hash with");
        };
        begin(out, field.kind, field.name);
        match field.kind {
            NULL | UNDEFINED => {}
            TEXT | SYMBOL => {
                // Its length and its end are no part of it.
                let text = field.value.get(4..field.value.len() - 1).unwrap_or_default();
                let digits = hex::encode(&key.digest(TEXT, text)[..HASH_BYTES]);
                // What programs check of an address holds for its mask too.
                let is_address = text.split(|byte| *byte == b'@').count() == 2;
                let ends = if is_address { "@masked.invalid" } else { "" };
                push_text(&format!("{digits}{ends}"), out)?;
            }
            OBJECT_ID => out.extend_from_slice(&key.digest(OBJECT_ID, field.value)[..12]),
            BINARY
                if field
                    .value
                    .get(4)
                    .is_some_and(|kind| PLAIN_SUBTYPES.contains(kind)) =>
            {
                let digest = key.digest(BINARY, &field.value[4..]);
                push_length(HASH_BYTES, out)?;
                out.push(field.value[4]);
                out.extend_from_slice(&digest[..HASH_BYTES]);
            }
            ARRAY => framed(out, |out| {
                for element in elements(field.value)? {
                    self.hashed(element?, at, out)?;
                }
                Ok(())
            })?,
            other => bail!(
                "the mask \"hash\" takes texts, ObjectIds and binary values, alone or in arrays, and `{}` has {}: use \
                 \"null\" or {{ fixed = … }}, or name the fields within it",
                self.masks[at]
                    .path
                    .iter()
                    .map(|part| String::from_utf8_lossy(part))
                    .collect::<Vec<_>>()
                    .join("."),
                name_of(other)
            ),
        }
        Ok(())
    }
}

fn name_of(kind: u8) -> String {
    match kind {
        DOCUMENT => "a document".to_owned(),
        DOUBLE | 0x10 | INTEGER | 0x13 => "a number".to_owned(),
        BOOLEAN => "true or false".to_owned(),
        0x09 => "a date".to_owned(),
        BINARY => "a binary value of a special kind".to_owned(),
        other => format!("a value of the BSON type {other}"),
    }
}

/// What `write` writes, with its length before and its end after it.
fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    out.push(0);
    let length = i32::try_from(out.len() - start)?;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn begin(out: &mut Vec<u8>, kind: u8, name: &[u8]) {
    out.push(kind);
    out.extend_from_slice(name);
    out.push(0);
}

fn fixed(name: &[u8], value: &FixedValue, out: &mut Vec<u8>) -> Result<()> {
    match value {
        FixedValue::Text(text) => {
            begin(out, TEXT, name);
            push_text(text, out)?;
        }
        FixedValue::Integer(number) => {
            begin(out, INTEGER, name);
            out.extend_from_slice(&number.to_le_bytes());
        }
        FixedValue::Decimal(number) => {
            begin(out, DOUBLE, name);
            out.extend_from_slice(&number.to_le_bytes());
        }
        FixedValue::Flag(flag) => {
            begin(out, BOOLEAN, name);
            out.push(u8::from(*flag));
        }
    }
    Ok(())
}

fn push_text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    push_length(text.len() + 1, out)?;
    out.extend_from_slice(text.as_bytes());
    out.push(0);
    Ok(())
}

fn push_length(length: usize, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&i32::try_from(length)?.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
