//! `cargo xtask` in this repository: the product, and what rehearses, checks and measures it.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match dev::cli::dispatch(dev::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", xtask::error::render(&error));
            xtask::error::exit_code(&error)
        }
    }
}
