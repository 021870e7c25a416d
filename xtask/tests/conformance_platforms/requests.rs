//! What the platforms were asked, as lines that can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names::Names;

/// A repetition of more requests than this is none of a poll.
const LONGEST_POLL: usize = 12;

/// The requests to each platform in their order; what a wait repeats is there once.
pub fn asked(requests: &[Value], names: &Names) -> BTreeMap<String, Vec<String>> {
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in requests {
        let platform = request["platform"]
            .as_str()
            .expect("every request has a platform");
        // The status pages are asked by our own program.
        if platform == "services" {
            continue;
        }
        asked
            .entry(platform.to_owned())
            .or_default()
            .push(line(request, names));
    }
    asked.values_mut().for_each(collapse);
    asked
}

/// One request without what differs from run to run.
fn line(request: &Value, names: &Names) -> String {
    let text = |name: &str| request[name].as_str().unwrap_or("none");
    let mut body = request["body"].clone();
    if let Some(Value::String(document)) = body.get_mut("query") {
        *document = document.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    format!(
        "{} {} [{}; {}] {} -> {}",
        text("method"),
        names.text(&sorted(text("target"))),
        text("credential"),
        text("content_type"),
        names.apply(&body),
        request["status"],
    )
}

/// The order of a query's parameters has no meaning.
fn sorted(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_unstable();
    format!("{path}?{}", pairs.join("&"))
}

/// Leaves one of every sequence that follows itself.
fn collapse(lines: &mut Vec<String>) {
    let mut at = 0;
    while at < lines.len() {
        let repeated = (1..=LONGEST_POLL)
            .filter(|length| at + 2 * length <= lines.len())
            .find(|length| lines[at..at + length] == lines[at + length..at + 2 * length]);
        match repeated {
            Some(length) => {
                lines.drain(at..at + length);
                at = at.saturating_sub(LONGEST_POLL);
            }
            None => at += 1,
        }
    }
}
