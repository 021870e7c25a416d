//! Comparisons of a backup with its shadow collections and with what is live.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::backup_documents::{BackupPass, in_scope};
use super::context::Restore;
use super::names::{self, Role};
use super::scope::CompareScope;
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
    /// leaves them alone. Of what is not restored nothing is read, and of what was put back in place what was written since the
    /// backup.
    pub(super) fn live_differences(&self, backup: &BackupFile) -> Result<Vec<Difference>> {
        let mut expected = backup_inventory(&backup.metadata.namespaces, self.live.name());
        let restored = |name: &str| is_application(name) && self.selection.has(name);
        let in_place: Vec<String> = self.delta.collections.iter().cloned().collect();
        let scope = self.proof_scope(backup, &in_place)?;
        let of_scope = |digests, in_scope: bool| {
            let named = |name: &str| restored(name) && scope.ids(name).is_some() == in_scope;
            self.live
                .inventory_of(digests, |name| named(name).then(|| name.to_owned()))
        };
        let mut found = of_scope(Digests::Full, false)?;
        let mut in_scope = of_scope(Digests::Structure, true)?;
        self.add_documents(backup, &scope, &expected, &mut in_scope)?;
        found.collections.append(&mut in_scope.collections);
        let stays = |facts: &CollectionFacts| facts.kind == NamespaceKind::Timeseries;
        expected
            .collections
            .retain(|name, facts| !stays(facts) && self.selection.has(name));
        found.collections.retain(|_, facts| !stays(facts));
        Ok(expected.compare(&found))
    }

    /// These collections are compared by what was written since the backup, unless a process was killed.
    pub(super) fn proof_scope(&self, backup: &BackupFile, names: &[String]) -> Result<CompareScope> {
        if self.after_crash {
            return Ok(CompareScope::everything());
        }
        CompareScope::of(&self.live, backup, names)
    }

    /// What the collections hold: what is recorded of the backup, less what it has of the documents that were written since, with
    /// what is live of them.
    fn add_documents(
        &self,
        backup: &BackupFile,
        scope: &CompareScope,
        expected: &Inventory,
        found: &mut Inventory,
    ) -> Result<()> {
        for (name, facts) in &mut found.collections {
            let Some(recorded) = expected.collections.get(name) else {
                continue;
            };
            (facts.documents, facts.bytes) = (recorded.documents, recorded.bytes);
            facts.content_digest = recorded.content_digest;
            facts.order.clone_from(&recorded.order);
        }
        let names: Vec<String> = found
            .collections
            .iter_mut()
            .filter_map(|(name, facts)| (!self.remove_read(name, scope, facts)).then(|| name.clone()))
            .collect();
        if !names.is_empty() {
            self.remove_of_backup(backup, scope, &names, found)?;
        }
        for (name, facts) in &mut found.collections {
            scope.scan(&self.live, name, name, |raw| {
                facts.add(raw);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Takes out what was read of the backup before the documents were put back, and gives whether that is all.
    fn remove_read(&self, name: &str, scope: &CompareScope, facts: &mut CollectionFacts) -> bool {
        let Some((ids, read)) = scope.ids(name).zip(self.of_backup.get(name)) else {
            return false;
        };
        if !ids.keys().all(|id| read.contains_key(id)) {
            return false;
        }
        for (digest, bytes) in ids.keys().filter_map(|id| read.get(id)?.as_ref()) {
            facts.remove_read(digest, *bytes);
        }
        true
    }

    /// Takes out what the backup has of the documents that were written since: a pass over it.
    fn remove_of_backup(
        &self,
        backup: &BackupFile,
        scope: &CompareScope,
        names: &[String],
        found: &mut Inventory,
    ) -> Result<()> {
        let database = self.live.name();
        in_scope(
            self.ctx,
            backup,
            database,
            names,
            scope,
            BackupPass::Own,
            |number, raw| {
                if let Some(facts) = found.collections.get_mut(&names[number]) {
                    facts.remove(raw);
                }
                Ok(())
            },
        )
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
