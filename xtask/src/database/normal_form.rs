//! What a backup records of its collections, in the normal form in which inventories are compared.

use std::collections::BTreeMap;

use anyhow::Result;
use mongodb::bson::{Bson, Document};
use serde_json::Value;

use super::index_spec::Buildable;
use crate::domain::inventory::{
    CollectionFacts, Inventory, is_application, normal_index, normal_options, whole_numbers,
};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};

/// What a backup holds of one database.
pub fn backup_inventory(namespaces: &[NamespaceRecord], database: &str) -> Inventory {
    let own = namespaces
        .iter()
        .filter(|n| n.database == database && is_application(&n.collection));
    let collections = own.map(|n| (n.collection.clone(), recorded_facts(n)));
    Inventory {
        collections: collections.collect(),
    }
}

/// What a backup says of a collection.
pub fn recorded_facts(record: &NamespaceRecord) -> CollectionFacts {
    let indexes = record
        .indexes
        .iter()
        .filter_map(|index| match document_of_json(index) {
            Ok(index) => comparable_index(&index),
            Err(_) => normal_index(&plain_json(index)),
        });
    let options = normal_options(&plain_json(&record.options));
    CollectionFacts {
        order: is_capped(&options).then(|| record.crc.clone()),
        kind: record.kind,
        documents: record.documents,
        bytes: record.bytes,
        indexes: indexes.collect(),
        options,
        content_digest: (record.kind != NamespaceKind::View).then_some(record.content_digest),
    }
}

/// Name and normal form of an index, as a server of today builds it.
pub(super) fn comparable_index(index: &Document) -> Option<(String, Value)> {
    normal_index(&plain_document(&Buildable::of(index).index))
}

/// Whether the order of the documents belongs to what the collection holds.
pub(super) fn is_capped(options: &BTreeMap<String, Value>) -> bool {
    options.get("capped").is_some_and(|capped| *capped == true)
}

/// The options of a collection or view as the server lists them, in normal form.
pub fn listed_options(options: &Document) -> BTreeMap<String, Value> {
    normal_options(&plain_document(options))
}

/// A document as plain JSON.
fn plain_document(document: &Document) -> Value {
    plain_json(&serde_json::to_value(document).unwrap_or(Value::Null))
}

/// Extended JSON as plain JSON: a number is a number in every spelling, `1`, `1.0` or `{"$numberInt": "1"}`.
fn plain_json(value: &Value) -> Value {
    let bson = serde_json::from_value::<Bson>(value.clone());
    let plain = bson.ok().and_then(|bson| serde_json::to_value(bson).ok());
    whole_numbers(plain.unwrap_or_else(|| value.clone()))
}

/// Extended JSON as a document.
pub fn document_of_json(value: &Value) -> Result<Document> {
    match serde_json::from_value::<Bson>(value.clone())? {
        Bson::Document(document) => Ok(document),
        other => anyhow::bail!("{other} is not a document"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spellings_of_numbers_and_what_the_server_adds_do_not_matter() {
        let expected = normal_index(&json!({ "v": 2, "key": { "b": 1, "a": -1 }, "name": "b_1_a_-1" }));
        for spelling in [
            json!({ "$numberInt": "1" }),
            json!({ "$numberLong": "1" }),
            json!({ "$numberDouble": "1.0" }),
            json!(1),
        ] {
            let index = json!({ "name": "b_1_a_-1", "ns": "app.c", "v": 1, "background": true,
                "key": { "b": spelling, "a": -1 } });
            let found = normal_index(&plain_json(&index));
            // As text: maps compare without regard to order.
            assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        }
    }
}
