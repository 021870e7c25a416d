//! What a restore keeps in the database: its plan, and how far it is. A runner is lost with its disk, and another machine must
//! be able to undo, and must not act on what has ended.

use anyhow::{Context as _, Result};

use super::context::Restore;
use super::journal::{RestoreRecord, RestoreState};
use super::names;
use crate::database::Live;
use crate::domain::operation::OperationId;
use crate::report;

impl Restore<'_> {
    /// Keeps the plan of the swap, before the first rename.
    pub(super) fn keep_plan(&self) -> Result<()> {
        let history = &self.journal.history;
        let planned = history.planned.clone().map(RestoreRecord::Planned);
        let swap = history.swap.clone().map(RestoreRecord::SwapBegun);
        let rescued = history.rescued_before.clone();
        let rescued = rescued.map(|rescue| RestoreRecord::RescuedBefore { rescue });
        for record in [planned, rescued, swap].into_iter().flatten() {
            self.keep(&record)?;
        }
        self.mark(true)
    }

    /// No name shows that documents are being put back in place, nor that views, expiries and the comparison follow once all
    /// collections are renamed: a backup asks for the mark.
    fn mark(&self, is_midway: bool) -> Result<()> {
        self.live.mark_midway(&names::plan(&self.operation), is_midway)
    }

    /// Records how far the restore is: first in the database, so that no machine has less than this one.
    pub(super) fn write_kept(&mut self, record: &RestoreRecord) -> Result<()> {
        if self.swap_begun() {
            let ends = matches!(
                record,
                RestoreRecord::Rescued { .. } | RestoreRecord::Undone { .. }
            );
            let marked = if ends { self.mark(false) } else { Ok(()) };
            marked
                .and_then(|()| self.keep(record))
                .context("cannot keep the state in the database")?;
        }
        self.journal.write(record)
    }

    fn keep(&self, record: &RestoreRecord) -> Result<()> {
        let Some(number) = number(record) else {
            return Ok(());
        };
        let line = report::json_line(record)?;
        self.live
            .keep_lines(&names::plan(&self.operation), &[(number, line)])
    }

    /// Takes into the journal what another machine, or a process that was killed before it wrote there, has kept.
    pub(super) fn adopt_kept(&mut self) -> Result<()> {
        for record in records(&self.live, &self.operation)? {
            if !self.journal.history.has(&record) {
                self.journal.write(&record)?;
            }
        }
        Ok(())
    }
}

/// Adds what the database keeps of a restore to what a journal has of it.
pub(super) fn add_kept(live: &Live, operation: &OperationId, history: &mut RestoreState) -> Result<()> {
    for record in records(live, operation)? {
        if !history.has(&record) {
            history.add(&record);
        }
    }
    Ok(())
}

fn records(live: &Live, operation: &OperationId) -> Result<Vec<RestoreRecord>> {
    let lines = live.kept_lines(&names::plan(operation))?;
    let records = lines.iter().map(|line| serde_json::from_str(line));
    records
        .collect::<serde_json::Result<_>>()
        .with_context(|| format!("the plan of restore {operation} kept in the database is damaged"))
}

/// The number of the line that keeps a record; records of one machine are taken over in any order. Earlier versions kept the first
/// two only.
const fn number(record: &RestoreRecord) -> Option<i64> {
    match record {
        RestoreRecord::Planned(_) => Some(0),
        RestoreRecord::SwapBegun(_) => Some(1),
        RestoreRecord::Rescued { .. } => Some(2),
        RestoreRecord::UndoBegun { .. } => Some(3),
        RestoreRecord::Undone { .. } => Some(4),
        RestoreRecord::ForgetBegun => Some(5),
        RestoreRecord::RescuedBefore { .. } => Some(6),
        _ => None,
    }
}
