//! `queries/properties.json`: how this release reads and writes properties.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use mongodb::bson::{Bson, Document, doc};
use mongodb::sync::Database;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The query of the listing and the shape that it maps to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    collection: String,
    filter: Value,
    sort: Value,
    /// Stages between the sort and the limit.
    pipeline: Vec<Value>,
    /// Field of an item → dotted path in the document.
    item: BTreeMap<String, String>,
    /// Field of a new property → dotted path in the document to insert.
    insert: BTreeMap<String, String>,
    /// What every new document has besides.
    insert_also: Value,
}

impl Listing {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not valid", path.display()))
    }

    /// Items and their total number.
    pub(super) fn items(&self, database: &Database, limit: u32) -> Result<(Vec<Value>, u64)> {
        let collection = database.collection::<Document>(&self.collection);
        let filter = to_document(&self.filter)?;
        let total = collection.count_documents(filter.clone()).run()?;
        let mut pipeline = vec![doc! {"$match": filter}, doc! {"$sort": to_document(&self.sort)?}];
        for stage in &self.pipeline {
            pipeline.push(to_document(stage)?);
        }
        pipeline.push(doc! {"$limit": limit});
        let mut items = Vec::new();
        for document in collection.aggregate(pipeline).run()? {
            let document = document?;
            let item: Map<String, Value> = self
                .item
                .iter()
                .map(|(field, path)| (field.clone(), at_path(&document, path)))
                .collect();
            items.push(Value::Object(item));
        }
        Ok((items, total))
    }

    /// Inserts one property and returns its id.
    pub(super) fn insert(
        &self,
        database: &Database,
        fields: &Map<String, Value>,
        owner: &str,
    ) -> Result<String> {
        let mut document = doc! {"owner": owner, "created_at": mongodb::bson::DateTime::now()};
        document.extend(to_document(&self.insert_also)?);
        for (field, path) in &self.insert {
            let value = fields
                .get(field)
                .ok_or_else(|| anyhow!("the field {field} is missing"))?;
            set_path(&mut document, path, to_bson(value)?);
        }
        let collection = database.collection::<Document>(&self.collection);
        let id = collection.insert_one(document).run()?.inserted_id;
        Ok(id
            .as_object_id()
            .map_or_else(|| id.to_string(), mongodb::bson::oid::ObjectId::to_hex))
    }
}

fn to_bson(value: &Value) -> Result<Bson> {
    mongodb::bson::serialize_to_bson(value).context("cannot be stored")
}

pub(super) fn to_document(value: &Value) -> Result<Document> {
    match to_bson(value)? {
        Bson::Document(document) => Ok(document),
        other => Err(anyhow!("expected an object, got {other}")),
    }
}

fn at_path(document: &Document, path: &str) -> Value {
    let mut parts = path.split('.');
    let mut found = parts.next().and_then(|part| document.get(part));
    for part in parts {
        found = found
            .and_then(Bson::as_document)
            .and_then(|inner| inner.get(part));
    }
    found.map_or(Value::Null, plain_json)
}

/// What a web client expects: ids, dates and decimals without notation.
fn plain_json(value: &Bson) -> Value {
    match value {
        Bson::ObjectId(id) => Value::from(id.to_hex()),
        Bson::Decimal128(number) => number.to_string().parse::<f64>().map_or(Value::Null, Value::from),
        Bson::DateTime(time) => time.try_to_rfc3339_string().map_or(Value::Null, Value::from),
        other => serde_json::to_value(other).unwrap_or(Value::Null),
    }
}

fn set_path(document: &mut Document, path: &str, value: Bson) {
    match path.split_once('.') {
        None => {
            document.insert(path, value);
        }
        Some((first, rest)) => {
            let mut inner = match document.remove(first) {
                Some(Bson::Document(inner)) => inner,
                _ => Document::new(),
            };
            set_path(&mut inner, rest, value);
            document.insert(first, inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_and_read_alike() {
        let mut document = doc! {"address": {"zip": "1"}};
        set_path(&mut document, "address.city", Bson::from("Graz"));
        set_path(&mut document, "title", Bson::from("t"));
        assert_eq!(
            document,
            doc! {"address": {"zip": "1", "city": "Graz"}, "title": "t"}
        );
        assert_eq!(at_path(&document, "address.city"), Value::from("Graz"));
        assert_eq!(at_path(&document, "address.none"), Value::Null);
        assert_eq!(at_path(&document, "title.none"), Value::Null);
    }
}
