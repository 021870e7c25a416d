//! Every request that was seen. What nobody implemented is kept apart: it makes a rehearsal fail.

use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use xtask::sync::lock;

use crate::http::Request;

/// One request and its answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    pub(super) at: String,
    pub(super) platform: &'static str,
    pub(super) operation: String,
    pub(super) method: String,
    pub(super) target: String,
    /// Header that the credential came in, with its scheme; never the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
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
        lock(&self.entries).push(entry);
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        lock(&self.entries).clone()
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

/// What a report shows of a value that nobody may see: two of them can be compared.
pub(super) fn fingerprint(value: &str) -> String {
    hex::encode(Sha256::digest(value))
}

/// `project-access-token`, or `authorization` with its scheme.
pub(super) fn credential_kind(request: &Request) -> Option<String> {
    let project = request.headers.get("project-access-token");
    let scheme = request.headers.get("authorization").map(|value| {
        // Without a scheme the first word would be the credential.
        value
            .split_once(' ')
            .map_or_else(|| "no scheme".to_owned(), |(scheme, _)| scheme.to_lowercase())
    });
    match (project, scheme) {
        (None, None) => None,
        (None, Some(scheme)) => Some(format!("authorization: {scheme}")),
        (Some(_), None) => Some("project-access-token".to_owned()),
        (Some(_), Some(scheme)) => Some(format!("project-access-token, authorization: {scheme}")),
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
