//! The inventory of a live database.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::normal_form::{comparable_index, is_capped, listed_options};
use super::{Live, server_code};
use crate::archive::crc::Crc64;
use crate::archive::{Check, DigestPool};
use crate::domain::inventory::{CollectionFacts, Inventory, is_application};
use crate::domain::manifest::NamespaceKind;
use crate::sync::each_at_once;

/// So many collections are asked about at once where no document is read: each takes a round trip or two, and a database on another
/// continent may have hundreds of them.
const ASKED_AT_ONCE: usize = 8;
/// Threads that hash while one reads: a second one gains nothing, the driver reads slower than one core hashes two.
const HASHING_THREADS: usize = 2;
/// `NamespaceNotFound`, `Unauthorized`.
const NOT_FOUND: i32 = 26;
const UNAUTHORIZED: i32 = 13;
/// What servers put before the name of a time-series collection, for its buckets.
const BUCKETS: &str = "system.buckets.";

/// What an inventory asks about documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// Nothing: only kinds, indexes and options. A server may take its time to count.
    Structure,
    /// Counts and sizes as the server states them.
    None,
    /// Every document is read: exact counts, bytes and content digests.
    Full,
}

/// One collection as the server lists it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub kind: NamespaceKind,
    /// Options as the server keeps them.
    pub options: Document,
    /// The server's own number of the collection, which a rename keeps; servers list none of a view, and some none at all.
    pub identity: Option<String>,
}

impl Live {
    /// All collections and views, those of the server and those that restores left included.
    pub fn listed(&self) -> Result<BTreeMap<String, Listed>> {
        let listing = || format!("cannot list the collections of `{}`", self.name());
        let entries = self.all_of(&doc! { "listCollections": 1, "cursor": {} });
        let mut found = BTreeMap::new();
        for entry in entries.with_context(listing)? {
            let kind = match entry.get_str("type") {
                Ok("view") => NamespaceKind::View,
                Ok("timeseries") => NamespaceKind::Timeseries,
                _ => NamespaceKind::Collection,
            };
            let name = entry.get_str("name").with_context(listing)?.to_owned();
            let options = entry.get_document("options").cloned().unwrap_or_default();
            let identity = entry.get_document("info").ok();
            let identity = identity
                .and_then(|info| info.get("uuid"))
                .map(ToString::to_string);
            let listed = Listed {
                kind,
                options,
                identity,
            };
            found.insert(name, listed);
        }
        Ok(found)
    }

    /// All that a command with a cursor lists: a few answers, each small.
    pub(super) fn all_of(&self, command: &Document) -> Result<Vec<Document>> {
        let command = command.clone();
        let listed = self.ask(move |_, database| {
            let mut cursor = database.run_cursor_command(command.clone()).run()?;
            let mut listed = Vec::new();
            while cursor.advance()? {
                listed.push(cursor.current().to_owned());
            }
            Ok(listed)
        })?;
        let documents = listed.iter().map(|raw| Ok(raw.as_ref().try_into()?));
        documents.collect()
    }

    /// What the database holds, without what belongs to the server or to restores.
    pub fn inventory(&self, digests: Digests) -> Result<Inventory> {
        self.inventory_of(digests, |name| is_application(name).then(|| name.to_owned()))
    }

    /// What those collections hold for which `named` gives the name to list them by.
    pub fn inventory_of(
        &self,
        digests: Digests,
        named: impl Fn(&str) -> Option<String>,
    ) -> Result<Inventory> {
        let listed = self.listed()?;
        let wanted: Vec<_> = listed
            .iter()
            .filter_map(|one| Some((named(one.0)?, one)))
            .collect();
        let wanted: Vec<_> = wanted.iter().collect();
        // One that is read to its end keeps server and processors busy by itself.
        let at_once = if digests == Digests::Full {
            1
        } else {
            ASKED_AT_ONCE
        };
        let mut collections = BTreeMap::new();
        for some in wanted.chunks(at_once) {
            collections.extend(each_at_once(some, |(shown, (name, listed))| {
                Ok((shown.clone(), self.facts_of(name, listed, digests)?))
            })?);
        }
        Ok(Inventory { collections })
    }

