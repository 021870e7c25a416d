//! How an operation ends: done, failed with nothing live changed, undone, or stopped midway.

use anyhow::Result;
use serde_json::Value;

use super::Operation;
use super::failure::{advice, is_after_the_whole, is_taken_over, untouched};
use crate::domain::ledger::OperationOutcome;
use crate::error::catalogue::operation as errors;
use crate::error::catalogue::restore as ended;
use crate::exec::with_signals_deferred;
use crate::sync::{into_inner, lock};
use crate::{report, secret};

impl Operation {
    /// Ends the operation in the ledger.
    pub fn finish(self, outcome: OperationOutcome, facts: Value) -> Result<()> {
        let held = into_inner(self.held);
        held.finish(outcome, facts)
    }

    /// Ends an operation whose changes are live and proved.
    ///
    /// # Errors
    /// Exit 4 where the ledger could not be written: what was asked for is live, and resuming records it.
    pub fn conclude(self, outcome: OperationOutcome, facts: Value) -> Result<()> {
        let command = self.again();
        self.conclude_with(outcome, facts, command)
    }

    /// The same; `command` is what to run where the ledger could not be written.
    ///
    /// # Errors
    /// As [`Self::conclude`].
    pub fn conclude_with(self, outcome: OperationOutcome, facts: Value, command: String) -> Result<()> {
        with_signals_deferred(|| self.finish(outcome, facts)).map_err(|error| not_recorded(error, command))
    }

    /// The command that finishes it.
    pub fn again(&self) -> String {
        let verb = if self.reverting { "--undo" } else { "--resume" };
        format!("cargo xtask {} {verb} {}", self.kind, self.id)
    }

    /// Ends the operation after an error: nothing live changed (exit 1), or stopped midway (exit 4).
    pub fn fail(self, error: anyhow::Error) -> anyhow::Error {
        if is_taken_over(&error) {
            return error;
        }
        let touched = *lock(&self.touched);
        if touched {
            return self.stop(error);
        }
        self.fail_unchanged(&error)
    }

    /// Ends the operation midway (exit 4) after an error: it stays unfinished, whatever this process has done itself.
    pub fn stop(self, error: anyhow::Error) -> anyhow::Error {
        let (id, kind) = (self.id.clone(), self.kind.clone());
        if is_taken_over(&error) {
            return error;
        }
        if let Err(taken_over) = self.record_end(OperationOutcome::Stopped, &error) {
            return taken_over;
        }
        if is_after_the_whole(&error) {
            return error;
        }
        errors::operation_stopped(format!("{error:#}"), advice(&error), kind, id).into()
    }

    /// Ends the operation after an error, where it is proved that nothing of it is live (exit 1).
    pub fn fail_unchanged(self, error: &anyhow::Error) -> anyhow::Error {
        match self.record_end(OperationOutcome::Failed, error) {
            Ok(()) => untouched(error),
            Err(taken_over) => taken_over,
        }
    }

    /// Ends the operation after an error, where everything that it made live was undone (exit 1).
    pub fn fail_undone(self, error: &anyhow::Error) -> anyhow::Error {
        match self.record_end(OperationOutcome::Undone, error) {
            Ok(()) => errors::operation_undone(format!("{error:#}")).into(),
            Err(taken_over) => taken_over,
        }
    }

    /// Records in the ledger how the operation ended after an error, also after a signal: a lock that is not released keeps
    /// others waiting for its lease. The operator must see the error, so that the record fails only with a warning.
    ///
    /// # Errors
    /// Another process holds the operation now: what failed may have failed for that, and the end is not ours to report.
    pub fn record_end(self, outcome: OperationOutcome, error: &anyhow::Error) -> Result<()> {
        if is_taken_over(error) {
            return Ok(());
        }
        let facts =
            serde_json::json!({ "error": secret::scrub(&crate::error::brief(&format!("{error:#}"))) });
        match with_signals_deferred(|| self.finish(outcome, facts)) {
            Ok(()) => Ok(()),
            Err(taken_over) if is_taken_over(&taken_over) => {
                report::progress(&format!("  {error:#}"));
                Err(taken_over)
            }
            Err(unrecorded) => {
                report::progress(&format!(
                    "warning: the ledger could not be written: {unrecorded:#}"
                ));
                Ok(())
            }
        }
    }
}

/// What to report where something is live and proved, and the ledger did not take its record: `command` records it. Where another
/// process took the operation over, what is live is for that one to report.
pub fn not_recorded(error: anyhow::Error, command: String) -> anyhow::Error {
    if is_taken_over(&error) {
        return error;
    }
    ended::end_not_recorded(format!("{error:#}"), command).into()
}
