//! The ledger: `refs/xtask/ledger/<environment>` on the git remote, a chain of commits pushed without force.
//!
//! A push is refused when somebody else was first, so the chain is at once the lock, the journal that survives a lost
//! runner, and the audit log. What the events mean is in [`crate::domain::ledger`]; here they are carried.

mod chain;
mod held;
mod holder;
mod replaced;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{TimeDelta, Utc};
use serde_json::Value;

use chain::Chain;
pub use held::OperationLock;
use holder::Life;

use crate::context::Context;
use crate::domain::ledger::{Body, Holder, Lease, LedgerEvent, LedgerOperation, LedgerState, Started};
use crate::domain::operation::OperationId;
use crate::domain::release::{Release, tag_time};
use crate::error::CliError;
use crate::error::catalogue::operation as errors;
use crate::secret::scrub;
use crate::tools::git::Git;

/// How long a holder counts as alive after its last event.
const LEASE: Duration = Duration::from_secs(90);
/// How often a holder renews its lease.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How far the clocks of two machines may be apart (`doctor` warns earlier).
const SKEW: Duration = Duration::from_secs(30);
/// One command to the remote; several fit into a lease.
const REMOTE_DEADLINE: Duration = Duration::from_secs(20);
/// How often beginning is tried again when others append meanwhile.
const ATTEMPTS: u32 = 100;

/// The clocks of the lock.
#[derive(Debug, Clone, Copy)]
pub struct LockTiming {
    pub lease: Duration,
    pub heartbeat: Duration,
    pub skew: Duration,
    pub remote_deadline: Duration,
}

impl Default for LockTiming {
    fn default() -> Self {
        Self {
            lease: LEASE,
            heartbeat: HEARTBEAT,
            skew: SKEW,
            remote_deadline: REMOTE_DEADLINE,
        }
    }
}

/// What is about to begin.
#[derive(Debug, Clone)]
pub struct Start {
    pub kind: String,
    pub reason: String,
    pub target: String,
    pub plan_sha256: String,
    pub plan: Value,
    /// The unfinished operation that this one replaces, where the plan was made knowing of it. Without it, an operation
    /// that was left after its first recorded step must be resumed or undone before anything else begins.
    pub over: Option<OperationId>,
}

/// What was found in place of a live holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Free,
    /// Somebody else acted while the ledger was watched: it must be looked at again.
    Changed,
}

/// The ledger of one environment.
#[derive(Debug)]
pub struct Ledger {
    chain: Chain,
    timing: LockTiming,
    environment: String,
    /// Prefix of the environment's releases: where there is one, there must be a ledger.
    releases: Option<String>,
}

/// The code of the error that a ledger is missing.
const MISSING: &str = "ledger_missing";

/// Whether an error is that the remote has no ledger where there must be one.
pub fn is_missing(error: &anyhow::Error) -> bool {
    let stop = error.downcast_ref::<CliError>();
    stop.is_some_and(|stop| stop.code == Some(MISSING))
}

/// The error of releases without a ledger.
pub fn missing(environment: &str) -> CliError {
    errors::ledger_missing(environment, "it has releases")
}

impl Ledger {
    /// The ledger of this invocation's environment.
    pub fn open(ctx: &Context) -> Self {
        Self {
            releases: Some(ctx.env().tag_prefix.clone()),
            ..Self::open_new(ctx)
        }
    }

    /// The same, whether or not there must be one already: for the command that begins a new ledger in place of one that is gone.
    pub fn open_new(ctx: &Context) -> Self {
        Self::with_timing(Git::open(ctx), &ctx.env_name, LockTiming::default())
    }

    /// The ledger of an environment with other clocks.
    pub fn with_timing(git: Git, environment: &str, timing: LockTiming) -> Self {
        Self {
            chain: Chain::new(git.with_remote_deadline(timing.remote_deadline), environment),
            timing,
            environment: environment.to_owned(),
            releases: None,
        }
    }

