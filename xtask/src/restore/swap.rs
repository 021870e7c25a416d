//! The swap: live → previous, shadow → live, collection by collection. Each step is recorded before and after, and can be
//! repeated, because it asks the server what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::compare::{format_differences, split_written};
use super::context::Restore;
use super::delta_choice::{DeltaConflict, DeltaCounts};
use super::estimate::RestoreMeasures;
use super::journal::{Repaired, Rescue, RestoreRecord, RestoreStep, SwapPlan};
use super::left_alone::LeftAlone;
use super::names;
use super::prepare::Prepared;
use super::preview::{self, WrittenSince};
use super::{swap_plan, time_series};
use crate::backup::BackupFile;
use crate::database::{Digests, Renamed};
use crate::domain::inventory::Difference;
use crate::domain::manifest::NamespaceKind;
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::exec::check_interrupted;
use crate::operation::run::is_taken_over;
use crate::report;
use crate::wait::elapsed_ms;

/// How many collections of one name writers may create while one process renames one collection.
pub(super) const MAX_LATE: usize = 100;
/// Numbers for the names of such collections: as many as [`crate::domain::restore_name::fits`] has room for. More than one process makes,
/// so that another one resumes when the writers are stopped.
const LATE_NAMES: usize = 1000;

/// A restored database.
#[derive(Debug, Serialize, Deserialize)]
pub struct Swapped {
    pub operation: OperationId,
    pub backup_id: String,
    pub collections: Vec<SwappedCollection>,
    /// From the first rename to the last.
    pub total_ms: u64,
    /// Documents that the application wrote after the swap: they are live, and differ from the backup.
    pub written_since: Vec<WrittenSince>,
    /// Collections, options and indexes that were changed after the swap, in words.
    #[serde(default)]
    pub changed_since: Vec<String>,
    /// What was not restored, where only named collections were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_alone: Option<LeftAlone>,
    /// Time-series collections, which stay as they are, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_series: Vec<String>,
    /// What was put back in place: numbers of documents, by collection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub in_place: BTreeMap<String, DeltaCounts>,
    /// Documents that were changed before they were put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<DeltaConflict>,
    /// What only the live data had before, in a file of its own.
    pub rescue: Option<Rescue>,
    /// What was written to documents before they were put back, in files of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<Rescue>,
    /// What the server had lost in a crash and was recreated.
    #[serde(alias = "mended")]
    pub repaired: Vec<Repaired>,
    pub measured: RestoreMeasures,
}

/// The restored collections have the live names; nothing is proved yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InPlace {
    pub collections: Vec<SwappedCollection>,
    /// From the first rename to the last.
    pub total_ms: u64,
}

/// One collection, and how long it was absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwappedCollection {
    pub collection: String,
    pub unavailable_ms: u64,
}

/// What follows from changes of collections, options and indexes after the swap.
#[derive(Clone, Copy)]
enum ChangedSince {
    /// Nothing but the restore is under way: nobody may have changed them.
    Refused,
    /// The release that was live before may have changed them until it was replaced.
    Reported,
}

impl ChangedSince {
    fn judge(self, changed: &[Difference]) -> Result<Vec<String>> {
        let refused = matches!(self, Self::Refused) && !changed.is_empty();
        ensure!(
            !refused,
            "the restored database differs from the backup: {}",
            format_differences(changed)
        );
        Ok(changed.iter().map(ToString::to_string).collect())
    }
}

