//! A table of what can go wrong: each cell is run, and has a verdict.
//!
//! `cargo xtask ci faults` runs a sample, in which every row and every column occurs; with `--all`, which is `FAULTS=all`
//! here, every cell, and writes the table into `docs/FAULTS.md`. `FAULTS='rollback: swap database'` runs those with this in
//! their name, and `FAULTS=missing` those that have no verdict there, into the same table.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use rehearsal::test_env::programs::repository;

const VARIABLE: &str = "FAULTS";
/// What stands in the cells that have no verdict.
const FAILED: &str = "**failed**";
const NOT_RUN: &str = "not run";

/// From a column's sample to the next one's.
const STRIDE: usize = 3;
/// So many cells share a test environment: with its ledger grows the time of each.
const CELLS_OF_AN_ENVIRONMENT: usize = 40;

/// Several tests write one page.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A table of `docs/FAULTS.md`.
pub struct Table {
    /// As the page calls it.
    pub name: String,
    pub columns: Vec<&'static str>,
    /// Of so many cells one is in the sample, along each row and each column; and where it begins.
    pub one_of: usize,
    pub offset: usize,
    /// Its steps are those of another table, done for more parts: the sample has a few of them.
    pub is_of_parts: bool,
}

/// One cell: where it is, and what it is called.
#[derive(Debug)]
pub struct Cell {
    pub row: usize,
    pub column: usize,
    pub told: String,
}

impl Cell {
    /// Half of the cells go on, half go back.
    pub const fn is_even(&self) -> bool {
        (self.row + self.column).is_multiple_of(2)
    }
}

type Verdicts = BTreeMap<(String, String), String>;

impl Table {
    /// Runs the cells in a test environment, and in a new one after one that failed or after some; all failures are told at the end.
    pub fn run<W>(
        &self,
        start: impl Fn() -> W,
        rows: impl Fn(&W) -> Vec<String>,
        run: impl Fn(&W, &Cell) -> String,
    ) {
        let mut env = start();
        let rows = rows(&env);
        let (mut verdicts, mut failures) = (Verdicts::new(), Vec::new());
        for (number, cell) in self.cells(&rows).into_iter().enumerate() {
            if number > 0 && number.is_multiple_of(CELLS_OF_AN_ENVIRONMENT) {
                env = start();
            }
            let began = Instant::now();
            let verdict = catch_unwind(AssertUnwindSafe(|| run(&env, &cell))).unwrap_or_else(|_| {
                failures.push(cell.told.clone());
                env = start();
                FAILED.to_owned()
            });
            eprintln!("{}: {verdict} ({} s)", cell.told, began.elapsed().as_secs());
            let column = self.columns[cell.column].to_owned();
            verdicts.insert((rows[cell.row].clone(), column), verdict);
        }
        let page = Page::read();
        match std::env::var_os(VARIABLE) {
            Some(_) if verdicts.is_empty() => {}
            Some(_) => page.write(self, &rows, &verdicts),
            None => page.assert_complete(self, &rows),
        }
        assert!(failures.is_empty(), "these cells failed: {failures:#?}");
    }

    /// Those that are run now.
    fn cells(&self, rows: &[String]) -> Vec<Cell> {
        let every_row_and_column = !self.one_of.is_multiple_of(STRIDE) && self.one_of <= self.columns.len();
        assert!(
            self.is_of_parts || every_row_and_column,
            "the sample leaves rows out"
        );
        let asked = std::env::var(VARIABLE).ok();
        let known = verdicts_of(Page::read().parts(self).1);
        let mut cells = Vec::new();
        for (row, name) in rows.iter().enumerate() {
            for (column, fault) in self.columns.iter().enumerate() {
                let told = format!("{}: {name}: {fault}", self.name);
                let wanted = match asked.as_deref() {
                    Some("all") => true,
                    Some("missing") => !is_verdict(known.get(&(name.clone(), (*fault).to_owned()))),
                    Some(part) => told.contains(part),
                    None => (row + STRIDE * column + self.offset).is_multiple_of(self.one_of),
                };
                if wanted {
                    cells.push(Cell { row, column, told });
                }
            }
        }
        cells
    }
}

