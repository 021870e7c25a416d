//! What took how long in one operation, and which chain of steps decided the whole.

use serde::{Deserialize, Serialize};

/// One step with its place in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    pub step: String,
    /// From the start of the operation.
    pub start_ms: u64,
    pub duration_ms: u64,
    /// The budget of the step, where it has one.
    pub budget_ms: Option<u64>,
    /// On the chain of steps that decided how long the whole took.
    pub critical: bool,
}

impl Timing {
    fn end_ms(&self) -> u64 {
        self.start_ms + self.duration_ms
    }
}

/// Steps in order of their start, the critical chain marked: from the step that ended last, always to the one
/// that ended last before it began.
pub fn mark_critical(mut timings: Vec<Timing>) -> Vec<Timing> {
    timings.sort_by_key(|timing| (timing.start_ms, timing.end_ms()));
    let mut before_ms = u64::MAX;
    while let Some(at) = last_ended(&timings, before_ms) {
        timings[at].critical = true;
        before_ms = timings[at].start_ms;
    }
    timings
}

fn last_ended(timings: &[Timing], before_ms: u64) -> Option<usize> {
    let ended = timings
        .iter()
        .enumerate()
        .filter(|(_, timing)| !timing.critical && timing.end_ms() <= before_ms);
    ended
        .max_by_key(|(at, timing)| (timing.end_ms(), *at))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(step: &str, start_ms: u64, duration_ms: u64) -> Timing {
        Timing {
            step: step.into(),
            start_ms,
            duration_ms,
            budget_ms: None,
            critical: false,
        }
    }

    #[test]
    fn the_chain_that_decided_is_marked() {
        let timings = vec![
            timing("backup", 0, 50),
            timing("stage", 0, 80),
            timing("check", 80, 5),
            timing("backend", 85, 40),
            timing("variables", 85, 3),
        ];
        let marked = mark_critical(timings);
        let critical: Vec<&str> = marked
            .iter()
            .filter(|timing| timing.critical)
            .map(|timing| timing.step.as_str())
            .collect();
        assert_eq!(critical, ["stage", "check", "backend"]);
    }

    #[test]
    fn steps_without_duration_do_not_loop() {
        let marked = mark_critical(vec![timing("a", 0, 0), timing("b", 0, 0)]);
        assert!(marked.iter().all(|timing| timing.critical));
    }
}
