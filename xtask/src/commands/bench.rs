//! `cargo xtask bench`: how long things take and what they cost, beside what they replace.

mod backup;
mod data;
mod measure;
mod replay;

use anyhow::Result;

use super::Common;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Backups beside `mongodump --out && tar czf && sha256sum && verify`
    Backup(backup::Args),
    /// Store and verify a recorded archive once: the process that `bench backup` measures
    #[command(hide = true)]
    Replay(replay::Args),
}

pub fn run(args: &Args, common: &Common) -> Result<()> {
    match &args.what {
        What::Backup(args) => backup::run(args, common),
        What::Replay(args) => replay::run(args),
    }
}
