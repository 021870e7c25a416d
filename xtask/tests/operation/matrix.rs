//! Every step of a deploy and of a rollback, and everything that can go wrong in the middle of it. After each: one
//! release is whole in code, data and records, the lock is free, and the message said what to do.
//!
//! `DISTURB_ALL=1` runs every cell and writes `docs/FAULTS.md`; without it a sample runs in which every step and every
//! fault occurs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::disturbed::{Disturbed, Kind, Then};

/// Of so many steps' cells one is in the sample.
const SAMPLE: usize = 7;
const HOUR_S: i64 = 3600;

/// Whether the cell is run: along each row and each column of the table one of `sample`.
pub fn sampled(row: usize, column: usize, sample: usize) -> bool {
    everything() || (row + 3 * column).is_multiple_of(sample)
}

fn everything() -> bool {
    std::env::var_os("DISTURB_ALL").is_some()
}

/// Two tests write one page.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What happened in each cell, as it goes into the documentation.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<String>,
    cells: BTreeMap<(usize, usize), String>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        Self {
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            cells: BTreeMap::new(),
        }
    }

    pub fn put(&mut self, row: &str, column: usize, verdict: &str) {
        let at = self
            .rows
            .iter()
            .position(|known| known == row)
            .unwrap_or_else(|| {
                self.rows.push(row.to_owned());
                self.rows.len() - 1
            });
        self.cells.insert((at, column), verdict.to_owned());
    }

    /// Where every cell was run, the table replaces the one of this name in `docs/FAULTS.md`; where a sample was, each of
    /// its rows must be there already.
    pub fn publish(&self, name: &str) {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FAULTS.md");
        let _alone = ONE_AT_A_TIME.lock();
        let text = std::fs::read_to_string(&page).unwrap();
        if !everything() {
            for row in &self.rows {
                assert!(
                    text.contains(&format!("| {row} |")),
                    "docs/FAULTS.md has no row `{row}`: run these tests with DISTURB_ALL=1"
                );
            }
            return;
        }
        let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = text
            .split_once(&start)
            .expect("the page has a place for the table");
        let (_, after) = rest.split_once(&end).expect("the page has the end of the table");
        std::fs::write(&page, format!("{before}{start}{}{end}{after}", self.text())).unwrap();
    }

    fn text(&self) -> String {
        let mut text = format!(
            "| | {} |\n|---{}|\n",
            self.columns.join(" | "),
            "|---".repeat(self.columns.len())
        );
        for (at, row) in self.rows.iter().enumerate() {
            let cells = (0..self.columns.len()).map(|column| {
                self.cells
                    .get(&(at, column))
                    .expect("every cell was run")
                    .as_str()
            });
            let cells: Vec<&str> = cells.collect();
            text.push_str(&format!("| {row} | {} |\n", cells.join(" | ")));
        }
        text
    }
}

/// What goes wrong, and how the preloaded library calls it.
fn faults() -> Vec<(&'static str, String)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/operation/disturb.sh");
    let command = |mode: &str| format!("child:{script}:{mode}");
    vec![
        ("killed", "after".to_owned()),
        ("hangs, then Ctrl-C", command("hangs")),
        ("command fails", command("fails")),
        ("command prints garbage", command("garbage")),
        ("answer of a command lost", command("lost")),
        ("disk full", "full".to_owned()),
        ("clock an hour ahead", format!("clock:{HOUR_S}")),
        ("clock an hour back", format!("clock:-{HOUR_S}")),
    ]
}

/// The steps in the order in which they began.
fn steps(journal: &[Value]) -> Vec<String> {
    let begun = journal.iter().filter(|line| line["entry"] == "begun");
    begun
        .map(|line| line["step"].as_str().unwrap().to_owned())
        .collect()
}

fn all_steps(kind: Kind, offset: usize) {
    let disturbed = Disturbed::new();
    let journal = match kind {
        Kind::Deploy => &disturbed.deploy,
        Kind::Rollback => &disturbed.rollback,
    };
    let faults = faults();
    let names: Vec<&str> = faults.iter().map(|(name, _)| *name).collect();
    let mut table = Table::new(&names);
    for (row, step) in steps(journal).iter().enumerate() {
        for (column, (name, how)) in faults.iter().enumerate() {
            if !sampled(row + offset, column, SAMPLE) {
                continue;
            }
            let told = format!("{}: {step}: {name}", kind.name());
            disturbed.set(kind);
            let at = format!("text:\"entry\":\"begun\",\"step\":\"{step}\"");
            let env = disturbed.disturbance("/steps.jsonl", &at, how);
            let ended = disturbed.run(kind, &env);
            let then = if (row + column) % 2 == 0 {
                Then::Resume
            } else {
                Then::Undo
            };
            let verdict = disturbed.settle(kind, &ended, then, &told);
            table.put(step, column, &verdict);
        }
    }
    table.publish(&format!("steps of a {}", kind.name()));
}

#[test]
fn every_step_of_a_deploy_is_disturbed() {
    all_steps(Kind::Deploy, 1);
}

#[test]
fn every_step_of_a_rollback_is_disturbed() {
    all_steps(Kind::Rollback, 5);
}
