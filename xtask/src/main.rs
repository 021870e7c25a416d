//! Dispatch only: the runbook is in `commands/`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = xtask::commands::Cli::parse();
    match xtask::commands::dispatch(cli) {
        Ok(code) => code,
        Err(error) => xtask::commands::report_error(&error),
    }
}
