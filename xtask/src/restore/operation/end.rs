//! How an operation of a restore ends in the ledger.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::request::Verb;
use super::super::swap::Swapped;
use super::super::undo::RestoreUndone;
use crate::domain::ledger::OperationOutcome;
use crate::error::{CliError, ExitKind};
use crate::operation::run::Operation;

/// What the ledger keeps of how an operation went.
pub(super) trait EndFacts {
    fn facts(&self) -> Value;
}

impl EndFacts for Swapped {
    fn facts(&self) -> Value {
        json!({
            "backup": self.backup_id, "measured": self.measured, "repaired": self.repaired, "rescue": self.rescue,
            "newer": self.newer, "in_place": self.in_place, "conflicts": self.conflicts,
        })
    }
}

impl EndFacts for RestoreUndone {
    fn facts(&self) -> Value {
        json!({ "repaired": self.repaired, "rescue": self.rescue, "newer": self.newer })
    }
}

/// Records how an operation ended, also after a signal. What is midway stays unfinished until a proof shows otherwise: nothing
/// else may begin over it.
pub(super) fn end<T: EndFacts>(
    operation: Operation,
    verb: Verb,
    outcome: OperationOutcome,
    midway: bool,
    done: Result<T>,
) -> Result<T> {
    let command = verb.command(&operation.id);
    match done {
        Ok(value) => {
            operation.conclude_with(outcome, value.facts(), command)?;
            Ok(value)
        }
        Err(error) if exit_of(&error) == Some(ExitKind::Midway) => {
            operation.record_end(OperationOutcome::Stopped, &error)?;
            Err(error)
        }
        Err(error) if midway => Err(operation.stop(error)),
        Err(error) if operation.was_resumed() => Err(operation.fail(error)),
        Err(error) => {
            operation.record_end(OperationOutcome::Failed, &error)?;
            Err(error)
        }
    }
}

fn exit_of(error: &anyhow::Error) -> Option<ExitKind> {
    error.downcast_ref::<CliError>().map(|error| error.exit)
}
