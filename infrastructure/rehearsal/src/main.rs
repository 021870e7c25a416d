//! `rehearsal`: the parts of a rehearsal that run as processes of their own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rehearsal::{backend, data, platform, process};

/// A sample application, a simulator of the platforms, and helpers
#[derive(Debug, Parser)]
#[command(name = "rehearsal", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulate Railway, Vercel, GitHub, status pages and Slack until standard input ends
    Platform {
        /// Folder for what is deployed
        #[arg(long)]
        state: PathBuf,
        /// What the platforms contain (JSON)
        #[arg(long)]
        config: PathBuf,
    },
    /// Run a program that ends when our standard input does, or when we do
    Leash {
        /// Milliseconds between TERM and KILL
        #[arg(long, default_value_t = 5000)]
        grace_ms: u64,
        /// Program and arguments
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
    /// The inner half of `leash`
    #[command(hide = true)]
    RunLeashed {
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
    /// Run the sample backend of a deployed folder, with the platform's variables
    SampleBackend {
        /// The folder with app.toml
        folder: PathBuf,
    },
    /// Run a backend that answers that all is well, in the place of one that cannot be started here
    StandInBackend,
    /// Fill a database with data that is the same for the same seed
    Seed(data::seed::Options),
    /// Write through the sample backend's API, as its users do
    Write(data::write::Options),
}

fn run(command: Command) -> Result<u8> {
    match command {
        Command::Platform { state, config } => platform::run(&state, &config).map(|()| 0),
        Command::Leash { grace_ms, program } => process::leash(&program, Duration::from_millis(grace_ms)),
        Command::RunLeashed { program } => process::run_leashed(&program),
        Command::SampleBackend { folder } => backend::run(&folder).map(|()| 0),
        Command::StandInBackend => backend::stand_in::run().map(|()| 0),
        Command::Seed(options) => data::seed::run(&options).map(|()| 0),
        Command::Write(options) => data::write::run(&options).map(|()| 0),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
