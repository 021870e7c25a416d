//! A restore as an operation: the lock, the ledger, the journal and the steps of every operation; resumed and undone like a
//! deploy or a rollback.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::Restore;
use super::leftovers;
use super::prepare::ShadowFacts;
use super::quiesce::quiesced;
use super::swap::Swapped;
use super::undo::RestoreUndone;
use crate::backup::{self, BackupFile, CreateOptions};
use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, LedgerState, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::domain::release::BackupRef;
use crate::domain::step::Step;
use crate::error::catalogue::restore as errors;
use crate::error::{CliError, ExitKind};
use crate::exec::with_signals_deferred;
use crate::operation::ledger::Ledger;
use crate::operation::run::Operation;
use crate::operation::run::ResumeMode::{Continue, Revert};
use crate::report;

/// The kind of the operation in the ledger.
const KIND: &str = "restore";

/// How a restore runs.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOptions<'a> {
    /// Kept in the ledger.
    pub reason: &'a str,
    /// Whether the hooks of pipeline.toml keep writers away during the swap.
    pub quiesce: bool,
}

/// How an operation ended that was resumed.
#[derive(Debug)]
pub enum Resumed {
    Restored(Swapped),
    Undone(RestoreUndone),
}

/// The plan of the operation, as the ledger has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Request {
    /// An earlier restore, which has ended or is not in the ledger, is resumed or undone.
    Earlier { verb: Verb, restore: OperationId },
    /// A backup is restored.
    Backup {
        backup: String,
        /// The file of the backup; earlier versions did not record it.
        #[serde(default)]
        file: Option<PathBuf>,
        created_changed_deleted: [u64; 3],
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Resume,
    Undo,
}

/// Takes the lock, takes a safety backup, and restores. `loss` are the documents created, changed and deleted since the
/// backup, for the ledger.
///
/// # Errors
/// Midway (exit 4) once the swap has begun.
pub fn start(ctx: &Context, file: &BackupFile, loss: [u64; 3], options: RestoreOptions) -> Result<Swapped> {
    let request = Request::Backup {
        backup: file.metadata.id.clone(),
        file: Some(std::path::absolute(&file.path).context("cannot determine the current folder")?),
        created_changed_deleted: loss,
    };
    let operation = Operation::begin(ctx, KIND, &file.metadata.id, options.reason, &request)?;
    let done = restore(ctx, &operation, || Ok(file.clone()), options);
    end(operation, Verb::Resume, OperationOutcome::Done, done)
}

/// Resumes a restore, or the resume or undo of an earlier one, that stopped midway.
///
/// # Errors
/// Midway (exit 4) once the swap or its undo has begun.
pub fn resume(ctx: &Context, id: &OperationId, options: RestoreOptions) -> Result<Resumed> {
    let state = Ledger::open(ctx).state()?;
    match unfinished(&state, id)?.map(request_of).transpose()? {
        Some(Request::Earlier {
            verb: Verb::Undo,
            restore,
        }) => undo_earlier(ctx, &state, &restore, options).map(Resumed::Undone),
        Some(Request::Earlier { restore, .. }) => {
            resume_earlier(ctx, &state, &restore, options).map(Resumed::Restored)
        }
        Some(Request::Backup { .. }) => {
            let (operation, request) = Operation::resume(ctx, id, KIND, Continue)?;
            let done = restore(ctx, &operation, || file_of(ctx, &request), options);
            end(operation, Verb::Resume, OperationOutcome::Done, done).map(Resumed::Restored)
        }
        None => resume_earlier(ctx, &state, id, options).map(Resumed::Restored),
    }
}

