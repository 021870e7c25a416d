//! Collections of a backup beside the live ones, through mongorestore. Indexes are built by us.

use anyhow::Result;
use mongodb::bson::Document;

use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::database::{Live, NEVER_S};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::report;
use crate::tools::mongorestore;
use crate::tools::railway::database_uri;

const MAX_PARALLEL: usize = 4;

/// What becomes of the expiry of TTL indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Until the swap: documents must not expire before they were compared. The swap's last steps set the true value, which
    /// changes nothing but the catalogue.
    Never,
    AsRecorded,
}

/// What is copied, and under which names.
#[derive(Debug)]
pub(super) struct Copying<'a> {
    pub(super) backup: &'a BackupFile,
    /// Put before each name.
    pub(super) prefix: &'a str,
    /// By their names in the backup; all others are left out.
    pub(super) collections: &'a [String],
    pub(super) expiry: Expiry,
}

impl Copying<'_> {
    /// Restores the documents, then builds the indexes; gives the number of documents. Nothing of these names may exist.
    pub(super) fn run(&self, ctx: &Context, live: &Live) -> Result<u64> {
        let documents = self.fill(ctx, live)?;
        let _ticker = report::Ticker::start("building indexes");
        for namespace in self.chosen(live) {
            let indexes = indexes_to_build(namespace, self.expiry)?;
            let full_name = format!("{}{}", self.prefix, namespace.collection);
            live.create_indexes(&full_name, &indexes)?;
            if let (Expiry::AsRecorded, Some((index, expire_after_s))) =
                (self.expiry, backup::clustered_expiry(namespace)?)
            {
                live.set_expiry(&full_name, &index, expire_after_s)?;
            }
        }
        Ok(documents)
    }

    fn fill(&self, ctx: &Context, live: &Live) -> Result<u64> {
        if self.chosen(live).next().is_none() {
            return Ok(0);
        }
        let records = &self.backup.metadata.namespaces;
        let others = records
            .iter()
            .filter(|n| n.database == live.name() && !self.is_chosen(n));
        let excluded: Vec<String> = others.map(|n| n.collection.clone()).collect();
        let validated = |n: &NamespaceRecord| n.options.get("validator").is_some();
        let uri = database_uri(ctx)?;
        let request = mongorestore::Request {
            uri: &uri,
            from_database: live.name(),
            to_database: live.name(),
            prefix: self.prefix,
            collections: self.collections,
            excluded: &excluded,
            bypass_validation: self.chosen(live).any(validated),
            parallel: parallel(),
            in_order: self.chosen(live).any(backup::is_capped),
        };
        let sh = ctx.shell()?;
        let archive = |pipe: &mut dyn std::io::Write| backup::copy_archive(ctx, self.backup, pipe);
        mongorestore::check_renaming(&sh, &request, archive)?;
        backup::create_beforehand(live, self.prefix, self.chosen(live))?;
        let documents: u64 = self.chosen(live).map(|n| n.documents).sum();
        let _ticker = report::Ticker::start(format!("restoring {documents} documents beside the live ones"));
        Ok(mongorestore::restore(&sh, &request, archive)?.documents)
    }

    fn is_chosen(&self, namespace: &NamespaceRecord) -> bool {
        namespace.kind == NamespaceKind::Collection && self.collections.contains(&namespace.collection)
    }

    fn chosen(&self, live: &Live) -> impl Iterator<Item = &NamespaceRecord> {
        let records = self.backup.metadata.namespaces.iter();
        records.filter(|n| n.database == live.name() && self.is_chosen(n))
    }
}

/// Collections at once, and inserting threads for each.
pub(super) fn parallel() -> usize {
    std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(MAX_PARALLEL)
}

/// The indexes of a collection that must be built; the server makes the others.
pub(super) fn indexes_to_build(namespace: &NamespaceRecord, expiry: Expiry) -> Result<Vec<Document>> {
    let mut indexes = backup::secondary_indexes(namespace)?;
    for index in &mut indexes {
        if expiry == Expiry::Never && index.contains_key("expireAfterSeconds") {
            index.insert("expireAfterSeconds", NEVER_S);
        }
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::content_digest::ContentDigest;

    fn record() -> NamespaceRecord {
        NamespaceRecord {
            database: "app".into(),
            collection: "sessions".into(),
            kind: NamespaceKind::Collection,
            documents: 0,
            bytes: 0,
            crc: String::new(),
            content_digest: ContentDigest::default(),
            options: json!({}),
            indexes: vec![
                json!({ "v": { "$numberInt": "2" }, "key": { "_id": { "$numberInt": "1" } }, "name": "_id_" }),
                json!({ "v": { "$numberInt": "2" }, "key": { "seen": { "$numberInt": "1" } }, "name": "seen",
                        "expireAfterSeconds": { "$numberInt": "60" }, "ns": "app.sessions" }),
                json!({ "key": { "b": { "$numberInt": "1" }, "a": { "$numberInt": "-1" } }, "name": "b_a" }),
            ],
            uuid: None,
        }
    }

    #[test]
    fn ttl_indexes_let_nothing_expire_before_the_swap_sets_their_expiry() {
        let built = indexes_to_build(&record(), Expiry::Never).unwrap();
        let names: Vec<&str> = built.iter().map(|index| index.get_str("name").unwrap()).collect();
        assert_eq!(names, ["seen", "b_a"]);
        assert_eq!(built[0].get_i32("expireAfterSeconds").unwrap(), NEVER_S);
        let true_expiry = indexes_to_build(&record(), Expiry::AsRecorded).unwrap();
        assert_eq!(true_expiry[0].get_i32("expireAfterSeconds").unwrap(), 60);
        let key: Vec<&String> = built[1].get_document("key").unwrap().keys().collect();
        assert_eq!(key, ["b", "a"]);
        assert_eq!(backup::expiries(&record()).unwrap(), [("seen".to_owned(), 60)]);
    }
}
