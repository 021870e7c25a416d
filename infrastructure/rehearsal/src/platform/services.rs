//! Status pages of the three platforms, and a Slack webhook.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use xtask::sync::lock;

use super::observed::Simulated;
use crate::http::router::matches;
use crate::http::{Request, Response};

const SUMMARY: &str = "GET /status/{page}/api/v2/summary.json";
const SLACK: &str = "POST /slack/{path*}";

/// The pages that exist and the components that they name.
const PAGES: [(&str, &str, [&str; 3]); 3] = [
    ("vercel", "Vercel", ["Builds", "Edge Network", "API"]),
    ("railway", "Railway", ["Deployments", "API", "Edge Network"]),
    (
        "mongodb",
        "MongoDB Cloud",
        ["MongoDB Atlas", "Atlas Control Plane", "Atlas Search"],
    ),
];

/// Blocks that Slack takes in one message, and characters in one text.
const MAX_BLOCKS: usize = 50;
const MAX_TEXT_CHARS: usize = 3000;

/// Status pages and recorded messages.
#[derive(Debug, Default)]
pub(super) struct Services {
    /// Page → component → status, where it is not operational.
    troubles: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    messages: Mutex<Vec<Value>>,
}

impl Simulated for Arc<Services> {
    const PLATFORM: &'static str = "services";

    fn operation(&self, request: &Request) -> String {
        if let Some(captures) = matches(SUMMARY, request) {
            return format!("status {}", captures[0]);
        }
        if matches(SLACK, request).is_some() {
            "slack".to_owned()
        } else {
            request.path.clone()
        }
    }

    fn answer(&self, request: &Request) -> Response {
        if let Some(captures) = matches(SUMMARY, request) {
            return self.summary(&captures[0]);
        }
        if matches(SLACK, request).is_some() {
            return self.slack(request);
        }
        Response::text(501, "not implemented")
    }
}

impl Services {
    pub(super) fn messages(&self) -> Vec<Value> {
        lock(&self.messages).clone()
    }

    /// Sets a component's status: operational, `degraded_performance`, `partial_outage`, `major_outage`.
    pub(super) fn set_status(&self, page: &str, component: &str, status: &str) {
        let mut troubles = lock(&self.troubles);
        troubles
            .entry(page.to_owned())
            .or_default()
            .insert(component.to_owned(), status.to_owned());
    }

    fn summary(&self, page: &str) -> Response {
        let Some((id, name, components)) = PAGES.iter().find(|(id, ..)| *id == page) else {
            return Response::text(404, "there is no such page");
        };
        let troubles = lock(&self.troubles);
        let status_of = |component: &str| {
            troubles
                .get(*id)
                .and_then(|page| page.get(component))
                .map_or("operational", String::as_str)
        };
        let list: Vec<Value> = components
            .iter()
            .enumerate()
            .map(|(index, component)| {
                json!({"id": format!("{id}-{index}"), "name": component, "status": status_of(component),
                       "position": index + 1, "group": false, "only_show_if_degraded": false})
            })
            .collect();
        let worst = components
            .iter()
            .map(|component| rank(status_of(component)))
            .max()
            .unwrap_or(0);
        let (indicator, description) = [
            ("none", "All Systems Operational"),
            ("minor", "Minor Service Outage"),
            ("major", "Partial System Outage"),
            ("critical", "Major Service Outage"),
        ][worst];
        let incidents: Vec<Value> = (worst > 0)
            .then(|| {
                json!({"id": format!("{id}-incident"), "name": "Elevated errors", "status": "investigating",
                       "impact": indicator, "shortlink": format!("https://stspg.example/{id}"), "incident_updates": [],
                       "components": []})
            })
            .into_iter()
            .collect();
        let body = json!({
            "page": {"id": id, "name": name, "url": format!("https://{id}.status.example"), "time_zone": "Etc/UTC"},
            "status": {"indicator": indicator, "description": description},
            "components": list, "incidents": incidents, "scheduled_maintenances": [],
        });
        Response::json(200, &body)
    }

    /// Slack answers a wrong message with a word and 400, and a right one with "ok".
    fn slack(&self, request: &Request) -> Response {
        let Ok(message) = request.json() else {
            return Response::text(400, "invalid_payload");
        };
        if let Err(word) = check_message(&message) {
            return Response::text(400, word);
        }
        lock(&self.messages).push(message);
        Response::text(200, "ok")
    }
}

fn rank(status: &str) -> usize {
    match status {
        "operational" => 0,
        "degraded_performance" | "under_maintenance" => 1,
        "partial_outage" => 2,
        _ => 3,
    }
}

fn check_message(message: &Value) -> Result<(), &'static str> {
    let object = message.as_object().ok_or("invalid_payload")?;
    let has_text = object
        .get("text")
        .and_then(Value::as_str)
        .is_some_and(|text| !text.is_empty());
    let Some(blocks) = object.get("blocks") else {
        return if has_text { Ok(()) } else { Err("no_text") };
    };
    let blocks = blocks.as_array().ok_or("invalid_blocks")?;
    if blocks.is_empty() || blocks.len() > MAX_BLOCKS {
        return Err("invalid_blocks");
    }
    if blocks.iter().all(is_block) {
        Ok(())
    } else {
        Err("invalid_blocks")
    }
}

fn is_block(block: &Value) -> bool {
    let is_text = |text: &Value, limit: usize| {
        matches!(text["type"].as_str(), Some("mrkdwn" | "plain_text"))
            && text["text"]
                .as_str()
                .is_some_and(|text| !text.is_empty() && text.chars().count() <= limit)
    };
    let all = |list: &Value, check: &dyn Fn(&Value) -> bool| {
        list.as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(check))
    };
    match block["type"].as_str() {
        Some("header") => block["text"]["type"] == "plain_text" && is_text(&block["text"], 150),
        Some("section") => {
            let text = block.get("text").is_none_or(|text| is_text(text, MAX_TEXT_CHARS));
            let fields = block
                .get("fields")
                .is_none_or(|list| all(list, &|text| is_text(text, 2000)));
            text && fields && (block.get("text").is_some() || block.get("fields").is_some())
        }
        Some("context") => all(&block["elements"], &|text| is_text(text, MAX_TEXT_CHARS)),
        Some("actions") => all(&block["elements"], &|element| element["type"] == "button"),
        Some("divider") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_takes_what_slack_takes() {
        let section = json!({"type": "section", "text": {"type": "mrkdwn", "text": "x"}});
        let cases = [
            (json!({"text": "hello"}), Ok(())),
            (json!({}), Err("no_text")),
            (json!([]), Err("invalid_payload")),
            (json!({"text": "t", "blocks": [section]}), Ok(())),
            (json!({"text": "t", "blocks": []}), Err("invalid_blocks")),
            (
                json!({"text": "t", "blocks": [{"type": "section"}]}),
                Err("invalid_blocks"),
            ),
            (
                json!({"text": "t", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}),
                Err("invalid_blocks"),
            ),
            (
                json!({"text": "t", "blocks": vec![json!({"type": "divider"}); 51]}),
                Err("invalid_blocks"),
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(check_message(&message), expected, "{message}");
        }
    }
}