/// Undoes a restore: one that stopped midway within its own operation, one that has ended by another operation.
///
/// # Errors
/// Midway (exit 4) once a rename may have been made.
pub fn undo(ctx: &Context, id: &OperationId, options: RestoreOptions) -> Result<RestoreUndone> {
    let state = Ledger::open(ctx).state()?;
    match unfinished(&state, id)?.map(request_of).transpose()? {
        Some(Request::Earlier { restore, .. }) => undo_earlier(ctx, &state, &restore, options),
        Some(Request::Backup { .. }) => {
            let (operation, _): (_, Value) = Operation::resume(ctx, id, KIND, Revert)?;
            let undo = || quiesced(ctx, options.quiesce, || Restore::of(ctx, &operation)?.undo());
            let done = live_step(&operation, Step::UndoDatabase, Verb::Undo, undo);
            end(operation, Verb::Undo, OperationOutcome::Undone, done)
        }
        None => {
            // A typing error must not look like a restore that was undone.
            let known = leftovers::list(ctx)?;
            ensure!(
                known.iter().any(|known| known.operation == *id),
                errors::unknown_restore(id)
            );
            undo_earlier(ctx, &state, id, options)
        }
    }
}

/// The steps of a restore, from the first that is not done.
fn restore(
    ctx: &Context,
    operation: &Operation,
    file: impl FnOnce() -> Result<BackupFile>,
    options: RestoreOptions,
) -> Result<Swapped> {
    report::progress(&format!("operation {}", operation.id));
    let restore = Restore::of(ctx, operation)?;
    let mut prepared = None;
    // Earlier versions did not record the steps before the swap.
    if !restore.swap_begun() {
        if !restore.begun() {
            safety_backup(ctx, operation)?;
        }
        let _: ShadowFacts = operation.step(Step::PrepareShadow, || {
            let shadow = restore.prepare(&file()?)?;
            let facts = shadow.facts();
            prepared = Some(shadow);
            Ok(facts)
        })?;
    }
    live_step(operation, Step::SwapDatabase, Verb::Resume, || {
        quiesced(ctx, options.quiesce, || match prepared {
            Some(prepared) => prepared.swap(),
            None => Restore::of(ctx, operation)?.resume(),
        })
    })
}

fn safety_backup(ctx: &Context, operation: &Operation) -> Result<BackupRef> {
    operation.step(Step::SafetyBackup, || {
        let options = CreateOptions {
            allow_empty: true,
            purpose: format!("before restore {}", operation.id),
        };
        let metadata = backup::create(ctx, &options)?.metadata;
        Ok(BackupRef {
            id: metadata.id,
            hash: metadata.hash,
        })
    })
}

/// The backup that an operation restores, where its journal does not name it yet.
fn file_of(ctx: &Context, request: &Request) -> Result<BackupFile> {
    match request {
        Request::Backup { file: Some(file), .. } if file.exists() => BackupFile::at(file),
        Request::Backup { backup, .. } => backup::find(ctx, backup),
        Request::Earlier { restore, .. } => Err(errors::unknown_restore(restore).into()),
    }
}

fn resume_earlier(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    options: RestoreOptions,
) -> Result<Swapped> {
    let operation = begin_earlier(ctx, state, id, Verb::Resume, options)?;
    let resume = || {
        let resume = || Restore::earlier(ctx, id, &operation)?.resume();
        quiesced(ctx, options.quiesce, resume)
    };
    let done = announce(&operation, Step::RestoreResume, id)
        .and_then(|()| live_step(&operation, Step::SwapDatabase, Verb::Resume, resume));
    end(operation, Verb::Resume, OperationOutcome::Done, done)
}

fn undo_earlier(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    options: RestoreOptions,
) -> Result<RestoreUndone> {
    let operation = begin_earlier(ctx, state, id, Verb::Undo, options)?;
    let undo = || {
        let undo = || Restore::earlier(ctx, id, &operation)?.undo();
        quiesced(ctx, options.quiesce, undo)
    };
    let done = announce(&operation, Step::RestoreUndo, id)
        .and_then(|()| live_step(&operation, Step::UndoDatabase, Verb::Undo, undo));
    end(operation, Verb::Undo, OperationOutcome::Done, done)
}

