//! Texts with variables: `${backend}`, `${secret:NAME}`, `${release.commit}`, captures. What a variable may be is
//! checked when the file is read; its value is put in when the request is made.

use std::collections::BTreeMap;
use std::sync::Mutex;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::report::ExpectedRelease;
use crate::config;
use crate::secret::Secret;
use crate::sync;

/// Captured values shorter than this are not blanked out of messages: they would blank out ordinary words.
const SHORTEST_HIDDEN_BYTES: usize = 8;
/// Everything outside the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const HIDDEN: &str = "[secret]";

/// A variable in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    Backend,
    Frontend,
    Secret(String),
    ReleaseCommit,
    ReleaseVersion,
    Capture(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// A text with its variables found.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Part>);

/// What is wrong with a text, and at which byte of it.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: usize,
    pub message: String,
}

impl Template {
    /// Finds the variables; `$$` is a dollar sign.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            plain.push_str(&text[at..dollar]);
            let rest = &text[dollar + 1..];
            if rest.starts_with('$') {
                plain.push('$');
                at = dollar + 2;
            } else if let Some(inner) = rest.strip_prefix('{') {
                let end = inner.find('}').ok_or_else(|| Fault {
                    at: dollar,
                    message: "`${` without `}`".into(),
                })?;
                let variable =
                    parse_variable(&inner[..end]).map_err(|message| Fault { at: dollar, message })?;
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Variable(variable));
                at = dollar + 2 + end + 1;
            } else {
                plain.push('$');
                at = dollar + 1;
            }
        }
        plain.push_str(&text[at..]);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }

    /// The text with every value put in.
    pub(super) fn fill(&self, values: &Values) -> Result<String, Missing> {
        self.fill_with(values, str::to_owned)
    }

    /// The same for an address: what was captured is escaped, so that it stays one part of the path.
    pub(super) fn fill_url(&self, values: &Values) -> Result<String, Missing> {
        self.fill_with(values, |text| utf8_percent_encode(text, RESERVED).to_string())
    }

    fn fill_with(&self, values: &Values, captured: impl Fn(&str) -> String) -> Result<String, Missing> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Variable(Variable::Capture(name)) => text.push_str(&captured(&values.capture(name)?)),
                Part::Variable(variable) => text.push_str(&values.get(variable)?),
            }
        }
        Ok(text)
    }
}

fn parse_variable(name: &str) -> Result<Variable, String> {
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match name {
        "backend" => Ok(Variable::Backend),
        "frontend" => Ok(Variable::Frontend),
        "release.commit" => Ok(Variable::ReleaseCommit),
        "release.version" => Ok(Variable::ReleaseVersion),
        _ => {
            if let Some(secret) = name.strip_prefix("secret:") {
                // One that stands here itself would be shown wherever the name is.
                return config::is_variable(secret)
                    .then(|| Variable::Secret(secret.to_owned()))
                    .ok_or_else(|| {
                        "`${secret:…}` has the name of an environment variable (A-Z, 0-9, _), which holds the secret: no secret \
                         belongs here"
                            .to_owned()
                    });
            }
            is_word(name)
                .then(|| Variable::Capture(name.to_owned()))
                .ok_or_else(|| format!("unknown variable{} in `${{…}}`", config::quoted_key(name)))
        }
    }
}

/// JSON with the variables in its texts filled.
pub(super) fn fill_json(value: &Value, values: &Values) -> Result<Value, Missing> {
    Ok(match value {
        Value::String(text) => {
            let template = Template::parse(text).expect("checked when the file was read");
            Value::from(template.fill(values)?)
        }
        Value::Array(items) => items
            .iter()
            .map(|item| fill_json(item, values))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| Ok((name.clone(), fill_json(member, values)?)))
            .collect::<Result<serde_json::Map<_, _>, Missing>>()?
            .into(),
        other => other.clone(),
    })
}

/// Why a text cannot be filled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The environment variable is not set.
    Secret(String),
    /// No release, or no such fact of it, was asked for.
    Release(&'static str),
    /// The check that captures it found nothing.
    Capture(String),
}

/// The values of one run.
#[derive(Debug)]
pub(super) struct Values {
    pub backend: String,
    pub frontend: String,
    pub release: Option<ExpectedRelease>,
    secrets: BTreeMap<String, Secret>,
    captured: Mutex<BTreeMap<String, String>>,
}

impl Values {
    pub(super) fn new(
        backend: String,
        frontend: String,
        release: Option<ExpectedRelease>,
        secrets: BTreeMap<String, Secret>,
    ) -> Self {
        Self {
            backend,
            frontend,
            release,
            secrets,
            captured: Mutex::default(),
        }
    }

    fn get(&self, variable: &Variable) -> Result<String, Missing> {
        let release = |fact: Option<&String>, name| fact.cloned().ok_or(Missing::Release(name));
        match variable {
            Variable::Backend => Ok(self.backend.clone()),
            Variable::Frontend => Ok(self.frontend.clone()),
            Variable::Secret(name) => self
                .secrets
                .get(name)
                .map(|secret| secret.expose().to_owned())
                .ok_or_else(|| Missing::Secret(name.clone())),
            Variable::ReleaseCommit => {
                release(self.release.as_ref().map(|release| &release.commit), "commit")
            }
            Variable::ReleaseVersion => release(
                self.release.as_ref().and_then(|release| release.version.as_ref()),
                "version",
            ),
            Variable::Capture(name) => self.capture(name),
        }
    }

    fn capture(&self, name: &str) -> Result<String, Missing> {
        let captured = sync::lock(&self.captured);
        captured
            .get(name)
            .cloned()
            .ok_or_else(|| Missing::Capture(name.to_owned()))
    }

    pub(super) fn store(&self, name: &str, value: String) {
        let mut captured = sync::lock(&self.captured);
        captured.insert(name.to_owned(), value);
    }

    /// Takes captured values (a token is one) and every known secret out of a text. Captures are not remembered as
    /// [`Secret`]s: a watch that runs for days would gather them without end.
    pub(super) fn scrub(&self, text: &str) -> String {
        let captured = sync::lock(&self.captured);
        let mut text = text.to_owned();
        for value in captured
            .values()
            .filter(|value| value.len() >= SHORTEST_HIDDEN_BYTES)
        {
            text = text.replace(value.as_str(), HIDDEN);
        }
        crate::secret::scrub(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let values = Values::new("http://b".into(), "http://f".into(), None, BTreeMap::new());
        values.store("id", "a/b?c".into());
        values
    }

    #[test]
    fn variables_are_filled_and_captures_stay_one_part_of_a_path() {
        let fill = |text: &str| Template::parse(text).unwrap().fill_url(&values());
        assert_eq!(
            fill("${backend}/x/${id}?n=$$1$2").unwrap(),
            "http://b/x/a%2Fb%3Fc?n=$1$2"
        );
        assert_eq!(fill("${secret:A}"), Err(Missing::Secret("A".into())));
        assert_eq!(fill("${release.commit}"), Err(Missing::Release("commit")));
        assert_eq!(fill("${token}"), Err(Missing::Capture("token".into())));
    }

    #[test]
    fn faults_are_found_where_they_are() {
        for (text, at) in [
            ("ab${", 2),
            ("é${a b}", 2),
            ("${secret:a-b}", 0),
            ("${secret:sk_live_51H8}", 0),
            ("x${release.tag}", 1),
        ] {
            assert_eq!(Template::parse(text).unwrap_err().at, at, "{text}");
        }
    }
}
