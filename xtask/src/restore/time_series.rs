//! Time-series collections: no server renames them, so a restore leaves them as they are, compares them, and names the commands
//! that restore them with stock tools.

use std::collections::BTreeSet;

use anyhow::Result;

use super::selection::Selection;
use crate::backup::BackupFile;
use crate::database::{Digests, Live, backup_inventory};
use crate::domain::inventory::{Aspect, CollectionFacts, Inventory, is_application};
use crate::domain::manifest::NamespaceKind;

/// Every time-series collection of the backup and of the live database, with what it has and the backup has not, and how that of
/// the backup is restored.
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
    let mut lines = Vec::new();
    for name in names {
        let state = text(name, &expected, &found);
        let is_behind = expected.collections.get(name).is_some_and(is_one) && !state.ends_with(AS_IN_BACKUP);
        lines.push(state);
        if is_behind {
            lines.extend(commands(backup, live.name(), name));
        }
    }
    Ok(lines)
}

/// What restores it with stock tools: first into another database, where nothing live is changed and it shows whether this
/// server takes the buckets back; then in its place.
///
/// `--nsInclude` would not do: where the connection string names a database, mongorestore adds all of that database to it
/// (mongo-tools `ParseAndValidateOptions`), and `--drop` would replace every collection of the backup.
fn commands(backup: &BackupFile, database: &str, name: &str) -> [String; 2] {
    let quote =
        |text: &str| shlex::try_quote(text).map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
    let file = quote(&backup.path.to_string_lossy());
    let archive = match (&backup.metadata.base, backup.metadata.encrypted) {
        (Some(_), _) => "ARCHIVE (\"A differential backup\" in docs/EMERGENCY.md) <".to_owned(),
        (None, true) => format!("age -d -i KEY {file} | tar -xzO --wildcards 'data/*' |"),
        (None, false) => format!("tar -xzOf {file} --wildcards 'data/*' |"),
    };
    let restore = format!(
        "{archive} mongorestore --config URI.yaml --archive --db {} --collection {}",
        quote(database),
        quote(&name.replace('\\', "\\\\").replace('*', "\\*"))
    );
    let elsewhere =
        [format!("{database}.*"), format!("{database}_restored.*")].map(|pattern| quote(&pattern));
    [
        format!(
            "to restore `{name}`, first into another database: {restore} --nsFrom {} --nsTo {}",
            elsewhere[0], elsewhere[1]
        ),
        format!("then, after a backup and with the writers stopped, in its place: {restore} --drop"),
    ]
}

fn is_one(facts: &CollectionFacts) -> bool {
    facts.kind == NamespaceKind::Timeseries
}

const AS_IN_BACKUP: &str = "is as in the backup";

/// Its documents are buckets, of many measurements each.
fn in_buckets(aspect: &Aspect) -> String {
    match aspect {
        Aspect::Documents { expected, found } => format!("{found} buckets instead of {expected}"),
        Aspect::Content => "as many buckets, but not the same ones".to_owned(),
        other => other.to_string(),
    }
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
            let texts: Vec<String> = differences.iter().map(|d| in_buckets(&d.aspect)).collect();
            match (texts.is_empty(), facts.content_digest) {
                (true, Some(_)) => AS_IN_BACKUP.to_owned(),
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
                "the backup: as many buckets, but not the same ones",
            ),
            (
                &backup,
                &with("timeseries", 3, Some("1"), 2),
                "the backup: 3 buckets instead of 2; option `a` differs",
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
