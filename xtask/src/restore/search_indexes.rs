//! Which search indexes of Atlas a restored collection must have.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::backup::BackupFile;
use crate::database::{Live, SearchIndex};

/// The search indexes that these collections must have: those of the backup, and where it has none on record (earlier versions
/// had not) those that are live.
pub(super) fn search_indexes(
    live: &Live,
    backup: &BackupFile,
    collections: &[String],
) -> Result<BTreeMap<String, Vec<SearchIndex>>> {
    let recorded = &backup.metadata.search_indexes;
    if recorded.is_empty() {
        return live.search_indexes(collections.iter().map(String::as_str));
    }
    let wanted = recorded.iter().filter(|(name, _)| collections.contains(name));
    let wanted = wanted.map(|(name, indexes)| {
        let indexes = indexes.iter().cloned().map(serde_json::from_value);
        let indexes: Result<Vec<SearchIndex>, _> = indexes.collect();
        Ok((
            name.clone(),
            indexes.context("a search index of the backup is not readable")?,
        ))
    });
    wanted.collect()
}
