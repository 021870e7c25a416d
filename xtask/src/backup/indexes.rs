//! Indexes of a collection in a backup.

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document};

use crate::domain::manifest::NamespaceRecord;

/// The indexes that a restore must build: all but those that the server makes with the collection.
pub fn secondary_indexes(namespace: &NamespaceRecord) -> Result<Vec<Document>> {
    let mut indexes = Vec::new();
    for index in &namespace.indexes {
        let mut index =
            document(index).with_context(|| format!("an index of `{}` is not readable", namespace.name()))?;
        // Older servers recorded the namespace with each index; the new one may have another name.
        index.remove("ns");
        let by_id = index.get_str("name").is_ok_and(|name| name == "_id_");
        if !by_id && !index.get_bool("clustered").unwrap_or(false) {
            indexes.push(index);
        }
    }
    Ok(indexes)
}

/// A document that is recorded as canonical extended JSON.
fn document(json: &serde_json::Value) -> Result<Document> {
    let value: Bson = serde_json::from_value(json.clone())?;
    Ok(value.as_document().context("it is no document")?.clone())
}
