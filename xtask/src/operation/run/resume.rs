//! Takes an operation over that stopped midway: what it is, what of it is done, and in which direction it goes on.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use chrono::Utc;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::attempts::Attempts;
use super::{Entry, Operation, ResumeMode, prepared};
use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, LedgerState};
use crate::domain::operation::OperationId;
use crate::domain::step::Step;
use crate::error::catalogue::operation as errors;
use crate::operation::journal::{self, STEP_TAG};
use crate::operation::ledger::Ledger;
use crate::wait::millis;

impl Operation {
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
