//! The ledger's events and what they mean: who holds the lock, what was done, how it ended.
//!
//! The state is a pure function of the chain of events. An event that was not allowed when it was written (its writer's
//! lease had been taken over, say) has no effect and is kept as void: whatever a confused process manages to append,
//! every reader comes to the same state.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operation::OperationId;

/// The kind of an operation that restores a backup, or resumes or undoes such a restore.
pub const RESTORE: &str = "restore";
/// The kind of an operation that drops what a restore kept.
pub const FORGET: &str = "forget";

/// The kind of an operation that reads a snapshot of Atlas back.
pub const SNAPSHOT_READ: &str = "snapshot-read";

/// The fact, at the end of an operation, that its holder let go of it before anything of it was live.
pub const PREPARED: &str = "prepared";

/// One commit of the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEvent {
    /// Position in the chain, from 1.
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub operation: OperationId,
    /// The writer's fencing token: `seq` of the event that made it the holder.
    pub fence: u64,
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Body {
    /// The operation began and its writer holds the lock.
    Started(Started),
    /// A step is done; the facts are what was proved from outside.
    Step { name: String, facts: Value },
    /// The holder is alive.
    Heartbeat,
    /// The operation ended, or (`stopped`) its holder let go of it midway.
    Finished { outcome: OperationOutcome, facts: Value },
    /// A new holder goes on with the operation after the one whose token was `from`.
    TakenOver {
        from: u64,
        holder: Holder,
        lease_ms: u64,
        reason: String,
    },
}

/// What an operation is, and who does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// `deploy`, `rollback`, `restore`, `backup`, …
    pub kind: String,
    pub reason: String,
    /// What it works towards: a release tag, a commit, a backup.
    pub target: String,
    pub plan_sha256: String,
    pub plan: Value,
    pub holder: Holder,
    pub lease_ms: u64,
    /// The fencing token of an unfinished operation whose lease had run out and which this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<u64>,
}

/// The process that holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub user: String,
    pub host: String,
    pub pid: u32,
    /// The workflow run, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Tells this process apart from a later one with the same pid, and this boot of the host from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationOutcome {
    /// Everything was done and proved.
    Done,
    /// A part of it is live and unhealthy, and recorded as a release: the rest was not made live.
    Partial,
    /// Failed with nothing live changed.
    Failed,
    /// What it had changed was undone.
    Undone,
    /// Stopped midway: nobody holds it, it can be resumed.
    Stopped,
}

/// One operation as the events tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerOperation {
    pub id: OperationId,
    #[serde(flatten)]
    pub started: Started,
    pub started_at: DateTime<Utc>,
    /// The holder's token: `started.holder` until a take-over.
    pub fence: u64,
    pub holder: Holder,
    pub lease_ms: u64,
    /// Time of the holder's last event.
    pub last_seen: DateTime<Utc>,
    pub steps: Vec<LedgerStep>,
    pub ended: Option<Ended>,
    /// The operation that began over this one, unfinished as it was.
    pub superseded_by: Option<OperationId>,
}

/// A step that is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerStep {
    pub name: String,
    pub at: DateTime<Utc>,
    pub facts: Value,
}

/// The end of an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ended {
    pub outcome: OperationOutcome,
    pub at: DateTime<Utc>,
    pub facts: Value,
}

impl LedgerOperation {
    /// Whether there is something to resume or to undo.
    pub fn unfinished(&self) -> bool {
        let ended = self
            .ended
            .as_ref()
            .is_some_and(|end| end.outcome != OperationOutcome::Stopped);
        !ended && self.superseded_by.is_none()
    }

    /// Whether its holder let go of it before anything of it was live, so that the backup could be taken off the machine. Whoever
    /// resumes it ends that state, also where it is stopped again.
    pub fn is_prepared(&self) -> bool {
        let stopped = self
            .ended
            .as_ref()
            .filter(|end| end.outcome == OperationOutcome::Stopped);
        stopped.is_some_and(|end| end.facts[PREPARED] == true)
    }

    /// Whether it is a rollback whose plan restores the database.
    pub fn restores_database(&self) -> bool {
        self.started.plan["verdict"]["database"] == "restore"
    }

    /// Whether its holder has neither ended nor let go of it.
    fn held(&self) -> bool {
        self.ended.is_none() && self.superseded_by.is_none()
    }

    /// Whether the holder's lease can still be running. `skew` is how far two clocks may be apart.
    pub fn lease(&self, now: DateTime<Utc>, skew: TimeDelta) -> Lease {
        if !self.held() {
            return Lease::None;
        }
        let lease = i64::try_from(self.lease_ms)
            .ok()
            .and_then(TimeDelta::try_milliseconds)
            .unwrap_or(TimeDelta::MAX);
        let age = now - self.last_seen;
        if age < -skew {
            Lease::ClockAhead
        } else if age > lease + skew {
            Lease::Expired
        } else {
            Lease::Running
        }
    }
}

/// What the times of the events say about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Nobody holds the operation.
    None,
    Running,
    Expired,
    /// The last event is from the future: clocks disagree and only watching the ledger can tell.
    ClockAhead,
}

/// The meaning of a chain of events.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LedgerState {
    /// Position of the last event.
    pub seq: u64,
    /// Oldest first.
    pub operations: Vec<LedgerOperation>,
    /// Events without effect, and why.
    pub void: Vec<Void>,
    /// Ids of all operations: there may be tens of thousands.
    #[serde(skip)]
    known: HashSet<OperationId>,
}

