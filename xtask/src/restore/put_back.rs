//! Puts documents back in place, batch by batch, and takes them out again. A document that was changed since the changes were
//! planned is never overwritten without a copy in a rescue file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};

use super::batches::{APPLIED, Batch, REVERTED, WAITING, overwritten};
use super::context::Restore;
use super::delta::Delta;
use super::delta_choice::{ConflictChoice, ConflictOutcome, DeltaConflict, DeltaPlan};
use super::journal::RestoreRecord;
use super::names;
use super::rescue::RescueSource;
use crate::backup::BackupFile;
use crate::database::{BatchState, DocumentChange, PutBack, RawId, recorded_facts};
use crate::domain::inventory::CollectionFacts;
use crate::error::catalogue::restore as errors;

/// How often a batch is amended for documents that writers change again and again.
const MAX_AMENDMENTS: i32 = 50;
/// Characters of an `_id` in a report.
const SHOWN_ID_CHARS: usize = 200;
/// As many conflicts of one batch are recorded.
const MAX_LISTED: usize = 1_000;
/// As many conflicts of a refused restore are named.
const SHOWN_CONFLICTS: usize = 5;

impl Restore<'_> {
    /// Before the plan of the swap: compares once more, exports what will be overwritten, and keeps the changes in the database.
    ///
    /// # Errors
    /// Refused (exit 3) where documents were changed since and the choice is to stop. Nothing live was changed.
    pub(super) fn begin_delta(&mut self, backup: &BackupFile, mut delta: Delta) -> Result<DeltaPlan> {
        if delta.collections.is_empty() {
            return Ok(DeltaPlan::default());
        }
        let conflicts = self.changed_since(&mut delta)?;
        if !delta.changes.is_empty() {
            self.claim()?;
            let source = self.rescue_source("rescue-before");
            let documents = overwritten(delta.changes.iter().cloned());
            if let Some(rescue) = self.export(None, &source, &documents)? {
                self.journal.write(&RestoreRecord::RescuedBefore { rescue })?;
            }
        }
        let mut plan = DeltaPlan {
            collections: delta.counts(),
            batches: 0,
            conflicts,
            restored: self.restored_facts(backup, &delta),
        };
        for changes in delta.into_batches() {
            self.keep_batch(&Batch::new(plan.batches, changes))?;
            plan.batches += 1;
        }
        Ok(plan)
    }

    /// The facts of the backup.
    fn restored_facts(&self, backup: &BackupFile, delta: &Delta) -> BTreeMap<String, CollectionFacts> {
        let records = self.selection.of(&backup.metadata.namespaces, self.live.name());
        let own = records.filter(|record| delta.collections.contains(&record.collection));
        own.map(|record| (record.collection.clone(), recorded_facts(record)))
            .collect()
    }

    /// What is not as it was when it was compared: by the operator's choice it stays, or is taken as it is now.
    fn changed_since(&self, delta: &mut Delta) -> Result<Vec<DeltaConflict>> {
        let mut now: BTreeMap<&str, Vec<(usize, RawId)>> = BTreeMap::new();
        for (number, change) in delta.changes.iter().enumerate() {
            now.entry(&change.collection)
                .or_default()
                .push((number, change.id()?));
        }
        let mut found: Vec<Option<Vec<u8>>> = vec![None; delta.changes.len()];
        for (collection, numbers) in now {
            let numbers: std::collections::HashMap<RawId, usize> =
                numbers.into_iter().map(|(number, id)| (id, number)).collect();
            let ids: Vec<Result<RawId>> = numbers.keys().cloned().map(Ok).collect();
            self.live.scan_ids(collection, ids, |raw| {
                if let Some(number) = numbers.get(&RawId::of_document(raw)?) {
                    found[*number] = Some(raw.to_vec());
                }
                Ok(())
            })?;
        }
        let changed = delta.changes.iter().zip(found).enumerate();
        let changed =
            changed.filter(|(_, (change, found))| *found != change.before && *found != change.after);
        let changed: Vec<(usize, Option<Vec<u8>>)> =
            changed.map(|(number, (_, found))| (number, found)).collect();
        let choice = self.delta.conflicts;
        if choice == ConflictChoice::Stop && !changed.is_empty() {
            let shown = changed.iter().take(SHOWN_CONFLICTS);
            let shown = shown.map(|(number, _)| {
                let change = &delta.changes[*number];
                Ok(format!(
                    "\n    - `{}` _id {}",
                    change.collection,
                    shown_id(change)?
                ))
            });
            let shown: String = shown.collect::<Result<_>>()?;
            return Err(errors::changed_since_planned(changed.len(), shown).into());
        }
        settle(&mut delta.changes, changed, choice)
    }

    /// Makes a batch, unless it was made.
    pub(super) fn put_back(&mut self, number: u32) -> Result<()> {
        let mut batch = self.kept_batch(number)?;
        while batch.state == WAITING {
            let changes = Arc::new(batch.changes.clone());
            match self
                .live
                .put_back(&changes, &self.state(&batch, WAITING, APPLIED))?
            {
                PutBack::Done => return Ok(()),
                PutBack::Conflicts(found) => {
                    // Some documents are put back, or are about to be: it is too late to stop.
                    let choice = match self.delta.conflicts {
                        ConflictChoice::Stop => ConflictChoice::Keep,
                        choice => choice,
                    };
                    if choice == ConflictChoice::Restore {
                        self.rescue_newer(&batch.changes, &found)?;
                    }
                    let conflicts = settle(&mut batch.changes, found, choice)?;
                    self.amend(&mut batch, conflicts)?;
                }
            }
        }
        ensure!(batch.state == APPLIED, "the batch was reverted");
        Ok(())
    }

    /// Takes a batch out again, unless it was never made. What was written to its documents since is in a rescue file.
    pub(super) fn revert_batch(&mut self, number: u32) -> Result<()> {
        let mut batch = self.kept_batch(number)?;
        while batch.state == APPLIED {
            let reversed: Vec<DocumentChange> = batch
                .changes
                .iter()
                .cloned()
                .map(DocumentChange::reversed)
                .collect();
            let reversed = Arc::new(reversed);
            match self
                .live
                .put_back(&reversed, &self.state(&batch, APPLIED, REVERTED))?
            {
                PutBack::Done => return Ok(()),
                PutBack::Conflicts(found) => {
                    self.rescue_newer(&batch.changes, &found)?;
                    for (number, found) in found {
                        batch.changes[number].after = found;
                    }
                    self.amend(&mut batch, Vec::new())?;
                }
            }
        }
        Ok(())
    }

    fn state(&self, batch: &Batch, from: &'static str, to: &'static str) -> BatchState {
        BatchState {
            plan: names::plan(&self.operation),
            id: batch.id(),
            generation: batch.generation,
            from,
            to,
        }
    }

    fn amend(&self, batch: &mut Batch, conflicts: Vec<DeltaConflict>) -> Result<()> {
        ensure!(
            batch.generation < MAX_AMENDMENTS,
            "writers change the documents that are put back faster than that can be done: stop them"
        );
        batch.generation += 1;
        batch.conflicts.extend(conflicts);
        self.keep_batch(batch)
    }

    /// What was written to these documents, before it is overwritten.
    fn rescue_newer(&mut self, changes: &[DocumentChange], found: &[(usize, Option<Vec<u8>>)]) -> Result<()> {
        let newer = found.iter().map(|(number, found)| DocumentChange {
            collection: changes[*number].collection.clone(),
            before: found.clone(),
            after: None,
        });
        let source = self.rescue_source("rescue-newer");
        if let Some(rescue) = self.export(None, &source, &overwritten(newer))? {
            self.journal.write(&RestoreRecord::RescuedNewer { rescue })?;
        }
        Ok(())
    }

    fn rescue_source(&self, folder: &'static str) -> RescueSource {
        RescueSource {
            role: None,
            folder,
            purpose: format!("overwritten in place by restore {}", self.operation),
        }
    }

    /// What an undo gives back of the collections that were changed in place, as the changes and the facts of the backup show it. Of
    /// one without a change there is nothing to revert, whatever became of it since.
    pub(super) fn before_delta(&self, plan: &DeltaPlan) -> Result<BTreeMap<String, CollectionFacts>> {
        let batches = self.kept_batches()?.into_iter();
        let changes: Vec<DocumentChange> = batches.flat_map(|batch| batch.changes).collect();
        let mut facts = plan.restored.clone();
        let names: BTreeSet<&str> = changes.iter().map(|change| change.collection.as_str()).collect();
        facts.retain(|name, _| names.contains(name.as_str()));
        for change in changes {
            let own = facts.get_mut(&change.collection);
            let own = own.with_context(|| format!("`{}` is not put back in place", change.collection))?;
            change.after.iter().for_each(|after| own.remove(after));
            change.before.iter().for_each(|before| own.add(before));
        }
        Ok(facts)
    }
}