/// What an earlier process left of a restore.
enum Continued<'a> {
    /// Nothing live was touched.
    Prepared(Box<Prepared<'a>>),
    /// The plan of the swap is recorded.
    Begun(Box<(Restore<'a>, BackupFile)>),
}

impl<'a> Prepared<'a> {
    /// Replaces the live collections by the restored ones and proves it from outside.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn swap(self) -> Result<Swapped> {
        let (mut restore, backup) = self.begin_swap()?;
        restore.finish(&backup, ChangedSince::Refused)
    }

    /// Replaces the live collections by the restored ones: [`Restore::prove`] is left to do.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn put_in_place(self) -> Result<InPlace> {
        let (mut restore, _) = self.begin_swap()?;
        restore.make_all_steps().map_err(|error| restore.stopped(error))
    }

    fn begin_swap(mut self) -> Result<(Restore<'a>, BackupFile)> {
        let plan = swap_plan::make(&self)?;
        let delta = std::mem::take(&mut self.delta);
        let begun = self.restore.begin_delta(&self.backup, delta);
        let plan = swap_plan::with_delta(plan, begun.map_err(|error| self.refused(error))?);
        self.restore.journal.write(&RestoreRecord::SwapBegun(plan))?;
        Ok((self.restore, self.backup))
    }
}

