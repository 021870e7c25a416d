//! Whether `restore` can restore a backup: one check for `backup create`, which reports what it finds at once, and for the
//! preflight of a restore, which refuses.

use std::collections::BTreeMap;

use anyhow::Result;
use mongodb::bson::Document;

use super::indexes::clustered_expiry;
use crate::archive::names::{STORED_FUNCTIONS, restore_problems};
use crate::database::{
    Buildable, Digests, Live, Privileges, Space, backup_inventory, document_of_json, index_problems,
};
use crate::domain::inventory::{is_application, is_reserved};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::domain::restore_name;
use crate::report;
use crate::tools::mongorestore::MAX_EXCLUDED;

/// What a restore does with the database, as the server's roles name it.
const NEEDED_ACTIONS: [&str; 8] = [
    "find",
    "insert",
    "createCollection",
    "createIndex",
    "dropCollection",
    "renameCollectionSameDB",
    "collMod",
    "listCollections",
];
/// The second copy needs room for its documents and indexes; the server compresses, so this is generous.
const SPACE_FACTOR_PERCENT: u64 = 130;
/// The option of a collection with Queryable Encryption.
const ENCRYPTED: &str = "encryptedFields";

/// What a backup holds that a restore does not restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restorable {
    /// Each of them forbids the restore.
    pub problems: Vec<String>,
    /// What is in the backup, and what a restore leaves as it is.
    pub left_alone: Vec<String>,
    /// What servers of today do not build as it was.
    pub altered: Vec<String>,
}

/// Checks what a backup holds of one database.
pub fn restorable(namespaces: &[NamespaceRecord], database: &str) -> Restorable {
    let mut found = Restorable::default();
    if backup_inventory(namespaces, database).collections.is_empty() {
        found.problem(format!("the backup holds nothing of the database `{database}`"));
    }
    for namespace in namespaces {
        if namespace.database.is_empty() {
            found.problem(
                "the backup has an oplog: only `mongorestore --oplogReplay` restores it to its moment".into(),
            );
        } else {
            let (from, name) = (&namespace.database, &namespace.collection);
            found.namespace(from, name, namespace.kind, database);
            found.recorded_indexes(namespace, database);
            if namespace.options.get(ENCRYPTED).is_some() {
                found.encrypted(name);
            }
        }
    }
    let left_out = namespaces
        .iter()
        .filter(|n| n.kind != NamespaceKind::Collection)
        .count();
    if left_out > MAX_EXCLUDED {
        found.problem(format!(
            "{left_out} views are more than one run of mongorestore can leave out ({MAX_EXCLUDED})"
        ));
    }
    found
}

/// Checks what is live, before there is a backup of it, and the server itself. What restores left, and what the server keeps, is no
/// part of a backup.
pub fn restorable_live(live: &Live) -> Result<Restorable> {
    let mut found = Restorable::default();
    let database = live.name();
    let mut collections = Vec::new();
    for (name, listed) in live.listed()? {
        if !is_application(&name) && name != STORED_FUNCTIONS {
            continue;
        }
        found.namespace(database, &name, listed.kind, database);
        if listed.options.contains_key(ENCRYPTED) {
            found.encrypted(&name);
        }
        if listed.kind == NamespaceKind::Collection {
            found.indexes(&name, &live.indexes(&name)?);
            collections.push(name);
        }
    }
    let names = || collections.iter().map(String::as_str);
    let search = live.search_indexes(names())?;
    found.left_alone.extend(search.hidden_text());
    let facts = live.inventory(Digests::None)?.collections;
    let bytes = facts.values().map(|facts| facts.bytes).sum();
    for why in server_problems(live, names(), bytes)? {
        found.problem(why);
    }
    Ok(found)
}

/// What the server, or the rights of this user, lack for a restore of so many bytes of documents of these collections.
pub(super) fn server_problems<'a>(
    live: &Live,
    collections: impl Iterator<Item = &'a str>,
    bytes: u64,
) -> Result<Vec<String>> {
    let mut found = sharded(live, collections)?;
    found.extend(missing_rights(live));
    found.extend(room_problem(live.space()?, needed_bytes(bytes)));
    Ok(found)
}

/// Those of these collections that are on several shards: a restored one would be on one.
pub fn sharded<'a>(live: &Live, collections: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if live.is_router()? {
        for name in collections {
            if live.is_sharded(name)? {
                let name = name.escape_debug();
                found.push(format!("`{name}` is sharded, and a restored one would not be"));
            }
        }
    }
    Ok(found)
}

