//! The command line: one file per subcommand, which reads like the runbook.

pub mod backup;
pub mod completions;
pub mod doctor;
pub mod gate;
pub mod health;
pub mod ledger;
pub mod notify;
pub mod restore;
pub mod setup;
pub mod tests;
pub mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::context::Context;
use crate::report::{self, Format};

/// Releases that can be taken back, code and data together.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// The environment to work on; `default_environment` of pipeline.toml unless given
    #[arg(long, global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// The form of the result on stdout; progress goes to stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// Give every confirmation
    #[arg(long, global = true)]
    pub yes: bool,
    /// Say every command that is run
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

impl Common {
    /// Reads the configuration of the repository that we are in.
    pub fn context(&self) -> Result<Context> {
        Context::load(self.env.as_deref(), self.format, self.yes)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take, verify, list and find backups of the database
    Backup(backup::Args),
    /// Show who did what to this environment, why, and how it ended
    Ledger(ledger::Args),
    /// Put a backup in the place of the live data, or take that back
    Restore(restore::Args),
    /// Look whether a deploy and a rollback would work now
    Doctor(doctor::Args),
    /// Make the GitHub repository what the pipeline needs
    Setup(setup::Args),
    /// Run the product's own tests
    Test(tests::Args),
    /// Ask for approvals, prove them, end what waited too long
    Gate(gate::Args),
    /// Tell people what happened
    Notify(notify::Args),
    /// Find the outside programs: on PATH, in the cache, or built from a pin
    Tools(tools::Args),
    /// Check code, data, speed and platforms from outside; exit 0 only for healthy
    Health(health::Args),
    /// Print the completion script of a shell
    Completions(completions::Args),
}

/// Runs the command; the exit code of a success that is not plain (health: not healthy) is the command's own.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    report::set_verbose(cli.common.verbose);
    crate::exec::install_signal_handler()?;
    match cli.command {
        Command::Backup(args) => backup::run(args, &cli.common.context()?)?,
        Command::Ledger(args) => ledger::run(&args, &cli.common)?,
        Command::Restore(args) => restore::run(&args, &cli.common.context()?)?,
        Command::Doctor(args) => doctor::run(&args, &cli.common)?,
        Command::Setup(args) => setup::run(&args, &cli.common)?,
        Command::Test(args) => tests::run(&args, &cli.common)?,
        Command::Gate(args) => gate::run(&args, &cli.common)?,
        Command::Notify(args) => notify::run(&args, &cli.common)?,
        Command::Tools(args) => tools::run(&args, &cli.common)?,
        Command::Health(args) => return health::run(&cli.common, &args),
        Command::Completions(args) => completions::run(&args),
    }
    Ok(ExitCode::SUCCESS)
}
