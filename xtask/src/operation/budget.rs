//! The clocks of a recovery: a step that will not keep its budget is said while it runs, not in the report after it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::report;

/// Share of a budget after which the operator is told, in percent.
const EARLY_PERCENT: u32 = 75;

/// Watches one budget; dropped when the work is done, it says no more.
#[derive(Debug)]
pub struct Watched {
    _done: mpsc::Sender<()>,
}

/// Says it when three quarters of the budget are gone, and when all of it is.
pub fn watch(what: &str, budget: Duration) -> Watched {
    let what = what.to_owned();
    let (done, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let early = budget * EARLY_PERCENT / 100;
        let runs_on = |pause| ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
        let of = report::duration_ms(crate::wait::millis(budget));
        if runs_on(early) {
            report::progress(&format!("  {what}: {EARLY_PERCENT} % of its {of} are gone"));
            if runs_on(budget.saturating_sub(early)) {
                report::progress(&format!("  {what}: over its budget of {of}; it goes on"));
            }
        }
    });
    Watched { _done: done }
}
