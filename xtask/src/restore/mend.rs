//! What a server lost when it was killed within a step is built anew, before a stopped operation goes on or back.
//!
//! `mongod` renames in its catalogue and is expected to lose nothing. A server that copies when it renames (the local one of
//! the rehearsal) was seen to come back without an index, and without what it had acknowledged a moment before. What the
//! backup has is taken from the backup; what was live before from the safety backup, and that is told: it lacks
//! what was written after it was taken.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use mongodb::bson::{Bson, Document};
use serde_json::Value;

use super::copy::{Copying, Expiry, indexes_to_build};
use super::names;
use super::prepare::{shadow_differences, told};
use super::record::{Log, Mended, Record, Step, SwapPlan};
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::database::Live;
use crate::domain::inventory::{Aspect, CollectionFacts};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::domain::operation::OperationId;
use crate::report;

/// A stopped operation whose collections are looked after.
pub(super) struct Mending<'a> {
    pub(super) ctx: &'a Context,
    pub(super) live: &'a Live,
    pub(super) operation: &'a OperationId,
    pub(super) log: &'a mut Log,
    pub(super) plan: &'a SwapPlan,
}

impl Mending<'_> {
    /// What was live before: every collection that the swap moves aside stands somewhere, with its indexes.
    pub(super) fn old(&mut self) -> Result<()> {
        let there = self.there()?;
        let mut lost = Vec::new();
        for step in &self.plan.steps {
            let Step::Aside { collection } = step else {
                continue;
            };
            let old = names::old(self.operation, collection);
            let restored_is_live =
                self.log.history.bringing(collection) && !self.log.history.putting_back(collection);
            if there.contains(&old) {
                self.indexes_of_before(collection, &old)?;
            } else if there.contains(collection) && !restored_is_live {
                self.indexes_of_before(collection, collection)?;
            } else {
                lost.push(collection.clone());
            }
        }
        self.rebuild_old(&lost)
    }

    /// What is restored: every collection waits as a shadow equal to the backup's, or is live with its indexes.
    pub(super) fn restored(&mut self, backup: &BackupFile) -> Result<()> {
        let there = self.there()?;
        let mut incomplete = self.incomplete_shadows(backup)?;
        for step in &self.plan.steps {
            let Step::Bring { collection } = step else {
                continue;
            };
            let shadow = names::shadow(self.operation, collection);
            if there.contains(&shadow) {
                continue;
            }
            let predecessor = Step::Aside {
                collection: collection.clone(),
            };
            let brought = self.log.history.bringing(collection)
                || !self.plan.steps.contains(&predecessor)
                || there.contains(&names::old(self.operation, collection));
            if there.contains(collection) && brought {
                self.indexes_of_backup(backup, collection)?;
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
        for difference in shadow_differences(self.live, backup, self.operation)? {
            // Those that are live already are missing among the shadows.
            if !matches!(difference.aspect, Aspect::Missing | Aspect::Unexpected) {
                incomplete.insert(difference.collection.clone(), told(&[difference]));
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
            self.live.drop_own(&names::shadow(self.operation, collection))?;
        }
        let copying = Copying {
            backup,
            prefix: &names::shadow_prefix(self.operation),
            collections: &collections,
            expiry: Expiry::Never,
        };
        copying.make(self.ctx, self.live)?;
        let still = self.incomplete_shadows(backup)?;
        anyhow::ensure!(
            still.is_empty(),
            "what was restored again is not what the backup holds: {}",
            still.into_values().collect::<Vec<_>>().join("; ")
        );
        for (collection, why) in incomplete {
            let shadow = names::shadow(self.operation, &collection);
            self.mended(
                shadow,
                format!("{why}; restored again from backup {}", backup.metadata.id),
            )?;
        }
        Ok(())
    }

    fn rebuild_old(&mut self, lost: &[String]) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let safety = self.safety_backup().with_context(|| {
            format!(
                "the server lost `{}` in a crash, and it cannot be built anew",
                lost.join("`, `")
            )
        })?;
        let copying = Copying {
            backup: &safety,
            prefix: &names::old(self.operation, ""),
            collections: lost,
            expiry: Expiry::AsRecorded,
        };
        copying.make(self.ctx, self.live)?;
        for collection in lost {
            let what = format!(
                "the server lost it in a crash; built anew from the safety backup {}, so without what was written to it \
                 after {} UTC",
                safety.metadata.id,
                safety.metadata.timestamp.format("%F %T")
            );
            self.mended(names::old(self.operation, collection), what)?;
        }
        Ok(())
    }

    /// The last backup of this environment taken between the operation's beginning and its swap. What is being restored may
    /// have been taken within the same second, and is never it.
    fn safety_backup(&self) -> Result<BackupFile> {
        let restored = self
            .log
            .history
            .planned
            .as_ref()
            .map(|planned| &planned.backup_id);
        let found = backup::list(self.ctx)?.into_iter().rfind(|listed| {
            listed.environment == self.ctx.env_name
                && Some(&listed.id) != restored
                && listed.verified.is_some()
                && listed.timestamp >= self.operation.began()
                && self.plan.begun.is_none_or(|begun| listed.timestamp <= begun)
        });
        let found =
            found.context("no backup was taken between the beginning of the operation and its swap")?;
        backup::find(self.ctx, &found.id)
    }

    fn indexes_of_before(&mut self, collection: &str, stands_as: &str) -> Result<()> {
        let Some(before) = self.plan.before.collections.get(collection) else {
            return Ok(());
        };
        let missing = self.missing_indexes(before, stands_as)?;
        let indexes: Vec<Document> = missing
            .iter()
            .filter_map(|name| index_of_facts(name, before.indexes.get(name)?))
            .collect();
        self.build(stands_as, &missing, &indexes)
    }

    fn indexes_of_backup(&mut self, backup: &BackupFile, collection: &str) -> Result<()> {
        let own = |n: &&NamespaceRecord| n.database == self.live.name() && n.collection == collection;
        let Some(record) = backup.metadata.namespaces.iter().find(own) else {
            return Ok(());
        };
        let missing = self.missing_indexes(&CollectionFacts::of_record(record), collection)?;
        // The swap's last steps, which are made again, set the expiry.
        let mut indexes = indexes_to_build(record, Expiry::Never)?;
        indexes.retain(|index| {
            index
                .get_str("name")
                .is_ok_and(|name| missing.iter().any(|m| m == name))
        });
        self.build(collection, &missing, &indexes)
    }

    fn missing_indexes(&self, facts: &CollectionFacts, stands_as: &str) -> Result<Vec<String>> {
        let found = self.live.indexes(stands_as)?;
        let found: BTreeSet<&str> = found
            .iter()
            .filter_map(|index| index.get_str("name").ok())
            .collect();
        let missing = facts.indexes.keys().filter(|name| !found.contains(name.as_str()));
        Ok(missing.cloned().collect())
    }

    fn build(&mut self, stands_as: &str, missing: &[String], indexes: &[Document]) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        self.live.create_indexes(stands_as, indexes)?;
        let what = format!("the server lost the indexes {}; built again", missing.join(", "));
        self.mended(stands_as.to_owned(), what)
    }

    fn mended(&mut self, collection: String, what: String) -> Result<()> {
        report::progress(&format!("warning: `{collection}`: {what}"));
        self.log.write(&Record::Mended(Mended { collection, what }))
    }
}

/// An index from its normal form.
fn index_of_facts(name: &str, facts: &Value) -> Option<Document> {
    let Ok(Bson::Document(mut index)) = serde_json::from_value::<Bson>(facts.clone()) else {
        return None;
    };
    index.insert("name", name);
    Some(index)
}
