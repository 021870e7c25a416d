//! The clocks of a recovery: a step that will miss its budget is reported while it runs, not only in the final report.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::report;

/// Share of a budget after which the operator is warned, in percent.
const EARLY_PERCENT: u32 = 75;

/// Watches one budget until it is dropped.
#[derive(Debug)]
pub struct Watched {
    _done: mpsc::Sender<()>,
}

/// Reports when three quarters of the budget are used, and when all of it is.
pub fn watch(what: &str, budget: Duration) -> Watched {
    let what = what.to_owned();
    let (done, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let early = budget * EARLY_PERCENT / 100;
        let runs_on = |pause| ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
        let of = report::duration_ms(crate::wait::millis(budget));
        if runs_on(early) {
            report::progress(&format!("  {what}: {EARLY_PERCENT} % of its {of} are used"));
            if runs_on(budget.saturating_sub(early)) {
                report::progress(&format!("  {what}: over its budget of {of}; it continues"));
            }
        }
    });
    Watched { _done: done }
}
