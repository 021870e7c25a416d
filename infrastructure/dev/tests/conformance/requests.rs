//! What the platforms were asked, as lines that can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names::Names;

/// The requests to each platform, by section. Those that read are sorted and there once: waits repeat them, and several
/// programs ask at the same time. Those that change something are all there, in their order.
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
        let what = if reads(request) { "reads" } else { "changes" };
        let lines = asked.entry(format!("asks {platform}, {what}")).or_default();
        lines.push(line(request, names));
        if what == "reads" {
            lines.sort();
            lines.dedup();
        }
    }
    asked
}

fn reads(request: &Value) -> bool {
    let document = request["body"]["query"].as_str();
    request["method"] == "GET" || document.is_some_and(|text| text.trim_start().starts_with("query"))
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
