//! The command line of this repository: every command of the product, and three of its own.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rehearsal::rehearse;
use xtask::commands::{self, Common};

use crate::{bench, ci};

/// Releases that can be taken back, code and data together.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version = commands::VERSION,
    max_term_width = 100,
    after_help = THIS_REPOSITORY
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// The commands that a team which adopts the product does not have. They are hidden in the list above it.
const THIS_REPOSITORY: &str = "\
This repository:
  rehearse     Rehearse a release and its rollback here; no account needed
  ci           Run every check of this repository, as CI does
  bench        Measure what things cost beside what they replace";

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Product(commands::Command),
    #[command(flatten)]
    Own(Own),
}

/// What only this repository has.
#[derive(Debug, Subcommand)]
pub enum Own {
    /// Rehearse a release and its rollback here; no account needed
    #[command(hide = true)]
    Rehearse(rehearse::Args),
    /// Run every check of this repository, as CI does
    #[command(hide = true)]
    Ci(ci::Args),
    /// Measure what things cost beside what they replace
    #[command(hide = true)]
    Bench(bench::Args),
}

/// Runs the command; errors decide the exit code.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let Cli { common, command } = cli;
    let own = match command {
        Command::Product(command) => return commands::dispatch(commands::Cli { common, command }),
        Command::Own(own) => own,
    };
    common.begin(false)?;
    match own {
        Own::Rehearse(args) => rehearse::run(&args, common.format)?,
        Own::Ci(args) => ci::run(&args, common.format)?,
        Own::Bench(args) => bench::run(&args, &common)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_lists_the_commands_of_this_repository_apart() {
        let mut command = Cli::command().max_term_width(80);
        let help = command.render_help().to_string();
        let (product, own) = help.split_once("This repository:").expect("they are listed");
        for subcommand in Cli::command().get_subcommands() {
            let line = format!("\n  {} ", subcommand.get_name());
            let (with, without) = if subcommand.is_hide_set() {
                (own, product)
            } else {
                (product, own)
            };
            assert!(with.contains(&line) && !without.contains(&line), "{line}: {help}");
            if subcommand.is_hide_set() {
                let about = subcommand.get_about().expect("it says what it does").to_string();
                assert!(own.contains(&about), "{about}: {own}");
            }
        }
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{help}");
    }
}