/// Begins the operation that resumes or undoes an earlier restore, in place of an attempt that was killed.
fn begin_earlier(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    verb: Verb,
    options: RestoreOptions,
) -> Result<Operation> {
    let attempt =
        |o: &&LedgerOperation| o.started.kind == KIND && o.started.target == id.as_str() && o.id != *id;
    let over = state.unfinished().filter(attempt).map(|o| o.id.clone());
    let request = Request::Earlier {
        verb,
        restore: id.clone(),
    };
    Operation::begin_over(ctx, KIND, id.as_str(), options.reason, &request, over)
}

/// What is recorded in the ledger keeps other operations away, should this process be killed.
fn announce(operation: &Operation, step: Step, id: &OperationId) -> Result<()> {
    let facts = || Ok(json!({ "restore": id }));
    operation.step(step, facts).map(|_: Value| ())
}

/// A step that changes the live database. Where only its record fails, the error says so.
fn live_step<T: Serialize + DeserializeOwned>(
    operation: &Operation,
    step: Step,
    verb: Verb,
    act: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let mut acted = false;
    let done = operation.step(step, || {
        let facts = act()?;
        acted = true;
        Ok(facts)
    });
    done.map_err(|error| {
        if acted {
            errors::end_not_recorded(format!("{error:#}"), verb.command(&operation.id)).into()
        } else {
            error
        }
    })
}

/// What the ledger keeps of how an operation went.
trait EndFacts {
    fn facts(&self) -> Value;
}

impl EndFacts for Swapped {
    fn facts(&self) -> Value {
        json!({ "backup": self.backup_id, "measured": self.measured, "repaired": self.repaired, "rescue": self.rescue })
    }
}

impl EndFacts for RestoreUndone {
    fn facts(&self) -> Value {
        json!({ "repaired": self.repaired, "rescue": self.rescue })
    }
}

/// Records how an operation ended, also after a signal. What stopped midway stays unfinished: nothing else may begin over it.
fn end<T: EndFacts>(
    operation: Operation,
    verb: Verb,
    outcome: OperationOutcome,
    done: Result<T>,
) -> Result<T> {
    let command = verb.command(&operation.id);
    match done {
        Ok(value) => {
            let finished = with_signals_deferred(|| operation.finish(outcome, value.facts()));
            finished.map_err(|error| errors::end_not_recorded(format!("{error:#}"), command))?;
            Ok(value)
        }
        Err(error) if exit_of(&error) == Some(ExitKind::Midway) => {
            operation.record_end(OperationOutcome::Stopped, &error);
            Err(error)
        }
        Err(error) if operation.was_resumed() => Err(operation.fail(error)),
        Err(error) => {
            operation.record_end(OperationOutcome::Failed, &error);
            Err(error)
        }
    }
}

fn exit_of(error: &anyhow::Error) -> Option<ExitKind> {
    error.downcast_ref::<CliError>().map(|error| error.exit)
}

impl Verb {
    fn command(self, id: &OperationId) -> String {
        match self {
            Self::Resume => format!("cargo xtask restore --resume {id}"),
            Self::Undo => format!("cargo xtask restore --undo {id}"),
        }
    }
}

/// The operation of this id where it is unfinished; refused where the restored data are a part of another operation.
fn unfinished<'a>(state: &'a LedgerState, id: &OperationId) -> Result<Option<&'a LedgerOperation>> {
    let Some(recorded) = state.unfinished().filter(|o| o.id == *id) else {
        return Ok(None);
    };
    let kind = &recorded.started.kind;
    ensure!(kind == KIND, errors::part_of_operation(id, kind));
    Ok(Some(recorded))
}

fn request_of(recorded: &LedgerOperation) -> Result<Request> {
    serde_json::from_value(recorded.started.plan.clone()).context("the ledger's plan is not readable")
}