    /// Reads what was appended since the last time. A ledger that the remote hides, or that somebody removed, would else read as
    /// one in which nothing has happened.
    fn refresh(&mut self) -> Result<()> {
        self.chain.refresh()?;
        let Some(prefix) = self.releases.as_ref().filter(|_| self.chain.is_empty()) else {
            return Ok(());
        };
        if self.chain.was_read_before()? {
            return Err(errors::ledger_missing(&self.environment, "this clone has read one").into());
        }
        let recorded = self.chain.git().recorded_releases(prefix)?;
        let is_release = recorded.iter().any(|one| {
            tag_time(prefix, &one.name).is_ok() && Release::from_message(&one.name, &one.message).is_ok()
        });
        if is_release {
            return Err(missing(&self.environment).into());
        }
        Ok(())
    }

    /// Every event so far, read from the remote.
    pub fn events(&mut self) -> Result<Vec<LedgerEvent>> {
        self.refresh()?;
        Ok(self.chain.events().to_vec())
    }

    /// What the events mean, read from the remote.
    pub fn state(&mut self) -> Result<LedgerState> {
        self.refresh()?;
        Ok(self.chain.state().clone())
    }

    /// Whether the ledger, as it was last read, has this commit.
    pub fn has(&self, commit: &str) -> bool {
        commit.parse().is_ok_and(|commit| self.chain.has(&commit))
    }

    /// Takes the lock for a new operation. Refused (exit 3) while somebody else holds it.
    pub fn begin(&mut self, start: Start) -> Result<OperationLock> {
        let id = crate::operation::new_operation_id();
        let Start {
            kind,
            reason,
            target,
            plan_sha256,
            plan,
            over,
        } = start;
        let mut started = Started {
            kind,
            // Typed by people: the ledger is public for good.
            reason: scrub(&reason),
            target,
            plan_sha256,
            plan,
            holder: holder::this_process(),
            lease_ms: self.lease_ms(),
            supersedes: None,
        };
        for _ in 0..ATTEMPTS {
            self.refresh()?;
            let before = self.chain.state().unfinished().cloned();
            if let Some(before) = &before {
                if self.refuse_if_held(before)? == Found::Changed {
                    continue;
                }
                refuse_to_forget(self.chain.state(), before, over.as_ref())?;
            }
            started.supersedes = before.as_ref().map(|before| before.fence);
            let body = Body::Started(started.clone());
            if let Some(held) = self.become_holder(&id, body)? {
                if let Some(before) = &before {
                    replaced::wait_for_end(before);
                }
                return Ok(held);
            }
        }
        Err(self.too_busy())
    }

    /// Continues an unfinished operation as its new holder. Refused (exit 3) while its holder may be alive.
    pub fn resume(&mut self, id: &OperationId, reason: &str) -> Result<OperationLock> {
        for _ in 0..ATTEMPTS {
            self.refresh()?;
            let Some(operation) = self.chain.state().unfinished().cloned() else {
                return Err(self.nothing_to_resume(id));
            };
            if operation.id != *id {
                return Err(self.nothing_to_resume(id));
            }
            if self.refuse_if_held(&operation)? == Found::Changed {
                continue;
            }
            let body = Body::TakenOver {
                from: operation.fence,
                holder: holder::this_process(),
                lease_ms: self.lease_ms(),
                reason: scrub(reason),
            };
            if let Some(held) = self.become_holder(id, body)? {
                replaced::wait_for_end(&operation);
                return Ok(held);
            }
        }
        Err(self.too_busy())
    }

    fn become_holder(&mut self, id: &OperationId, body: Body) -> Result<Option<OperationLock>> {
        let asked = held::Clock::now();
        let fence = self.chain.state().seq + 1;
        let appended = self.chain.append(id, fence, body, held::ATTEMPTS)?;
        if !appended || !self.chain.state().holds(id, fence) {
            return Ok(None);
        }
        Ok(Some(OperationLock::start(
            self.chain.clone(),
            id.clone(),
            fence,
            self.timing,
            asked,
        )?))
    }

    fn lease_ms(&self) -> u64 {
        crate::wait::millis(self.timing.lease)
    }

