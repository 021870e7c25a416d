//! Search and vector indexes of Atlas. They hang on the number that the server gives a collection, so a collection that takes the
//! place of another has none until they are made on it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::normal_form::document_of_json;
use super::{BUILD_DEADLINE, Live, server_code};
use crate::wait;

/// Servers that have none answer: `CommandNotSupported`, `SearchNotEnabled`, an unknown stage, `AtlasError`; and `Unauthorized`
/// those that look at the rights first.
const WITHOUT: [i32; 5] = [115, 31_082, 40_324, 8_000, 13];

/// A search or vector index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchIndex {
    pub name: String,
    /// `search` or `vectorSearch`.
    #[serde(rename = "type")]
    pub kind: String,
    pub definition: Value,
}

/// One as the server lists it.
struct ListedIndex {
    index: SearchIndex,
    queryable: bool,
    failed: bool,
}

impl Live {
    /// The search indexes of these collections, of those that have some. Where the server has no search it is asked once.
    pub fn search_indexes<'a>(
        &self,
        collections: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, Vec<SearchIndex>>> {
        let mut found = BTreeMap::new();
        for collection in collections {
            let Some(listed) = self.listed_search_indexes(collection)? else {
                break;
            };
            let indexes: Vec<SearchIndex> = listed.into_iter().map(|listed| listed.index).collect();
            if !indexes.is_empty() {
                found.insert(collection.to_owned(), indexes);
            }
        }
        Ok(found)
    }

    /// Makes those that are missing, and waits until all of them can be queried.
    pub fn make_search_indexes(&self, collection: &str, indexes: &[SearchIndex]) -> Result<()> {
        let there = self.listed_search_indexes(collection)?.unwrap_or_default();
        let missing = indexes
            .iter()
            .filter(|index| !there.iter().any(|listed| listed.index.name == index.name));
        let missing: Vec<Bson> = missing.map(SearchIndex::to_bson).collect::<Result<_>>()?;
        if !missing.is_empty() {
            self.prove()?;
            self.command(&doc! { "createSearchIndexes": collection, "indexes": missing })?;
        }
        let what = format!("search indexes of `{collection}` that can be queried");
        wait::until(
            &what,
            BUILD_DEADLINE,
            |_| false,
            || {
                let listed = self.listed_search_indexes(collection)?.unwrap_or_default();
                let mut all = true;
                for index in indexes {
                    let listed = listed.iter().find(|listed| listed.index.name == index.name);
                    ensure!(
                        listed.is_none_or(|listed| !listed.failed),
                        "the search index `{}` of `{collection}` could not be built",
                        index.name
                    );
                    all &= listed.is_some_and(|listed| listed.queryable);
                }
                Ok(all.then_some(()))
            },
        )
    }

    /// `None` where the server has no search.
    fn listed_search_indexes(&self, collection: &str) -> Result<Option<Vec<ListedIndex>>> {
        let stages = vec![doc! { "$listSearchIndexes": {} }];
        let command = doc! { "aggregate": collection, "pipeline": stages, "cursor": {} };
        let listed = match self.all_of(&command) {
            Err(error) if server_code(&error).is_some_and(|code| WITHOUT.contains(&code)) => return Ok(None),
            listed => listed.with_context(|| format!("cannot list the search indexes of `{collection}`"))?,
        };
        listed
            .iter()
            .map(ListedIndex::of)
            .collect::<Result<_>>()
            .map(Some)
    }
}

impl SearchIndex {
    fn to_bson(&self) -> Result<Bson> {
        let definition = document_of_json(&self.definition)?;
        Ok(Bson::Document(
            doc! { "name": &self.name, "type": &self.kind, "definition": definition },
        ))
    }
}

impl ListedIndex {
    fn of(listed: &Document) -> Result<Self> {
        let text = |name| listed.get_str(name).unwrap_or_default();
        let definition = listed
            .get_document("latestDefinition")
            .cloned()
            .unwrap_or_default();
        let kind = match text("type") {
            "" => "search",
            kind => kind,
        };
        Ok(Self {
            index: SearchIndex {
                name: text("name").to_owned(),
                kind: kind.to_owned(),
                definition: serde_json::to_value(&definition).context("a search index is not readable")?,
            },
            queryable: listed.get_bool("queryable").unwrap_or(false),
            failed: text("status") == "FAILED",
        })
    }
}
