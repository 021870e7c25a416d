//! The program under the name by which cargo finds it: `cargo xtask …` in any folder, without an alias.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::commands::run_program(std::env::args_os())
}
