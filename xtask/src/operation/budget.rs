//! The clocks of a recovery: a step that will miss its budget is reported while it runs, not only in the final report.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::report;
use crate::wait::millis;

/// Share of a budget after which the operator is warned, in percent.
const EARLY_PERCENT: u32 = 75;

/// A budget, and what is known when its clock is set.
#[derive(Debug, Clone, Copy)]
pub struct BudgetClock {
    pub budget: Duration,
    /// What earlier attempts have used of it.
    pub used: Duration,
    /// Whether what misses the budget goes on; otherwise it ends there, with an error of its own.
    pub continues: bool,
}

/// Watches one budget until it is dropped.
#[derive(Debug)]
pub struct Watched {
    _done: mpsc::Sender<()>,
}

/// Reports when three quarters of the budget are used, and when all of it is.
pub fn watch(what: &str, clock: BudgetClock) -> Watched {
    let what = what.to_owned();
    let (done, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut waited = Duration::ZERO;
        for (at, line) in clock.lines() {
            if ended.recv_timeout(at.saturating_sub(waited)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            waited = at;
            report::progress(&format!("  {what}: {line}"));
        }
    });
    Watched { _done: done }
}

impl BudgetClock {
    /// What there is to report, each with the time from now.
    fn lines(self) -> Vec<(Duration, String)> {
        let Self {
            budget,
            used,
            continues,
        } = self;
        let of = report::duration_ms(millis(budget));
        let goes_on = if continues { "; it continues" } else { "" };
        if used > budget {
            let late = report::duration_ms(millis(used.saturating_sub(budget)));
            let line = format!("over its budget of {of} by {late} before this attempt{goes_on}");
            return vec![(Duration::ZERO, line)];
        }
        let early = budget * EARLY_PERCENT / 100;
        let over = (
            budget.saturating_sub(used),
            format!("over its budget of {of}{goes_on}"),
        );
        if used > early {
            let left = report::duration_ms(millis(over.0));
            let line = format!("{left} are left of its {of}: earlier attempts used the rest");
            return vec![(Duration::ZERO, line), over];
        }
        let line = format!("{EARLY_PERCENT} % of its {of} are used");
        vec![(early.saturating_sub(used), line), over]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(used_s: u64, continues: bool) -> Vec<(u64, String)> {
        let clock = BudgetClock {
            budget: Duration::from_mins(15),
            used: Duration::from_secs(used_s),
            continues,
        };
        let lines = clock.lines().into_iter();
        lines.map(|(at, line)| (at.as_secs(), line)).collect()
    }

    #[test]
    fn a_budget_counts_what_earlier_attempts_used_and_names_what_it_was() {
        let line = |at: u64, line: &str| (at, line.to_owned());
        assert_eq!(
            lines(0, true),
            [
                line(675, "75 % of its 15 min 00 s are used"),
                line(900, "over its budget of 15 min 00 s; it continues")
            ]
        );
        assert_eq!(lines(600, true)[0].0, 75);
        assert_eq!(
            lines(840, true),
            [
                line(
                    0,
                    "1 min 00 s are left of its 15 min 00 s: earlier attempts used the rest"
                ),
                line(60, "over its budget of 15 min 00 s; it continues")
            ]
        );
        let missed = "over its budget of 15 min 00 s by 5 min 00 s before this attempt; it continues";
        assert_eq!(lines(1_200, true), [line(0, missed)]);
    }

    #[test]
    fn what_ends_with_its_budget_is_not_announced_to_continue() {
        assert_eq!(lines(0, false)[1].1, "over its budget of 15 min 00 s");
    }
}
