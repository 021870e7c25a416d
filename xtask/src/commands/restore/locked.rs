//! A restore holds the environment's lock and stands in its ledger, as every operation that changes something live.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::error::{CliError, ExitKind};
use crate::exec::with_signals_deferred;
use crate::operation::ledger::{Ledger, OperationLock, Start};
use crate::restore::{Swapped, Undone};

/// How restores are called in the ledger.
const KIND: &str = "restore";

/// What the ledger says of why and what.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) reason: &'a str,
    pub(super) target: &'a str,
    pub(super) plan: Value,
}

/// What the ledger keeps of how an operation went.
pub(super) trait Facts {
    fn facts(&self) -> Value;
}

impl Facts for Swapped {
    fn facts(&self) -> Value {
        json!({ "backup": self.backup_id, "measured": self.measured, "mended": self.mended, "rescue": self.rescue })
    }
}

impl Facts for Undone {
    fn facts(&self) -> Value {
        json!({ "mended": self.mended, "rescue": self.rescue })
    }
}

/// Runs a new restore under the lock; its operation id is the ledger's.
pub(super) fn begin<T: Facts>(
    ctx: &Context,
    entry: Entry,
    run: impl FnOnce(&OperationLock) -> Result<T>,
) -> Result<T> {
    let held = Ledger::open(ctx).begin(start(entry, None))?;
    let again = format!("cargo xtask restore --resume {}", held.id());
    ending(held, &again, OperationOutcome::Done, run)
}

/// Goes on with, or takes back, the restore `operation`: as its new holder where it is unfinished, else as an operation of
/// its own.
pub(super) fn again<T: Facts>(
    ctx: &Context,
    operation: &OperationId,
    entry: Entry,
    well: OperationOutcome,
    run: impl FnOnce(&OperationLock) -> Result<T>,
) -> Result<T> {
    let verb = if well == OperationOutcome::Undone {
        "--undo"
    } else {
        "--resume"
    };
    let command = format!("cargo xtask restore {verb} {operation}");
    let mut ledger = Ledger::open(ctx);
    let state = ledger.state()?;
    let unfinished = state.unfinished();
    if let Some(same) = unfinished.filter(|o| o.id == *operation) {
        ensure!(
            same.started.kind == KIND,
            CliError::refused(format!(
                "{operation} is a {}, of which the data are a part",
                same.started.kind
            ))
            .live("nothing was changed")
            .next(format!(
                "cargo xtask {0} --resume {operation}   (or --undo {operation})",
                same.started.kind
            ))
        );
        return ending(ledger.resume(operation, entry.reason)?, &command, well, run);
    }
    // An earlier attempt of the same that was killed.
    let ours = |o: &&LedgerOperation| o.started.kind == KIND && o.started.target == operation.as_str();
    let over = unfinished.filter(ours).map(|o| o.id.clone());
    ending(
        ledger.begin(start(entry, over))?,
        &command,
        OperationOutcome::Done,
        run,
    )
}

fn start(entry: Entry, over: Option<OperationId>) -> Start {
    let plan_sha256 = Sha256::digest(entry.plan.to_string())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Start {
        kind: KIND.to_owned(),
        reason: entry.reason.to_owned(),
        target: entry.target.to_owned(),
        plan_sha256,
        plan: entry.plan,
        over,
    }
}

/// Runs, and records how it ended, also after a signal. What stopped midway stays unfinished: nothing else may begin over it.
fn ending<T: Facts>(
    held: OperationLock,
    again: &str,
    well: OperationOutcome,
    run: impl FnOnce(&OperationLock) -> Result<T>,
) -> Result<T> {
    match run(&held) {
        Ok(value) => {
            with_signals_deferred(|| held.finish(well, value.facts())).map_err(|error| {
                CliError::midway(format!(
                    "only the ledger does not know that it is done: {error:#}"
                ))
                .live("what was asked for: it was done, and proved")
                .next(again)
            })?;
            Ok(value)
        }
        Err(error) => {
            let midway = error
                .downcast_ref::<CliError>()
                .is_some_and(|stop| stop.exit == ExitKind::Midway);
            let outcome = if midway {
                OperationOutcome::Stopped
            } else {
                OperationOutcome::Failed
            };
            let told = crate::secret::scrub(&format!("{error:#}"));
            // The restore's own error is what the operator must see.
            if let Err(unrecorded) = with_signals_deferred(|| held.finish(outcome, json!({ "error": told })))
            {
                crate::report::progress(&format!("warning: {unrecorded:#}"));
            }
            Err(error)
        }
    }
}
