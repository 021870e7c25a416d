//! `cargo xtask notify`: sends notifications about a workflow run.

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::context::Context;
use crate::domain::ledger::LedgerOperation;
use crate::error::catalogue::configuration as errors;
use crate::notify::{self, Delivery, Notification, NotifyEvent};
use crate::operation::ledger::Ledger;
use crate::report;

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  done: every channel was tried, and what failed is a warning
  1  --test only: no channel received the message
  2  wrong usage or configuration

Example:
  cargo xtask notify --test";

/// Options of `notify`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Send a test message, and fail where it cannot be delivered
    #[arg(long, conflicts_with = "event")]
    test: bool,
    /// What happened
    #[arg(long, value_enum, required_unless_present = "test")]
    event: Option<NotifyEvent>,
    /// The end of the job as the workflow knows it; anything but `success` makes it a failure
    #[arg(long, value_name = "STATUS")]
    job_status: Option<String>,
    /// One line for people
    #[arg(long)]
    title: Option<String>,
    /// Reason for it
    #[arg(long, env = "REASON")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct NotifyReport {
    deliveries: Vec<Delivery>,
}

/// Sends the notification. A release never fails because of a notification that failed.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    let failed = args
        .job_status
        .as_deref()
        .is_some_and(|status| status != "success");
    let event = match args.event {
        None => NotifyEvent::Test,
        Some(_) if failed => NotifyEvent::Failure,
        Some(event) => event,
    };
    let mut facts = vec![
        ("environment".into(), ctx.env_name.clone()),
        ("by".into(), ctx.actor()),
        ("why".into(), args.reason.clone().unwrap_or_default()),
    ];
    // A test message must also arrive where the ledger cannot be read.
    let operation = (event != NotifyEvent::Test).then(|| of_this_run(&ctx)).flatten();
    facts.extend(operation.iter().flat_map(operation_facts));
    let notice = Notification {
        event,
        title: args
            .title
            .clone()
            .unwrap_or_else(|| title(event, args.event, &ctx.env_name)),
        facts,
        link: notify::run_link(),
        next: (event == NotifyEvent::Failure).then(|| next(operation.as_ref())),
    };
    let report = NotifyReport {
        deliveries: notify::send(&ctx, &notice),
    };
    report::emit_done(common.format, "notify/1", &report, || {
        let rows = report.deliveries.iter();
        let rows: Vec<String> = rows
            .map(|one| format!("{}: {}", one.channel, one.detail))
            .collect();
        report::lines(&rows)
    });
    if args.test && report.deliveries.is_empty() {
        return Err(errors::no_channel().into());
    }
    if args.test && !report.deliveries.iter().all(|one| one.delivered) {
        return Err(errors::message_not_delivered().into());
    }
    Ok(())
}

/// The newest operation that this workflow run did; a ledger that cannot be read keeps nobody from being told.
fn of_this_run(ctx: &Context) -> Option<LedgerOperation> {
    let run = std::env::var("GITHUB_RUN_ID").ok()?;
    let state = Ledger::open(ctx).state();
    let state = state
        .inspect_err(|error| report::progress(&format!("warning: the ledger cannot be read: {error:#}")))
        .ok()?;
    let ours = format!("/runs/{run}/");
    state.operations.into_iter().rev().find(|operation| {
        let page = operation.holder.run.as_deref();
        page.is_some_and(|page| page.contains(&ours))
    })
}

fn operation_facts(operation: &LedgerOperation) -> Vec<(String, String)> {
    let mut facts = vec![(
        "what".into(),
        format!("{} {}", operation.started.kind, operation.started.target),
    )];
    if let Some(ended) = &operation.ended {
        let took = (ended.at - operation.started_at).num_milliseconds();
        let took = report::duration_ms(u64::try_from(took).unwrap_or(0));
        facts.push(("took".into(), took));
        if let Some(tag) = ended.facts["tag"].as_str() {
            facts.push(("release".into(), tag.to_owned()));
        }
    }
    facts.push(("operation".into(), operation.id.to_string()));
    facts
}

/// What to do about a failure.
fn next(operation: Option<&LedgerOperation>) -> String {
    match operation {
        Some(stopped) if stopped.unfinished() => format!(
            "cargo xtask {0} --resume {1}   (or --undo {1})",
            stopped.started.kind, stopped.id
        ),
        _ => "cargo xtask releases".into(),
    }
}

/// `named` is the event that the workflow named: what failed follows from it.
fn title(event: NotifyEvent, named: Option<NotifyEvent>, environment: &str) -> String {
    let what = match event {
        NotifyEvent::ApprovalWaiting => "a release waits for approval",
        NotifyEvent::ApprovalExpired => "a release was not approved in time",
        NotifyEvent::Started => "a release has started",
        NotifyEvent::Success => "the release is live",
        NotifyEvent::Failure => match named {
            Some(NotifyEvent::Rollback) => "the rollback failed",
            Some(NotifyEvent::DrillFailed) => "the restore drill failed",
            Some(NotifyEvent::ApprovalWaiting | NotifyEvent::ApprovalExpired) => "the approval failed",
            _ => "the release failed",
        },
        NotifyEvent::Rollback => "rolled back",
        NotifyEvent::DrillFailed => "the restore drill failed",
        NotifyEvent::Test => "test message",
    };
    format!("{environment}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_named_by_the_event_that_the_workflow_names() {
        let failed = |named| title(NotifyEvent::Failure, named, "production");
        assert_eq!(
            failed(Some(NotifyEvent::Rollback)),
            "production: the rollback failed"
        );
        assert_eq!(
            failed(Some(NotifyEvent::Success)),
            "production: the release failed"
        );
        assert_eq!(
            failed(Some(NotifyEvent::DrillFailed)),
            "production: the restore drill failed"
        );
    }
}