/// An event without effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Void {
    pub seq: u64,
    pub why: String,
}

impl LedgerState {
    /// The state after these events.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a LedgerEvent>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.apply(event);
        }
        state
    }

    /// The last operation, where it is unfinished: held, stopped midway, or left by a dead holder.
    pub fn unfinished(&self) -> Option<&LedgerOperation> {
        self.operations.last().filter(|last| last.unfinished())
    }

    /// Of an unfinished operation: itself where it has recorded a step and was not only prepared, else the one that it began over and that had. Something
    /// live may be midway, although the operation has done nothing yet.
    pub fn left_midway<'a>(&'a self, operation: &'a LedgerOperation) -> Option<&'a LedgerOperation> {
        let mut at = operation;
        while at.steps.is_empty() || at.is_prepared() {
            let replaced = |before: &&LedgerOperation| before.superseded_by.as_ref() == Some(&at.id);
            at = self.operations.iter().find(replaced)?;
        }
        Some(at)
    }

    /// The operation that somebody holds, its lease run out or not.
    pub fn held(&self) -> Option<&LedgerOperation> {
        self.operations.last().filter(|last| last.held())
    }

    /// Whether the writer with this token may act for the operation.
    pub fn holds(&self, operation: &OperationId, fence: u64) -> bool {
        self.held()
            .is_some_and(|held| held.id == *operation && held.fence == fence)
    }

    /// Takes the next event of the chain. Says whether it has effect.
    pub fn apply(&mut self, event: &LedgerEvent) -> bool {
        let verdict = self.judge(event);
        self.seq += 1;
        match verdict {
            Ok(()) => {
                self.record(event);
                true
            }
            Err(why) => {
                self.void.push(Void { seq: self.seq, why });
                false
            }
        }
    }

    /// Takes a commit of the chain that holds no event: it has no effect.
    pub fn skip(&mut self, why: String) {
        self.seq += 1;
        self.void.push(Void { seq: self.seq, why });
    }

    fn judge(&self, event: &LedgerEvent) -> Result<(), String> {
        if event.seq != self.seq + 1 {
            return Err(format!("it calls itself number {}", event.seq));
        }
        match &event.body {
            Body::Started(started) => self.judge_start(event, started),
            Body::TakenOver { from, .. } => {
                let allowed = self.unfinished().is_some_and(|operation| {
                    operation.id == event.operation && operation.fence == *from && event.fence == event.seq
                });
                allowed
                    .then_some(())
                    .ok_or_else(|| format!("{} cannot be taken over from holder {from}", event.operation))
            }
            Body::Step { .. } | Body::Heartbeat | Body::Finished { .. } => self
                .holds(&event.operation, event.fence)
                .then_some(())
                .ok_or_else(|| format!("its writer {} does not hold {}", event.fence, event.operation)),
        }
    }

    fn judge_start(&self, event: &LedgerEvent, started: &Started) -> Result<(), String> {
        if event.fence != event.seq {
            return Err(format!("its token is {}", event.fence));
        }
        if self.known.contains(&event.operation) {
            return Err(format!("{} began before", event.operation));
        }
        let unfinished = self.unfinished().map(|operation| operation.fence);
        if unfinished == started.supersedes {
            Ok(())
        } else {
            Err("another operation was unfinished".into())
        }
    }

    fn record(&mut self, event: &LedgerEvent) {
        if let Body::Started(started) = &event.body {
            if let Some(before) = self.operations.last_mut().filter(|last| last.unfinished()) {
                before.superseded_by = Some(event.operation.clone());
            }
            self.known.insert(event.operation.clone());
            self.operations.push(LedgerOperation::begin(event, started));
            return;
        }
        // Judged: the event belongs to the last operation.
        let Some(operation) = self.operations.last_mut() else {
            return;
        };
        operation.last_seen = event.at;
        match &event.body {
            Body::Started(_) | Body::Heartbeat => {}
            Body::Step { name, facts } => operation.steps.push(LedgerStep {
                name: name.clone(),
                at: event.at,
                facts: facts.clone(),
            }),
            Body::Finished { outcome, facts } => {
                operation.ended = Some(Ended {
                    outcome: *outcome,
                    at: event.at,
                    facts: facts.clone(),
                });
            }
            Body::TakenOver { holder, lease_ms, .. } => {
                operation.fence = event.fence;
                operation.holder = holder.clone();
                operation.lease_ms = *lease_ms;
                operation.ended = None;
            }
        }
    }
}

impl LedgerOperation {
    fn begin(event: &LedgerEvent, started: &Started) -> Self {
        Self {
            id: event.operation.clone(),
            started: started.clone(),
            started_at: event.at,
            fence: event.fence,
            holder: started.holder.clone(),
            lease_ms: started.lease_ms,
            last_seen: event.at,
            steps: Vec::new(),
            ended: None,
            superseded_by: None,
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {} (process {}", self.user, self.host, self.pid)?;
        if let Some(run) = &self.run {
            write!(f, ", {run}")?;
        }
        f.write_str(")")
    }
}

impl std::fmt::Display for OperationOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Partial => "partly live",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Stopped => "stopped midway",
        })
    }
}

#[cfg(test)]
mod tests;
