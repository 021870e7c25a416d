//! Every request that was seen. What nobody implemented is kept apart: it makes a rehearsal fail.

use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

/// One request and its answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    pub(super) at: String,
    pub(super) platform: &'static str,
    pub(super) operation: String,
    pub(super) method: String,
    pub(super) target: String,
    /// A JSON body, without the values of secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Value>,
    /// 0 when the connection was closed instead.
    pub(super) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
}

/// All entries, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Mutex<Vec<Entry>>,
}

impl Journal {
    pub(super) fn add(&self, entry: Entry) {
        self.entries
            .lock()
            .expect("no thread panics while it holds this lock")
            .push(entry);
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries
            .lock()
            .expect("no thread panics while it holds this lock")
            .clone()
    }

    /// Calls that nobody implemented.
    pub(super) fn unimplemented(&self) -> Vec<String> {
        let missing = self
            .entries()
            .into_iter()
            .filter(|entry| entry.status == 501 && entry.fault.is_none());
        missing
            .map(|entry| format!("{}: {} {}", entry.platform, entry.method, entry.target))
            .collect()
    }
}

/// Replaces what may be a secret: values of variables and secrets.
pub(super) fn without_secrets(mut body: Value) -> Value {
    for pointer in ["/variables/input/variables", "/variables/variables"] {
        if let Some(Value::Object(variables)) = body.pointer_mut(pointer) {
            for value in variables.values_mut() {
                *value = Value::from("(hidden)");
            }
        }
    }
    for name in ["value", "encrypted_value"] {
        if let Some(value) = body.get_mut(name) {
            *value = Value::from("(hidden)");
        }
    }
    if let Value::Array(items) = body {
        return items.into_iter().map(without_secrets).collect();
    }
    body
}
