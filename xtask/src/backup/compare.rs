//! What arrived against what mongodump says and what the server lists: an exit code of 0 proves nothing.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use super::source::{NamespaceList, is_of_the_server};
use crate::domain::inventory::is_application;
use crate::domain::manifest::{NamespaceKind, NamespaceRecord, namespace_name};

/// Every collection has its `done dumping` line with our count, and no line is about something else.
pub(super) fn counts(namespaces: &[NamespaceRecord], said: &BTreeMap<String, u64>) -> Result<()> {
    let mut said = said.clone();
    for namespace in namespaces {
        let name = namespace.name();
        // Servers before 8.3 keep a time-series collection in a bucket collection, which is what is dumped.
        let buckets = format!("{}.system.buckets.{}", namespace.database, namespace.collection);
        let count = said.remove(&name).or_else(|| said.remove(&buckets));
        match count {
            Some(count) if count == namespace.documents => {}
            Some(count) => bail!(
                "mongodump reported {count} documents of `{name}`, but {} arrived",
                namespace.documents
            ),
            // Some versions say so of a view, with 0 documents, and some do not.
            None if namespace.kind == NamespaceKind::View => {}
            None => bail!("mongodump did not report that it finished `{name}`"),
        }
    }
    let unknown: Vec<String> = said.into_keys().collect();
    ensure!(
        unknown.is_empty(),
        "mongodump reported {}, but nothing of it arrived",
        unknown.join(", ")
    );
    Ok(())
}

/// What the server lists before and after the dump is what the archive holds. Collections that came or went while the
/// dump ran are warnings; one that was there all the time must be in the archive. `only` is the one database asked for.
pub(super) fn listings(
    only: Option<&str>,
    namespaces: &[NamespaceRecord],
    before: &NamespaceList,
    after: &NamespaceList,
) -> Result<Vec<String>> {
    if let Some(foreign) = namespaces
        .iter()
        .find(|n| only.is_some_and(|only| n.database != only))
    {
        bail!("the archive holds `{}`, which was not asked for", foreign.name());
    }
    let dumped: NamespaceList = namespaces
        .iter()
        .filter(|n| is_own(n))
        .map(|n| ((n.database.clone(), n.collection.clone()), n.kind))
        .collect();
    let mut warnings = Vec::new();
    for (key, listed) in before {
        let name = namespace_name(&key.0, &key.1);
        match (dumped.get(key), after.contains_key(key)) {
            (Some(kind), _) if kind != listed => {
                bail!("`{name}` is another type of collection in the archive than on the server")
            }
            (Some(_), true) => {}
            (Some(_), false) => warnings.push(format!(
                "`{name}` was dropped during the dump: it is in the backup"
            )),
            (None, true) => {
                bail!("`{name}` was on the server before and after the dump, but is not in the archive")
            }
            (None, false) => warnings.push(format!(
                "`{name}` was dropped while the dump began: it is not in the backup"
            )),
        }
    }
    for key in after.keys().filter(|key| !before.contains_key(*key)) {
        let held = if dumped.contains_key(key) {
            "it is"
        } else {
            "it is not"
        };
        let name = namespace_name(&key.0, &key.1);
        warnings.push(format!(
            "`{name}` was created during the dump: {held} in the backup"
        ));
    }
    Ok(warnings)
}

/// Whether it is data of an application: neither the server's own, nor the oplog, nor what a restore left.
pub(super) fn is_own(namespace: &NamespaceRecord) -> bool {
    let database = &namespace.database;
    !database.is_empty() && !is_of_the_server(database) && is_application(&namespace.collection)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(database: &str, collection: &str, kind: &str, documents: u64) -> NamespaceRecord {
        serde_json::from_value(json!({
            "database": database, "collection": collection, "type": kind, "documents": documents, "bytes": 0,
            "crc": "", "content_digest": "0".repeat(64), "options": {}, "indexes": [],
        }))
        .unwrap()
    }

    fn listing(names: &[&str]) -> NamespaceList {
        let split = |name: &&str| {
            let (database, collection) = name.split_once('.').unwrap();
            (database.to_owned(), collection.to_owned())
        };
        names
            .iter()
            .map(|name| (split(name), NamespaceKind::Collection))
            .collect()
    }

    #[test]
    fn counts_must_be_those_that_mongodump_states() {
        let namespaces = [
            record("shop", "users", "collection", 3),
            record("shop", "grown", "view", 0),
            record("shop", "metered", "timeseries", 2),
            record("", "oplog", "collection", 1),
        ];
        let said = |counts: &[(&str, u64)]| counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let good = [
            ("shop.users", 3),
            ("shop.system.buckets.metered", 2),
            ("oplog", 1),
        ];
        counts(&namespaces, &said(&good)).unwrap();
        for (at, name) in [(0, "shop.users"), (2, "oplog")] {
            let mut wrong = good;
            wrong[at].1 += 1;
            let error = counts(&namespaces, &said(&wrong)).unwrap_err().to_string();
            assert!(error.contains(&format!("of `{name}`, but")), "{error}");
            let without: Vec<(&str, u64)> = good.iter().filter(|(n, _)| *n != name).copied().collect();
            let error = counts(&namespaces, &said(&without)).unwrap_err().to_string();
            assert!(error.contains(&format!("finished `{name}`")), "{error}");
        }
        let more = [&good[..], &[("shop.ghost", 1)]].concat();
        let error = counts(&namespaces, &said(&more)).unwrap_err().to_string();
        assert!(error.contains("shop.ghost"), "{error}");
    }

    #[test]
    fn what_came_or_went_meanwhile_is_told_and_what_stayed_must_be_there() {
        let dumped = [
            record("shop", "users", "collection", 1),
            record("shop", "late", "collection", 1),
            record("shop", "gone", "collection", 1),
            record("other", "x", "collection", 1),
            record("admin", "system.version", "collection", 1),
            record("", "oplog", "collection", 1),
        ];
        let before = listing(&["shop.users", "shop.gone", "shop.early", "other.x"]);
        let after = listing(&["shop.users", "shop.late", "shop.later", "other.x"]);
        let told = listings(None, &dumped, &before, &after).unwrap();
        let expected = [
            "`shop.early` was dropped while the dump began: it is not in the backup",
            "`shop.gone` was dropped during the dump: it is in the backup",
            "`shop.late` was created during the dump: it is in the backup",
            "`shop.later` was created during the dump: it is not in the backup",
        ];
        assert_eq!(told, expected);
        let error = listings(Some("shop"), &dumped, &before, &after).unwrap_err();
        assert!(
            error.to_string().contains("`other.x`, which was not asked for"),
            "{error}"
        );
        let error = listings(None, &dumped[1..], &before, &after).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`shop.users` was on the server before and after"),
            "{error}"
        );
        let view = [record("shop", "users", "view", 0)];
        let users = listing(&["shop.users"]);
        let error = listings(None, &view, &users, &users).unwrap_err();
        assert!(error.to_string().contains("another type"), "{error}");
    }
}
