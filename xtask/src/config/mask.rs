//! `[mask]`: what becomes of the values of a field where a backup is copied into another environment.

use serde::Deserialize;
use toml::Value;

/// What becomes of each value of a field.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum MaskRule {
    /// Another value of the same type, the same one for the same value wherever it is.
    Hash,
    /// It stays: for a field that somebody has decided about.
    Keep,
    Null,
    Fixed(FixedValue),
}

/// The one value that takes the place of all others.
#[derive(Debug, Clone, PartialEq)]
pub enum FixedValue {
    Text(String),
    Integer(i64),
    Decimal(f64),
    Flag(bool),
}

impl MaskRule {
    /// For people; a fixed value may be a secret and is not shown.
    pub const fn text(&self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Keep => "keep",
            Self::Null => "null",
            Self::Fixed(_) => "fixed",
        }
    }
}

impl TryFrom<Value> for MaskRule {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let fixed = |value: &Value| match value {
            Value::String(text) => Some(FixedValue::Text(text.clone())),
            Value::Integer(number) => Some(FixedValue::Integer(*number)),
            Value::Float(number) => Some(FixedValue::Decimal(*number)),
            Value::Boolean(flag) => Some(FixedValue::Flag(*flag)),
            _ => None,
        };
        let rule = match &value {
            Value::String(name) => match name.as_str() {
                "hash" => Some(Self::Hash),
                "keep" => Some(Self::Keep),
                "null" => Some(Self::Null),
                _ => None,
            },
            Value::Table(table) if table.len() == 1 => table.get("fixed").and_then(fixed).map(Self::Fixed),
            _ => None,
        };
        rule.ok_or_else(|| {
            "a mask is \"hash\", \"keep\", \"null\" or { fixed = VALUE }, VALUE being a text, a number or true or false"
                .to_owned()
        })
    }
}
