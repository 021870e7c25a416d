//! Time-series collections: no server renames them, so a restore leaves them as they are, compares them, and names the commands
//! that restore them with stock tools.

use std::collections::BTreeSet;
use std::fmt;

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
        let state = SeriesState::of(name, &expected, &found);
        lines.push(format!("time-series collection `{name}` {state}"));
        if !matches!(state, SeriesState::AsInBackup | SeriesState::NotInBackup) {
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

/// How a time-series collection that stays compares with that of the backup.
#[derive(Debug, PartialEq)]
enum SeriesState {
    AsInBackup,
    NotInBackup,
    NotLive,
    NotCompared,
    /// In these ways.
    Differs(Vec<String>),
}

impl SeriesState {
    fn of(name: &str, expected: &Inventory, found: &Inventory) -> Self {
        let one_of = |inventory: &Inventory| {
            let facts = inventory.collections.get(name).filter(|facts| is_one(facts));
            let collections = facts.map(|facts| (name.to_owned(), facts.clone()));
            Inventory {
                collections: collections.into_iter().collect(),
            }
        };
        let (expected, found) = (one_of(expected), one_of(found));
        match (expected.collections.get(name), found.collections.get(name)) {
            (Some(_), None) => Self::NotLive,
            (None, _) => Self::NotInBackup,
            (Some(_), Some(facts)) => {
                let differences = expected.compare(&found);
                match (differences.is_empty(), facts.content_digest) {
                    (true, Some(_)) => Self::AsInBackup,
                    (true, None) => Self::NotCompared,
                    (false, _) => Self::Differs(differences.iter().map(|d| in_buckets(&d.aspect)).collect()),
                }
            }
        }
    }
}

impl fmt::Display for SeriesState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsInBackup => "is as in the backup",
            Self::NotInBackup => "stays as it is: the backup has no time-series collection of this name",
            Self::NotLive => "is in the backup and not live: it is not restored",
            Self::NotCompared => "stays as it is: its documents were not compared",
            Self::Differs(how) => {
                return write!(f, "stays as it is, and not as in the backup: {}", how.join("; "));
            }
        })
    }
}

/// Its documents are buckets, of many measurements each.
fn in_buckets(aspect: &Aspect) -> String {
    match aspect {
        Aspect::Documents { expected, found } => format!("{found} buckets instead of {expected}"),
        Aspect::Content => "as many buckets, but not the same ones".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::content_digest::ContentDigest;

    #[test]
    fn what_becomes_of_a_time_series_collection() {
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
        let differs = |how: &[&str]| SeriesState::Differs(how.iter().map(ToString::to_string).collect());
        for (expected, found, state) in [
            (&backup, &backup, SeriesState::AsInBackup),
            (&backup, &none, SeriesState::NotLive),
            (&none, &backup, SeriesState::NotInBackup),
            (
                &with("collection", 2, Some("0"), 1),
                &backup,
                SeriesState::NotInBackup,
            ),
            (&backup, &with("timeseries", 0, None, 1), SeriesState::NotCompared),
            (
                &backup,
                &with("timeseries", 2, Some("1"), 1),
                differs(&["as many buckets, but not the same ones"]),
            ),
            (
                &backup,
                &with("timeseries", 3, Some("1"), 2),
                differs(&["3 buckets instead of 2", "option `a` differs"]),
            ),
        ] {
            assert_eq!(SeriesState::of("m", expected, found), state);
        }
        assert_eq!(
            differs(&["a", "b"]).to_string(),
            "stays as it is, and not as in the backup: a; b"
        );
    }
}
