//! `migrations/NNN-name.json`: each is applied once, in order of the names, and recorded in `_migrations`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::UpdateModifications;
use mongodb::sync::Database;
use serde::Deserialize;
use serde_json::Value;

use super::listing::to_document;

/// Where applied migrations are recorded.
const RECORD: &str = "_migrations";

/// One change to all documents of a collection that match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Migration {
    collection: String,
    filter: Value,
    /// The stages of an update with a pipeline.
    update: Vec<Value>,
}

pub(super) fn apply(database: &Database, folder: &Path) -> Result<()> {
    let record = database.collection::<Document>(RECORD);
    for path in files(folder)? {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if record
            .find_one(doc! {"_id": &name})
            .run()
            .context("cannot read which migrations were applied")?
            .is_some()
        {
            continue;
        }
        let changed = apply_one(database, &path).with_context(|| format!("migration {name} failed"))?;
        let changed = i64::try_from(changed)?;
        record
            .insert_one(doc! {"_id": &name, "applied_at": DateTime::now(), "changed": changed})
            .run()?;
        eprintln!("migration {name}: {changed} documents changed");
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn apply_one(database: &Database, path: &Path) -> Result<u64> {
    let migration: Migration = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let stages = migration
        .update
        .iter()
        .map(to_document)
        .collect::<Result<Vec<_>>>()?;
    let result = database
        .collection::<Document>(&migration.collection)
        .update_many(
            to_document(&migration.filter)?,
            UpdateModifications::Pipeline(stages),
        )
        .run()?;
    Ok(result.modified_count)
}
