//! `backup.incremental_above`: the size of a database from which on its backups are differential.

use serde::Deserialize;
use toml::Value;

const UNITS: [(&str, u64); 4] = [
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Bytes of documents; `None` where every backup is a full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct IncrementalAbove(pub Option<u64>);

impl Default for IncrementalAbove {
    fn default() -> Self {
        Self(Some(10_000_000_000))
    }
}

impl TryFrom<Value> for IncrementalAbove {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let bytes = match &value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok().map(Some),
            Value::String(text) if text == "off" => Some(None),
            Value::String(text) => bytes_of(text).map(Some),
            _ => None,
        };
        bytes.map(Self).ok_or_else(|| {
            "a size is a text as \"10 GB\" (KB, MB, GB or TB), a number of bytes, 0 for every database, or \"off\""
                .to_owned()
        })
    }
}

fn bytes_of(text: &str) -> Option<u64> {
    let (unit, bytes) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?.trim_end();
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let right = digits(whole) && digits(tenth) && tenth.len() == 1;
    let (whole, tenth): (u64, u64) = (whole.parse().ok()?, tenth.parse().ok()?);
    let tenths = whole.checked_mul(10)?.checked_add(tenth)?;
    right.then(|| tenths.checked_mul(bytes / 10)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_or_are_bytes() {
        let read = |text: &str| {
            let value: toml::Table = toml::from_str(&format!("a = {text}")).unwrap();
            IncrementalAbove::try_from(value["a"].clone())
        };
        for (text, bytes) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("\"off\"", None),
            ("\"10 GB\"", Some(10_000_000_000)),
            ("\"1.5TB\"", Some(1_500_000_000_000)),
            ("\"500 MB\"", Some(500_000_000)),
        ] {
            assert_eq!(read(text), Ok(IncrementalAbove(bytes)), "{text}");
        }
        for text in [
            "-1",
            "true",
            "\"10\"",
            "\"GB\"",
            "\"1,5 GB\"",
            "\"-1 GB\"",
            "\"10 GiB\"",
            "\"99999999999 TB\"",
            "\"on\"",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
