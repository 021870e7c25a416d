//! The chain of events as far as it was read, and appending to it.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::Utc;
use serde_json::Value;

use crate::domain::commit::CommitId;
use crate::domain::ledger::{Body, LedgerEvent, LedgerState};
use crate::domain::operation::OperationId;
use crate::error::catalogue::operation as errors;
use crate::operation::append::{self, Append};
use crate::tools::git::{Git, Message, message_with};

const SCHEMA: &str = "ledger-event/1";
/// What the schemas of all versions begin with.
const EVENTS: &str = "ledger-event/";
/// The pause before an event is sent a second time; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(super) struct Chain {
    git: Git,
    reference: String,
    environment: String,
    head: Option<CommitId>,
    /// All that were read, of which `head` is the last.
    commits: HashSet<CommitId>,
    events: Vec<LedgerEvent>,
    state: LedgerState,
}

impl Chain {
    pub(super) fn new(git: Git, environment: &str) -> Self {
        Self {
            git,
            reference: format!("refs/xtask/ledger/{environment}"),
            environment: environment.to_owned(),
            head: None,
            commits: HashSet::new(),
            events: Vec::new(),
            state: LedgerState::default(),
        }
    }

    pub(super) fn git(&self) -> &Git {
        &self.git
    }

    /// Whether the remote had no event when it was read.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The newest commit.
    pub(super) fn head(&self) -> Option<&CommitId> {
        self.head.as_ref()
    }

    /// Whether the chain has this commit.
    pub(super) fn has(&self, commit: &CommitId) -> bool {
        self.commits.contains(commit)
    }

    /// Whether this clone has read events of this ledger, by an earlier process too.
    pub(super) fn was_read_before(&self) -> Result<bool> {
        self.git.was_fetched(&self.reference)
    }

    pub(super) fn events(&self) -> &[LedgerEvent] {
        &self.events
    }

    pub(super) fn state(&self) -> &LedgerState {
        &self.state
    }

    /// Reads what was appended since the last time.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let head = self.git.remote_ref(&self.reference)?;
        if head == self.head {
            return Ok(());
        }
        let Some(head) = head else {
            bail!(
                "the ledger {} of the remote is gone, and it was there before",
                self.reference
            );
        };
        self.git.fetch_chain(&self.reference, self.head.as_ref(), &head)?;
        let messages = self.git.messages(self.head.as_ref(), &head)?;
        // All of them before the state changes: an error leaves it as it was.
        let read = messages.iter().map(event).collect::<Result<Vec<_>>>()?;
        for event in read {
            match event {
                Ok(event) => self.push(event),
                Err(why) => self.state.skip(why),
            }
        }
        self.commits
            .extend(messages.into_iter().map(|message| message.commit));
        self.head = Some(head);
        Ok(())
    }

    /// Appends one event where the chain has not grown since it was read. `false`: somebody else was first; the chain
    /// is then read up to now. `attempts` bounds how often a remote that cannot be reached is asked; the same commit is
    /// sent each time, so an event whose answer was lost is never there twice.
    pub(super) fn append(
        &mut self,
        operation: &OperationId,
        fence: u64,
        body: Body,
        attempts: u32,
    ) -> Result<bool> {
        let event = LedgerEvent {
            seq: self.state.seq + 1,
            at: Utc::now(),
            operation: operation.clone(),
            fence,
            body,
        };
        let message = self.message(&event)?;
        let commit = self.git.commit_message(self.head.as_ref(), &message)?;
        let mut attempt = 1;
        loop {
            let appended = append::push(&self.git, &self.reference, self.head.as_ref(), &commit);
            let error = match appended {
                Ok(Append::Arrived) => {
                    self.head = Some(commit.clone());
                    self.commits.insert(commit.clone());
                    self.push(event);
                    // Where the remote does not answer later, this clone has all that it wrote itself.
                    self.git.remember_fetched(&self.reference, &commit)?;
                    return Ok(true);
                }
                Ok(Append::Overtaken) => match self.refresh() {
                    Ok(()) => return Ok(false),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if attempt >= attempts || crate::exec::interrupted() {
                return Err(error).context("the ledger's remote did not take an event");
            }
            std::thread::sleep(PAUSE * 2u32.pow(attempt - 1));
            attempt += 1;
        }
    }

    fn push(&mut self, event: LedgerEvent) {
        self.state.apply(&event);
        self.events.push(event);
    }

    /// The message: a line for people who read the log, then the record.
    fn message(&self, event: &LedgerEvent) -> Result<String> {
        let what = match &event.body {
            Body::Started(started) => format!("{} started", started.kind),
            Body::Step { name, .. } => format!("step done: {name}"),
            Body::Heartbeat => "heartbeat".to_owned(),
            Body::Finished { outcome, .. } => outcome.to_string(),
            Body::TakenOver { .. } => "taken over".to_owned(),
        };
        let line = format!("{} {}: {what}", self.environment, event.operation);
        message_with(&line, SCHEMA, event)
    }
}

/// The event of a commit, or in words why it has none. A commit that holds no event has no effect, as an event of somebody who
/// does not hold the lock has none: it costs a line, and not the ledger. An event of another version may mean anything: an error.
fn event(message: &Message) -> Result<Result<LedgerEvent, String>> {
    let error: anyhow::Error = match message.record(SCHEMA) {
        Ok(event) => return Ok(Ok(event)),
        Err(error) => error,
    };
    let commit = message.commit.short();
    if message.value().is_some_and(|record| is_event(&record)) {
        return Err(errors::ledger_of_another_version(commit, format!("{error:#}")).into());
    }
    Ok(Err(format!("{commit} is no event of a ledger")))
}

/// Whether a record has what the events of all versions have.
fn is_event(record: &Value) -> bool {
    let schema = record["schema"].as_str().unwrap_or_default();
    let operation = record["operation"].as_str().unwrap_or_default();
    schema.starts_with(EVENTS)
        && operation.parse::<OperationId>().is_ok()
        && record["seq"].is_u64()
        && record["fence"].is_u64()
        && record["event"].is_string()
}
