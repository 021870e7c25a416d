//! One operation under way: the ledger holds the lock, the local journal has every step, the clock runs.

mod attempts;
mod failure;
mod prepared;
mod proof;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use attempts::Attempts;
use chrono::{DateTime, Utc};
pub use failure::is_taken_over;
use failure::{advice, is_after_the_whole, untouched};
pub use proof::LockProof;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::database::Fence;
use crate::domain::ledger::{LedgerOperation, LedgerState, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::domain::release::hex;
use crate::domain::step::{Budgets, Impact, PartStep, Step};
use crate::domain::timeline::{Timing, mark_critical};
use crate::error::catalogue::operation as errors;
use crate::error::catalogue::restore as ended;
use crate::exec::{check_interrupted, with_signals_deferred};
use crate::operation::budget::{self, BudgetClock, Watched};
use crate::operation::job_limit::JobLimit;
use crate::operation::journal::{self, Journal, STEP_TAG};
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
    Ok(hex(&Sha256::digest(
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

    /// Resumes an operation that stopped midway. Gives its plan; the steps that are done are not repeated.
    pub fn resume<P: DeserializeOwned>(
        ctx: &Context,
        id: &OperationId,
        kind: &str,
        direction: ResumeMode,
    ) -> Result<(Self, P)> {
        let mut ledger = Ledger::open(ctx);
        let recorded = find(&ledger.state()?, &ctx.env_name, id)?.clone();
        refuse_other_kind(&recorded, kind)?;
        if !recorded.unfinished() {
            return Err(errors::nothing_to_resume(id).into());
        }
        let reverting = recorded
            .steps
            .iter()
            .any(|step| step.name == Step::Reverting.name());
        if reverting && direction == ResumeMode::Continue {
            return Err(errors::undo_has_begun(id, kind).into());
        }
        let prepared = recorded.is_prepared();
        if prepared && direction == ResumeMode::Continue {
            prepared::refuse_stale(ctx, &recorded)?;
        }
        let plan = serde_json::from_value(recorded.started.plan.clone())
            .context("the ledger's plan is not readable")?;
        let journal: Vec<Entry> = journal::read(ctx, &recorded.id, STEP_TAG)?;
        let attempts = Attempts::of(&journal, &recorded, &ctx.config.budgets.limits());
        let facts = facts_of(&recorded, journal);
        let held = ledger.resume(id, "resumed")?;
        if direction == ResumeMode::Revert && !reverting {
            held.step(Step::Reverting.name(), Value::Null)?;
        }
        // A process that resumed it and was killed may have begun a live step without a record of it.
        let touched = !facts.is_empty() && !prepared;
        let began = (Utc::now() - recorded.started_at).num_milliseconds();
        let earlier_ms = u64::try_from(began)
            .unwrap_or(0)
            .saturating_sub(millis(ctx.started.elapsed()));
        let mut operation = Self::holding(ctx, kind, &recorded.started.reason, held, facts, earlier_ms)?;
        operation.touched = Mutex::new(touched);
        operation.reverting = direction == ResumeMode::Revert;
        operation.timings = Mutex::new(attempts.done.clone());
        operation.attempts = attempts;
        Ok((operation, plan))
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
            proof: Arc::new(held.proof()),
        }
    }

    /// What a part of the operation needs before its first live change.
    pub fn lock_proof(&self) -> LockProof {
        LockProof(Arc::new(lock(&self.held).checked()))
    }

    /// Why it was begun.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Ends the operation in the ledger.
    pub fn finish(self, outcome: OperationOutcome, facts: Value) -> Result<()> {
        let held = self.held.into_inner().unwrap_or_else(PoisonError::into_inner);
        held.finish(outcome, facts)
    }

    /// Ends an operation whose changes are live and proved.
    ///
    /// # Errors
    /// Exit 4 where the ledger could not be written: what was asked for is live, and resuming records it.
    pub fn conclude(self, outcome: OperationOutcome, facts: Value) -> Result<()> {
        let command = self.again();
        with_signals_deferred(|| self.finish(outcome, facts)).map_err(|error| {
            if is_taken_over(&error) {
                return error;
            }
            ended::end_not_recorded(format!("{error:#}"), command).into()
        })
    }

    /// The command that finishes it.
    pub fn again(&self) -> String {
        let verb = if self.reverting { "--undo" } else { "--resume" };
        format!("cargo xtask {} {verb} {}", self.kind, self.id)
    }

    /// Ends the operation after an error: nothing live changed (exit 1), or stopped midway (exit 4).
    pub fn fail(self, error: anyhow::Error) -> anyhow::Error {
        if is_taken_over(&error) {
            return error;
        }
        let touched = *lock(&self.touched);
        if touched {
            return self.stop(error);
        }
        self.fail_unchanged(&error)
    }

    /// Ends the operation midway (exit 4) after an error: it stays unfinished, whatever this process has done itself.
    pub fn stop(self, error: anyhow::Error) -> anyhow::Error {
        let (id, kind) = (self.id.clone(), self.kind.clone());
        if is_taken_over(&error) {
            return error;
        }
        if let Err(taken_over) = self.record_end(OperationOutcome::Stopped, &error) {
            return taken_over;
        }
        if is_after_the_whole(&error) {
            return error;
        }
        errors::operation_stopped(format!("{error:#}"), advice(&error), kind, id).into()
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

    /// Ends the operation after an error, where it is proved that nothing of it is live (exit 1).
    pub fn fail_unchanged(self, error: &anyhow::Error) -> anyhow::Error {
        match self.record_end(OperationOutcome::Failed, error) {
            Ok(()) => untouched(error),
            Err(taken_over) => taken_over,
        }
    }

    /// Ends the operation after an error, where everything that it made live was undone (exit 1).
    pub fn fail_undone(self, error: &anyhow::Error) -> anyhow::Error {
        match self.record_end(OperationOutcome::Undone, error) {
            Ok(()) => errors::operation_undone(format!("{error:#}")).into(),
            Err(taken_over) => taken_over,
        }
    }

    /// Records in the ledger how the operation ended after an error, also after a signal: a lock that is not released keeps
    /// others waiting for its lease. The operator must see the error, so that the record fails only with a warning.
    ///
    /// # Errors
    /// Another process holds the operation now: what failed may have failed for that, and the end is not ours to report.
    pub fn record_end(self, outcome: OperationOutcome, error: &anyhow::Error) -> Result<()> {
        if is_taken_over(error) {
            return Ok(());
        }
        let facts =
            serde_json::json!({ "error": secret::scrub(&crate::error::brief(&format!("{error:#}"))) });
        match with_signals_deferred(|| self.finish(outcome, facts)) {
            Ok(()) => Ok(()),
            Err(taken_over) if is_taken_over(&taken_over) => {
                report::progress(&format!("  {error:#}"));
                Err(taken_over)
            }
            Err(unrecorded) => {
                report::progress(&format!(
                    "warning: the ledger could not be written: {unrecorded:#}"
                ));
                Ok(())
            }
        }
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

/// An operation of the ledger.
pub fn find<'a>(state: &'a LedgerState, environment: &str, id: &OperationId) -> Result<&'a LedgerOperation> {
    let known = state.operations.iter().find(|known| known.id == *id);
    known.ok_or_else(|| errors::unknown_operation(environment, id).into())
}

/// A deploy is not resumed as a rollback, nor the other way round.
pub fn refuse_other_kind(recorded: &LedgerOperation, kind: &str) -> Result<()> {
    let (id, its) = (&recorded.id, &recorded.started.kind);
    if its == kind {
        return Ok(());
    }
    Err(errors::other_kind(id, its, kind).into())
}

/// The steps that are done, from the ledger and, where this machine has it, the journal: its last step may not have
/// reached the ledger.
fn facts_of(recorded: &LedgerOperation, journal: Vec<Entry>) -> BTreeMap<String, Value> {
    let mut facts: BTreeMap<String, Value> = recorded
        .steps
        .iter()
        .map(|step| (step.name.clone(), step.facts.clone()))
        .collect();
    for entry in journal {
        if let Entry::Done {
            step, facts: done, ..
        } = entry
        {
            facts.insert(step, done);
        }
    }
    facts
}
