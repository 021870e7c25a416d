//! What a command came to and what the platforms have, without what depends on the machine's speed.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The report with the verdict of each check in place of its measurements, and the steps without their times.
pub fn without_times(report: &Value) -> Value {
    match report {
        Value::Array(items) => items.iter().map(without_times).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let value = match name.as_str() {
                    "checks" => verdicts(value),
                    "timeline" => steps(value),
                    _ => without_times(value),
                };
                (name.clone(), value)
            });
            fields.collect()
        }
        other => other.clone(),
    }
}

fn verdicts(checks: &Value) -> Value {
    let checks = checks.as_array().expect("a list of checks").iter();
    checks
        .map(|check| format!("{}: {}", text(&check["name"]), text(&check["outcome"])))
        .collect()
}

/// Sorted: some steps run at the same time.
fn steps(timeline: &Value) -> Value {
    let timeline = timeline.as_array().expect("a list of steps").iter();
    let mut steps: Vec<&str> = timeline.map(|step| text(&step["step"])).collect();
    steps.sort_unstable();
    json!(steps)
}

/// What the platforms have at the end, from their own report.
pub fn left(report: &Value) -> Value {
    let deployments = report["railway"]["deployments"]
        .as_array()
        .expect("a list")
        .iter();
    let backends: Vec<Value> = deployments
        .map(|one| {
            let mut one = one.clone();
            for state in one["history"].as_array_mut().expect("a list") {
                *state = state["status"].take();
            }
            one
        })
        .collect();
    json!({
        "railway": {
            "live": report["railway"]["live"], "deployments": backends, "variables": report["railway"]["variables"],
        },
        "vercel": report["vercel"],
    })
}

/// Files that only the real `vercel build` can write as it does.
const OF_THE_REAL_BUILD: [(&str, &str); 2] = [
    ("output/builds.json", "it names the path of the program"),
    ("output/diagnostics/", "the program's measurements of itself"),
];

/// Each file below a folder with the hash of what is in it.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let hash = hex::encode(Sha256::digest(std::fs::read(&path).unwrap()));
                let name = path.strip_prefix(folder).unwrap();
                // Shortened, or it would be taken for one that differs from run to run.
                found.push(format!("{} {}", name.display(), &hash[..16]));
            }
        }
    }
    found.retain(|file| !OF_THE_REAL_BUILD.iter().any(|(part, _)| file.contains(part)));
    found
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}
