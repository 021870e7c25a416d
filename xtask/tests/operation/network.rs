//! The network fails at each call of a deploy and of a rollback: nothing arrives, the answer is lost, it comes late, half,
//! twice, or as something else. A call that may have been heard is never repeated blindly, and one release is whole
//! at the end.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::disturbed::{Disturbed, Kind, Then};
use crate::matrix::sampled;

/// How a call goes wrong; the last ones for as long as the operation lasts.
const FAULTS: [(&str, &str, u64); 8] = [
    ("not sent", "close", 1),
    ("answer lost", "done-then-close", 1),
    ("done, then 500", "done-then-status", 1),
    ("half an answer", "cut", 1),
    ("garbage", "garbage", 1),
    ("heard twice", "twice", 1),
    ("late", "delay", 1),
    ("cut off", "close", 0),
];

/// Of so many cells one is in the sample: many of these wait for half a minute, because health is patient.
const SAMPLE: usize = 14;

/// The calls of an undisturbed operation: platform and operation.
fn calls(disturbed: &Disturbed, kind: Kind) -> Vec<(String, String)> {
    disturbed.set(kind);
    let count = |report: &Value| report["requests"].as_array().unwrap().len();
    let before = count(&disturbed.scene.world.platform_report().unwrap());
    let ended = disturbed.run(kind, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.error());
    let report = disturbed.scene.world.platform_report().unwrap();
    let calls: BTreeSet<(String, String)> = report["requests"].as_array().unwrap()[before..]
        .iter()
        // The status pages are asked by health, where an unreachable one is a warning.
        .filter(|request| request["platform"] != "services")
        .map(|request| {
            let text = |name: &str| request[name].as_str().unwrap().to_owned();
            (text("platform"), text("operation"))
        })
        .collect();
    calls.into_iter().collect()
}

fn all_calls(kind: Kind, offset: usize) {
    let disturbed = Disturbed::new();
    let calls = calls(&disturbed, kind);
    assert!(calls.len() > 5, "{calls:?}");
    for (row, (platform, operation)) in calls.iter().enumerate() {
        for (column, (name, fault, times)) in FAULTS.iter().enumerate() {
            if !sampled(row + offset, column, SAMPLE) {
                continue;
            }
            let told = format!("{}: {platform} {operation}: {name}", kind.name());
            disturbed.set(kind);
            let body = json!({
                "id": "network", "platform": platform, "operation": operation, "kind": fault, "times": times,
                "delay_ms": 1500,
            });
            disturbed.scene.world.control("/faults", &body).unwrap();
            let ended = disturbed.run(kind, &[]);
            disturbed
                .scene
                .world
                .control("/faults/clear", &json!({}))
                .unwrap();
            let then = if (row + column) % 2 == 0 {
                Then::Resume
            } else {
                Then::Undo
            };
            disturbed.settle(kind, &ended, then, &told);
        }
    }
}

#[test]
fn the_network_fails_at_each_call_of_a_deploy() {
    all_calls(Kind::Deploy, 0);
}

#[test]
fn the_network_fails_at_each_call_of_a_rollback() {
    all_calls(Kind::Rollback, 3);
}
