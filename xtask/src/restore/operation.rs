//! A restore as an operation: the lock, the ledger, the journal and the steps of every operation; resumed and undone like a
//! deploy or a rollback.

mod end;

use anyhow::{Context as _, Result, ensure};
use end::end;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::admit::admit;
use super::backup_file;
use super::context::{Restore, connect};
use super::delta_choice::DeltaChoice;
use super::journal::{RestorePhase, RestoreState};
use super::known;
use super::prepare::{Prepared, ShadowFacts};
use super::quiesce::quiesced;
use super::recorded::recorded;
use super::reinsert::REINSERT;
use super::request::{KIND, RestoreRequest, Verb};
use super::selection::Selection;
use super::swap::Swapped;
use super::undo::RestoreUndone;
use crate::backup::{self, BackupFile, CreateOptions, off_machine};
use crate::context::Context;
use crate::domain::ledger::{FORGET, LedgerOperation, LedgerState, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::domain::release::BackupRef;
use crate::domain::step::Step;
use crate::error::catalogue::restore as errors;
use crate::error::{CliError, ExitKind};
use crate::operation::after::AfterFailures;
use crate::operation::basis::DataBasis;
use crate::operation::ledger::Ledger;
use crate::operation::run::ResumeMode::{Continue, Revert};
use crate::operation::run::{Operation, not_recorded};
use crate::report;

/// How a restore runs.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOptions<'a> {
    /// Kept in the ledger.
    pub reason: &'a str,
    /// Whether the hooks of pipeline.toml keep writers away during the swap.
    pub quiesce: bool,
    /// What it was confirmed on; looked at again under the lock.
    pub basis: &'a DataBasis,
}

/// What of a backup is restored, and how.
#[derive(Debug, Clone, Default)]
pub struct RestoreChoice {
    pub selection: Selection,
    /// What of that is put back in place.
    pub delta: DeltaChoice,
}

/// How an operation ended that was resumed.
#[derive(Debug)]
pub enum Resumed {
    Restored(Swapped),
    Undone(RestoreUndone),
}

/// Takes the lock, takes a safety backup, and restores. `loss` are the documents created, changed and deleted since the
/// backup, for the ledger.
///
/// # Errors
/// Midway (exit 4) once the swap has begun.
pub fn start(
    ctx: &Context,
    file: &BackupFile,
    choice: &RestoreChoice,
    loss: [u64; 3],
    options: RestoreOptions,
) -> Result<Swapped> {
    off_machine::require_configured(ctx, KIND)?;
    let operation = begin(ctx, file, choice, loss, options)?;
    let unchanged = options.basis.require_unchanged(ctx, &operation.id);
    let done = unchanged.and_then(|()| restore(ctx, &operation, choice, || Ok(file.clone()), options));
    let midway = is_midway(ctx, &operation.id);
    end(operation, Verb::Resume, OperationOutcome::Done, midway, done)
}

/// Takes the lock, takes a safety backup and fills the shadow, then lets go before the first live change: the backup can be
/// taken off this machine, and [`resume`] finishes. Gives the operation.
///
/// # Errors
/// Nothing live was changed.
pub fn prepare(
    ctx: &Context,
    file: &BackupFile,
    choice: &RestoreChoice,
    loss: [u64; 3],
    options: RestoreOptions,
) -> Result<OperationId> {
    let operation = begin(ctx, file, choice, loss, options)?;
    let unchanged = options.basis.require_unchanged(ctx, &operation.id);
    let prepared = unchanged.and_then(|()| stage(ctx, &operation, choice, || Ok(file.clone())).map(drop));
    operation.pause_after(Some(options.basis), prepared)
}

fn begin(
    ctx: &Context,
    file: &BackupFile,
    choice: &RestoreChoice,
    loss: [u64; 3],
    options: RestoreOptions,
) -> Result<Operation> {
    let request = RestoreRequest::Backup {
        backup: file.metadata.id.clone(),
        file: Some(std::path::absolute(&file.path).context("cannot determine the current folder")?),
        sha256: Some(file.metadata.hash.clone()),
        collections: choice.selection.clone(),
        delta: choice.delta.clone(),
        created_changed_deleted: loss,
    };
    Operation::begin(ctx, KIND, &file.metadata.id, options.reason, &request)
}

/// Resumes a restore, or the resume or undo of an earlier one, that stopped midway.
///
/// # Errors
/// Midway (exit 4) once the swap or its undo has begun.
pub fn resume(ctx: &Context, id: &OperationId, options: RestoreOptions) -> Result<Resumed> {
    guarded(ctx, id, Verb::Resume, |state| resume_any(ctx, state, id, options))
}

