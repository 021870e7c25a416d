//! Stand-ins of the platforms' command line programs: strict about their arguments, and saying what the real ones say.

pub mod atlas;
pub mod gh;
pub mod railway;
pub mod ssh;
pub mod vercel;

use std::process::ExitCode;

use anyhow::Result;

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Ends as the real programs do: 0, or 1 with a message on stderr.
fn finish(outcome: Result<u8>, prefix: &str) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{prefix}{error:#}");
            ExitCode::FAILURE
        }
    }
}
