//! Recreates what a server lost when it was killed within a step, before a stopped operation is resumed or undone.
//!
//! `mongod` renames in its catalogue and is expected to lose nothing. A server that copies when it renames (the local one of
//! the rehearsal) came back without an index, and without what it had acknowledged a moment before. What the backup has is
//! taken from the backup; what was live before from the safety backup, which is reported: it lacks what was written after it
//! was taken.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use super::compare::format_differences;
use super::context::Restore;
use super::copy::{Copying, Expiry, indexes_to_build};
use super::journal::{Repaired, RestoreRecord, RestoreStep};
use super::names;
use crate::backup::{self, BackupFile};
use crate::database::recorded_facts;
use crate::domain::inventory::{Aspect, CollectionFacts};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::report;

impl Restore<'_> {
    /// What was live before: every collection that the swap renames to `__old_` exists somewhere, with its indexes.
    pub(super) fn repair_previous(&mut self) -> Result<()> {
        let there = self.there()?;
        let mut lost = Vec::new();
        for step in self.swap_plan()?.steps {
            let RestoreStep::RenameToPrevious { collection } = step else {
                continue;
            };
            let previous = names::previous(&self.operation, &collection);
            let history = &self.journal.history;
            let restored_is_live = history.promoted(&collection) && !history.renamed_back(&collection);
            if there.contains(&previous) {
                self.repair_indexes_of_previous(&collection, &previous)?;
            } else if there.contains(&collection) && !restored_is_live {
                self.repair_indexes_of_previous(&collection, &collection)?;
            } else {
                lost.push(collection);
            }
        }
        self.recreate_previous(&lost)
    }

    /// What is restored: every collection waits as a shadow equal to the backup's, or is live with its indexes.
    pub(super) fn repair_restored(&mut self, backup: &BackupFile) -> Result<()> {
        let there = self.there()?;
        let mut incomplete = self.incomplete_shadows(backup)?;
        let plan = self.swap_plan()?;
        for step in &plan.steps {
            let RestoreStep::PromoteShadow { collection } = step else {
                continue;
            };
            let shadow = names::shadow(&self.operation, collection);
            if there.contains(&shadow) {
                continue;
            }
            let predecessor = RestoreStep::RenameToPrevious {
                collection: collection.clone(),
            };
            let promoted = self.journal.history.promoted(collection)
                || !plan.steps.contains(&predecessor)
                || there.contains(&names::previous(&self.operation, collection));
            if there.contains(collection) && promoted {
                self.repair_indexes_of_restored(backup, collection)?;
            } else {
                incomplete.insert(collection.clone(), "the server lost it".to_owned());
            }
        }
        self.restore_again(backup, incomplete)
    }

    fn there(&self) -> Result<BTreeSet<String>> {
        let listed = self.live.listed()?.into_iter();
        let collections = listed.filter(|(_, listed)| listed.kind == NamespaceKind::Collection);
        Ok(collections.map(|(name, _)| name).collect())
    }

    /// Shadow collections that are there and not as the backup says.
    fn incomplete_shadows(&self, backup: &BackupFile) -> Result<BTreeMap<String, String>> {
        let _ticker = report::Ticker::start("comparing the restored collections with the backup again");
        let mut incomplete = BTreeMap::new();
        for difference in self.shadow_differences(backup)? {
            // Those that are live already are missing among the shadows.
            if !matches!(difference.aspect, Aspect::Missing | Aspect::Unexpected) {
                incomplete.insert(difference.collection.clone(), format_differences(&[difference]));
            }
        }
        Ok(incomplete)
    }

    fn restore_again(&mut self, backup: &BackupFile, incomplete: BTreeMap<String, String>) -> Result<()> {
        if incomplete.is_empty() {
            return Ok(());
        }
        let collections: Vec<String> = incomplete.keys().cloned().collect();
        for collection in &collections {
            self.live.drop_own(&names::shadow(&self.operation, collection))?;
        }
        let copying = Copying {
            backup,
            prefix: &names::shadow_prefix(&self.operation),
            collections: &collections,
            expiry: Expiry::Never,
        };
        copying.run(self.ctx, &self.live)?;
        let still = self.incomplete_shadows(backup)?;
        anyhow::ensure!(
            still.is_empty(),
            "what was restored again differs from the backup: {}",
            still.into_values().collect::<Vec<_>>().join("; ")
        );
        for (collection, why) in incomplete {
            let shadow = names::shadow(&self.operation, &collection);
            self.record_repair(
                shadow,
                format!("{why}; restored again from backup {}", backup.metadata.id),
            )?;
        }
        Ok(())
    }

    fn recreate_previous(&mut self, lost: &[String]) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let safety = self.safety_backup().with_context(|| {
            format!(
                "the server lost `{}` in a crash, and it cannot be recreated",
                lost.join("`, `")
            )
        })?;
        let copying = Copying {
            backup: &safety,
            prefix: &names::previous(&self.operation, ""),
            collections: lost,
            expiry: Expiry::AsRecorded,
        };
        copying.run(self.ctx, &self.live)?;
        for collection in lost {
            let what = format!(
                "the server lost it in a crash; recreated from the safety backup {}, so without what was written to it \
                 after {} UTC",
                safety.metadata.id,
                safety.metadata.timestamp.format("%F %T")
            );
            self.record_repair(names::previous(&self.operation, collection), what)?;
        }
        Ok(())
    }

    /// The last backup of this environment taken between the operation's beginning and its swap. What is being restored may
    /// have been taken within the same second, and is never it.
    fn safety_backup(&self) -> Result<BackupFile> {
        let plan = self.swap_plan()?;
        let restored = self
            .journal
            .history
            .planned
            .as_ref()
            .map(|planned| &planned.backup_id);
        let found = backup::list(self.ctx)?.into_iter().rfind(|listed| {
            listed.environment == self.ctx.env_name
                && Some(&listed.id) != restored
                && listed.verified.is_some()
                && listed.timestamp >= self.operation.began()
                && plan.begun.is_none_or(|begun| listed.timestamp <= begun)
        });
        let found =
            found.context("no backup was taken between the beginning of the operation and its swap")?;
        backup::find(self.ctx, &found.id)
    }

    fn repair_indexes_of_previous(&mut self, collection: &str, full_name: &str) -> Result<()> {
        let plan = self.swap_plan()?;
        let Some(before) = plan.before.collections.get(collection) else {
            return Ok(());
        };
        let missing = self.missing_indexes(before, full_name)?;
        let indexes: Vec<Document> = missing
            .iter()
            .filter_map(|name| index_of_facts(name, before.indexes.get(name)?))
            .map(|index| collated(index, before))
            .collect();
        self.rebuild_indexes(full_name, &missing, &indexes)
    }

    fn repair_indexes_of_restored(&mut self, backup: &BackupFile, collection: &str) -> Result<()> {
        let own = |n: &&NamespaceRecord| n.database == self.live.name() && n.collection == collection;
        let Some(record) = backup.metadata.namespaces.iter().find(own) else {
            return Ok(());
        };
        let missing = self.missing_indexes(&recorded_facts(record), collection)?;
        // The last steps of the swap, which are repeated, set the expiry.
        let mut indexes = indexes_to_build(record, Expiry::Never)?;
        indexes.retain(|index| {
            index
                .get_str("name")
                .is_ok_and(|name| missing.iter().any(|m| m == name))
        });
        self.rebuild_indexes(collection, &missing, &indexes)
    }

    fn missing_indexes(&self, facts: &CollectionFacts, full_name: &str) -> Result<Vec<String>> {
        let found = self.live.indexes(full_name)?;
        let found: BTreeSet<&str> = found
            .iter()
            .filter_map(|index| index.get_str("name").ok())
            .collect();
        let missing = facts.indexes.keys().filter(|name| !found.contains(name.as_str()));
        Ok(missing.cloned().collect())
    }

    fn rebuild_indexes(&mut self, full_name: &str, missing: &[String], indexes: &[Document]) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        self.live.create_indexes(full_name, indexes)?;
        let what = format!("the server lost the indexes {}; rebuilt", missing.join(", "));
        self.record_repair(full_name.to_owned(), what)
    }

    fn record_repair(&mut self, collection: String, what: String) -> Result<()> {
        report::progress(&format!("warning: `{collection}`: {what}"));
        self.journal
            .write(&RestoreRecord::Repaired(Repaired { collection, what }))
    }
}

/// An index without a collation has the simple one, also where its collection has another.
fn collated(mut index: Document, before: &CollectionFacts) -> Document {
    if before.options.contains_key("collation") && !index.contains_key("collation") {
        index.insert("collation", doc! { "locale": "simple" });
    }
    index
}

/// An index from its normal form.
fn index_of_facts(name: &str, facts: &Value) -> Option<Document> {
    let Ok(Bson::Document(mut index)) = serde_json::from_value::<Bson>(facts.clone()) else {
        return None;
    };
    index.insert("name", name);
    Some(index)
}