/// `docs/FAULTS.md`, while nobody else writes it.
struct Page {
    path: PathBuf,
    text: String,
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Page {
    fn read() -> Self {
        let alone = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let path = repository().join("docs/FAULTS.md");
        let text = std::fs::read_to_string(&path).unwrap();
        Self {
            path,
            text,
            _alone: alone,
        }
    }

    /// What is before the table, the table, what is after it.
    fn parts(&self, table: &Table) -> (&str, &str, &str) {
        let (start, end) = (
            format!("<!-- {} -->\n", table.name),
            format!("<!-- end of {} -->", table.name),
        );
        let at = self
            .text
            .find(&start)
            .expect("the page has a place for the table")
            + start.len();
        let length = self.text[at..]
            .find(&end)
            .expect("the page has the end of the table");
        (
            &self.text[..at],
            &self.text[at..at + length],
            &self.text[at + length..],
        )
    }

    /// Every row has a verdict in every column.
    fn assert_complete(&self, table: &Table, rows: &[String]) {
        let verdicts = verdicts_of(self.parts(table).1);
        for row in rows {
            for column in &table.columns {
                let verdict = verdicts.get(&(row.clone(), (*column).to_owned()));
                assert!(
                    is_verdict(verdict),
                    "docs/FAULTS.md has no verdict of `{}: {row}: {column}`: cargo xtask ci faults --all",
                    table.name
                );
            }
        }
    }

    /// The cells that were run now take the place of those before.
    fn write(&self, table: &Table, rows: &[String], new: &Verdicts) {
        let (before, old, after) = self.parts(table);
        let old = verdicts_of(old);
        let mut text = format!(
            "| | {} |\n|---{}|\n",
            table.columns.join(" | "),
            "|---".repeat(table.columns.len())
        );
        for row in rows {
            let cells: Vec<&str> = table
                .columns
                .iter()
                .map(|column| {
                    let at = (row.clone(), (*column).to_owned());
                    new.get(&at)
                        .or_else(|| old.get(&at))
                        .map_or(NOT_RUN, String::as_str)
                })
                .collect();
            text.push_str(&format!("| {row} | {} |\n", cells.join(" | ")));
        }
        let cells = rows.len() * table.columns.len();
        let told = format!(
            "\n{cells} cells; last run at `{}`: {} of them.\n",
            commit(),
            new.len()
        );
        std::fs::write(&self.path, format!("{before}{text}{told}{after}")).unwrap();
    }
}

fn is_verdict(told: Option<&String>) -> bool {
    told.is_some_and(|told| told != FAILED && told != NOT_RUN)
}

/// The verdicts in the text of a table, by row and column.
fn verdicts_of(table: &str) -> Verdicts {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = table.lines().filter(|line| line.starts_with('|'));
    let columns = lines.next().map(cells).unwrap_or_default();
    let mut verdicts = Verdicts::new();
    for row in lines.skip(1).map(cells) {
        for (column, verdict) in columns.iter().zip(&row).skip(1) {
            verdicts.insert((row[0].clone(), column.clone()), verdict.clone());
        }
    }
    verdicts
}

/// What was run; the page itself may have been written meanwhile.
fn commit() -> String {
    let git = |args: &[&str]| {
        let git = Command::new("git")
            .args(args)
            .current_dir(repository())
            .output()
            .expect("git");
        String::from_utf8(git.stdout).unwrap().trim().to_owned()
    };
    let others = ["--", ":/", ":(top,exclude)docs/FAULTS.md"];
    let changed = git(&[&["status", "--porcelain", "--untracked-files=no"], &others[..]].concat());
    let commit = git(&["rev-parse", "--short", "HEAD"]);
    if changed.is_empty() {
        commit
    } else {
        format!("{commit}, and changes")
    }
}
