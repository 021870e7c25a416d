//! Telling people. A notification that cannot be delivered never fails what it tells of: it is in the result.

mod actions;
mod mail;
mod slack;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::context::{Context, env_nonempty};
use crate::report;
use crate::secret::{Secret, scrub};

const DEADLINE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
/// The longest pause that a busy receiver can ask of us.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyEvent {
    ApprovalWaiting,
    ApprovalExpired,
    Started,
    Success,
    Failure,
    Rollback,
    DrillFailed,
    Test,
}

/// One notification.
#[derive(Debug, Clone, Serialize)]
pub struct Notification {
    pub event: NotifyEvent,
    pub title: String,
    /// Name and value: who, why, how long.
    pub facts: Vec<(String, String)>,
    pub link: Option<String>,
    /// The command to run next.
    pub next: Option<String>,
}

/// What became of a notification on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    pub channel: &'static str,
    pub delivered: bool,
    pub detail: String,
}

/// Sends the notice wherever the configuration says. The same notice of the same workflow run is sent once.
pub fn send(ctx: &Context, notice: &Notification) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    if let Some(variable) = &ctx.config.notify.slack {
        deliveries.push(deliver(ctx, notice, "slack", || {
            slack::send(&secret(ctx, variable)?, notice)
        }));
    }
    if let Some(place) = &ctx.config.notify.email {
        deliveries.push(deliver(ctx, notice, "email", || mail::send(ctx, place, notice)));
    }
    if actions::here() {
        deliveries.push(deliver(ctx, notice, "workflow run", || actions::show(notice)));
    }
    deliveries
}

fn secret(ctx: &Context, variable: &str) -> Result<Secret> {
    ctx.secret_if_set(variable)
        .with_context(|| format!("the environment variable {variable} is not set"))
}

fn deliver(
    ctx: &Context,
    notice: &Notification,
    channel: &'static str,
    send: impl FnOnce() -> Result<()>,
) -> Delivery {
    let (delivered, detail) = match once(ctx, notice, channel, send) {
        Ok(detail) => (true, detail),
        Err(error) => (false, scrub(&format!("{error:#}"))),
    };
    if !delivered {
        report::progress(&format!("warning: notification via {channel} failed: {detail}"));
    }
    Delivery {
        channel,
        delivered,
        detail,
    }
}

/// Why a receiver did not take a notification.
struct SendError {
    problem: String,
    /// Whether it may take it when it is asked again.
    again: bool,
    /// After how long it wants to be asked again.
    asked_s: Option<u64>,
}

impl SendError {
    fn for_good(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            again: false,
            asked_s: None,
        }
    }

    fn for_now(problem: impl Into<String>) -> Self {
        Self {
            again: true,
            ..Self::for_good(problem)
        }
    }
}

/// Tries some times, with the pauses that the receiver asks for.
fn with_retries(mut attempt: impl FnMut() -> Result<(), SendError>) -> Result<()> {
    let mut done = 1;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(refused) if refused.again && done < ATTEMPTS => {
                let pause = Duration::from_secs(refused.asked_s.unwrap_or(1));
                std::thread::sleep(pause.min(LONGEST_PAUSE));
            }
            Err(refused) => anyhow::bail!("{}", refused.problem),
        }
        done += 1;
    }
}

/// The page of this workflow run.
pub fn run_link() -> Option<String> {
    Some(format!(
        "{}/{}/actions/runs/{}",
        env_nonempty("GITHUB_SERVER_URL")?,
        env_nonempty("GITHUB_REPOSITORY")?,
        env_nonempty("GITHUB_RUN_ID")?
    ))
}

/// A step that is tried again must not tell twice: what was delivered leaves a mark, named by run and content.
fn once(
    ctx: &Context,
    notice: &Notification,
    channel: &str,
    deliver: impl FnOnce() -> Result<()>,
) -> Result<String> {
    let run = std::env::var("GITHUB_RUN_ID")
        .ok()
        .filter(|_| notice.event != NotifyEvent::Test);
    let Some(run) = run else {
        return deliver().map(|()| "delivered".into());
    };
    let text = serde_json::to_string(notice).context("cannot write the notification")?;
    let name = hex::encode(Sha256::digest(format!("{run}\n{channel}\n{text}")));
    let mark = ctx.state_dir("notified")?.join(name);
    if mark.exists() {
        return Ok("delivered before".into());
    }
    deliver()?;
    std::fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))?;
    Ok("delivered".into())
}
