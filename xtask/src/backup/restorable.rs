//! Whether `restore` can restore a backup: one check for `backup create`, which reports what it finds at once, and for the
//! preflight of a restore, which refuses.

use crate::archive::names::{STORED_FUNCTIONS, restore_problems};
use crate::database::backup_inventory;
use crate::domain::inventory::{is_application, is_reserved};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::domain::restore_name;
use crate::tools::mongorestore::MAX_EXCLUDED;

/// What a backup holds that a restore does not restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restorable {
    /// Each of them forbids the restore.
    pub problems: Vec<String>,
    /// What is in the backup, and what a restore leaves as it is.
    pub left_alone: Vec<String>,
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
            found.namespace(namespace, database);
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

/// What a database would be told of a collection of this name and kind that is live.
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

    fn namespace(&mut self, namespace: &NamespaceRecord, database: &str) {
        let collection = &namespace.collection;
        for why in restore_problems(&namespace.database, collection, Some(database)) {
            self.problem(why);
        }
        let name = collection.escape_debug();
        if is_reserved(collection) {
            self.problem(format!("`{name}` has a name that only a restore gives"));
        }
        if let Some(why) = live_problem(database, collection) {
            self.problem(why);
        }
        if namespace.kind == NamespaceKind::Timeseries {
            self.problem(format!(
                "`{name}` is a time-series collection, which cannot be renamed: \
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
            ("/etc", "collection", "looks like a path"),
            ("a\tb", "collection", "control character"),
            ("a\u{7f}b", "collection", "control character"),
            ("a\nb", "collection", "control character"),
            (long.as_str(), "collection", "too long"),
            ("metered", "timeseries", "time-series"),
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
        assert_eq!(
            found(&[]).problems,
            ["the backup holds nothing of the database `shop`"]
        );
        let views: Vec<String> = (0..=MAX_EXCLUDED).map(|n| format!("v{n}")).collect();
        let views: Vec<(&str, &str)> = views.iter().map(|name| (name.as_str(), "view")).collect();
        assert!(found(&views).problems[0].contains("2001 views"));
    }
}
