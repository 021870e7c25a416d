//! The checks of a run, from the file to what can run. Every mistake is found here, before anything is sent.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Group;
use super::compile::Compiler;
use super::file::{HealthFile, Retry};
use super::probe::Probe;
use crate::config;
use crate::domain::verdict::Severity;

/// All checks of a run.
#[derive(Debug)]
pub(super) struct Plan {
    pub parallel: usize,
    pub deadline: Duration,
    /// In the order of the file.
    pub checks: Vec<Check>,
    /// Names of the environment variables that hold secrets.
    pub secrets: BTreeSet<String>,
}

/// A check that can run.
#[derive(Debug)]
pub(super) struct Check {
    pub name: String,
    pub group: Group,
    pub severity: Severity,
    pub depends_on: Vec<usize>,
    pub retry: Retry,
    pub consecutive: u32,
    pub probe: Probe,
}

impl Plan {
    /// Parses and compiles the file.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let file: HealthFile = config::parse_toml(path, text)?;
        let mut compiler = Compiler::new(text, &file.run);
        let plan = compiler.plan(file);
        if compiler.mistakes.is_empty() {
            Ok(plan)
        } else {
            Err(config::mistakes(path, text, compiler.mistakes))
        }
    }

    /// Keeps the checks of a group and all that they depend on.
    pub(super) fn only(&mut self, wanted: impl Fn(&Check) -> bool) {
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

#[cfg(test)]
mod tests;
