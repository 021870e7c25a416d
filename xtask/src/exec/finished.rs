//! How a command ended, and the error that it is.

use std::time::Duration;

use anyhow::Result;

use super::TAIL_LINES;
use crate::secret::scrub;

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command as shown to people, scrubbed.
    pub command: String,
    /// Exit code, `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    /// The last lines of standard error. They are not scrubbed: callers read them, and show them by [`Finished::error`].
    pub stderr_tail: Vec<String>,
    pub duration: Duration,
}

impl Finished {
    /// An error unless the exit code is 0.
    pub fn checked(self) -> Result<Self> {
        if self.code == Some(0) {
            Ok(self)
        } else {
            Err(self.error())
        }
    }

    /// The error of a command that did not succeed, with the command and the last lines of its standard error.
    pub fn error(&self) -> anyhow::Error {
        let said = if self.stderr_tail.is_empty() && !self.stdout.trim().is_empty() {
            let lines: Vec<String> = self
                .stdout
                .trim()
                .lines()
                .rev()
                .take(TAIL_LINES)
                .map(str::to_owned)
                .collect();
            indented(&lines.into_iter().rev().collect::<Vec<_>>())
        } else {
            indented(&self.stderr_tail)
        };
        anyhow::anyhow!("`{}` ended with {}{said}", self.command, self.exit_text())
    }

    pub(super) fn exit_text(&self) -> String {
        self.code
            .map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
    }
}

/// Lines below an error, scrubbed, each behind a bar.
pub(super) fn indented(lines: &[String]) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + "\n    | " + &scrub(line))
}
