//! Observations outside of operations: `refs/xtask/history/<environment>` on the git remote, a chain of commits as
//! the ledger is one, but without a lock: observations do not exclude each other.

use anyhow::{Context as _, Result, bail};
use chrono::Utc;

use crate::context::Context;
use crate::domain::observation::{Observation, Seen};
use crate::operation::append::{self, Append};
use crate::report;
use crate::tools::git::{Git, Message, message_with};

const SCHEMA: &str = "observation/1";
/// How often appending is tried again when others append meanwhile.
const ATTEMPTS: u32 = 20;

/// Records an observation.
pub fn record(ctx: &Context, seen: Seen) -> Result<()> {
    let observation = Observation {
        at: Utc::now(),
        by: ctx.actor(),
        seen,
    };
    let git = Git::open(ctx);
    let name = reference(&ctx.env_name);
    let text = message(&ctx.env_name, &observation)?;
    for _ in 0..ATTEMPTS {
        let head = git.remote_ref(&name)?;
        if let Some(head) = &head {
            git.fetch_chain(&name, None, head)?;
        }
        let commit = git.commit_message(head.as_ref(), &text)?;
        let appended = append::push(&git, &name, head.as_ref(), &commit);
        if appended.context("the remote did not take an observation")? == Append::Arrived {
            return Ok(());
        }
    }
    bail!("others wrote to {name} during all of {ATTEMPTS} attempts: nothing was recorded")
}

/// Every observation, oldest first.
pub fn read(ctx: &Context) -> Result<Vec<Observation>> {
    let git = Git::open(ctx);
    let name = reference(&ctx.env_name);
    let Some(head) = git.remote_ref(&name)? else {
        return Ok(Vec::new());
    };
    git.fetch_chain(&name, None, &head)?;
    let messages = git.messages(None, &head)?;
    let observation = |message: &Message| match message.record(SCHEMA) {
        Ok(observation) => Some(observation),
        Err(error) => {
            report::progress(&format!("warning: an observation does not count: {error:#}"));
            None
        }
    };
    Ok(messages.iter().filter_map(observation).collect())
}

/// Where an environment's observations are kept.
pub fn reference(environment: &str) -> String {
    format!("refs/xtask/history/{environment}")
}

/// The commit message of an observation: a line for people, then the record.
pub fn message(environment: &str, observation: &Observation) -> Result<String> {
    let what = match &observation.seen {
        Seen::Health { verdict, .. } => verdict.word().to_owned(),
        Seen::Drill { backup, good, .. } => {
            format!("drill of {backup}: {}", if *good { "good" } else { "not good" })
        }
    };
    message_with(&format!("{environment}: {what}"), SCHEMA, observation)
}
