//! One operation under way: the ledger holds the lock, the local journal has every step, the clock runs.

mod attempts;
mod end;
mod failure;
mod prepared;
mod resume;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use attempts::Attempts;
use chrono::{DateTime, Utc};
pub use end::not_recorded;
pub use failure::is_taken_over;
pub use resume::{find, refuse_other_kind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::database::Fence;
use crate::domain::operation::OperationId;
use crate::domain::step::{Budgets, Impact, PartStep, Step};
use crate::domain::timeline::{Timing, mark_critical};
use crate::exec::check_interrupted;
use crate::lock_proof::LockProof;
use crate::operation::budget::{self, BudgetClock, Watched};
use crate::operation::job_limit::JobLimit;
use crate::operation::journal::Journal;
use crate::operation::ledger::{Ledger, OperationLock, Start};
use crate::sync::lock;
use crate::wait::millis;
use crate::{report, secret};

/// What becomes of an operation that stopped midway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeMode {
    Continue,
    Revert,
}

/// A line of the local journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
enum Entry {
    Begun {
        step: String,
        at: DateTime<Utc>,
    },
    Done {
        step: String,
        at: DateTime<Utc>,
        duration_ms: u64,
        facts: Value,
    },
    Failed {
        step: String,
        at: DateTime<Utc>,
        error: String,
    },
}

/// A held operation.
#[derive(Debug)]
pub struct Operation {
    pub id: OperationId,
    kind: String,
    reason: String,
    held: Mutex<OperationLock>,
    journal: Journal,
    /// Facts of the steps that an earlier process of this operation finished.
    recorded: BTreeMap<String, Value>,
    timings: Mutex<Vec<Timing>>,
    attempts: Attempts,
    budgets: Budgets,
    /// Whether a platform over its budget is still waited for.
    waits_on: bool,
    limit: JobLimit,
    /// Whether a live step was begun, by us or by an earlier process.
    touched: Mutex<bool>,
    /// Whether it is being undone.
    reverting: bool,
    /// When the command began.
    started: Instant,
    /// How long the operation had been under way before that, where this process resumed it.
    earlier_ms: u64,
    _budget: Watched,
}

/// Hash of a plan: its identity, which approvals are bound to.
pub fn plan_sha256<P: Serialize>(plan: &P) -> Result<String> {
    Ok(hex::encode(Sha256::digest(
        serde_json::to_vec(plan).context("cannot write the plan as JSON")?,
    )))
}

impl Operation {
    /// Takes the lock and begins.
    pub fn begin<P: Serialize>(
        ctx: &Context,
        kind: &str,
        target: &str,
        reason: &str,
        plan: &P,
    ) -> Result<Self> {
        Self::begin_over(ctx, kind, target, reason, plan, None)
    }

    /// Takes the lock and begins, in place of the unfinished operation `over` where there is one.
    pub fn begin_over<P: Serialize>(
        ctx: &Context,
        kind: &str,
        target: &str,
        reason: &str,
        plan: &P,
        over: Option<OperationId>,
    ) -> Result<Self> {
        let start = Start {
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            target: target.to_owned(),
            plan_sha256: plan_sha256(plan)?,
            plan: serde_json::to_value(plan).context("cannot write the plan as JSON")?,
            over,
        };
        let planned_ms = millis(ctx.started.elapsed());
        let held = Ledger::open(ctx).begin(start)?;
        let operation = Self::holding(ctx, kind, reason, held, BTreeMap::new(), 0)?;
        lock(&operation.timings).push(Timing {
            step: Step::Plan.name().to_owned(),
            start_ms: 0,
            duration_ms: planned_ms,
            budget_ms: None,
            critical: false,
        });
        Ok(operation)
    }

    fn holding(
        ctx: &Context,
        kind: &str,
        reason: &str,
        held: OperationLock,
        recorded: BTreeMap<String, Value>,
        earlier_ms: u64,
    ) -> Result<Self> {
        let id = held.id().clone();
        // Who holds the lock of an operation that is not new has taken it over.
        let journal = Journal::take_over(ctx, &id)?;
        let whole = BudgetClock {
            budget: Duration::from_secs(ctx.config.budgets.total_s),
            used: Duration::from_millis(earlier_ms) + ctx.started.elapsed(),
            continues: true,
        };
        let platforms_s = ctx.env().deploy_s().min().unwrap_or(0);
        Ok(Self {
            id,
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            touched: Mutex::new(false),
            reverting: false,
            held: Mutex::new(held),
            journal,
            recorded,
            timings: Mutex::default(),
            attempts: Attempts::default(),
            budgets: ctx.config.budgets.limits(),
            waits_on: platforms_s > ctx.config.budgets.redeploy_s,
            limit: JobLimit::read(ctx)?,
            started: ctx.started,
            earlier_ms,
            _budget: budget::watch("the whole operation", whole),
        })
    }