/// Room that the second copy needs.
pub const fn needed_bytes(bytes: u64) -> u64 {
    bytes.saturating_mul(SPACE_FACTOR_PERCENT) / 100
}

/// Why the second copy has no room, where the server reports its own.
pub fn room_problem(space: Option<Space>, needed_bytes: u64) -> Option<String> {
    let free_bytes = space?.free_bytes;
    (free_bytes < needed_bytes).then(|| {
        format!(
            "the second copy needs about {}, the server has {}",
            report::bytes(needed_bytes),
            report::bytes(free_bytes)
        )
    })
}

/// What this user may not do, and a restore does.
pub fn missing_rights(live: &Live) -> Option<String> {
    let Privileges::Actions(actions) = live.privileges() else {
        return None;
    };
    let missing = NEEDED_ACTIONS.iter().filter(|action| !actions.contains(**action));
    let missing: Vec<&str> = missing.copied().collect();
    (!missing.is_empty()).then(|| {
        format!(
            "the database user may not {} on `{}` (Atlas: give it `readWriteAnyDatabase` and `dbAdmin`)",
            missing.join(", "),
            live.name()
        )
    })
}

/// Why a collection of this name cannot be moved aside.
pub fn live_problem(database: &str, collection: &str) -> Option<String> {
    let name = collection.escape_debug();
    (is_application(collection) && !restore_name::fits(database, collection))
        .then(|| format!("`{name}` has a name too long to be kept beside the live one"))
}

