//! The swap: live → previous, shadow → live, collection by collection. Each step is recorded before and after, and can be
//! repeated, because it asks the server what is there.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::compare::{format_differences, split_written};
use super::context::Restore;
use super::estimate::RestoreMeasures;
use super::journal::{Repaired, Rescue, RestoreRecord, RestoreStep, SwapPlan};
use super::names;
use super::prepare::Prepared;
use super::preview::{self, WrittenSince};
use super::swap_plan;
use crate::backup::BackupFile;
use crate::database::Renamed;
use crate::domain::inventory::Difference;
use crate::domain::manifest::NamespaceKind;
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::exec::check_interrupted;
use crate::operation::run::is_taken_over;
use crate::report;
use crate::wait::elapsed_ms;

/// How many collections of one name writers may create while one collection is renamed.
pub(super) const MAX_LATE: usize = 100;

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
    /// What only the previous collections had, in a file of its own.
    pub rescue: Option<Rescue>,
    /// What the server had lost in a crash and was recreated.
    #[serde(alias = "mended")]
    pub repaired: Vec<Repaired>,
    pub measured: RestoreMeasures,
}

/// One collection, and how long it was absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwappedCollection {
    pub collection: String,
    pub unavailable_ms: u64,
}

impl Prepared<'_> {
    /// Replaces the live collections by the restored ones and proves it from outside.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn swap(mut self) -> Result<Swapped> {
        let plan = swap_plan::make(&self)?;
        self.restore.journal.write(&RestoreRecord::SwapBegun(plan))?;
        self.restore.finish(&self.backup)
    }
}

impl Restore<'_> {
    /// Restores from beginning to end, or continues where an earlier process of the operation stopped.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn run(self, backup: &BackupFile) -> Result<Swapped> {
        if self.begun() {
            self.resume()
        } else {
            self.prepare(backup)?.swap()
        }
    }

    /// Continues wherever an earlier process stopped.
    ///
    /// # Errors
    /// Midway (exit 4) once the plan of the swap is recorded.
    pub fn resume(mut self) -> Result<Swapped> {
        let Some(planned) = self.journal.history.planned.clone() else {
            return Err(errors::nothing_begun(&self.operation, self.live.name()).into());
        };
        ensure!(
            !self.reverted(),
            errors::reverted(&self.operation, planned.backup.display())
        );
        let backup = self.planned_backup()?;
        if self.journal.history.swap.is_none() {
            return self.prepare(&backup)?.swap();
        }
        self.require_same_database(&planned.database)?;
        // The process before this one was killed, and perhaps the server too.
        if !self.journal.history.compared {
            self.claim()?;
            self.repair_previous()
                .and_then(|()| self.repair_restored(&backup))
                .map_err(|error| self.stopped(error))?;
        }
        self.finish(&backup)
    }

    /// Makes every step that is not made yet, compares, and exports what would be lost.
    fn finish(&mut self, backup: &BackupFile) -> Result<Swapped> {
        self.finish_swap(backup).map_err(|error| self.stopped(error))
    }

    fn finish_swap(&mut self, backup: &BackupFile) -> Result<Swapped> {
        self.claim()?;
        let plan = self.swap_plan()?;
        let mut swapped = (Vec::new(), 0);
        let mut differing = Vec::new();
        // Until the result was compared, a recorded step may be one that a killed server has forgotten: the server is asked
        // for all of them again.
        if !self.journal.history.compared {
            self.keep_plan()?;
            swapped = self.make_steps(&plan)?;
            differing = self.compare_live(backup, &plan)?;
        }
        let names = differing
            .into_iter()
            .map(|difference| difference.collection)
            .collect();
        let written_since = preview::written(self.ctx, backup, &self.live, names)?;
        let rescue = self.rescue_after_swap(backup)?;
        let (collections, total_ms) = swapped;
        let history = &self.journal.history;
        Ok(Swapped {
            operation: self.operation.clone(),
            backup_id: backup.metadata.id.clone(),
            total_ms,
            written_since,
            rescue,
            repaired: history.repaired.clone(),
            measured: RestoreMeasures {
                bytes: backup.metadata.archive_bytes,
                collections: collections.len() as u64,
                restore_ms: history.restore_ms,
                compare_ms: history.compare_ms,
                swap_ms: total_ms,
            },
            collections,
        })
    }

    /// The plan that was recorded before the first step.
    pub(super) fn swap_plan(&self) -> Result<SwapPlan> {
        let plan = self.journal.history.swap.clone();
        plan.context("the swap has no plan")
    }

    fn make_steps(&mut self, plan: &SwapPlan) -> Result<(Vec<SwappedCollection>, u64)> {
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
        Ok((collections, elapsed_ms(started)))
    }

    fn apply_step(&self, step: &RestoreStep) -> Result<()> {
        match step {
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
        let free = (0..MAX_LATE)
            .map(|number| names::late(&self.operation, number, collection))
            .find(|name| !listed.contains_key(name));
        let free = free.with_context(|| format!("writers created `{collection}` too often"))?;
        self.live.rename(collection, &free).map(drop)
    }

    /// Reads the live database as any client would. Documents may have been written since; all else must be the backup's.
    fn compare_live(&mut self, backup: &BackupFile, plan: &SwapPlan) -> Result<Vec<Difference>> {
        let _ticker = report::Ticker::start("reading the restored database again");
        let (written_since, wrong) = split_written(self.live_differences(backup)?);
        ensure!(
            wrong.is_empty(),
            "after {} steps the database differs from the backup: {}",
            plan.steps.len(),
            format_differences(&wrong)
        );
        self.journal.write(&RestoreRecord::Compared {
            written_since: written_since.clone(),
        })?;
        Ok(written_since)
    }

    fn stopped(&self, error: anyhow::Error) -> anyhow::Error {
        if is_taken_over(&error) {
            return error;
        }
        errors::swap_stopped(&self.operation, format!("{error:#}")).into()
    }
}
