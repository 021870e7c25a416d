//! Search and vector indexes of Atlas. They hang on the number that the server gives a collection, so a collection that takes the
//! place of another has none until they are made on it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use mongodb::bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::normal_form::document_of_json;
use super::{BUILD_DEADLINE, Live, server_code};
use crate::wait;

/// Servers that have no search answer: `CommandNotSupported`, `SearchNotEnabled`, an unknown stage, `AtlasError`.
const WITHOUT: [i32; 4] = [115, 31_082, 40_324, ATLAS];
/// `Unauthorized`: the user may not ask. Atlas's small tiers have a text for it instead.
const UNAUTHORIZED: i32 = 13;
const ATLAS: i32 = 8_000;
const NOT_ALLOWED: &str = "not allowed to do action";

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

/// What the server answers about the search indexes of a collection.
enum Listing {
    /// The server has no search.
    NoSearch,
    /// The user may not ask.
    Hidden,
    Indexes(Vec<ListedIndex>),
}

/// What is known of the search indexes of some collections.
#[derive(Debug, Default)]
pub struct SearchIndexes {
    /// Of the collections that have some.
    pub found: BTreeMap<String, Vec<SearchIndex>>,
    /// The collections of which this user may not list them.
    pub hidden: Vec<String>,
    /// The server has no search at all.
    pub no_search: bool,
}

impl SearchIndexes {
    /// As the metadata of a backup have them.
    pub fn recorded(&self) -> Result<BTreeMap<String, Vec<Value>>> {
        let found = self.found.iter().map(|(name, indexes)| {
            let indexes = indexes.iter().map(serde_json::to_value);
            Ok((name.clone(), indexes.collect::<Result<_, _>>()?))
        });
        found.collect()
    }

    /// What the user lacks, in words.
    pub fn hidden_text(&self) -> Option<String> {
        (!self.hidden.is_empty()).then(|| {
            format!(
                "whether `{}` have search indexes is not known: the database user may not list them (`listSearchIndexes`, as `readWrite` \
                 on the whole database has it). A restored collection would have none",
                self.hidden.join("`, `")
            )
        })
    }
}

impl Live {
    /// The search indexes of these collections, of those that have some. Where the server has no search it is asked once.
    pub fn search_indexes<'a>(&self, collections: impl Iterator<Item = &'a str>) -> Result<SearchIndexes> {
        let mut known = SearchIndexes::default();
        for collection in collections {
            match self.listed_search_indexes(collection)? {
                Listing::NoSearch => {
                    known.no_search = true;
                    break;
                }
                Listing::Hidden => known.hidden.push(collection.to_owned()),
                Listing::Indexes(listed) if listed.is_empty() => {}
                Listing::Indexes(listed) => {
                    let indexes = listed.into_iter().map(|listed| listed.index);
                    known.found.insert(collection.to_owned(), indexes.collect());
                }
            }
        }
        Ok(known)
    }

    /// Makes those that are missing, and waits until all of them can be queried.
    pub fn make_search_indexes(&self, collection: &str, indexes: &[SearchIndex]) -> Result<()> {
        let there = self.required_search_indexes(collection)?;
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
                let listed = self.required_search_indexes(collection)?;
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

    fn required_search_indexes(&self, collection: &str) -> Result<Vec<ListedIndex>> {
        match self.listed_search_indexes(collection)? {
            Listing::Indexes(listed) => Ok(listed),
            Listing::NoSearch => {
                bail!("the server has no search: `{collection}` cannot get its search indexes")
            }
            Listing::Hidden => bail!("the database user may not list the search indexes of `{collection}`"),
        }
    }

    fn listed_search_indexes(&self, collection: &str) -> Result<Listing> {
        let stages = vec![doc! { "$listSearchIndexes": {} }];
        let command = doc! { "aggregate": collection, "pipeline": stages, "cursor": {} };
        let listed = match self.all_of(&command) {
            Err(error) if is_hidden(&error) => return Ok(Listing::Hidden),
            Err(error) if server_code(&error).is_some_and(|code| WITHOUT.contains(&code)) => {
                return Ok(Listing::NoSearch);
            }
            listed => listed.with_context(|| format!("cannot list the search indexes of `{collection}`"))?,
        };
        let listed = listed.iter().map(ListedIndex::of);
        Ok(Listing::Indexes(listed.collect::<Result<_>>()?))
    }
}

fn is_hidden(error: &anyhow::Error) -> bool {
    match server_code(error) {
        Some(UNAUTHORIZED) => true,
        Some(ATLAS) => format!("{error:#}").contains(NOT_ALLOWED),
        _ => false,
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