fn resume_any(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    options: RestoreOptions,
) -> Result<Resumed> {
    match unfinished(state, id)?.map(request_of).transpose()? {
        Some(RestoreRequest::Earlier {
            verb: Verb::Undo,
            restore,
        }) => undo_earlier(ctx, state, &restore, options).map(Resumed::Undone),
        Some(RestoreRequest::Earlier { restore, .. }) => {
            resume_earlier(ctx, state, &restore, options).map(Resumed::Restored)
        }
        Some(RestoreRequest::Backup { .. }) => {
            let (operation, request): (_, RestoreRequest) = Operation::resume(ctx, id, KIND, Continue)?;
            let choice = RestoreChoice {
                selection: request.selection(),
                delta: request.delta(),
            };
            let done = restore(ctx, &operation, &choice, || file_of(ctx, &request), options);
            let midway = is_midway(ctx, id);
            end(operation, Verb::Resume, OperationOutcome::Done, midway, done).map(Resumed::Restored)
        }
        None => resume_earlier(ctx, state, id, options).map(Resumed::Restored),
    }
}

/// Undoes a restore: one that stopped midway within its own operation, one that has ended by another operation.
///
/// # Errors
/// Midway (exit 4) once a rename may have been made.
pub fn undo(ctx: &Context, id: &OperationId, options: RestoreOptions) -> Result<RestoreUndone> {
    guarded(ctx, id, Verb::Undo, |state| undo_any(ctx, state, id, options))
}

fn undo_any(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    options: RestoreOptions,
) -> Result<RestoreUndone> {
    match unfinished(state, id)?.map(request_of).transpose()? {
        Some(RestoreRequest::Earlier { restore, .. }) => undo_earlier(ctx, state, &restore, options),
        Some(RestoreRequest::Backup { .. }) => {
            let (operation, _): (_, Value) = Operation::resume(ctx, id, KIND, Revert)?;
            let undo = || quiesced(ctx, options.quiesce, || Restore::of(ctx, &operation)?.undo());
            let done = live_step(&operation, Step::UndoDatabase, Verb::Undo, undo);
            let done = after(ctx, &operation, Step::UndoAfter, done);
            let midway = is_midway(ctx, id);
            end(operation, Verb::Undo, OperationOutcome::Undone, midway, done)
        }
        None => undo_earlier(ctx, state, id, options),
    }
}

/// The steps before the first live change, from the first that is not done: the shadow where this process has filled it, and the
/// safety backup.
fn stage<'a>(
    ctx: &'a Context,
    operation: &Operation,
    choice: &RestoreChoice,
    file: impl Fn() -> Result<BackupFile>,
) -> Result<(Option<Prepared<'a>>, Option<BackupRef>)> {
    report::progress(&format!("operation {}", operation.id));
    let restore = Restore::of(ctx, operation)?;
    let restore = restore.only(&choice.selection).in_place(&choice.delta);
    // Earlier versions did not record the steps before the swap.
    if restore.swap_begun() {
        return Ok((None, None));
    }
    let safety = match operation.done(&Step::SafetyBackup.into()) {
        Some(taken) => Some(serde_json::from_value(taken.clone())?),
        None if restore.begun() => None,
        None => Some(safety_backup(ctx, operation)?),
    };
    let mut prepared = None;
    let _: ShadowFacts = operation.step(Step::PrepareShadow, || {
        let shadow = restore.prepare(&file()?)?;
        let facts = shadow.facts();
        prepared = Some(shadow);
        Ok(facts)
    })?;
    Ok((prepared, safety))
}

/// The steps of a restore, from the first that is not done.
fn restore(
    ctx: &Context,
    operation: &Operation,
    choice: &RestoreChoice,
    file: impl Fn() -> Result<BackupFile>,
    options: RestoreOptions,
) -> Result<Swapped> {
    let (prepared, safety) = stage(ctx, operation, choice, &file)?;
    if let Some(safety) = &safety {
        off_machine::require(ctx, safety)?;
    }
    let swapped = live_step(operation, Step::SwapDatabase, Verb::Resume, || {
        quiesced(ctx, options.quiesce, || match prepared {
            Some(prepared) => prepared.swap(),
            None => Restore::of(ctx, operation)?
                .only(&choice.selection)
                .in_place(&choice.delta)
                .resume_or_begin(&file),
        })
    });
    after(ctx, operation, Step::AfterRestore, swapped)
}

/// The commands of the team, where the data are changed.
fn after<T>(ctx: &Context, operation: &Operation, step: Step, changed: Result<T>) -> Result<T> {
    let changed = changed?;
    AfterFailures::of(ctx, operation, step, &ctx.config.restore.after)?.require_none(operation)?;
    Ok(changed)
}

fn safety_backup(ctx: &Context, operation: &Operation) -> Result<BackupRef> {
    operation.step(Step::SafetyBackup, || {
        let options = CreateOptions {
            allow_empty: true,
            purpose: format!("before restore {}", operation.id),
            within: Some(operation.id.clone()),
        };
        Ok(backup::create(ctx, &options)?.reference())
    })
}

/// The backup that an operation restores, where its journal does not name it yet.
fn file_of(ctx: &Context, request: &RestoreRequest) -> Result<BackupFile> {
    match request {
        RestoreRequest::Backup {
            file, backup, sha256, ..
        } => backup_file::named(ctx, file.as_deref(), backup, sha256.as_deref()),
        RestoreRequest::Earlier { restore, .. } => Err(errors::unknown_restore(restore).into()),
    }
}

