//! Slack, by an incoming webhook.

use anyhow::Result;
use serde_json::{Value, json};

use super::{DEADLINE, Notification, SendError, with_retries};
use crate::secret::{Secret, scrub};

/// Slack takes 3000 characters in a text and ten fields in a section.
const TEXT_LIMIT_CHARS: usize = 2_900;
const FIELD_LIMIT_CHARS: usize = 1_900;
const FIELDS_LIMIT: usize = 10;

pub(super) fn send(url: &Secret, notice: &Notification) -> Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(DEADLINE))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into();
    let message = slack_message(notice);
    with_retries(|| match agent.post(url.expose()).send_json(&message) {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => {
            let status = response.status();
            let asked = response.headers().get("retry-after");
            let asked_s = asked.and_then(|value| value.to_str().ok()?.parse().ok());
            Err(SendError {
                problem: format!("Slack answered {status}"),
                again: status.as_u16() == 429 || status.is_server_error(),
                asked_s,
            })
        }
        // It may have arrived: nobody is told twice.
        Err(ureq::Error::Timeout(_)) => Err(SendError::for_good("Slack did not answer in time")),
        // The text of the error may name the URL, which is the secret.
        Err(error) => Err(SendError::for_now(scrub(&format!(
            "Slack cannot be reached: {error}"
        )))),
    })
}

/// The message in Slack's blocks. All texts are plain: a reason of `<!channel>` must not wake everybody.
fn slack_message(notice: &Notification) -> Value {
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
    use crate::notify::NotifyEvent;

    #[test]
    fn free_text_is_plain_and_bounded() {
        let notice = Notification {
            event: NotifyEvent::Rollback,
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
