//! What is expected of an answer, compiled, and the sentence for each way it is not met.

use regex::Regex;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::file::JsonType;
use super::http::Answer;
use super::template::{Missing, Values, fill_json};
use super::well;
use crate::report;

/// How much of a body or a value a message shows.
const SHOWN_CHARS: usize = 160;

/// All that one answer must be.
#[derive(Debug)]
pub(super) struct Expectations {
    pub status: Vec<u16>,
    pub headers: Vec<(String, Regex)>,
    pub body: Option<Regex>,
    pub json: Vec<Assertion>,
    /// Whether the body must be one of those that health routes give when all is well.
    pub healthy: bool,
    pub max_ms: Option<u64>,
    pub p95_ms: Option<u64>,
}

/// What holds for the nodes that a path selects.
#[derive(Debug)]
pub(super) struct Assertion {
    pub path: JsonPath,
    pub equals: Option<Value>,
    pub kind: Option<JsonType>,
    pub matches: Option<Regex>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub min_count: usize,
    pub max_count: Option<usize>,
    pub shape: Vec<(String, JsonType)>,
}

impl JsonType {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl Expectations {
    /// The values that assertions compare with, their variables filled; one for each assertion.
    pub(super) fn equals(&self, values: &Values) -> Result<Vec<Option<Value>>, Missing> {
        let filled = |assertion: &Assertion| {
            assertion
                .equals
                .as_ref()
                .map(|value| fill_json(value, values))
                .transpose()
        };
        self.json.iter().map(filled).collect()
    }

    /// The first thing that is not as expected.
    pub(super) fn check(&self, answer: &Answer, equals: &[Option<Value>]) -> Result<(), String> {
        self.check_head(answer)?;
        if self.healthy {
            well::is_well(text(answer)?)?;
        }
        if self.body.is_some() || !self.json.is_empty() {
            let text = text(answer)?;
            if let Some(pattern) = &self.body
                && !pattern.is_match(text)
            {
                return Err(format!("the body does not match `{pattern}`: {}", cut(text)));
            }
            if !self.json.is_empty() {
                let body = json(answer)?;
                for (assertion, equals) in self.json.iter().zip(equals) {
                    assertion.check(&body, equals.as_ref())?;
                }
            }
        }
        match self.max_ms {
            Some(max_ms) if answer.timings.total_ms > max_ms as f64 => Err(format!(
                "answered in {:.0} ms, at most {max_ms} ms are allowed",
                answer.timings.total_ms
            )),
            _ => Ok(()),
        }
    }

    fn check_head(&self, answer: &Answer) -> Result<(), String> {
        if !self.status.contains(&answer.status) {
            let wanted: Vec<String> = self.status.iter().map(u16::to_string).collect();
            return Err(format!(
                "status {} instead of {}{}",
                answer.status,
                wanted.join(" or "),
                body_excerpt(answer)
            ));
        }
        for (name, pattern) in &self.headers {
            let values: Vec<_> = answer.headers.get_all(name).iter().collect();
            if values.is_empty() {
                return Err(format!("the header {name} is missing"));
            }
            let matches =
                |value: &&ureq::http::HeaderValue| value.to_str().is_ok_and(|text| pattern.is_match(text));
            if !values.iter().any(matches) {
                let given = String::from_utf8_lossy(values[0].as_bytes());
                return Err(format!(
                    "the header {name} does not match `{pattern}`: {}",
                    cut(&given)
                ));
            }
        }
        Ok(())
    }
}

/// The body as text; anything but UTF-8 is a fault of the server.
pub(super) fn text(answer: &Answer) -> Result<&str, String> {
    std::str::from_utf8(&answer.body)
        .map_err(|error| format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))
}

/// The body as JSON.
pub(super) fn json(answer: &Answer) -> Result<Value, String> {
    let text = text(answer)?;
    serde_json::from_str(text).map_err(|error| format!("the body is not JSON ({error}): {}", cut(text)))
}

/// What the server said with an unexpected status: often the reason.
fn body_excerpt(answer: &Answer) -> String {
    match std::str::from_utf8(&answer.body).map(str::trim) {
        Ok("") | Err(_) => String::new(),
        Ok(text) => format!(": {}", cut(text)),
    }
}

/// A text on one line, cut.
pub(super) fn cut(text: &str) -> String {
    report::shortened(text, SHOWN_CHARS)
}

impl Assertion {
    fn check(&self, body: &Value, equals: Option<&Value>) -> Result<(), String> {
        let path = &self.path;
        let nodes = self.path.query(body).all();
        if nodes.len() < self.min_count {
            return Err(if nodes.is_empty() {
                format!("{path} selects nothing")
            } else {
                format!(
                    "{path} selects {} instead of at least {}",
                    nodes.len(),
                    self.min_count
                )
            });
        }
        if let Some(max) = self.max_count
            && nodes.len() > max
        {
            return Err(format!("{path} selects {} instead of at most {max}", nodes.len()));
        }
        nodes.iter().try_for_each(|node| {
            self.check_node(node, equals)
                .map_err(|fault| format!("{path} {fault}"))
        })
    }

    fn check_node(&self, node: &Value, equals: Option<&Value>) -> Result<(), String> {
        if let Some(equals) = equals
            && !same(equals, node)
        {
            return Err(format!("is {} instead of {equals}", cut(&node.to_string())));
        }
        if let Some(kind) = self.kind
            && JsonType::of(node) != kind
        {
            return Err(format!(
                "is {} instead of {}",
                JsonType::of(node).word(),
                kind.word()
            ));
        }
        if let Some(pattern) = &self.matches {
            let text = node.as_str().map_or_else(|| node.to_string(), str::to_owned);
            if !pattern.is_match(&text) {
                return Err(format!("does not match `{pattern}`: {}", cut(&text)));
            }
        }
        if self.min.is_some() || self.max.is_some() {
            let number = node
                .as_f64()
                .ok_or_else(|| format!("is {} instead of a number", JsonType::of(node).word()))?;
            if self.min.is_some_and(|min| number < min) || self.max.is_some_and(|max| number > max) {
                let bound =
                    |bound: Option<f64>| bound.map_or_else(|| "any".to_owned(), |bound| bound.to_string());
                return Err(format!(
                    "is {number}, outside of {} to {}",
                    bound(self.min),
                    bound(self.max)
                ));
            }
        }
        self.check_shape(node)
    }

    fn check_shape(&self, node: &Value) -> Result<(), String> {
        for (member, kind) in &self.shape {
            let Some(object) = node.as_object() else {
                return Err(format!("is {} instead of an object", JsonType::of(node).word()));
            };
            match object.get(member) {
                None => return Err(format!("has no `{member}`")),
                Some(value) if JsonType::of(value) != *kind => {
                    return Err(format!(
                        "has {} as `{member}` instead of {}",
                        JsonType::of(value).word(),
                        kind.word()
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Equal values; numbers by what they are worth, for 1 and 1.0 are the same in JSON.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < f64::EPSILON,
        _ => a == b,
    }
}
