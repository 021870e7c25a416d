//! `bench start-up`: how long the program takes to begin, beside programs that people do not wait for.

use anyhow::{Result, ensure};
use xshell::{Cmd, cmd};

use super::contest::{Contest, Run, Side};
use super::ground::Ground;
use super::measure;
use super::report::Row;
use xtask::exec::Exec;

/// What costs milliseconds must be looked at often.
const RUNS: u32 = 60;

pub(super) fn run(ground: &Ground) -> Result<Vec<Row>> {
    let path = ground.path(&["mongodump"])?;
    let repository = ground.repository("http://127.0.0.1:1")?;
    let (sh, product) = (repository.shell()?, &ground.product);
    let answered = |command: Cmd<'_>| -> Result<Run> {
        let (printed, cost) = measure::run(Exec::new(command).env("PATH", &path))?;
        ensure!(!printed.is_empty(), "it said nothing");
        Ok(Run::new(cost, "it answered"))
    };
    let mut rows = contest("the list of its commands").run(&[
        Side::new("git help", || answered(cmd!(sh, "git help"))),
        Side::new("mongodump --help", || answered(cmd!(sh, "mongodump --help"))),
        Side::new("ours, --help", || answered(cmd!(sh, "{product} --help"))),
    ])?;
    rows.extend(contest("reading a repository").run(&[
        Side::new("git config --list", || answered(cmd!(sh, "git config --list"))),
        Side::new("ours, backup list", || {
            answered(cmd!(sh, "{product} --format json backup list"))
        }),
    ])?);
    Ok(rows)
}

fn contest(data: &str) -> Contest {
    Contest {
        bench: "start-up",
        data: data.into(),
        scale: None,
        rounds: RUNS,
    }
}