impl<'a> Restore<'a> {
    /// Restores from beginning to end, or continues where an earlier process of the operation stopped.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn run(self, backup: &BackupFile) -> Result<Swapped> {
        self.resume_or_begin(|| Ok(backup.clone()))
    }

    /// Continues where an earlier process of the operation stopped. Where the journal is on another machine and the swap had not
    /// begun, all that it had prepared is prepared again from `backup`.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn resume_or_begin(self, backup: impl FnOnce() -> Result<BackupFile>) -> Result<Swapped> {
        if self.begun() {
            self.resume()
        } else {
            self.prepare(&backup()?)?.swap()
        }
    }

    /// As [`Restore::resume_or_begin`], but [`Restore::prove`] is left to do.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn put_in_place(self, backup: impl FnOnce() -> Result<BackupFile>) -> Result<InPlace> {
        if !self.begun() {
            return self.prepare(&backup()?)?.put_in_place();
        }
        match self.continued()? {
            Continued::Prepared(prepared) => prepared.put_in_place(),
            Continued::Begun(mut begun) => {
                let restore = &mut begun.0;
                restore.make_all_steps().map_err(|error| restore.stopped(error))
            }
        }
    }

    /// Reads the database again after the restored collections were put in place, and exports what would be lost. Changes of
    /// collections, options and indexes are reported: what was live before may have made them until it was replaced.
    ///
    /// # Errors
    /// Midway (exit 4).
    pub fn prove(mut self, in_place: InPlace) -> Result<Swapped> {
        let backup = self.planned_backup()?;
        self.prove_swap(&backup, in_place, ChangedSince::Reported)
            .map_err(|error| self.stopped(error))
    }

    /// As [`Restore::prove`], after a kill of the process that put the collections in place, and perhaps of the server.
    ///
    /// # Errors
    /// Midway (exit 4).
    pub fn resume_proof(self) -> Result<Swapped> {
        self.continue_to_end(ChangedSince::Reported)
    }

    /// Continues wherever an earlier process stopped.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn resume(self) -> Result<Swapped> {
        self.continue_to_end(ChangedSince::Refused)
    }

    fn continue_to_end(self, changed: ChangedSince) -> Result<Swapped> {
        match self.continued()? {
            Continued::Prepared(prepared) => prepared.swap(),
            Continued::Begun(begun) => {
                let (mut restore, backup) = *begun;
                restore.finish(&backup, changed)
            }
        }
    }

    /// What an earlier process left, repaired where a server was killed too.
    fn continued(mut self) -> Result<Continued<'a>> {
        let Some(planned) = self.journal.history.planned.clone() else {
            return Err(errors::nothing_begun(&self.operation, self.live.name()).into());
        };
        ensure!(
            !self.reverted(),
            errors::reverted(&self.operation, planned.backup.display())
        );
        let backup = self.planned_backup()?;
        if self.journal.history.swap.is_none() {
            return Ok(Continued::Prepared(Box::new(self.prepare(&backup)?)));
        }
        self.require_same_database(&planned.database)?;
        // The process before this one was killed, and perhaps the server too.
        self.after_crash = true;
        if !self.journal.history.compared {
            self.claim()?;
            self.repair_previous()
                .and_then(|()| self.repair_restored(&backup))
                .map_err(|error| self.stopped(error))?;
        }
        Ok(Continued::Begun(Box::new((self, backup))))
    }

    /// Makes every step that is not made yet, compares, and exports what would be lost.
    fn finish(&mut self, backup: &BackupFile, changed: ChangedSince) -> Result<Swapped> {
        self.make_all_steps()
            .and_then(|in_place| self.prove_swap(backup, in_place, changed))
            .map_err(|error| self.stopped(error))
    }

    /// Until the result was compared, a recorded step may be one that a killed server has forgotten: the server is asked for
    /// all of them again.
    fn make_all_steps(&mut self) -> Result<InPlace> {
        self.claim()?;
        if self.journal.history.compared {
            return Ok(InPlace {
                collections: Vec::new(),
                total_ms: 0,
            });
        }
        let plan = self.swap_plan()?;
        self.require_selected(&plan)?;
        self.keep_plan()?;
        self.make_steps(&plan)
    }

    fn prove_swap(
        &mut self,
        backup: &BackupFile,
        in_place: InPlace,
        changed: ChangedSince,
    ) -> Result<Swapped> {
        if !self.journal.history.compared {
            let (written_since, others) = self.compare_live(backup)?;
            // Each change was proved before it was made; this judges what is live after the last one.
            self.still_ours()?;
            let changed_since = changed.judge(&others)?;
            self.journal.write(&RestoreRecord::Compared {
                written_since,
                changed_since,
            })?;
        }
        let written = self.journal.history.written_since.iter();
        let names: BTreeSet<String> = written.map(|difference| difference.collection.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        let scope = self.proof_scope(backup, &names)?;
        let written_since = preview::written(self.ctx, backup, &self.live, names, &scope)?;
        let left_alone = self.left_alone(&self.swap_plan()?)?;
        let time_series = time_series::stay(&self.live, backup, &self.selection, Digests::Full)?;
        let rescue = self.rescue_after_swap(backup)?;
        let plan = self.swap_plan()?;
        let conflicts = self.conflicts()?;
        let history = &self.journal.history;
        Ok(Swapped {
            operation: self.operation.clone(),
            backup_id: backup.metadata.id.clone(),
            written_since,
            changed_since: history.changed_since.clone(),
            left_alone,
            time_series,
            in_place: plan.delta.collections,
            conflicts,
            rescue,
            newer: history.rescued_newer.clone(),
            repaired: history.repaired.clone(),
            measured: RestoreMeasures {
                bytes: self.swapped_bytes(backup),
                collections: in_place.collections.len() as u64,
                restore_ms: history.restore_ms,
                compare_ms: history.compare_ms,
                swap_ms: in_place.total_ms,
            },
            total_ms: in_place.total_ms,
            collections: in_place.collections,
        })
    }

    /// Bytes of what is restored whole.
    fn swapped_bytes(&self, backup: &BackupFile) -> u64 {
        if self.delta.is_none() {
            return self.selection.bytes(backup, self.live.name());
        }
        let taken = self.selection.of(&backup.metadata.namespaces, self.live.name());
        let whole = taken.filter(|record| self.is_swapped(&record.collection));
        whole.map(|record| record.bytes).sum()
    }

    /// The plan that was recorded before the first step.
    pub(super) fn swap_plan(&self) -> Result<SwapPlan> {
        let plan = self.journal.history.swap.clone();
        plan.context("the swap has no plan")
    }

    fn make_steps(&mut self, plan: &SwapPlan) -> Result<InPlace> {
        let started = Instant::now();
        let mut collections = Vec::new();
        let _ticker = report::Ticker::quietly("putting the restored collections in place");
        // The collection that was renamed and waits for its successor.
        let mut absent: Option<(String, Instant)> = None;
        for step in &plan.steps {
            // A signal is obeyed before a collection is renamed, not between that and the promotion of its successor.
            if !matches!(step, RestoreStep::PromoteShadow { .. }) {
                check_interrupted()?;
            }
            self.journal
                .write(&RestoreRecord::Before { step: step.clone() })?;
            let step_started = Instant::now();
            self.apply_step(step)?;
            let since = absent.take();
            match step {
                RestoreStep::RenameToPrevious { collection } => {
                    absent = Some((collection.clone(), step_started));
                }
                RestoreStep::PromoteShadow { collection } => {
                    let since = since.filter(|(name, _)| name == collection);
                    collections.push(SwappedCollection {
                        collection: collection.clone(),
                        unavailable_ms: elapsed_ms(since.map_or(step_started, |(_, since)| since)),
                    });
                }
                _ => {}
            }
            self.journal.write(&RestoreRecord::After {
                step: step.clone(),
                ms: elapsed_ms(step_started),
            })?;
        }
        self.journal.write(&RestoreRecord::Swapped)?;
        Ok(InPlace {
            collections,
            total_ms: elapsed_ms(started),
        })
    }

    fn apply_step(&mut self, step: &RestoreStep) -> Result<()> {
        match step {
            RestoreStep::PutBack { batch } => self.put_back(*batch),
            RestoreStep::RenameToPrevious { collection } => self.rename_to_previous(collection),
            RestoreStep::PromoteShadow { collection } => self.promote_shadow(collection),
            RestoreStep::DropView { view, .. } => match self.live.listed()?.get(view).map(|l| l.kind) {
                Some(NamespaceKind::View) => self.live.drop_view(view),
                // Already dropped, and perhaps replaced by the collection of that name.
                _ => Ok(()),
            },
            RestoreStep::CreateView { view, definition } => self.live.create_view(view, definition),
            RestoreStep::SetExpiry {
                collection,
                index,
                expire_after_s,
            } => self.live.set_expiry(collection, index, *expire_after_s),
        }
    }

    /// Done before where the `__old_` name is taken: what has the live name then was created later.
    fn rename_to_previous(&self, collection: &str) -> Result<()> {
        let previous = names::previous(&self.operation, collection);
        match self.live.rename(collection, &previous)? {
            Renamed::Done | Renamed::Taken => Ok(()),
            Renamed::NotThere => {
                ensure!(
                    self.live.listed()?.contains_key(&previous),
                    "the live collection `{collection}` is gone, and not through this restore"
                );
                Ok(())
            }
        }
    }

    fn promote_shadow(&self, collection: &str) -> Result<()> {
        let shadow = names::shadow(&self.operation, collection);
        for _ in 0..MAX_LATE {
            match self.live.rename(&shadow, collection)? {
                Renamed::Done => return Ok(()),
                Renamed::NotThere => {
                    let there = self.live.listed()?.contains_key(collection);
                    ensure!(there, "the restored collection `{shadow}` is gone");
                    return Ok(());
                }
                Renamed::Taken => self.move_late(collection)?,
            }
        }
        bail!("writers recreate `{collection}` faster than it can be replaced: stop them")
    }

    /// Renames what a writer created under the live name: it is kept, under a name of its own.
    pub(super) fn move_late(&self, collection: &str) -> Result<()> {
        let listed = self.live.listed()?;
        let free = (0..LATE_NAMES)
            .map(|number| names::late(&self.operation, number, collection))
            .find(|name| !listed.contains_key(name));
        let free = free.with_context(|| format!("writers created `{collection}` too often"))?;
        self.live.rename(collection, &free).map(drop)
    }

    /// Reads the live database as any client would: documents that were written since, and all else that is not the backup's.
    fn compare_live(&self, backup: &BackupFile) -> Result<(Vec<Difference>, Vec<Difference>)> {
        let _ticker = report::Ticker::start("reading the restored database again");
        Ok(split_written(self.live_differences(backup)?))
    }

    fn stopped(&self, error: anyhow::Error) -> anyhow::Error {
        let error = self.taken_over_or(error);
        if is_taken_over(&error) {
            return error;
        }
        errors::swap_stopped(&self.operation, format!("{error:#}")).into()
    }
}