/// Amends the changes by what was found: what stays is no change any more, what is restored has been seen as it is now.
fn settle(
    changes: &mut Vec<DocumentChange>,
    found: Vec<(usize, Option<Vec<u8>>)>,
    choice: ConflictChoice,
) -> Result<Vec<DeltaConflict>> {
    let outcome = if choice == ConflictChoice::Restore {
        ConflictOutcome::Restored
    } else {
        ConflictOutcome::Kept
    };
    let mut conflicts = Vec::new();
    let mut kept = BTreeSet::new();
    for (number, now) in found {
        let change = &mut changes[number];
        let is_listed = conflicts.len() < MAX_LISTED;
        conflicts.extend(is_listed.then_some(DeltaConflict {
            collection: change.collection.clone(),
            id: shown_id(change)?,
            outcome,
        }));
        if outcome == ConflictOutcome::Restored {
            change.before = now;
        } else {
            kept.insert(number);
        }
    }
    let mut number = 0;
    changes.retain(|_| {
        number += 1;
        !kept.contains(&(number - 1))
    });
    Ok(conflicts)
}

fn shown_id(change: &DocumentChange) -> Result<String> {
    let shown = serde_json::to_string(&change.id()?.shown()?)?;
    Ok(shown.chars().take(SHOWN_ID_CHARS).collect())
}
