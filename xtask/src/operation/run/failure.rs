//! What an operation that failed tells the operator.

use crate::error::{CliError, ExitKind, unchanged};
use crate::tools::fault::explained;

/// Whether another process holds the operation now: nothing of it is this one's to record, to resume or to undo.
pub fn is_taken_over(error: &anyhow::Error) -> bool {
    let stop = error.downcast_ref::<CliError>();
    stop.is_some_and(|stop| stop.code == Some("lock_taken_over"))
}

/// Whether everything that was asked for is done, and what comes after it failed.
pub(super) fn is_after_the_whole(error: &anyhow::Error) -> bool {
    let stop = error.downcast_ref::<CliError>();
    stop.is_some_and(|stop| stop.code == Some("after_failed"))
}

/// What must be done before it is of use to resume. What a part of the operation says about resuming itself does not hold for
/// the whole.
pub(super) fn advice(error: &anyhow::Error) -> String {
    let explained = explained(error);
    let stop = explained.as_ref().or_else(|| error.downcast_ref::<CliError>());
    let own = stop.filter(|stop| stop.exit != ExitKind::Midway);
    own.and_then(|stop| stop.next.as_ref())
        .map_or_else(String::new, |next| format!("{next}; then "))
}

/// The error of an operation that changed nothing live, which it says. It has ended: what stopped it midway, a lease that
/// ran out for one, is nothing to resume.
pub(super) fn untouched(error: &anyhow::Error) -> anyhow::Error {
    let stop = error.downcast_ref::<CliError>();
    let Some(midway) = stop.filter(|stop| stop.exit == ExitKind::Midway) else {
        let explained = explained(error).map(anyhow::Error::from);
        return unchanged(explained.as_ref().unwrap_or(error));
    };
    let live = midway.live.clone();
    let failed = CliError::failed(format!("{error:#}"));
    unchanged(&CliError { live, ..failed }.into())
}
