//! Dispatch only: the runbook is in `commands/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::commands::run_program(std::env::args_os())
}
