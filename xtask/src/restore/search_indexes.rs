//! Which search indexes of Atlas a restored collection must have.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::backup::BackupFile;
use crate::database::{Live, SearchIndex};

/// What becomes of the search indexes of the collections that are restored.
#[derive(Debug, Default)]
pub(super) struct RestoredSearch {
    /// Built on the restored collections.
    pub(super) built: BTreeMap<String, Vec<SearchIndex>>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// The search indexes that these collections must have: those of the backup, and where it has none on record (earlier versions
/// had not) those that are live.
pub(super) fn search_indexes(
    live: &Live,
    backup: &BackupFile,
    collections: &[String],
) -> Result<RestoredSearch> {
    let mut search = RestoredSearch::default();
    let recorded = recorded(backup, collections)?;
    if backup.metadata.search_indexes.is_empty() {
        let known = live.search_indexes(collections.iter().map(String::as_str))?;
        search.warnings.extend(known.hidden_text());
        search.built = known.found;
    } else if !recorded.is_empty() {
        let known = live.search_indexes(recorded.keys().map(String::as_str))?;
        if known.no_search {
            let names = recorded.keys().map(String::as_str).collect::<Vec<_>>();
            search.warnings.push(format!(
                "the search indexes of `{}` are not built: this server has no search",
                names.join("`, `")
            ));
            return Ok(search);
        }
        search.problems.extend(known.hidden_text());
        search.built = recorded;
    }
    for (collection, indexes) in &search.built {
        let indexes: Vec<&str> = indexes.iter().map(|index| index.name.as_str()).collect();
        search.warnings.push(format!(
            "search indexes of `{collection}` ({}) are built on the restored collection, and waited for, before it is live",
            indexes.join(", ")
        ));
    }
    Ok(search)
}

fn recorded(backup: &BackupFile, collections: &[String]) -> Result<BTreeMap<String, Vec<SearchIndex>>> {
    let recorded = backup.metadata.search_indexes.iter();
    let wanted = recorded.filter(|(name, _)| collections.contains(name));
    let wanted = wanted.map(|(name, indexes)| {
        let indexes = indexes.iter().cloned().map(serde_json::from_value);
        let indexes: Result<Vec<SearchIndex>, _> = indexes.collect();
        let indexes = indexes.context("a search index of the backup is not readable")?;
        Ok((name.clone(), indexes))
    });
    wanted.collect()
}
