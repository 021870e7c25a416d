//! `cargo xtask notify`: tells people what became of a workflow run.

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::context::Context;
use crate::domain::ledger::LedgerOperation;
use crate::error::CliError;
use crate::notify::{self, Delivery, Event, Notice};
use crate::operation::ledger::Ledger;
use crate::report;

/// Options of `notify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Send a test message, and fail where it cannot be delivered
    #[arg(long, conflicts_with = "event")]
    test: bool,
    /// What happened
    #[arg(long, value_enum, required_unless_present = "test")]
    event: Option<Event>,
    /// The end of the job as the workflow knows it; anything but `success` makes it a failure
    #[arg(long, value_name = "STATUS")]
    job_status: Option<String>,
    /// One line for people
    #[arg(long)]
    title: Option<String>,
    /// Why it was done
    #[arg(long, env = "REASON")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Told {
    deliveries: Vec<Delivery>,
}

/// Sends the notification. A release never fails because nobody could be told.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    let failed = args
        .job_status
        .as_deref()
        .is_some_and(|status| status != "success");
    let event = match args.event {
        None => Event::Test,
        Some(_) if failed => Event::Failure,
        Some(event) => event,
    };
    let mut facts = vec![
        ("environment".into(), ctx.env_name.clone()),
        ("by".into(), ctx.actor()),
        ("why".into(), args.reason.clone().unwrap_or_default()),
    ];
    // A test message must also arrive where the ledger cannot be read.
    let operation = (event != Event::Test).then(|| of_this_run(&ctx)).flatten();
    facts.extend(operation.iter().flat_map(operation_facts));
    let notice = Notice {
        event,
        title: args.title.clone().unwrap_or_else(|| title(event, &ctx.env_name)),
        facts,
        link: notify::run_link(),
        next: (event == Event::Failure).then(|| next(operation.as_ref())),
    };
    let told = Told {
        deliveries: notify::send(&ctx, &notice),
    };
    report::emit(common.format, "notify/1", &told, || {
        let rows = told.deliveries.iter();
        let rows: Vec<String> = rows
            .map(|one| format!("{}: {}", one.channel, one.detail))
            .collect();
        report::lines(&rows)
    })?;
    if args.test && told.deliveries.is_empty() {
        return Err(CliError::failed("the test message went to nobody")
            .next("set notify.slack or [notify.email] in pipeline.toml")
            .into());
    }
    if args.test && !told.deliveries.iter().all(|one| one.delivered) {
        return Err(CliError::failed("the test message was not delivered")
            .next("check `[notify]` in pipeline.toml and the variables that it names")
            .into());
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

fn title(event: Event, environment: &str) -> String {
    let what = match event {
        Event::ApprovalWaiting => "a release waits for approval",
        Event::ApprovalExpired => "a release was not approved in time",
        Event::Started => "a release has started",
        Event::Success => "the release is live",
        Event::Failure => "the release failed",
        Event::Rollback => "rolled back",
        Event::DrillFailed => "the restore drill failed",
        Event::Test => "test message",
    };
    format!("{environment}: {what}")
}
