//! Names in place of what no two runs have in common, so that runs can be compared.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What is replaced wherever it stands, each with the name that it gets.
static FORMS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let forms = [
        (r"\b[0-9a-f]{64}\b", "(sha256)"),
        (r"\b[0-9a-f]{40}\b", "(sha1)"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "(time)"),
        (r"\b\d+(\.\d+)? [kMG]B\b", "(size)"),
        (r"127\.0\.0\.1(:|%3A)\d+", "(address)"),
    ];
    forms
        .map(|(form, name)| (Regex::new(form).expect("a valid form"), name))
        .into()
});

/// Identifiers of one run: the same thing has the same name in every run.
#[derive(Default)]
pub struct Names {
    known: Vec<(String, String)>,
}

impl Names {
    pub fn add(&mut self, id: &str, name: &str) {
        self.known.push((id.to_owned(), name.to_owned()));
        // An identifier may be a part of another one.
        self.known.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
    }

    /// The value with names; measured times and sizes are left out.
    pub fn apply(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.apply(item)).collect(),
            Value::Object(fields) => {
                // Sorted: the order of fields has no meaning.
                let fields: BTreeMap<&String, &Value> = fields.iter().collect();
                let fields = fields.into_iter().map(|(name, value)| {
                    let value = if is_measured(name) && !value.is_null() {
                        Value::from("(measured)")
                    } else {
                        self.apply(value)
                    };
                    (self.text(name), value)
                });
                fields.collect()
            }
            other => other.clone(),
        }
    }

    pub fn text(&self, text: &str) -> String {
        let text = self
            .known
            .iter()
            .fold(text.to_owned(), |text, (id, name)| text.replace(id, name));
        FORMS.iter().fold(text, |text, (form, name)| {
            form.replace_all(&text, *name).into_owned()
        })
    }
}

fn is_measured(field: &str) -> bool {
    field.ends_with("_ms")
        || field.ends_with("_percent")
        || field.ends_with("_bytes")
        || field == "size"
        || field == "requestedAt"
}
