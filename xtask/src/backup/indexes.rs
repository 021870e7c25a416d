//! Indexes of a collection in a backup, and the expiry of one that is itself an index.

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document, doc};

use crate::database::{Live, document_of_json};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};

/// The option of a clustered collection: after how many seconds its documents expire.
const EXPIRY: &str = "expireAfterSeconds";

/// The indexes that a restore must build: all but those that the server makes with the collection.
pub fn secondary_indexes(namespace: &NamespaceRecord) -> Result<Vec<Document>> {
    let collated = namespace.options.get("collation").is_some();
    let mut indexes = Vec::new();
    for index in &namespace.indexes {
        let mut index = document_of_json(index)
            .with_context(|| format!("an index of `{}` is not readable", namespace.name()))?;
        // Older servers recorded the namespace with each index; the new one may have another name.
        index.remove("ns");
        // Servers list the simple collation as none, and take none for that of the collection.
        if collated && !index.contains_key("collation") {
            index.insert("collation", doc! { "locale": "simple" });
        }
        let by_id = index.get_str("name").is_ok_and(|name| name == "_id_");
        if !by_id && !index.get_bool("clustered").unwrap_or(false) {
            indexes.push(index);
        }
    }
    Ok(indexes)
}

/// Name of the clustered index and its expiry, where the collection is one whose documents expire.
pub fn clustered_expiry(namespace: &NamespaceRecord) -> Result<Option<(String, i64)>> {
    if namespace.options.get("clusteredIndex").is_none() || namespace.kind != NamespaceKind::Collection {
        return Ok(None);
    }
    let options = document_of_json(&namespace.options)
        .with_context(|| format!("the options of `{}` are not readable", namespace.name()))?;
    let Some(expire_after_s) = options.get(EXPIRY).map(seconds).transpose()? else {
        return Ok(None);
    };
    let index = options.get_document("clusteredIndex").ok();
    let name = index
        .and_then(|index| index.get_str("name").ok())
        .unwrap_or("_id_");
    Ok(Some((name.to_owned(), expire_after_s)))
}

/// Creates clustered collections whose documents expire, for mongorestore to fill: nothing in them expires before it was
/// compared. Where the server cannot set the expiry later, mongorestore creates them as they were.
pub fn create_without_expiry<'a>(
    live: &Live,
    prefix: &str,
    namespaces: impl Iterator<Item = &'a NamespaceRecord>,
) -> Result<()> {
    for namespace in namespaces {
        if let Some((index, _)) = clustered_expiry(namespace)? {
            let options = document_of_json(&namespace.options)?;
            live.create_unexpiring(&format!("{prefix}{}", namespace.collection), options, &index)?;
        }
    }
    Ok(())
}

/// A number of seconds; older servers kept doubles.
pub fn seconds(value: &Bson) -> Result<i64> {
    Ok(match value {
        Bson::Int32(n) => i64::from(*n),
        Bson::Int64(n) => *n,
        // Saturates, as the server does.
        #[allow(clippy::cast_possible_truncation)]
        Bson::Double(n) => *n as i64,
        other => anyhow::bail!("an expiry of {other} is not a number"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(options: serde_json::Value) -> NamespaceRecord {
        let record = json!({
            "database": "shop", "collection": "c", "type": "collection", "documents": 0, "bytes": 0, "crc": "",
            "content_digest": "0".repeat(64), "options": options, "indexes": [
                { "v": 2, "key": { "_id": 1 }, "name": "_id_", "unique": true, "clustered": true },
                { "v": 2, "key": { "a": 1 }, "name": "plain" },
                { "v": 2, "key": { "b": 1 }, "name": "own", "collation": { "locale": "fr" } },
            ],
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn an_index_of_a_collated_collection_keeps_the_simple_collation() {
        let collations = |options| {
            let indexes = secondary_indexes(&record(options)).unwrap();
            indexes
                .iter()
                .map(|index| {
                    index
                        .get_document("collation")
                        .ok()
                        .map(|c| c.get_str("locale").unwrap().to_owned())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(collations(json!({})), [None, Some("fr".to_owned())]);
        assert_eq!(
            collations(json!({ "collation": { "locale": "de" } })),
            [Some("simple".to_owned()), Some("fr".to_owned())]
        );
    }

    #[test]
    fn only_a_clustered_collection_has_an_expiry_of_its_own() {
        let clustered = json!({ "v": 2, "key": { "_id": 1 }, "name": "by id", "unique": true });
        for (options, expected) in [
            (json!({}), None),
            (json!({ "clusteredIndex": clustered }), None),
            (
                json!({ "clusteredIndex": clustered, "expireAfterSeconds": { "$numberLong": "60" } }),
                Some(("by id".to_owned(), 60)),
            ),
            (
                json!({ "clusteredIndex": true, "expireAfterSeconds": 7 }),
                Some(("_id_".to_owned(), 7)),
            ),
        ] {
            assert_eq!(clustered_expiry(&record(options)).unwrap(), expected);
        }
    }
}
