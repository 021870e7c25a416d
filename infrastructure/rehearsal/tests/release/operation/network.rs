//! The network fails at each call of a deploy and of a rollback: nothing arrives, the answer is lost, it comes late, half,
//! twice, or as something else. A call that may have been heard is never repeated blindly, and one release is whole
//! at the end.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::disturbed::{Disturbed, Kind, Then};
use super::table::Table;

/// How a call goes wrong; the last one for as long as the operation lasts.
const FAULTS: [(&str, &str, u64); 8] = [
    ("not sent", "close", 1),
    ("answer lost", "done-then-close", 1),
    ("done, then 500", "done-then-status", 1),
    ("half an answer", "cut", 1),
    ("garbage", "garbage", 1),
    ("sent twice", "twice", 1),
    ("late", "delay", 1),
    ("cut off", "close", 0),
];

/// Of so many cells one is in the sample.
const SAMPLE: usize = 8;
const LATE_MS: u64 = 1500;

/// The calls of an undisturbed operation: platform and operation.
fn calls(disturbed: &Disturbed, kind: Kind) -> Vec<String> {
    disturbed.set(kind);
    let count = |report: &Value| report["requests"].as_array().unwrap().len();
    let before = count(&disturbed.case.env.platform_report().unwrap());
    let ended = disturbed.run(kind, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.error());
    let report = disturbed.case.env.platform_report().unwrap();
    let calls: BTreeSet<String> = report["requests"].as_array().unwrap()[before..]
        .iter()
        // The status pages are asked by health, where an unreachable one is a warning.
        .filter(|request| request["platform"] != "services")
        .map(|request| {
            let text = |name: &str| request[name].as_str().unwrap().to_owned();
            format!("{} {}", text("platform"), text("operation"))
        })
        .collect();
    assert!(calls.len() > 5, "{calls:?}");
    calls.into_iter().collect()
}

fn all_calls(kind: Kind, offset: usize) {
    let table = Table {
        name: format!("calls of a {}", kind.name()),
        columns: FAULTS.iter().map(|(name, _, _)| *name).collect(),
        one_of: SAMPLE,
        offset,
        is_of_parts: false,
    };
    let rows = std::cell::OnceCell::new();
    table.run(
        Disturbed::new,
        |disturbed| rows.get_or_init(|| calls(disturbed, kind)).clone(),
        |disturbed, cell| {
            let (_, fault, times) = FAULTS[cell.column];
            let (platform, operation) = rows.get().unwrap()[cell.row].split_once(' ').unwrap();
            disturbed.set(kind);
            let body = json!({
                "id": "network", "platform": platform, "operation": operation, "kind": fault, "times": times,
                "delay_ms": LATE_MS,
            });
            let env = &disturbed.case.env;
            env.control("/faults", &body).unwrap();
            let ended = disturbed.run(kind, &[]);
            env.control("/faults/clear", &json!({})).unwrap();
            disturbed.settle(kind, &ended, Then::of(cell), &cell.told)
        },
    );
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn the_network_fails_at_each_call_of_a_deploy() {
    all_calls(Kind::Deploy, 0);
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn the_network_fails_at_each_call_of_a_rollback() {
    all_calls(Kind::Rollback, 3);
}
