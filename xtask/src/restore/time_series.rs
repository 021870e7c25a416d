//! Time-series collections: no server renames them, so a restore leaves them as they are and compares them.

use std::collections::BTreeSet;

use anyhow::Result;

use super::selection::Selection;
use crate::backup::BackupFile;
use crate::database::{Digests, Live, backup_inventory};
use crate::domain::inventory::{CollectionFacts, Inventory, is_application};
use crate::domain::manifest::NamespaceKind;

/// Every time-series collection of the backup and of the live database, with what it has and the backup has not.
pub(super) fn stay(
    live: &Live,
    backup: &BackupFile,
    selection: &Selection,
    digests: Digests,
) -> Result<Vec<String>> {
    let expected = backup_inventory(&backup.metadata.namespaces, live.name());
    let listed = live.listed()?;
    let of_live = listed.iter().filter(|(_, l)| l.kind == NamespaceKind::Timeseries);
    let of_backup = expected.collections.iter().filter(|(_, facts)| is_one(facts));
    let names: BTreeSet<&String> = of_live
        .map(|(name, _)| name)
        .chain(of_backup.map(|(name, _)| name))
        .filter(|name| is_application(name) && selection.has(name))
        .collect();
    let found = live.inventory_of(digests, |name| {
        let is_series = listed
            .get(name)
            .is_some_and(|l| l.kind == NamespaceKind::Timeseries);
        (is_series && names.contains(&name.to_owned())).then(|| name.to_owned())
    })?;
    Ok(names
        .into_iter()
        .map(|name| text(name, &expected, &found))
        .collect())
}

fn is_one(facts: &CollectionFacts) -> bool {
    facts.kind == NamespaceKind::Timeseries
}

fn text(name: &str, expected: &Inventory, found: &Inventory) -> String {
    let one_of = |inventory: &Inventory| {
        let facts = inventory.collections.get(name).filter(|facts| is_one(facts));
        let collections = facts.map(|facts| (name.to_owned(), facts.clone()));
        Inventory {
            collections: collections.into_iter().collect(),
        }
    };
    let (expected, found) = (one_of(expected), one_of(found));
    let how = match (expected.collections.get(name), found.collections.get(name)) {
        (Some(_), None) => "is in the backup and not live: it is not restored".to_owned(),
        (None, _) => "stays as it is: the backup has no time-series collection of this name".to_owned(),
        (Some(_), Some(facts)) => {
            let differences = expected.compare(&found);
            let texts: Vec<String> = differences.iter().map(|d| d.aspect.to_string()).collect();
            match (texts.is_empty(), facts.content_digest) {
                (true, Some(_)) => "is as in the backup".to_owned(),
                (true, None) => "stays as it is: its documents were not compared".to_owned(),
                (false, _) => format!("stays as it is, and not as in the backup: {}", texts.join("; ")),
            }
        }
    };
    format!("time-series collection `{name}` {how}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::content_digest::ContentDigest;

    #[test]
    fn what_became_of_a_time_series_collection_is_told_in_words() {
        let with = |kind: &str, documents: u64, digest: Option<&str>, option: u64| {
            let facts = json!({
                "kind": kind, "documents": documents, "bytes": 0, "indexes": {}, "options": { "a": option },
                "content_digest": digest.map(|digit| digit.repeat(64)),
            });
            let facts: CollectionFacts = serde_json::from_value(facts).unwrap();
            Inventory {
                collections: [("m".to_owned(), facts)].into(),
            }
        };
        let zero = ContentDigest::default().to_string();
        assert_eq!(zero.len(), 64);
        let (none, backup) = (Inventory::default(), with("timeseries", 2, Some("0"), 1));
        for (expected, found, ends) in [
            (&backup, &backup, "is as in the backup"),
            (&backup, &none, "it is not restored"),
            (&none, &backup, "no time-series collection of this name"),
            (
                &with("collection", 2, Some("0"), 1),
                &backup,
                "no time-series collection of this name",
            ),
            (&backup, &with("timeseries", 0, None, 1), "were not compared"),
            (
                &backup,
                &with("timeseries", 2, Some("1"), 1),
                "the backup: as many documents, but not the same ones",
            ),
            (
                &backup,
                &with("timeseries", 3, Some("1"), 2),
                "the backup: 3 documents instead of 2; option `a` differs",
            ),
        ] {
            let told = text("m", expected, found);
            assert!(
                told.ends_with(ends) && told.starts_with("time-series collection `m` "),
                "{told}"
            );
        }
    }
}
