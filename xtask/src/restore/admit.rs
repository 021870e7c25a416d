//! Which command a restore takes in which state: ended is ended, and midway is resumed or undone before anything else.

use anyhow::Result;

use super::journal::RestorePhase;
use super::known::KnownRestore;
use super::operation::Verb;
use crate::error::CliError;
use crate::error::catalogue::restore as errors;

/// Refuses what must not be done to this restore now.
pub(super) fn admit(known: &KnownRestore, verb: Verb) -> Result<()> {
    let refused = match verb {
        Verb::Resume => resume_refused(known),
        Verb::Undo => undo_refused(known),
        Verb::Forget => forget_refused(known),
    };
    refused.map_or(Ok(()), |error| Err(error.into()))
}

fn resume_refused(known: &KnownRestore) -> Option<CliError> {
    let id = &known.operation;
    match known.phase? {
        RestorePhase::Undoing => Some(errors::undo_begun(id)),
        RestorePhase::Undone => Some(errors::undone(id, next(known))),
        RestorePhase::Forgetting | RestorePhase::Forgotten => Some(errors::forgotten(id)),
        RestorePhase::Swapped if known.unfinished.is_none() => Some(errors::ended(id, next(known))),
        _ => None,
    }
}

fn undo_refused(known: &KnownRestore) -> Option<CliError> {
    let id = &known.operation;
    match known.phase {
        Some(RestorePhase::Forgetting | RestorePhase::Forgotten) => Some(errors::forgotten(id)),
        Some(RestorePhase::Undone) if known.unfinished.is_none() => Some(errors::undone(id, next(known))),
        Some(RestorePhase::Swapped) => {
            let newer = known.newer.as_ref()?;
            Some(errors::newer_restore(id, newer))
        }
        None if !known.old.is_empty() => Some(errors::plan_lost(id)),
        _ => None,
    }
}

fn forget_refused(known: &KnownRestore) -> Option<CliError> {
    let id = &known.operation;
    if known.phase == Some(RestorePhase::Forgotten) {
        return Some(errors::forgotten_before(id));
    }
    if known.unfinished.is_some() || known.is_midway() {
        return Some(errors::forget_midway(id, next(known)));
    }
    let unknown = known.phase.is_none() && !(known.old.is_empty() && known.late.is_empty());
    unknown.then(|| errors::plan_lost(id))
}

fn next(known: &KnownRestore) -> String {
    let next = known.next.clone();
    next.unwrap_or_else(|| "cargo xtask restore --list".to_owned())
}
