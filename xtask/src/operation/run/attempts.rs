//! What earlier processes of an operation did and how long they took, by the journal of this machine. Budgets count over all
//! attempts: whoever waits for a recovery waits for each of them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Entry;
use crate::domain::ledger::LedgerOperation;
use crate::domain::step::{Budgets, PartStep, Step};
use crate::domain::timeline::Timing;

/// Steps that start a backend on the platform, which goes on with it whatever becomes of us.
const STARTS_BACKEND: [Step; 3] = [Step::UploadBackend, Step::BackendServes, Step::RollBackBackend];

/// The attempts before this process.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// By step: the time of all its attempts, in ms.
    spent_ms: BTreeMap<String, u64>,
    /// The steps that are done, with the time of all their attempts.
    pub done: Vec<Timing>,
    /// By backend: when it was first begun.
    backend_began: BTreeMap<String, DateTime<Utc>>,
}

impl Attempts {
    /// Reads them from the journal's lines. One that was cut short lasted until the last sign of life: a later line, or the last
    /// event in the ledger.
    pub(super) fn of(entries: &[Entry], recorded: &LedgerOperation, budgets: &Budgets) -> Self {
        let mut attempts = Self::default();
        let mut open: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
        let mut last = recorded.started_at;
        for entry in entries {
            match entry {
                Entry::Begun { step, at } => {
                    if let Some(cut) = open.insert(step, *at) {
                        attempts.spend(step, ms_between(cut, last));
                    }
                    attempts.see_backend(step, *at);
                    last = *at;
                }
                Entry::Failed { step, at, .. } => {
                    let began = open.remove(step.as_str()).unwrap_or(*at);
                    attempts.spend(step, ms_between(began, *at));
                    last = *at;
                }
                Entry::Done {
                    step,
                    at,
                    duration_ms,
                    ..
                } => {
                    open.remove(step.as_str());
                    attempts.spend(step, *duration_ms);
                    attempts.finish(step, ms_between(recorded.started_at, *at), budgets);
                    last = *at;
                }
            }
        }
        let last = last.max(recorded.last_seen);
        for (step, began) in open {
            attempts.spend(step, ms_between(began, last));
        }
        // Also where this machine has no journal of it.
        for step in &recorded.steps {
            attempts.see_backend(&step.name, step.at);
        }
        attempts
    }

    /// The time that a step took before this process.
    pub(super) fn spent(&self, step: &PartStep) -> Duration {
        Duration::from_millis(self.spent_ms.get(&step.name()).copied().unwrap_or(0))
    }

    /// How long ago a backend was first begun.
    pub(super) fn backend_age(&self, part: &str) -> Duration {
        let began = self.backend_began.get(part).copied();
        began.map_or(Duration::ZERO, |began| {
            (Utc::now() - began).to_std().unwrap_or_default()
        })
    }

    fn spend(&mut self, step: &str, ms: u64) {
        *self.spent_ms.entry(step.to_owned()).or_default() += ms;
    }

    fn finish(&mut self, name: &str, end_ms: u64, budgets: &Budgets) {
        let duration_ms = self.spent_ms.get(name).copied().unwrap_or(0);
        self.done.push(Timing {
            step: name.to_owned(),
            start_ms: end_ms.saturating_sub(duration_ms),
            duration_ms,
            budget_ms: Step::named(name).and_then(|step| step.budget_ms(budgets)),
            critical: false,
        });
    }

    fn see_backend(&mut self, name: &str, at: DateTime<Utc>) {
        let Some(step) = PartStep::named(name).filter(|step| STARTS_BACKEND.contains(&step.step)) else {
            return;
        };
        let began = self.backend_began.entry(step.part().to_owned()).or_insert(at);
        *began = at.min(*began);
    }
}

fn ms_between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::Value;

    use super::*;
    use crate::domain::ledger::{Holder, LedgerStep, Started};
    use crate::domain::parts::BACKEND;

    const BUDGETS: Budgets = Budgets {
        backup_ms: 180_000,
        restore_ms: 300_000,
        redeploy_ms: 420_000,
        total_ms: 900_000,
    };

    fn at(s: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(s)
    }

    fn operation(last_seen_s: i64) -> LedgerOperation {
        let holder = Holder {
            user: "ann".into(),
            host: "here".into(),
            pid: 1,
            run: None,
            process: None,
        };
        LedgerOperation {
            id: "19700101-000000-ab12".parse().unwrap(),
            started: Started {
                kind: "rollback".into(),
                reason: String::new(),
                target: String::new(),
                plan_sha256: String::new(),
                plan: Value::Null,
                holder: holder.clone(),
                lease_ms: 90_000,
                supersedes: None,
            },
            started_at: at(0),
            fence: 1,
            holder,
            lease_ms: 90_000,
            last_seen: at(last_seen_s),
            steps: Vec::new(),
            ended: None,
            superseded_by: None,
        }
    }

    fn begun(step: Step, s: i64) -> Entry {
        Entry::Begun {
            step: step.name().into(),
            at: at(s),
        }
    }

    fn done(step: Step, s: i64, duration_s: u64) -> Entry {
        Entry::Done {
            step: step.name().into(),
            at: at(s),
            duration_ms: duration_s * 1_000,
            facts: Value::Null,
        }
    }

    #[test]
    fn every_attempt_of_a_step_counts_also_one_that_was_cut_short() {
        let failed = Entry::Failed {
            step: Step::RollBackBackend.name().into(),
            at: at(430),
            error: "late".into(),
        };
        let journal = [
            begun(Step::SafetyBackup, 0),
            done(Step::SafetyBackup, 10, 10),
            begun(Step::RollBackBackend, 10),
            failed,
            // An hour later it was killed, and after another hour it was resumed.
            begun(Step::RollBackBackend, 3_600),
            begun(Step::RollBackFrontend, 3_601),
        ];
        let attempts = Attempts::of(&journal, &operation(3_660), &BUDGETS);
        assert_eq!(attempts.spent(&Step::RollBackBackend.into()).as_secs(), 420 + 60);
        assert_eq!(attempts.spent(&Step::RollBackFrontend.into()).as_secs(), 59);
        assert_eq!(attempts.spent(&Step::SwapDatabase.into()), Duration::ZERO);
        let [backup] = &attempts.done[..] else {
            panic!("{:?}", attempts.done)
        };
        assert_eq!(
            (backup.start_ms, backup.duration_ms, backup.budget_ms),
            (0, 10_000, Some(180_000))
        );
        assert_eq!(attempts.backend_began.get(BACKEND), Some(&at(10)));
    }

    #[test]
    fn a_step_that_was_repeated_after_a_kill_has_the_time_of_both_attempts() {
        let journal = [
            begun(Step::PrepareShadow, 0),
            begun(Step::SafetyBackup, 50),
            begun(Step::PrepareShadow, 500),
            done(Step::PrepareShadow, 600, 100),
        ];
        let attempts = Attempts::of(&journal, &operation(600), &BUDGETS);
        assert_eq!(attempts.done[0].duration_ms, 150_000);
        assert_eq!(attempts.done[0].start_ms, 450_000);
    }

    #[test]
    fn another_machine_finds_in_the_ledger_when_the_backend_was_begun() {
        let mut recorded = operation(60);
        recorded.steps.push(LedgerStep {
            name: Step::UploadBackend.name().into(),
            at: at(30),
            facts: Value::Null,
        });
        let attempts = Attempts::of(&[], &recorded, &BUDGETS);
        assert_eq!(attempts.backend_began.get(BACKEND), Some(&at(30)));
        assert!(attempts.done.is_empty());
    }
}
