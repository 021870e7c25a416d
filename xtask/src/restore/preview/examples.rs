//! A few documents of each kind, for people to judge what a loss means. Values are shown only on demand.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use mongodb::bson::{Bson, Document};
use serde_json::Value;

use super::super::backup_documents::each_document;
use super::super::scope::CompareScope;
use super::merge::Merged;
use super::{CollectionLoss, LossExample, RowLoss, key};
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Live, shown_document};

/// Field names in one example; a changed document may have thousands.
const MAX_FIELDS: usize = 20;

/// Turns counts and keys into what is shown.
pub(super) fn describe(
    ctx: &Context,
    backup: &BackupFile,
    live: &Live,
    names: &[String],
    scope: &CompareScope,
    merged: Vec<Merged>,
    show_values: bool,
) -> Result<Vec<CollectionLoss>> {
    let in_backup = from_backup(ctx, backup, live, names, scope, &merged, show_values)?;
    let mut losses = Vec::new();
    for (name, found) in names.iter().zip(merged) {
        if found.keys.is_empty() {
            continue;
        }
        let mut examples = Vec::new();
        for (loss, key) in &found.keys {
            let then = in_backup.get(key);
            examples.push(example(live, name, *loss, key, then, show_values)?);
        }
        let [created, changed, deleted] = found.counts;
        losses.push(CollectionLoss {
            collection: name.clone(),
            created,
            changed,
            deleted,
            examples,
        });
    }
    Ok(losses)
}

/// The documents of the backup that examples need, by key: a second pass where the server has not kept them, which ends when all are
/// found.
fn from_backup(
    ctx: &Context,
    backup: &BackupFile,
    live: &Live,
    names: &[String],
    scope: &CompareScope,
    merged: &[Merged],
    show_values: bool,
) -> Result<HashMap<Vec<u8>, Document>> {
    let keys = merged.iter().flat_map(|m| &m.keys);
    let mut wanted: BTreeSet<Vec<u8>> = keys
        .filter(|(loss, _)| *loss == RowLoss::Changed || (show_values && *loss == RowLoss::Deleted))
        .map(|(_, key)| key.clone())
        .collect();
    let mut found = HashMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let mut take = |number: usize, document: &[u8]| -> Result<bool> {
        let key = key::key(number, document)?;
        if wanted.remove(&key) {
            found.insert(key, shown_document(document)?);
        }
        Ok(!wanted.is_empty())
    };
    let mut is_missing = true;
    for (number, name) in names.iter().enumerate() {
        for document in scope.of_backup(name).into_iter().flatten() {
            is_missing = take(number, document)?;
        }
    }
    if is_missing {
        each_document(ctx, backup, live.name(), names, take)?;
    }
    Ok(found)
}

fn example(
    live: &Live,
    collection: &str,
    loss: RowLoss,
    key: &[u8],
    then: Option<&Document>,
    show_values: bool,
) -> Result<LossExample> {
    let needs_live = loss == RowLoss::Changed || (show_values && loss == RowLoss::Created);
    let now: Option<Document> = if needs_live {
        let raw = live.raw_by_id(collection, &key::id_of(key)?)?;
        raw.map(|raw| shown_document(&raw)).transpose()?
    } else {
        None
    };
    let mut fields = Vec::new();
    if let (Some(then), Some(now)) = (then, &now) {
        differing_fields("", then, now, &mut fields);
        fields.truncate(MAX_FIELDS);
    }
    let shown = |document: Option<&Document>| {
        let document = document.filter(|_| show_values)?;
        serde_json::to_value(document).ok()
    };
    Ok(LossExample {
        loss,
        id: serde_json::to_value(key::id_of(key)?.shown()?).unwrap_or(Value::Null),
        fields,
        live: shown(now.as_ref()),
        backup: shown(then),
    })
}

/// Names of the fields that differ, descending into documents that both sides have.
fn differing_fields(prefix: &str, then: &Document, now: &Document, fields: &mut Vec<String>) {
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let count = fields.len();
    for name in &names {
        match (then.get(name.as_str()), now.get(name.as_str())) {
            (Some(a), Some(b)) if a == b => {}
            (Some(Bson::Document(a)), Some(Bson::Document(b))) => {
                differing_fields(&format!("{prefix}{name}."), a, b, fields);
            }
            _ => fields.push(format!("{prefix}{name}")),
        }
    }
    if fields.len() == count {
        // The same fields in another order: another document to MongoDB.
        fields.push(format!("{prefix}(order of fields)"));
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn changed_fields_are_named_to_any_depth() {
        let then = doc! { "_id": 1, "a": 1, "b": { "c": 1, "d": { "e": 1 } }, "gone": 1, "list": [1, 2] };
        let cases = [
            (
                doc! { "_id": 1, "a": 2, "b": { "c": 1, "d": { "e": 1 } }, "gone": 1, "list": [1, 2] },
                vec!["a"],
            ),
            (
                doc! { "_id": 1, "a": 1, "b": { "c": 1, "d": { "e": 2, "f": 1 } }, "list": [2, 1] },
                vec!["b.d.e", "b.d.f", "gone", "list"],
            ),
            (
                doc! { "a": 1, "_id": 1, "b": { "c": 1, "d": { "e": 1 } }, "gone": 1, "list": [1, 2] },
                vec!["(order of fields)"],
            ),
        ];
        for (now, expected) in cases {
            let mut fields = Vec::new();
            differing_fields("", &then, &now, &mut fields);
            assert_eq!(fields, expected);
        }
    }
}
