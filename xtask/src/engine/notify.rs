//! Telling people. A notification that cannot be delivered never fails what it tells of: it is in the result.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::domain::release::hex;
use crate::report;
use crate::secret::{Secret, scrub};

const DEADLINE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
/// The longest pause that a busy receiver can ask of us.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Slack takes 3000 characters in a text and ten fields in a section.
const TEXT_LIMIT_CHARS: usize = 2_900;
const FIELD_LIMIT_CHARS: usize = 1_900;
const FIELDS_LIMIT: usize = 10;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
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
pub struct Notice {
    pub event: Event,
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
pub fn send(ctx: &Context, notice: &Notice) -> Vec<Delivery> {
    let Some(variable) = &ctx.config.notify.slack else {
        return Vec::new();
    };
    let delivery = match ctx.secret_if_set(variable) {
        None => failed(format!("the environment variable {variable} is not set")),
        Some(url) => match once(ctx, notice, || slack(&url, notice)) {
            Ok(detail) => Delivery {
                channel: "slack",
                delivered: true,
                detail,
            },
            Err(error) => failed(scrub(&format!("{error:#}"))),
        },
    };
    if !delivery.delivered {
        report::progress(&format!(
            "warning: nobody was told on {}: {}",
            delivery.channel, delivery.detail
        ));
    }
    vec![delivery]
}

/// The page of this workflow run.
pub fn run_link() -> Option<String> {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    Some(format!(
        "{}/{}/actions/runs/{}",
        variable("GITHUB_SERVER_URL")?,
        variable("GITHUB_REPOSITORY")?,
        variable("GITHUB_RUN_ID")?
    ))
}

fn failed(detail: String) -> Delivery {
    Delivery {
        channel: "slack",
        delivered: false,
        detail,
    }
}

/// A step that is tried again must not tell twice: what was delivered leaves a mark, named by run and content.
fn once(ctx: &Context, notice: &Notice, deliver: impl FnOnce() -> Result<()>) -> Result<String> {
    let run = std::env::var("GITHUB_RUN_ID")
        .ok()
        .filter(|_| notice.event != Event::Test);
    let Some(run) = run else {
        return deliver().map(|()| "delivered".into());
    };
    let text = serde_json::to_string(notice).context("cannot write the notification")?;
    let name = hex(&Sha256::digest(format!("{run}\n{text}")));
    let mark = ctx.state_dir("notified")?.join(name);
    if mark.exists() {
        return Ok("delivered before".into());
    }
    deliver()?;
    std::fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))?;
    Ok("delivered".into())
}

fn slack(url: &Secret, notice: &Notice) -> Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(DEADLINE))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into();
    let message = slack_message(notice);
    let mut attempt = 1;
    loop {
        let (problem, pause) = match agent.post(url.expose()).send_json(&message) {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => {
                let status = response.status();
                let again = status.as_u16() == 429 || status.is_server_error();
                let asked = response.headers().get("retry-after");
                let asked_s = asked.and_then(|value| value.to_str().ok()?.parse().ok());
                let pause = Duration::from_secs(asked_s.unwrap_or(1)).min(LONGEST_PAUSE);
                (format!("Slack answered {status}"), again.then_some(pause))
            }
            // The text of the error may name the URL, which is the secret: only its kind is kept.
            Err(ureq::Error::Timeout(_)) => ("Slack did not answer in time".to_owned(), None),
            Err(error) => (
                scrub(&format!("Slack cannot be reached: {error}")),
                Some(Duration::from_secs(1)),
            ),
        };
        match pause {
            Some(pause) if attempt < ATTEMPTS => std::thread::sleep(pause),
            _ => anyhow::bail!("{problem}"),
        }
        attempt += 1;
    }
}

/// The message in Slack's blocks. All texts are plain: a reason of `<!channel>` must not wake everybody.
fn slack_message(notice: &Notice) -> Value {
    let plain = |text: &str, limit: usize| {
        let text: String = scrub(text).chars().take(limit).collect();
        json!({"type": "plain_text", "emoji": false, "text": text})
    };
    let mut blocks = vec![json!({"type": "header", "text": plain(&notice.title, 150)})];
    let fields: Vec<Value> = notice
        .facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .take(FIELDS_LIMIT)
        .map(|(name, value)| plain(&format!("{name}: {value}"), FIELD_LIMIT_CHARS))
        .collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    for line in notice
        .next
        .iter()
        .map(|next| format!("next: {next}"))
        .chain(notice.link.clone())
    {
        blocks.push(json!({"type": "section", "text": plain(&line, TEXT_LIMIT_CHARS)}));
    }
    let escaped = scrub(&notice.title)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({"text": escaped, "blocks": blocks})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_is_plain_and_bounded() {
        let notice = Notice {
            event: Event::Rollback,
            title: "<!channel> rolled & back".into(),
            facts: vec![
                ("why".into(), "x".repeat(10_000)),
                ("empty".into(), String::new()),
            ],
            link: None,
            next: Some("cargo xtask releases".into()),
        };
        let message = slack_message(&notice);
        assert_eq!(message["text"], "&lt;!channel&gt; rolled &amp; back");
        assert!(!message.to_string().contains("mrkdwn"));
        let fields = message["blocks"][1]["fields"].as_array().unwrap();
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[0]["text"].as_str().unwrap().len(), FIELD_LIMIT_CHARS);
    }
}
