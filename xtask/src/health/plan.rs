//! The checks of a run, ready to run: pure data.

use std::collections::BTreeSet;
use std::time::Duration;

use super::CheckGroup;
use super::file::Retry;
use super::probe::Probe;
use crate::domain::verdict::Severity;

/// All checks of a run.
#[derive(Debug)]
pub(super) struct HealthPlan {
    pub parallel: usize,
    pub deadline: Duration,
    /// In the order of the file.
    pub checks: Vec<HealthCheck>,
    /// Names of the environment variables that hold secrets.
    pub secrets: BTreeSet<String>,
}

/// A check that can run.
#[derive(Debug)]
pub(super) struct HealthCheck {
    pub name: String,
    pub group: CheckGroup,
    pub severity: Severity,
    pub depends_on: Vec<usize>,
    pub retry: Retry,
    pub consecutive: u32,
    pub probe: Probe,
}

impl HealthPlan {
    /// Keeps the checks of a group and all that they depend on.
    pub(super) fn only(&mut self, wanted: impl Fn(&HealthCheck) -> bool) {
        let mut keep: Vec<bool> = self.checks.iter().map(wanted).collect();
        // Dependencies have no cycles, so this ends at the latest after as many rounds as there are checks.
        let mut changed = true;
        while changed {
            changed = false;
            for (index, check) in self.checks.iter().enumerate() {
                if keep[index] {
                    for &needed in &check.depends_on {
                        changed |= !std::mem::replace(&mut keep[needed], true);
                    }
                }
            }
        }
        let place: Vec<usize> = keep
            .iter()
            .scan(0, |next, kept| {
                let here = *next;
                *next += usize::from(*kept);
                Some(here)
            })
            .collect();
        let mut kept = keep.iter();
        self.checks
            .retain(|_| *kept.next().expect("one flag for each check"));
        for check in &mut self.checks {
            for needed in &mut check.depends_on {
                *needed = place[*needed];
            }
        }
    }
}
