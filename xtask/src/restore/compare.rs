//! Comparisons of a backup with its shadow collections and with what is live.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::context::Restore;
use super::names::{self, Role};
use crate::backup::BackupFile;
use crate::database::{Digests, backup_inventory};
use crate::domain::inventory::{Aspect, CollectionFacts, Difference, Inventory, is_application};
use crate::domain::manifest::NamespaceKind;

impl Restore<'_> {
    /// Everything in which the shadow differs from the backup. TTL indexes and clustered collections are compared without
    /// their expiry, which is not set yet; the swap creates the views.
    pub(super) fn shadow_differences(&self, backup: &BackupFile) -> Result<Vec<Difference>> {
        let mut expected = backup_inventory(&backup.metadata.namespaces, self.live.name());
        expected
            .collections
            .retain(|name, facts| facts.kind == NamespaceKind::Collection && self.is_swapped(name));
        let mut found = self.inventory_of_role(Role::Shadow)?;
        for inventory in [&mut expected, &mut found] {
            for facts in inventory.collections.values_mut() {
                without_expiry(&mut facts.indexes);
                facts.options.remove("expireAfterSeconds");
            }
        }
        Ok(expected.compare(&found))
    }

    /// Whether the collection is restored whole, and swapped.
    pub(super) fn is_swapped(&self, name: &str) -> bool {
        self.selection.has(name) && !self.delta.collections.contains(name)
    }

    /// Everything in which the live database differs from the backup; time-series collections are left out, as the swap
    /// leaves them alone. Of what is not restored nothing is read.
    pub(super) fn live_differences(&self, backup: &BackupFile) -> Result<Vec<Difference>> {
        let mut expected = backup_inventory(&backup.metadata.namespaces, self.live.name());
        let restored = |name: &str| is_application(name) && self.selection.has(name);
        let mut found = self
            .live
            .inventory_of(Digests::Full, |name| restored(name).then(|| name.to_owned()))?;
        let stays = |facts: &CollectionFacts| facts.kind == NamespaceKind::Timeseries;
        expected
            .collections
            .retain(|name, facts| !stays(facts) && self.selection.has(name));
        found.collections.retain(|_, facts| !stays(facts));
        Ok(expected.compare(&found))
    }

    /// The operation's collections of this role, by their live names.
    pub(super) fn inventory_of_role(&self, wanted: Role) -> Result<Inventory> {
        self.live
            .inventory_of(Digests::Full, |name| match names::parse(name) {
                Some((id, role, collection)) if id == self.operation && role == wanted => {
                    Some(collection.to_owned())
                }
                _ => None,
            })
    }
}

fn without_expiry(indexes: &mut BTreeMap<String, Value>) {
    for index in indexes.values_mut() {
        let Some(index) = index.as_object_mut() else {
            continue;
        };
        // A clustered index is listed with the expiry of its collection, which has none yet.
        if index.get("clustered").is_some_and(|clustered| *clustered == true) {
            index.retain(|name, _| name != "expireAfterSeconds");
        } else if let Some(expiry) = index.get_mut("expireAfterSeconds") {
            *expiry = Value::Null;
        }
    }
}

/// Differences on one line.
pub(super) fn format_differences(differences: &[Difference]) -> String {
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Documents that were created, changed or deleted while an application continued to write, apart from everything else.
pub(super) fn split_written(differences: Vec<Difference>) -> (Vec<Difference>, Vec<Difference>) {
    differences
        .into_iter()
        .partition(|d| d.aspect.is_data() || d.aspect == Aspect::Unexpected)
}