    /// Does a step, or gives the facts of it where it was done before. `act` must ask the outside world first whether
    /// its work is done already: we may have died between doing and recording.
    pub fn step<T: Serialize + DeserializeOwned>(
        &self,
        step: impl Into<PartStep>,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let step = &step.into();
        let name = step.name();
        if let Some(facts) = self.recorded.get(&name) {
            report::progress(&format!("  {step}: done before"));
            return serde_json::from_value(facts.clone())
                .with_context(|| format!("the record of {step} is not readable"));
        }
        check_interrupted()?;
        self.journal.append(&Entry::Begun {
            step: name.clone(),
            at: Utc::now(),
        })?;
        // After the line: a process that was stopped while it wrote there may have been replaced.
        lock(&self.held).check()?;
        if step.step.impact() == Impact::Live {
            let mut touched = lock(&self.touched);
            if !*touched {
                self.limit.require_live()?;
            }
            *touched = true;
        }
        let began = Instant::now();
        let budget_ms = step.step.budget_ms(&self.budgets);
        let watched = budget_ms.map(|ms| budget::watch(&name, self.clock(step, ms)));
        let running = report::Ticker::quietly(format!("  {step}"));
        let outcome = act();
        drop((watched, running));
        let duration_ms = millis(began.elapsed());
        self.time(step, duration_ms, budget_ms);
        match outcome {
            Ok(facts) => {
                self.record(step, duration_ms, &facts)?;
                Ok(facts)
            }
            Err(error) => {
                let entry = Entry::Failed {
                    step: name,
                    at: Utc::now(),
                    error: secret::scrub(&crate::error::brief(&format!("{error:#}"))),
                };
                self.journal.append(&entry)?;
                report::progress(&format!(
                    "  {step}: failed after {}",
                    report::duration_ms(duration_ms)
                ));
                Err(error.context(format!("{step} failed")))
            }
        }
    }

    /// Time since the command began; where it stopped midway and was resumed, since it first began.
    pub fn elapsed_ms(&self) -> u64 {
        self.earlier_ms + millis(self.started.elapsed())
    }

    /// How long ago an earlier process of this operation first began this backend, which the platform goes on with by itself.
    pub fn backend_age(&self, part: &str) -> Duration {
        self.attempts.backend_age(part)
    }

    fn clock(&self, step: &PartStep, budget_ms: u64) -> BudgetClock {
        BudgetClock {
            budget: Duration::from_millis(budget_ms),
            used: self.attempts.spent(step),
            continues: self.waits_on || !step.step.is_of_platforms(),
        }
    }

    /// What took how long in all attempts, the critical chain marked.
    pub fn timeline(&self) -> Vec<Timing> {
        mark_critical(lock(&self.timings).clone())
    }

    /// How long each step took in all its attempts, for the record.
    pub fn durations_ms(&self) -> BTreeMap<String, u64> {
        lock(&self.timings)
            .iter()
            .map(|timing| (timing.step.clone(), timing.duration_ms))
            .collect()
    }

    /// How long a step took in all its attempts, in milliseconds; of one that was done for several parts, the longest.
    pub fn duration_ms(&self, step: Step) -> Option<u64> {
        let timings = lock(&self.timings);
        let of_step = timings
            .iter()
            .filter(|timing| Step::named(&timing.step) == Some(step));
        of_step.map(|timing| timing.duration_ms).max()
    }

    /// The facts of a step that an earlier process of this operation did.
    pub fn done(&self, step: &PartStep) -> Option<&Value> {
        self.recorded.get(&step.name())
    }

    /// The journal of this operation, which a restore writes to as well.
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// What each change of the database within a step needs.
    pub fn fence(&self) -> Fence {
        let held = lock(&self.held);
        Fence {
            operation: self.id.clone(),
            token: held.fence(),
            proof: LockProof::new(held.proof()),
        }
    }

    /// What a part of the operation needs before its first live change, and a platform before each.
    pub fn lock_proof(&self) -> LockProof {
        LockProof::new(lock(&self.held).checked())
    }

    /// Why it was begun.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The newest commit of the ledger that is known here.
    pub fn ledger_head(&self) -> Option<String> {
        lock(&self.held).head()
    }

    /// Proves that the lock is still ours, before a change that is no step.
    pub fn check(&self) -> Result<()> {
        lock(&self.held).check()
    }

    /// Whether nothing live was begun, by us or by an earlier process.
    pub fn is_untouched(&self) -> bool {
        !*lock(&self.touched)
    }

    /// Whether an earlier process of this operation has done a step.
    pub fn was_resumed(&self) -> bool {
        !self.recorded.is_empty()
    }

    fn record<T: Serialize>(&self, step: &PartStep, duration_ms: u64, facts: &T) -> Result<()> {
        let facts = serde_json::to_value(facts).with_context(|| format!("cannot record {step}"))?;
        let entry = Entry::Done {
            step: step.name(),
            at: Utc::now(),
            duration_ms,
            facts: facts.clone(),
        };
        self.journal.append(&entry)?;
        lock(&self.held).step(&step.name(), facts)?;
        let earlier_ms = millis(self.attempts.spent(step));
        let in_all = if earlier_ms == 0 {
            String::new()
        } else {
            format!(
                " ({} with earlier attempts)",
                report::duration_ms(duration_ms + earlier_ms)
            )
        };
        report::progress(&format!(
            "  {step}: done in {}{in_all}",
            report::duration_ms(duration_ms)
        ));
        Ok(())
    }

    /// The attempts before count as well, as if they had been made right before this one.
    fn time(&self, step: &PartStep, duration_ms: u64, budget_ms: Option<u64>) {
        let duration_ms = duration_ms + millis(self.attempts.spent(step));
        lock(&self.timings).push(Timing {
            step: step.name(),
            start_ms: self.elapsed_ms().saturating_sub(duration_ms),
            duration_ms,
            budget_ms,
            critical: false,
        });
    }
}
