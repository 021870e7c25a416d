//! Indexes of a collection in a backup, and the expiry of one that is itself an index.

use anyhow::{Context as _, Result};
use mongodb::bson::{Document, doc};

use crate::database::{Buildable, Live, document_of_json, seconds};
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

/// Name and expiry of each TTL index of a collection, the clustered one included: as servers of today take it.
pub fn expiries(namespace: &NamespaceRecord) -> Result<Vec<(String, i64)>> {
    let mut found = Vec::new();
    for index in &secondary_indexes(namespace)? {
        let index = Buildable::of(index).index;
        if let Ok(expire_after_s) = index.get_i32(EXPIRY) {
            found.push((index.get_str("name")?.to_owned(), i64::from(expire_after_s)));
        }
    }
    found.extend(clustered_expiry(namespace)?);
    Ok(found)
}

/// Whether the order of the documents belongs to what the collection holds.
pub fn is_capped(namespace: &NamespaceRecord) -> bool {
    namespace.options["capped"] == true
}

/// Name of the clustered index and its expiry, where the collection is one whose documents expire.
pub fn clustered_expiry(namespace: &NamespaceRecord) -> Result<Option<(String, i64)>> {
    if namespace.options.get("clusteredIndex").is_none() || namespace.kind != NamespaceKind::Collection {
        return Ok(None);
    }
    let options = document_of_json(&namespace.options)
        .with_context(|| format!("the options of `{}` are not readable", namespace.name()))?;
    let Some(expiry) = options.get(EXPIRY) else {
        return Ok(None);
    };
    let expire_after_s = seconds(expiry)
        .with_context(|| format!("no server takes the expiry {expiry} of `{}`", namespace.name()))?;
    let index = options.get_document("clusteredIndex").ok();
    let name = index
        .and_then(|index| index.get_str("name").ok())
        .unwrap_or("_id_");
    Ok(Some((name.to_owned(), expire_after_s)))
}

/// What servers list as an option of a collection, and let nobody else set: temporary collections of an aggregation with `$out`
/// that ran during the dump, and options that servers before 4.0 had (mongod `create`: "the 'temp' field is an invalid option").
const OF_SERVER: [&str; 3] = ["autoIndexId", "flags", "temp"];

/// Creates the collections that mongorestore cannot create as they are recorded, for it to fill: those with options that only a
/// server sets, without these; and clustered ones whose documents expire, in which nothing expires before it was compared.
/// Where the server cannot set that expiry later, mongorestore creates them as they were.
pub fn create_beforehand<'a>(
    live: &Live,
    prefix: &str,
    namespaces: impl Iterator<Item = &'a NamespaceRecord>,
) -> Result<()> {
    for namespace in namespaces {
        let mut options = document_of_json(&namespace.options)?;
        let recorded = options.len();
        for option in OF_SERVER {
            options.remove(option);
        }
        let name = format!("{prefix}{}", namespace.collection);
        if let Some((index, expire_after_s)) = clustered_expiry(namespace)? {
            live.create_unexpiring(&name, options, &index, expire_after_s)?;
        } else if options.len() < recorded {
            live.create_collection(&name, &options)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(options: &serde_json::Value) -> NamespaceRecord {
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
        let collations = |options: serde_json::Value| {
            let indexes = secondary_indexes(&record(&options)).unwrap();
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
            assert_eq!(clustered_expiry(&record(&options)).unwrap(), expected);
        }
        for expiry in [json!({ "$numberDouble": "NaN" }), json!(-1), json!("60")] {
            let options = json!({ "clusteredIndex": clustered, "expireAfterSeconds": expiry });
            let error = clustered_expiry(&record(&options)).unwrap_err();
            assert!(
                error.to_string().contains("no server takes the expiry"),
                "{error}"
            );
        }
    }
}
