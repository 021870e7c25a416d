//! The command line: one file per subcommand, which reads like the runbook.

pub mod backup;
pub mod completions;
mod confirm;
pub mod deploy;
pub mod doctor;
pub mod gate;
pub mod generate;
pub mod health;
pub mod init;
pub mod ledger;
pub mod metrics;
pub mod migrations;
pub mod notify;
mod prepared;
pub mod recover;
pub mod releases;
pub mod restore;
pub mod rollback;
pub mod setup;
pub mod test;
pub mod tools;
mod undo;
pub mod upgrade;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::context::Context;
use crate::error::catalogue::configuration as errors;
use crate::error::{exit_code, render, unchanged};
use crate::report::{self, Format};
use crate::tools::fault::explained;
use crate::tools::railway::closed_tunnels;

/// Version and commit of this program.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("XTASK_COMMIT"), ")");

/// Releases that can be rolled back, code and data together.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version = VERSION, max_term_width = 100)]
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
    /// Assume "yes" to every prompt
    #[arg(long, global = true)]
    pub yes: bool,
    /// Print each command before running it
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

impl Common {
    /// Reads the configuration of the repository that we are in.
    pub fn context(&self) -> Result<Context> {
        Context::load(self.env.as_deref(), self.format, self.yes)
    }

    /// What comes before every command: how much is reported, what signals do, and whether the result has the form that
    /// is asked for. `has_html` says that of the command.
    pub fn begin(&self, has_html: bool) -> Result<()> {
        report::set_verbose(self.verbose);
        report::watch_silence();
        crate::exec::install_signal_handler()?;
        crate::exec::hide_environment();
        // Before anything is done: to find out afterwards that it cannot be shown would be too late.
        if self.format == Format::Html && !has_html {
            return Err(errors::only_metrics_has_html().into());
        }
        Ok(())
    }
}

/// The generated line would be wider than a terminal.
const RESTORE_USAGE: &str = "cargo xtask restore BACKUP [--plan]
       cargo xtask restore --undo OPERATION    (or --resume, --forget)
       cargo xtask restore --reinsert RESCUE [--collection NAME]
       cargo xtask restore --list";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Release what is on the main branch: backup, staged frontend, backend, promotion, record
    Deploy(deploy::Args),
    /// Roll code and data back to an earlier release
    Rollback(rollback::Args),
    /// Finish or undo the operation that stopped midway, whatever its kind
    Recover(recover::Args),
    /// List the releases, what is live, and what a rollback can restore
    Releases(releases::Args),
    /// Check code, data, speed and platforms; exit 0 only when healthy
    Health(health::Args),
    /// Take, verify, list and find backups of the database
    Backup(backup::Args),
    /// Restore the database from a backup, beside the live data and then in its place
    #[command(override_usage = RESTORE_USAGE)]
    Restore(restore::Args),
    /// Show who did what to this environment, why, and how it ended
    Ledger(ledger::Args),
    /// Figures about releases, recoveries and backups, from tags, ledger and recorded checks
    Metrics(metrics::Args),
    /// List the migrations since a release, and what each does to the data
    Migrations(migrations::Args),
    /// Check that deploy and rollback would succeed
    Doctor(doctor::Args),
    /// Inspect a repository and write its pipeline.toml, health.toml and workflows
    Init(init::Args),
    /// Write the workflows of GitHub from pipeline.toml
    Generate(generate::Args),
    /// Bring pipeline.toml and workflows of an earlier version to the form of this one
    Upgrade(upgrade::Args),
    /// Configure the GitHub repository
    Setup(setup::Args),
    /// Run the test suites of pipeline.toml
    Test(test::Args),
    /// Request, verify and expire approvals
    Gate(gate::Args),
    /// Send notifications
    Notify(notify::Args),
    /// Find the outside programs: on PATH, in the cache, or built from a pin
    Tools(tools::Args),
    /// Print the completion script of a shell, or write manual pages
    Completions(completions::Args),
}

/// The whole program, from its arguments to its exit code. Cargo runs `cargo-xtask xtask …`: the name of the subcommand
/// is the first argument (doc.rust-lang.org/cargo, "Custom subcommands").
pub fn run_program(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let program = arguments.first().map(Path::new).and_then(Path::file_stem);
    if program.is_some_and(|name| name == "cargo-xtask")
        && arguments.get(1).is_some_and(|word| word == "xtask")
    {
        arguments.remove(1);
    }
    match dispatch(Cli::parse_from(arguments)) {
        Ok(code) => code,
        Err(error) => report_error(&error),
    }
}

/// Shows an error with the state and the next command, whatever it is; gives the exit code. Errors after a live change have been told
/// what is live by the operation that made it.
pub fn report_error(error: &anyhow::Error) -> ExitCode {
    for tunnel in closed_tunnels() {
        report::progress(&format!(
            "the tunnel to the database has closed ({tunnel}): what follows is a consequence, and the next command opens it again"
        ));
    }
    let explained = explained(error).map(anyhow::Error::from);
    let error = unchanged(explained.as_ref().unwrap_or(error));
    report::progress(&render(&error));
    exit_code(&error)
}

/// Runs the command; errors decide the exit code.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let common = &cli.common;
    common.begin(matches!(cli.command, Command::Metrics(_)))?;
    match cli.command {
        Command::Deploy(args) => deploy::run(&args, common)?,
        Command::Rollback(args) => rollback::run(&args, common)?,
        Command::Recover(args) => recover::run(&args, common)?,
        Command::Releases(args) => releases::run(&args, common)?,
        Command::Health(args) => return health::run(common, &args),
        Command::Backup(args) => backup::run(args, &common.context()?)?,
        Command::Restore(args) => restore::run(&args, &common.context()?)?,
        Command::Ledger(args) => ledger::run(&args, common)?,
        Command::Metrics(args) => metrics::run(&args, common)?,
        Command::Migrations(args) => migrations::run(&args, common)?,
        Command::Doctor(args) => doctor::run(&args, common)?,
        Command::Init(args) => init::run(&args, common)?,
        Command::Generate(args) => generate::run(&args, common)?,
        Command::Upgrade(args) => upgrade::run(&args, common)?,
        Command::Setup(args) => setup::run(&args, common)?,
        Command::Test(args) => test::run(&args, common)?,
        Command::Gate(args) => gate::run(&args, common)?,
        Command::Notify(args) => notify::run(&args, common)?,
        Command::Tools(args) => tools::run(&args, common)?,
        Command::Completions(args) => completions::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
