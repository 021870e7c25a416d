//! The undo: what was live before the swap gets its names again, from any point at which the swap or an earlier undo
//! stopped. The restored collections get their shadow names and stay until they are forgotten.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::compare::{format_differences, split_written};
use super::context::Restore;
use super::journal::{Repaired, Rescue, RestorePhase, RestoreRecord, RestoreStep, SwapPlan};
use super::names::{self, Role};
use super::preflight::is_timeseries;
use super::swap::MAX_LATE;
use crate::database::{Digests, Renamed};
use crate::domain::inventory::Difference;
use crate::domain::manifest::NamespaceKind;
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::operation::run::is_taken_over;
use crate::report;

/// A restore that was undone.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreUndone {
    pub operation: OperationId,
    /// Collections that are live again.
    pub collections: Vec<String>,
    /// What the application wrote after they were.
    pub written_since: Vec<Difference>,
    /// What was written to the restored collections while they were live, in a file of its own.
    pub rescue: Option<Rescue>,
    /// What was written to documents that were put back in place, in files of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<Rescue>,
    /// What the server had lost in a crash and was recreated.
    pub repaired: Vec<Repaired>,
}

impl Restore<'_> {
    /// Makes live again what was live before. Where the operation has restored nothing, there is nothing to do.
    ///
    /// # Errors
    /// Midway (exit 4) once a rename may have been made.
    pub fn undo(mut self) -> Result<RestoreUndone> {
        let phase = self.journal.history.phase;
        ensure!(
            phase < RestorePhase::Forgetting,
            errors::forgotten(&self.operation)
        );
        if let Some(planned) = &self.journal.history.planned {
            self.require_same_database(&planned.database)?;
        }
        if let Some(written_since) = self.journal.history.undone.clone() {
            return Ok(self.undone_before(written_since));
        }
        let Some(plan) = self.journal.history.swap.clone() else {
            return self.undo_preparation();
        };
        if phase < RestorePhase::Undoing {
            self.refuse_timeseries(&plan)?;
            self.refuse_gone(&plan)?;
        }
        let (collections, written_since) = self
            .claim()
            // The swap may have stopped before it kept its plan: without it no other machine could read what is kept below.
            .and_then(|()| self.keep_plan())
            .and_then(|()| self.repair_previous())
            .and_then(|()| self.undo_swap(&plan))
            .map_err(|error| {
                let error = self.taken_over_or(error);
                if is_taken_over(&error) {
                    return error;
                }
                errors::undo_stopped(&self.operation, format!("{error:#}")).into()
            })?;
        let rescue = self.rescue_or_warn();
        Ok(self.undone(collections, written_since, rescue))
    }

    /// An earlier process undid it and was killed before the end was recorded. What is live now is the application's: nothing is
    /// renamed again.
    fn undone_before(&self, written_since: Vec<Difference>) -> RestoreUndone {
        let before = self.journal.history.undo_before.clone();
        let collections = before.unwrap_or_default().collections.into_keys().collect();
        let rescue = if self.swap_begun() {
            self.rescue_or_warn()
        } else {
            None
        };
        self.undone(collections, written_since, rescue)
    }

    /// Without the rescue file the documents stay where they are: `--forget` exports them before it drops anything.
    fn rescue_or_warn(&self) -> Option<Rescue> {
        self.rescue_after_undo().unwrap_or_else(|error| {
            report::progress(&format!(
                "warning: what was written after the swap is only in the `{}` collections: {error:#}",
                names::shadow_prefix(&self.operation)
            ));
            None
        })
    }

    /// A time-series collection cannot give up a name that a collection from before must get again.
    fn refuse_timeseries(&self, plan: &SwapPlan) -> Result<()> {
        let listed = self.live.listed()?;
        let renamed = plan.steps.iter().filter_map(|step| match step {
            RestoreStep::RenameToPrevious { collection } | RestoreStep::PromoteShadow { collection } => {
                Some(collection.as_str())
            }
            RestoreStep::DropView { view, .. } => Some(view.as_str()),
            _ => None,
        });
        let blocking_names: BTreeSet<&str> = renamed.filter(|name| is_timeseries(&listed, name)).collect();
        let blocking: Vec<&str> = blocking_names.into_iter().collect();
        ensure!(
            blocking.is_empty(),
            errors::timeseries_blocks(blocking.join("`, `"))
        );
        Ok(())
    }

    /// The rest of a collection that was changed in place is nowhere but in it. The changes themselves are read only where one of these
    /// collections is gone: all of its changes may have been left out as conflicts.
    fn refuse_gone(&self, plan: &SwapPlan) -> Result<()> {
        if plan.delta.is_none() {
            return Ok(());
        }
        let listed = self.live.listed()?;
        let is_gone = |name: &String| {
            let one = listed.get(name);
            one.is_none_or(|one| one.kind != NamespaceKind::Collection)
        };
        if !plan.delta.collections.keys().any(is_gone) {
            return Ok(());
        }
        let changed = self.before_delta(&plan.delta)?;
        let gone: Vec<String> = changed.into_keys().filter(is_gone).collect();
        ensure!(gone.is_empty(), errors::put_back_gone(gone.join("`, `")));
        Ok(())
    }

    fn undone(
        &self,
        collections: Vec<String>,
        written_since: Vec<Difference>,
        rescue: Option<Rescue>,
    ) -> RestoreUndone {
        RestoreUndone {
            operation: self.operation.clone(),
            collections,
            written_since,
            rescue,
            newer: self.journal.history.rescued_newer.clone(),
            repaired: self.journal.history.repaired.clone(),
        }
    }

    /// Nothing live was touched: only the unfinished shadow collections are dropped.
    fn undo_preparation(&mut self) -> Result<RestoreUndone> {
        ensure!(
            self.with_role(Role::Previous)?.is_empty(),
            errors::plan_lost(&self.operation)
        );
        self.claim()?;
        for (name, _) in self.with_role(Role::Shadow)? {
            self.live.drop_own(&name)?;
        }
        // With the token goes what an earlier holder would have to prove.
        self.live.drop_own(&names::plan(&self.operation))?;
        self.journal.write(&RestoreRecord::Undone {
            written_since: Vec::new(),
        })?;
        Ok(self.undone(Vec::new(), Vec::new(), None))
    }

    /// Reverts every step of the swap. Gives the collections that are live again, and what was written to them since.
    fn undo_swap(&mut self, plan: &SwapPlan) -> Result<(Vec<String>, Vec<Difference>)> {
        let before = if let Some(before) = self.journal.history.undo_before.clone() {
            before
        } else {
            let _ticker = report::Ticker::start("reading the previous collections");
            let mut before = self.inventory_of_role(Role::Previous)?;
            before.collections.extend(self.before_delta(&plan.delta)?);
            self.write_kept(&RestoreRecord::UndoBegun {
                before: before.clone(),
            })?;
            before
        };
        for step in plan.steps.iter().rev() {
            self.journal
                .write(&RestoreRecord::Undoing { step: step.clone() })?;
            self.revert_step(plan, step)?;
        }
        let found = self.live.inventory_of(Digests::Full, |name| {
            before.collections.contains_key(name).then(|| name.to_owned())
        })?;
        self.still_ours()?;
        let (written_since, wrong) = split_written(before.compare(&found));
        ensure!(
            wrong.is_empty(),
            "the collections that are live again differ from what they were: {}",
            format_differences(&wrong)
        );
        self.write_kept(&RestoreRecord::Undone {
            written_since: written_since.clone(),
        })?;
        Ok((before.collections.into_keys().collect(), written_since))
    }

    fn revert_step(&mut self, plan: &SwapPlan, step: &RestoreStep) -> Result<()> {
        match step {
            RestoreStep::PutBack { batch } => self.revert_batch(*batch),
            // Belongs to the restored collection, which keeps it under its shadow name.
            RestoreStep::SetExpiry { .. } => Ok(()),
            RestoreStep::CreateView { view, .. } => self.drop_created_view(plan, view),
            RestoreStep::DropView { view, definition } => {
                let listed = self.live.listed()?;
                if listed.get(view).is_some_and(|l| l.kind != NamespaceKind::View) {
                    self.move_late(view)?;
                }
                self.live.create_view(view, definition)
            }
            RestoreStep::PromoteShadow { collection } => self.rename_to_shadow(plan, collection),
            RestoreStep::RenameToPrevious { collection } => self.promote_previous(collection),
        }
    }

    /// Drops the backup's view, unless the view that was live before has its name again.
    fn drop_created_view(&self, plan: &SwapPlan, view: &str) -> Result<()> {
        let listed = self.live.listed()?;
        let is_view = listed.get(view).is_some_and(|l| l.kind == NamespaceKind::View);
        let replaced = plan.steps.iter().find_map(|other| match other {
            RestoreStep::DropView {
                view: previous,
                definition,
            } if previous == view => Some(definition),
            _ => None,
        });
        if is_view && self.live.view(view)?.as_ref() != replaced {
            self.live.drop_view(view)?;
        }
        Ok(())
    }

    /// The restored collection gives up the live name, unless it never had it or has given it up already.
    fn rename_to_shadow(&self, plan: &SwapPlan, collection: &str) -> Result<()> {
        let listed = self.live.listed()?;
        let had_predecessor = plan
            .steps
            .iter()
            .any(|step| matches!(step, RestoreStep::RenameToPrevious { collection: c } if c == collection));
        let previous_waits = listed.contains_key(&names::previous(&self.operation, collection));
        let shadow = names::shadow(&self.operation, collection);
        if listed.contains_key(&shadow) || (had_predecessor && !previous_waits) {
            return Ok(());
        }
        match self.live.rename(collection, &shadow)? {
            Renamed::Done | Renamed::NotThere => Ok(()),
            Renamed::Taken => bail!("`{shadow}` was created during the undo of `{collection}`"),
        }
    }

    /// The previous collection gets its live name again; what a writer created under it since is kept under a late name.
    fn promote_previous(&self, collection: &str) -> Result<()> {
        let previous = names::previous(&self.operation, collection);
        for _ in 0..MAX_LATE {
            match self.live.rename(&previous, collection)? {
                // Not there: it was never renamed, or has its name again already.
                Renamed::Done | Renamed::NotThere => return Ok(()),
                Renamed::Taken => self.move_late(collection)?,
            }
        }
        bail!("writers recreate `{collection}` faster than the previous one can be renamed: stop them")
    }
}