fn resume_earlier(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    options: RestoreOptions,
) -> Result<Swapped> {
    let (operation, attempted) = begin_earlier(ctx, state, id, Verb::Resume, options)?;
    let resume = || {
        let resume = || Restore::earlier(ctx, id, &operation)?.resume();
        quiesced(ctx, options.quiesce, resume)
    };
    let done = announce(&operation, Step::RestoreResume, id)
        .and_then(|()| live_step(&operation, Step::SwapDatabase, Verb::Resume, resume));
    let done = after(ctx, &operation, Step::AfterRestore, done);
    let midway = attempted || is_midway(ctx, id);
    end(operation, Verb::Resume, OperationOutcome::Done, midway, done)
}

fn undo_earlier(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    options: RestoreOptions,
) -> Result<RestoreUndone> {
    let (operation, attempted) = begin_earlier(ctx, state, id, Verb::Undo, options)?;
    let undo = || {
        let undo = || Restore::earlier(ctx, id, &operation)?.undo();
        quiesced(ctx, options.quiesce, undo)
    };
    let done = announce(&operation, Step::RestoreUndo, id)
        .and_then(|()| live_step(&operation, Step::UndoDatabase, Verb::Undo, undo));
    let done = after(ctx, &operation, Step::AfterRestore, done);
    let midway = attempted || is_midway(ctx, id);
    end(operation, Verb::Undo, OperationOutcome::Done, midway, done)
}

/// Begins the operation that resumes or undoes an earlier restore, in place of an attempt that was killed or stopped; with it
/// comes whether there was one.
fn begin_earlier(
    ctx: &Context,
    state: &LedgerState,
    id: &OperationId,
    verb: Verb,
    options: RestoreOptions,
) -> Result<(Operation, bool)> {
    let known = known::find(ctx, &connect(ctx)?, state, id)?;
    // A typing error must not look like a restore that has ended.
    admit(&known.ok_or_else(|| errors::unknown_restore(id))?, verb)?;
    let attempt =
        |o: &&LedgerOperation| o.started.kind == KIND && o.started.target == id.as_str() && o.id != *id;
    let over = state.unfinished().filter(attempt).map(|o| o.id.clone());
    let request = RestoreRequest::Earlier {
        verb,
        restore: id.clone(),
    };
    let attempted = over.is_some();
    let operation = Operation::begin_over(ctx, KIND, id.as_str(), options.reason, &request, over)?;
    match options.basis.require_unchanged(ctx, &operation.id) {
        Ok(()) => Ok((operation, attempted)),
        Err(error) => {
            let outcome = if attempted {
                OperationOutcome::Stopped
            } else {
                OperationOutcome::Failed
            };
            operation.record_end(outcome, &error)?;
            Err(error)
        }
    }
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
            not_recorded(error, verb.command(&operation.id))
        } else {
            error
        }
    })
}

/// Whether the journal here shows collections of the backup and of before mixed. Where it cannot be read, nothing proves that
/// they are not.
fn is_midway(ctx: &Context, id: &OperationId) -> bool {
    RestoreState::read(ctx, id).map_or(true, |history| history.phase.is_midway())
}

/// Whether the journal here shows that nothing live was changed yet.
pub fn is_untouched(ctx: &Context, id: &OperationId) -> bool {
    RestoreState::read(ctx, id).is_ok_and(|history| history.phase < RestorePhase::Swapping)
}

/// Gives the ledger to `act`. Where that fails, also before it takes the lock, a restore that is midway is not "unchanged"; a
/// refusal has words of its own.
fn guarded<T>(
    ctx: &Context,
    id: &OperationId,
    verb: Verb,
    act: impl FnOnce(&LedgerState) -> Result<T>,
) -> Result<T> {
    let mut unfinished = false;
    let done = Ledger::open(ctx).state().and_then(|state| {
        let recorded = recorded(&state);
        let prepared = state.unfinished().is_some_and(LedgerOperation::is_prepared);
        unfinished = !prepared && recorded.get(id).is_some_and(|known| known.unfinished.is_some());
        act(&state)
    });
    done.map_err(|error| {
        let stop = error.downcast_ref::<CliError>();
        let own = stop.is_some_and(|stop| stop.exit != ExitKind::Failed);
        if own || !(unfinished || is_midway(ctx, id)) {
            return error;
        }
        errors::still_midway(id, format!("{error:#}"), verb.command(id)).into()
    })
}

/// The operation of this id where it is unfinished; refused where the restored data are a part of another operation.
fn unfinished<'a>(state: &'a LedgerState, id: &OperationId) -> Result<Option<&'a LedgerOperation>> {
    let Some(recorded) = state.unfinished().filter(|o| o.id == *id) else {
        return Ok(None);
    };
    let kind = recorded.started.kind.as_str();
    // These are repeated, not resumed.
    ensure!(!matches!(kind, FORGET | REINSERT), errors::unknown_restore(id));
    ensure!(kind == KIND, errors::part_of_operation(id, kind));
    Ok(Some(recorded))
}

fn request_of(recorded: &LedgerOperation) -> Result<RestoreRequest> {
    serde_json::from_value(recorded.started.plan.clone()).context("the ledger's plan is not readable")
}
