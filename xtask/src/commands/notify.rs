//! `cargo xtask notify`: tells people what became of a workflow run.

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::engine::notify::{self, Delivery, Event, Notice};
use crate::error::Stop;
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
    let notice = Notice {
        event,
        title: args.title.clone().unwrap_or_else(|| title(event, &ctx.env_name)),
        facts: vec![
            ("environment".into(), ctx.env_name.clone()),
            ("by".into(), ctx.actor()),
            ("why".into(), args.reason.clone().unwrap_or_default()),
        ],
        link: notify::run_link(),
        next: (event == Event::Failure).then(|| "cargo xtask releases".to_owned()),
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
    if args.test && !told.deliveries.iter().all(|one| one.delivered) {
        return Err(Stop::failed("the test message was not delivered")
            .next("check the webhook: `[notify]` in pipeline.toml names its variable")
            .into());
    }
    Ok(())
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
