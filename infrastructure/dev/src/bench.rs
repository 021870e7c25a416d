//! `cargo xtask bench`: how long things take and what they cost, each beside its peer in the same run.

mod backup;
mod contest;
mod data;
mod delta;
mod digest;
mod ground;
mod health;
mod live;
mod machine;
mod measure;
mod report;
mod restore;
mod rollback;
mod start_up;
mod work;

use anyhow::Result;

use self::ground::Ground;
use self::report::{Report, Row};
use xtask::commands::Common;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to measure; all of it unless given
    #[command(subcommand)]
    what: Option<What>,
    /// Multiples of the smallest data, for what grows with data
    #[arg(long, global = true, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 4, 16])]
    scale: Vec<u32>,
    /// Runs of each side, in turns; the quickest counts
    #[arg(long, global = true, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Starting the program, beside git and mongodump
    StartUp,
    /// Digests of every collection, beside `sha256sum` and a plain loop
    Digest,
    /// Checks of health, beside a loop of curl
    Health,
    /// Backups, beside `mongodump --out && tar czf && sha256sum && verify`
    Backup,
    /// What a restore would lose, beside a program that holds all of the backup in memory
    Delta,
    /// Restores, beside `mongorestore --drop`
    Restore,
    /// A rehearsed rollback, beside the part of it that nobody can avoid
    Rollback,
    /// One side of a comparison: the process that is measured
    #[command(hide = true)]
    Work(work::Args),
}

type Bench = fn(&Ground) -> Result<Vec<Row>>;

/// What `bench` alone runs: the quick ones first.
const ALL: [Bench; 7] = [
    start_up::run,
    digest::run,
    health::run,
    backup::run,
    delta::run,
    restore::run,
    rollback::run,
];

pub fn run(args: &Args, common: &Common) -> Result<()> {
    let benches = match &args.what {
        Some(What::Work(args)) => return work::run(args),
        Some(What::StartUp) => &[start_up::run as Bench],
        Some(What::Digest) => &[digest::run as Bench],
        Some(What::Health) => &[health::run as Bench],
        Some(What::Backup) => &[backup::run as Bench],
        Some(What::Delta) => &[delta::run as Bench],
        Some(What::Restore) => &[restore::run as Bench],
        Some(What::Rollback) => &[rollback::run as Bench],
        None => &ALL[..],
    };
    let ground = Ground::new(common.context()?, args.scale.clone(), args.rounds)?;
    let mut rows = Vec::new();
    for bench in benches {
        rows.extend(bench(&ground)?);
    }
    let report = Report::new(&ground.ctx, rows);
    xtask::report::emit(common.format, report::SCHEMA, &report, || report.text())
}
