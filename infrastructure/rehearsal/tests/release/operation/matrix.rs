//! Every step of a deploy and of a rollback, and everything that can go wrong in the middle of it. After each: one
//! release is whole in code, data and records, the lock is free, and the message said what to do.

use serde_json::Value;

use super::disturbed::{Disturbed, Kind, Then};
use super::fault::{Asks, COLUMNS, how};
use super::table::Table;

/// Of so many cells one is in the sample.
const SAMPLE: usize = 8;

/// The steps in the order in which they began.
fn steps(journal: &[Value]) -> Vec<String> {
    let begun = journal.iter().filter(|line| line["entry"] == "begun");
    begun
        .map(|line| line["step"].as_str().unwrap().to_owned())
        .collect()
}

fn all_steps(kind: Kind, offset: usize) {
    let table = Table {
        name: format!("steps of a {}", kind.name()),
        columns: COLUMNS.to_vec(),
        one_of: SAMPLE,
        offset,
    };
    let journal = |disturbed: &Disturbed| match kind {
        Kind::Deploy => steps(&disturbed.deploy),
        Kind::Rollback => steps(&disturbed.rollback),
    };
    table.run(Disturbed::new, journal, |disturbed, cell| {
        disturbed.set(kind);
        let step = &journal(disturbed)[cell.row];
        let at = format!("text:\"entry\":\"begun\",\"step\":\"{step}\"");
        let how = how(cell.column, Asks::Command, &disturbed.case.proxy);
        let ended = disturbed.run(kind, &disturbed.library.env("/steps.jsonl", &at, &how));
        disturbed.settle(kind, &ended, Then::of(cell), &cell.told)
    });
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn every_step_of_a_deploy_is_disturbed() {
    all_steps(Kind::Deploy, 1);
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn every_step_of_a_rollback_is_disturbed() {
    all_steps(Kind::Rollback, 5);
}