    /// Refused while the holder may be alive. Its own clock and ours decide nothing alone: where a lease seems to have run
    /// out, one of the two may be wrong, so that the ledger is watched for a sign of life before anything is taken.
    fn refuse_if_held(&mut self, operation: &LedgerOperation) -> Result<Found> {
        if operation.ended.is_some() || holder::life(&operation.holder) == Life::Dead {
            return Ok(Found::Free);
        }
        let skew = TimeDelta::from_std(self.timing.skew).context("the clocks' skew is too large")?;
        match operation.lease(Utc::now(), skew) {
            Lease::None => Ok(Found::Free),
            Lease::Running => Err(self.busy(operation)),
            Lease::Expired | Lease::ClockAhead => self.watch(operation),
        }
    }

    /// Watches the ledger for a whole lease, measured by a clock that nobody sets. A holder that lives adds an event
    /// meanwhile, or its lease has run out by its own clock, and it changes nothing more.
    fn watch(&mut self, operation: &LedgerOperation) -> Result<Found> {
        let lease = Duration::from_millis(operation.lease_ms).min(self.timing.lease * 2);
        let _ticker = crate::report::Ticker::start(format!(
            "{} of {} seems to be left: watching the ledger for {} s for a sign of life",
            operation.id,
            describe(&operation.holder),
            lease.as_secs()
        ));
        let (since, before) = (Instant::now(), self.events_with_effect());
        while since.elapsed() < lease {
            crate::exec::check_interrupted()?;
            std::thread::sleep(Duration::from_secs(1).min(lease / 4));
            self.refresh()?;
            if self.events_with_effect() == before {
                continue;
            }
            let state = self.chain.state();
            return match state.held() {
                Some(held) if state.holds(&operation.id, operation.fence) => Err(self.busy(held)),
                _ => Ok(Found::Changed),
            };
        }
        Ok(Found::Free)
    }

    /// What a former holder appends has no effect, and is no sign of life.
    fn events_with_effect(&self) -> usize {
        self.chain.events().len() - self.chain.state().void.len()
    }

    fn busy(&self, operation: &LedgerOperation) -> anyhow::Error {
        errors::operation_under_way(
            &operation.started.kind,
            &self.environment,
            describe(&operation.holder),
            operation.started_at.format("%F %T"),
            &operation.started.reason,
            (Utc::now() - operation.last_seen).num_seconds().max(0),
            &operation.id,
            operation.lease_ms / 1_000 + self.timing.skew.as_secs(),
        )
        .into()
    }

    fn nothing_to_resume(&self, id: &OperationId) -> anyhow::Error {
        let state = self.chain.state();
        let known = state.operations.iter().find(|one| one.id == *id);
        let why = match known {
            None => format!("the ledger of {} has no operation {id}", self.environment),
            Some(operation) => match (&operation.superseded_by, &operation.ended) {
                (Some(by), _) => format!("operation {id} was replaced by {by}"),
                (None, Some(end)) => format!("operation {id} has ended: {}", end.outcome),
                (None, None) => format!("operation {id} is not the last one"),
            },
        };
        errors::not_resumable(why).into()
    }

    fn too_busy(&self) -> anyhow::Error {
        errors::ledger_too_busy(&self.environment, ATTEMPTS).into()
    }
}

fn refuse_to_forget(state: &LedgerState, before: &LedgerOperation, over: Option<&OperationId>) -> Result<()> {
    let Some(midway) = state.left_midway(before).filter(|_| over != Some(&before.id)) else {
        return Ok(());
    };
    let (kind, id) = (&before.started.kind, &before.id);
    let last = midway.steps.last().map_or("", |step| step.name.as_str());
    Err(errors::operation_left_unfinished(kind, id, &before.holder, last, &before.started.reason).into())
}

/// Where a machine cannot tell its processes apart, a holder is never called this process: another of the same number may
/// have been meant.
fn describe(holder: &Holder) -> String {
    if holder.process.is_some() && holder.process == holder::this_process().process {
        format!("this process ({})", holder.pid)
    } else {
        holder.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_this_process_only_where_that_is_sure() {
        let this = holder::this_process();
        assert!(describe(&this).starts_with("this process"));
        // Where there is no /proc, as in some containers and on other systems, neither of two has this.
        let other = Holder {
            process: None,
            user: "bob".into(),
            ..this
        };
        assert!(describe(&other).starts_with("bob on "));
    }
}
