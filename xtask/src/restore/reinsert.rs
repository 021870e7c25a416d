//! Puts documents of a rescue file back into the live database, where nothing stands in their place.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use mongodb::bson::{RawDocument, RawDocumentBuf};
use serde::Serialize;
use serde_json::Value;

use super::backup_file;
use super::context::connect;
use super::preview::each_document;
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::Live;
use crate::domain::inventory::is_application;

/// Conflicts that are listed one by one; all are counted.
const MAX_LISTED: usize = 100;
const BATCH: usize = 500;

/// What became of the documents of a rescue file.
#[derive(Debug, Default, Serialize)]
pub struct Reinserted {
    /// Documents put back, by collection.
    pub inserted: BTreeMap<String, u64>,
    pub conflicts: u64,
    /// The first conflicts.
    pub listed: Vec<ReinsertConflict>,
}

/// A document that was not put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReinsertConflict {
    pub collection: String,
    pub id: Value,
    pub why: String,
}

/// Inserts every document, of one collection or of all, whose `_id` and unique keys are free. Never changes a document.
pub fn reinsert(ctx: &Context, file: &BackupFile, only: Option<&str>) -> Result<Reinserted> {
    backup_file::require_undamaged(ctx, file)?;
    let live = connect(ctx)?;
    let mut names: Vec<String> = file
        .metadata
        .namespaces
        .iter()
        .filter(|n| n.database == live.name() && is_application(&n.collection))
        .map(|n| n.collection.clone())
        .filter(|name| only.is_none_or(|only| only == name))
        .collect();
    names.sort();
    let mut done = Reinserted::default();
    let mut batch = Batch {
        collection: 0,
        documents: Vec::new(),
    };
    each_document(ctx, file, live.name(), &names, |number, raw| {
        if number != batch.collection || batch.documents.len() == BATCH {
            batch.flush(&live, &names, &mut done)?;
            batch.collection = number;
        }
        let document = RawDocument::from_bytes(raw).context("a document of the rescue file is damaged")?;
        batch.documents.push(document.to_owned());
        Ok(true)
    })?;
    batch.flush(&live, &names, &mut done)?;
    Ok(done)
}

struct Batch {
    collection: usize,
    documents: Vec<RawDocumentBuf>,
}

impl Batch {
    fn flush(&mut self, live: &Live, names: &[String], done: &mut Reinserted) -> Result<()> {
        let documents = std::mem::take(&mut self.documents);
        let Some(collection) = names.get(self.collection).filter(|_| !documents.is_empty()) else {
            return Ok(());
        };
        let refused = live.insert_where_free(collection, &documents)?;
        let inserted = documents.len() - refused.len();
        *done.inserted.entry(collection.clone()).or_default() += inserted as u64;
        done.conflicts += refused.len() as u64;
        for (at, why) in refused {
            if done.listed.len() < MAX_LISTED {
                let id = documents[at].get("_id").ok().flatten();
                let id = id
                    .and_then(|id| serde_json::to_value(id).ok())
                    .unwrap_or(Value::Null);
                let collection = collection.clone();
                done.listed.push(ReinsertConflict { collection, id, why });
            }
        }
        Ok(())
    }
}
