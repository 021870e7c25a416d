//! What the ledger has of each restore: whichever machine made it, undid it or dropped what it kept.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::journal::{Rescue, RestorePhase};
use super::request::{KIND, RestoreRequest, Verb};
use crate::domain::ledger::{FORGET, LedgerOperation, LedgerState, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::domain::step::Step;

/// The kind of the operations that restore data as a part of something larger.
const ROLLBACK: &str = "rollback";

/// What the ledger has of one restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    /// How far it is; `None` where no operation of it has ended with something live changed.
    pub(super) phase: Option<RestorePhase>,
    pub(super) swapped_at: Option<DateTime<Utc>>,
    pub(super) undone: bool,
    /// Whether it is a part of a rollback that was undone, at whatever step: a journal of before that shows less.
    pub(super) reverted: bool,
    /// The kind of its operation, where that, or an attempt to resume or undo it, is unfinished.
    pub(super) unfinished: Option<String>,
    /// What of its backup it restored, where not all of it.
    pub(super) collections: Option<Vec<String>>,
    /// The rescue files that its operations wrote.
    pub(super) rescues: Vec<Rescue>,
}

/// What an operation of the ledger did to a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// It is the restore, or resumed it.
    Restore,
    Undo,
    Forget,
    /// It is a deploy or a rollback, and the restored data are a part of it.
    Part,
}

impl Act {
    const fn of(verb: Verb) -> Self {
        match verb {
            Verb::Resume => Self::Restore,
            Verb::Undo => Self::Undo,
            Verb::Forget => Self::Forget,
        }
    }
}

/// Every restore of the ledger.
pub(super) fn recorded(state: &LedgerState) -> BTreeMap<OperationId, Recorded> {
    let mut found: BTreeMap<OperationId, Recorded> = BTreeMap::new();
    for operation in &state.operations {
        let Some((id, act)) = act_of(operation) else {
            continue;
        };
        let entry = found.entry(id).or_default();
        entry.rescues.extend(rescues(operation));
        if act == Act::Restore {
            entry.collections = entry.collections.take().or_else(|| selected(operation));
        }
        let outcome = operation.ended.as_ref().map(|end| end.outcome);
        entry.reverted |= operation.started.kind == ROLLBACK && outcome == Some(OperationOutcome::Undone);
        let reached = operation
            .ended
            .as_ref()
            .and_then(|end| reached(operation, act, end.outcome));
        entry.phase = entry.phase.max(reached);
        entry.rescues.extend(rescues(operation));
        match reached {
            Some(RestorePhase::Swapped) => {
                entry.swapped_at.get_or_insert(operation.started_at);
            }
            Some(RestorePhase::Undone) => entry.undone = true,
            _ => {}
        }
    }
    let unfinished = state.unfinished();
    if let Some((operation, (id, act))) = unfinished.and_then(|o| Some((o, act_of(o)?)))
        && act != Act::Forget
    {
        let entry = found.entry(id).or_default();
        entry.unfinished = Some(operation.started.kind.clone());
        // Another machine has this from nowhere else, where it stopped before it kept anything in the database.
        if act != Act::Undo
            && operation
                .steps
                .iter()
                .any(|step| step.name == Step::Reverting.name())
        {
            entry.phase = entry.phase.max(Some(RestorePhase::Undoing));
        }
    }
    found
}

/// The rescue files that an operation wrote: its end names them, or the step that renamed the collections.
fn rescues(operation: &LedgerOperation) -> impl Iterator<Item = Rescue> {
    let ended = operation.ended.iter().map(|end| &end.facts);
    let facts = operation.steps.iter().map(|step| &step.facts).chain(ended);
    facts.flat_map(|facts| {
        let of = |name: &str| facts.get(name).cloned().unwrap_or_default();
        let rescue: Option<Rescue> = serde_json::from_value(of("rescue")).unwrap_or_default();
        let newer: Vec<Rescue> = serde_json::from_value(of("newer")).unwrap_or_default();
        rescue.into_iter().chain(newer)
    })
}

fn selected(operation: &LedgerOperation) -> Option<Vec<String>> {
    let request: RestoreRequest = serde_json::from_value(operation.started.plan.clone()).ok()?;
    request.selection().names()
}

fn act_of(operation: &LedgerOperation) -> Option<(OperationId, Act)> {
    let started = &operation.started;
    match started.kind.as_str() {
        KIND => match serde_json::from_value(started.plan.clone()).ok()? {
            RestoreRequest::Backup { .. } => Some((operation.id.clone(), Act::Restore)),
            RestoreRequest::Earlier { verb, restore } => Some((restore, Act::of(verb))),
        },
        FORGET => Some((started.target.parse().ok()?, Act::Forget)),
        _ => Some((operation.id.clone(), Act::Part)),
    }
}

fn reached(operation: &LedgerOperation, act: Act, outcome: OperationOutcome) -> Option<RestorePhase> {
    let swapped = || {
        let swap = Step::SwapDatabase.name();
        operation.started.kind == ROLLBACK && operation.steps.iter().any(|step| step.name == swap)
    };
    match (act, outcome) {
        (Act::Restore, OperationOutcome::Done) => Some(RestorePhase::Swapped),
        (Act::Restore, OperationOutcome::Undone) | (Act::Undo, OperationOutcome::Done) => {
            Some(RestorePhase::Undone)
        }
        (Act::Forget, OperationOutcome::Done) => Some(RestorePhase::Forgotten),
        (Act::Part, OperationOutcome::Done) if swapped() => Some(RestorePhase::Swapped),
        (Act::Part, OperationOutcome::Undone) if swapped() => Some(RestorePhase::Undone),
        _ => None,
    }
}
