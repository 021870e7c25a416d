//! A restore that stands midway: some collections are live as they were, some as they were restored, and one may be live
//! under no name at all. A backup of that would be of no moment, and could lack a collection.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::source::{BackupSource, Listing};
use crate::domain::inventory::is_reserved;
use crate::domain::manifest::NamespaceRecord;
use crate::domain::operation::OperationId;
use crate::domain::restore_name::{self, Role};
use crate::error::catalogue::backup as errors;

/// The live names whose collections stand beside the live ones, by what they are.
#[derive(Debug, Default)]
struct Beside<'a> {
    previous: BTreeSet<&'a str>,
    shadow: BTreeSet<&'a str>,
    plan: bool,
}

/// Refuses where the names in a database are those of a swap or an undo that has not ended.
pub(super) fn require_none(source: &BackupSource, listing: &Listing) -> Result<()> {
    require_names(listing)?;
    for (database, name) in &listing.beside {
        if let Some((operation, Role::Plan, _)) = restore_name::parse(name) {
            let is_midway = source.live().with_database(database).is_marked_midway(name)?;
            ensure!(!is_midway, errors::restore_midway(operation, database));
        }
    }
    Ok(())
}

fn require_names(listing: &Listing) -> Result<()> {
    let mut restores: BTreeMap<(&str, OperationId), Beside> = BTreeMap::new();
    for (database, name) in &listing.beside {
        let Some((operation, role, collection)) = restore_name::parse(name) else {
            continue;
        };
        let beside = restores.entry((database, operation)).or_default();
        match role {
            Role::Previous => drop(beside.previous.insert(collection)),
            Role::Shadow => drop(beside.shadow.insert(collection)),
            Role::Plan => beside.plan = true,
            Role::Late => {}
        }
    }
    for ((database, operation), beside) in restores {
        let is_live = |name: &str| {
            let key = (database.to_owned(), name.to_owned());
            listing.own.contains_key(&key)
        };
        ensure!(
            !beside.is_midway(is_live),
            errors::restore_midway(operation, database)
        );
    }
    Ok(())
}

/// Refuses where a restore renamed collections while the dump ran. `dumped` is what the archive of one database holds;
/// an archive of everything may have what is aside, because mongodump then takes no list of exceptions.
pub(super) fn require_still(
    before: &Listing,
    after: &Listing,
    dumped: Option<&[NamespaceRecord]>,
) -> Result<()> {
    let renamed = |listing: &Listing| -> BTreeSet<(String, String)> {
        let is_renamed = |name: &str| {
            matches!(
                restore_name::parse(name),
                Some((_, Role::Previous | Role::Late, _))
            )
        };
        let renamed = listing.beside.iter().filter(|(_, name)| is_renamed(name));
        renamed.cloned().collect()
    };
    let (was, is) = (renamed(before), renamed(after));
    if let Some((database, name)) = was.symmetric_difference(&is).next() {
        bail!(errors::restore_during_backup(format!("{database}.{name}")));
    }
    let caught = dumped.and_then(|dumped| dumped.iter().find(|n| is_reserved(&n.collection)));
    match caught {
        Some(caught) => bail!(errors::restore_during_backup(caught.name())),
        None => Ok(()),
    }
}

impl Beside<'_> {
    /// Previous collections appear and shadow collections go with each rename, so that both exist only midway. Where a live
    /// collection and both of its others exist and no plan is kept, somebody made them so: nothing is missing.
    fn is_midway(&self, is_live: impl Fn(&str) -> bool) -> bool {
        let both = !self.previous.is_empty() && !self.shadow.is_empty();
        let each_is_live =
            self.previous == self.shadow && self.previous.iter().all(|collection| is_live(collection));
        both && (self.plan || !each_is_live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::NamespaceKind;

    fn listing(names: &[&str]) -> Listing {
        let mut listing = Listing::default();
        for name in names {
            let name = name.replace("ID", "20260102-030405-ab12");
            let key = ("shop".to_owned(), name);
            if is_reserved(&key.1) {
                listing.beside.insert(key);
            } else {
                listing.own.insert(key, NamespaceKind::Collection);
            }
        }
        listing
    }

    #[test]
    fn previous_and_shadow_collections_of_one_restore_are_a_restore_midway() {
        let whole: [&[&str]; 5] = [
            &["users", "orders"],
            &[
                "users",
                "orders",
                "__new_ID_users",
                "__new_ID_orders",
                "__plan_ID",
            ],
            &[
                "users",
                "orders",
                "__old_ID_users",
                "__old_ID_orders",
                "__plan_ID",
            ],
            &["users", "__old_ID_users", "__new_ID_users"],
            &["users", "__old_ID_users", "__new_20260103-030405-ab12_users"],
        ];
        for names in whole {
            require_names(&listing(names)).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        }
        let midway: [&[&str]; 4] = [
            &["orders", "__old_ID_users", "__new_ID_users", "__new_ID_orders"],
            &["__old_ID_users", "__new_ID_users"],
            &["users", "orders", "__old_ID_users", "__new_ID_orders"],
            &["users", "__old_ID_users", "__new_ID_users", "__plan_ID"],
        ];
        for names in midway {
            let error = require_names(&listing(names)).unwrap_err().to_string();
            assert!(error.contains("20260102-030405-ab12"), "{names:?}: {error}");
        }
    }

    #[test]
    fn renames_of_a_restore_during_the_dump_are_found_and_shadows_are_not_renames() {
        let before = listing(&["users", "__new_ID_users"]);
        require_still(&before, &listing(&["users", "__plan_ID"]), Some(&[])).unwrap();
        for after in [
            &["__old_ID_users", "__new_ID_users"][..],
            &["users", "__late_ID_0_users"],
        ] {
            require_still(&before, &listing(after), Some(&[])).unwrap_err();
            require_still(&listing(after), &before, Some(&[])).unwrap_err();
        }
    }
}
