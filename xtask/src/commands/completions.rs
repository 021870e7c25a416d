//! `cargo xtask completions SHELL`, and the manual pages.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::report;

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  written
  1  a file could not be written
  2  wrong usage

Example:
  cargo xtask completions fish > xtask.fish";

/// Options of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The shell that will read the script
    #[arg(value_enum, required_unless_present = "man")]
    shell: Option<Shell>,
    /// Write a manual page of each command into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "shell")]
    man: Option<PathBuf>,
}

/// Prints the script on stdout, or writes the pages.
pub fn run(args: &Args) -> Result<()> {
    if let Some(shell) = args.shell {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut super::Cli::command(), "xtask", &mut script);
        report::print(&String::from_utf8(script).context("the script is not text")?)?;
    }
    if let Some(dir) = &args.man {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        // A page's name must not have a space: `man cargo-xtask-deploy`.
        let command = super::Cli::command().name("cargo-xtask").bin_name("cargo xtask");
        clap_mangen::generate_to(command, dir)
            .with_context(|| format!("cannot write the manual pages into {}", dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        crate::commands::Cli::command().debug_assert();
    }

    fn widest(command: &mut clap::Command) -> (usize, String) {
        let help = command.clone().term_width(80).render_help().to_string();
        let own = help.lines().map(|line| (line.chars().count(), line.to_owned()));
        let below: Vec<(usize, String)> = command.get_subcommands_mut().map(widest).collect();
        own.chain(below).max().unwrap_or_default()
    }

    #[test]
    fn the_help_fits_a_terminal_of_80_columns() {
        let mut command = crate::commands::Cli::command().max_term_width(80);
        command.build();
        let (width, line) = widest(&mut command);
        assert!(width <= 80, "{width}: {line}");
    }

    #[test]
    fn each_command_has_a_manual_page() {
        let dir = tempfile::tempdir().unwrap();
        let args = Args {
            shell: None,
            man: Some(dir.path().join("man1")),
        };
        run(&args).unwrap();
        for command in crate::commands::Cli::command().get_subcommands() {
            let name = format!("man1/cargo-xtask-{}.1", command.get_name());
            let page = std::fs::read_to_string(dir.path().join(&name))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(page.contains("SYNOPSIS"), "{name}: {page}");
        }
    }
}
