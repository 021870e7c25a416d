//! Every step of a deploy and of a rollback, and everything that can go wrong in the middle of it. After each: one
//! release is whole in code, data and records, the lock is free, and the message said what to do.

use serde_json::Value;

use super::case::Case;
use super::disturbed::{Disturbed, Kind, Then};
use super::fault::{Asks, COLUMNS, how};
use super::table::Table;

/// Of so many cells one is in the sample.
const SAMPLE: usize = 8;

/// The steps in the order in which they began.
fn steps(disturbed: &Disturbed, kind: Kind) -> Vec<String> {
    let journal: &[Value] = match kind {
        Kind::Deploy => &disturbed.deploy,
        Kind::Rollback => &disturbed.rollback,
    };
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
        is_of_parts: false,
    };
    table.run(
        Disturbed::new,
        |disturbed| steps(disturbed, kind),
        |disturbed, cell| {
            disturbed.set(kind);
            let step = &steps(disturbed, kind)[cell.row];
            let at = format!("text:\"entry\":\"begun\",\"step\":\"{step}\"");
            let how = how(cell.column, Asks::Command, &disturbed.case.proxy);
            let ended = disturbed.run(kind, &disturbed.library.env("/steps.jsonl", &at, &how));
            disturbed.settle(kind, &ended, Then::of(cell), &cell.told)
        },
    );
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

/// Of so many lines of a set's journals one is in the sample.
const SAMPLE_OF_SET: usize = 19;
/// The two lines that each step has in a journal.
const LINES: [(&str, &str); 2] = [
    ("killed when it begins", "begun"),
    ("killed when it is done", "done"),
];

/// Killed at each line of the journal: all parts of what is live then are of one release.
fn all_lines_of_set(kind: Kind, offset: usize) {
    let table = Table {
        name: format!("{} of a set", kind.name()),
        columns: LINES.iter().map(|(column, _)| *column).collect(),
        one_of: SAMPLE_OF_SET,
        offset,
        is_of_parts: true,
    };
    let start = || {
        let disturbed = Disturbed::of(Case::of_set());
        assert_eq!(disturbed.new.others.len(), 3, "the other parts answer");
        disturbed
    };
    table.run(
        start,
        |disturbed| steps(disturbed, kind),
        |disturbed, cell| {
            disturbed.set(kind);
            let (step, entry) = (&steps(disturbed, kind)[cell.row], LINES[cell.column].1);
            let at = format!("text:\"entry\":\"{entry}\",\"step\":\"{step}\"");
            let ended = disturbed.run(kind, &disturbed.library.env("/steps.jsonl", &at, "after"));
            assert_eq!(ended.code, None, "{}: {}", cell.told, ended.error());
            disturbed.settle(kind, &ended, Then::of(cell), &cell.told)
        },
    );
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn a_deploy_of_a_set_that_is_killed_at_a_line_of_its_journal_becomes_one_release() {
    all_lines_of_set(Kind::Deploy, 2);
}

#[test]
#[ignore = "the stage `faults` of `cargo xtask ci`"]
fn a_rollback_of_a_set_that_is_killed_at_a_line_of_its_journal_becomes_one_release() {
    all_lines_of_set(Kind::Rollback, 7);
}