impl Restorable {
    fn problem(&mut self, text: String) {
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    fn encrypted(&mut self, collection: &str) {
        self.problem(format!(
            "`{}` has Queryable Encryption: its collections of metadata belong to its own number, which a restored one has not",
            collection.escape_debug()
        ));
    }

    /// What a backup has of the indexes of a collection, and of the expiry of one that is itself an index.
    fn recorded_indexes(&mut self, namespace: &NamespaceRecord, database: &str) {
        if namespace.database != database || !is_application(&namespace.collection) {
            return;
        }
        if let Err(error) = clustered_expiry(namespace) {
            self.problem(format!("{error:#}"));
        }
        let indexes = namespace.indexes.iter().map(document_of_json);
        match indexes.collect::<Result<Vec<Document>, _>>() {
            Ok(indexes) => self.indexes(&namespace.collection, &indexes),
            Err(error) => self.problem(format!(
                "an index of `{}` is not readable: {error:#}",
                namespace.collection.escape_debug()
            )),
        }
    }

    fn indexes(&mut self, collection: &str, indexes: &[Document]) {
        let collection = collection.escape_debug();
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for index in indexes {
            let name = index
                .get_str("name")
                .unwrap_or_default()
                .escape_debug()
                .to_string();
            let shown = format!("index `{name}` of `{collection}`");
            for why in index_problems(index) {
                self.problem(format!("{shown} {why}"));
            }
            let mut built = Buildable::of(index);
            for what in &built.altered {
                self.altered
                    .push(format!("{shown} is restored otherwise: {what}"));
            }
            built.index.remove("name");
            let same = known.insert(built.index.to_string(), name);
            if let Some(other) = same.filter(|_| !built.altered.is_empty()) {
                self.problem(format!(
                    "{shown} and index `{other}` are one for servers of today: drop one of them"
                ));
            }
        }
    }

    fn namespace(&mut self, from: &str, collection: &str, kind: NamespaceKind, database: &str) {
        for why in restore_problems(from, collection, Some(database)) {
            self.problem(why);
        }
        let name = collection.escape_debug();
        if is_reserved(collection) {
            self.problem(format!("`{name}` has a name that only a restore gives"));
        }
        if let Some(why) = live_problem(database, collection) {
            self.problem(why);
        }
        if kind == NamespaceKind::Timeseries {
            self.left_alone.push(format!(
                "`{name}` is a time-series collection, which no server renames: a restore and a rollback leave the live one as it is, \
                 see \"Time-series collections\" in docs/RESTORE.md"
            ));
        }
        if collection == STORED_FUNCTIONS {
            self.left_alone.push(format!(
                "`{STORED_FUNCTIONS}` is in the backup, but no server lets a collection be renamed to it: \
                 a restore leaves the live one as it is, and `mongorestore` restores it"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn indexes_of_servers_of_before_are_named_and_what_no_server_builds_is_a_problem() {
        let indexes = |options: &serde_json::Value, indexes: &serde_json::Value| {
            let record = json!({
                "database": "shop", "collection": "c", "type": "collection", "documents": 0, "bytes": 0,
                "crc": "", "content_digest": "0".repeat(64), "options": options, "indexes": indexes,
            });
            restorable(&[serde_json::from_value(record).unwrap()], "shop")
        };
        let nan = json!({ "$numberDouble": "NaN" });
        let of_before = indexes(
            &json!({}),
            &json!([
                { "v": 1, "key": { "_id": 1 }, "name": "_id_" },
                { "v": 1, "key": { "at": 1 }, "name": "ttl", "expireAfterSeconds": nan },
                { "v": 1, "key": { "a": true }, "name": "a", "w": 1 },
            ]),
        );
        assert_eq!(of_before.problems, [""; 0]);
        let named = [
            "index `ttl` of `c` is restored otherwise: its expiry of NaN means never, 2147483647 seconds: no server takes it",
            "index `a` of `c` is restored otherwise: key `a` is 1 instead of true, which meant the same",
            "index `a` of `c` is restored otherwise: without the option `w`, where the server refuses it",
        ];
        assert_eq!(of_before.altered, named);
        let clustered = json!({ "clusteredIndex": true, "expireAfterSeconds": nan });
        let encrypted = json!({ "encryptedFields": { "fields": [] } });
        for (options, list, why) in [
            (
                json!({}),
                json!([{ "key": { "a": "geoHaystack" }, "name": "a" }]),
                "geoHaystack",
            ),
            (
                json!({}),
                json!([{ "key": { "a": 1 }, "name": "a" }, { "key": { "a": true }, "name": "b" }]),
                "index `b` of `c` and index `a` are one",
            ),
            (
                json!({}),
                json!([{ "key": { "a": { "$oid": 7 } }, "name": "a" }]),
                "not readable",
            ),
            (encrypted, json!([]), "has Queryable Encryption"),
            (clustered, json!([]), "no server takes the expiry NaN of `shop.c`"),
        ] {
            let found = indexes(&options, &list);
            assert!(
                found.problems.len() == 1 && found.problems[0].contains(why),
                "{found:?}"
            );
        }
    }

    fn found(collections: &[(&str, &str)]) -> Restorable {
        let records: Vec<NamespaceRecord> = collections
            .iter()
            .map(|(name, kind)| {
                let record = json!({
                    "database": "shop", "collection": name, "type": kind, "documents": 0, "bytes": 0,
                    "crc": "", "content_digest": "0".repeat(64), "options": {}, "indexes": [],
                });
                serde_json::from_value(record).unwrap()
            })
            .collect();
        restorable(&records, "shop")
    }

    #[test]
    fn what_no_restore_can_restore_is_named_and_everything_else_passes() {
        let ordinary = [
            ("users", "collection"),
            ("trailing ", "collection"),
            ("seen", "view"),
        ];
        assert_eq!(found(&ordinary), Restorable::default());
        let long = "c".repeat(240);
        for (name, kind, why) in [
            ("/etc", "collection", "has the form of a path"),
            ("a\tb", "collection", "control character"),
            ("a\u{7f}b", "collection", "control character"),
            ("a\nb", "collection", "control character"),
            (long.as_str(), "collection", "too long"),
            (
                "__old_20260102-030405-ab12_users",
                "collection",
                "only a restore gives",
            ),
        ] {
            let found = found(&[("users", "collection"), (name, kind)]);
            assert_eq!(found.problems.len(), 1, "{found:?}");
            assert!(found.problems[0].contains(why), "{found:?}");
            assert!(!found.problems[0].chars().any(char::is_control), "{found:?}");
        }
        let stored = found(&[("users", "collection"), ("system.js", "collection")]);
        assert_eq!((stored.problems.len(), stored.left_alone.len()), (0, 1));
        let metered = found(&[("users", "collection"), ("metered", "timeseries")]);
        assert_eq!((metered.problems.len(), metered.left_alone.len()), (0, 1));
        assert!(metered.left_alone[0].contains("`metered` is a time-series"));
        assert_eq!(
            found(&[]).problems,
            ["the backup holds nothing of the database `shop`"]
        );
        let views: Vec<String> = (0..=MAX_EXCLUDED).map(|n| format!("v{n}")).collect();
        let views: Vec<(&str, &str)> = views.iter().map(|name| (name.as_str(), "view")).collect();
        assert!(found(&views).problems[0].contains("2001 views"));
    }
}
