//! Results of health checks and drills outside of operations: `refs/xtask/history/<environment>` on the git remote, a chain of commits as
//! the ledger is one, but without a lock: they do not exclude each other.

use anyhow::{Context as _, Result, bail};
use chrono::Utc;

use crate::context::Context;
use crate::domain::status_record::{StatusRecord, StatusResult};
use crate::operation::append::{self, Append};
use crate::report;
use crate::tools::git::{Git, Message, message_with};

const SCHEMA: &str = "observation/1";
/// How often appending is tried again when others append meanwhile.
const ATTEMPTS: u32 = 20;

/// Records a result.
pub fn record(ctx: &Context, result: StatusResult) -> Result<()> {
    let entry = StatusRecord {
        at: Utc::now(),
        by: ctx.actor(),
        result,
    };
    let git = Git::open(ctx);
    let name = reference(&ctx.env_name);
    let text = message(&ctx.env_name, &entry)?;
    for _ in 0..ATTEMPTS {
        let head = git.remote_ref(&name)?;
        if let Some(head) = &head {
            git.fetch_chain(&name, None, head)?;
        }
        let commit = git.commit_message(head.as_ref(), &text)?;
        let appended = append::push(&git, &name, head.as_ref(), &commit);
        if appended.context("the remote refused the record of a check")? == Append::Arrived {
            return Ok(());
        }
    }
    bail!("others wrote to {name} during all of {ATTEMPTS} attempts: nothing was recorded")
}

/// Every record, oldest first.
pub fn read(ctx: &Context) -> Result<Vec<StatusRecord>> {
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

/// Where the records of an environment are kept.
pub fn reference(environment: &str) -> String {
    format!("refs/xtask/history/{environment}")
}

/// The commit message of a record: a line for people, then the record.
pub fn message(environment: &str, entry: &StatusRecord) -> Result<String> {
    let what = match &entry.result {
        StatusResult::Health { verdict, .. } => verdict.word().to_owned(),
        StatusResult::Drill { backup, good, .. } => {
            format!("drill of {backup}: {}", if *good { "good" } else { "not good" })
        }
    };
    message_with(&format!("{environment}: {what}"), SCHEMA, entry)
}