    fn facts_of(&self, name: &str, listed: &Listed, digests: Digests) -> Result<CollectionFacts> {
        let mut facts = CollectionFacts {
            kind: listed.kind,
            documents: 0,
            bytes: 0,
            indexes: BTreeMap::new(),
            options: listed_options(&listed.options),
            content_digest: None,
            order: None,
        };
        if listed.kind == NamespaceKind::View {
            return Ok(facts);
        }
        let indexes = self.indexes(name)?;
        facts.indexes = indexes.iter().filter_map(comparable_index).collect();
        if listed.kind == NamespaceKind::Timeseries && digests == Digests::Full {
            return self.facts_of_buckets(name, facts);
        }
        if listed.kind == NamespaceKind::Collection && digests == Digests::Full {
            let mut pool = DigestPool::new(HASHING_THREADS, Check::Outline);
            let mut order = is_capped(&facts.options).then(Crc64::new);
            self.scan(name, |document| {
                if let Some(order) = &mut order {
                    order.update(document);
                }
                facts.documents += 1;
                facts.bytes += document.len() as u64;
                pool.push(0, document)
            })?;
            let digest = pool.finish()?.get(&0).copied().unwrap_or_default();
            facts.content_digest = Some(digest);
            facts.order = order.map(|order| format!("{:016x}", order.value()));
        } else if digests != Digests::Structure {
            (facts.documents, facts.bytes) = self.stated_size(name)?;
        }
        Ok(facts)
    }

    /// A time-series collection is compared by its buckets, which mongodump reads too. Where this server has none (those of 8.3
    /// and later keep them elsewhere), or this user may not read them, its documents are not known.
    fn facts_of_buckets(&self, name: &str, mut facts: CollectionFacts) -> Result<CollectionFacts> {
        let buckets = format!("{BUCKETS}{name}");
        if !self.listed()?.contains_key(&buckets) {
            return Ok(facts);
        }
        let mut pool = DigestPool::new(HASHING_THREADS, Check::Outline);
        let (mut documents, mut bytes) = (0, 0);
        let read = self.scan(&buckets, |document| {
            documents += 1;
            bytes += document.len() as u64;
            pool.push(0, document)
        });
        match read {
            Ok(()) => {
                facts.content_digest = Some(pool.finish()?.get(&0).copied().unwrap_or_default());
                (facts.documents, facts.bytes) = (documents, bytes);
            }
            Err(error) if server_code(&error) == Some(UNAUTHORIZED) => {}
            Err(error) => return Err(error),
        }
        Ok(facts)
    }

    /// The indexes of a collection as the server lists them.
    pub fn indexes(&self, collection: &str) -> Result<Vec<Document>> {
        let listing = || format!("cannot list the indexes of `{}.{collection}`", self.name());
        match self.all_of(&doc! { "listIndexes": collection, "cursor": {} }) {
            // Dropped between two questions.
            Err(error) if server_code(&error) == Some(NOT_FOUND) => Ok(Vec::new()),
            listed => listed.with_context(listing),
        }
    }

    /// Documents as the server's statistics state them.
    pub fn stated_documents(&self, collection: &str) -> Result<u64> {
        let name = collection.to_owned();
        let documents = self.ask(move |_, database| {
            let counted = database.collection::<RawDocumentBuf>(&name);
            counted.estimated_document_count().run()
        });
        documents.with_context(|| format!("cannot count `{}.{collection}`", self.name()))
    }

    /// Documents and bytes as the server's statistics state them: at once, and right on an idle server.
    fn stated_size(&self, collection: &str) -> Result<(u64, u64)> {
        // Statistics may need a role that counting does not: a size of 0 hurts nobody.
        let stats = self
            .command(&doc! { "collStats": collection })
            .unwrap_or_default();
        let bytes = stats.get("size").map_or(0, whole);
        let documents = stats.get("count").map(|count| Ok(whole(count)));
        Ok((
            documents.unwrap_or_else(|| self.stated_documents(collection))?,
            bytes,
        ))
    }
}

/// A number of whatever type, not below 0.
pub(super) fn whole(value: &Bson) -> u64 {
    match value {
        Bson::Int32(n) => u64::try_from(*n).unwrap_or(0),
        Bson::Int64(n) => u64::try_from(*n).unwrap_or(0),
        // Saturates, which is what is wanted of a statistic.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Bson::Double(n) => *n as u64,
        _ => 0,
    }
}
