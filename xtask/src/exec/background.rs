//! Servers that run while we do something else.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::Exec;
use super::child::{Child, Started};

/// How long a server has to end once its standard input is closed, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A running server; dropping it ends its whole group.
pub struct Background {
    child: Child,
    leash: Option<PipeWriter>,
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Background")
            .field("command", &self.child.command)
            .finish_non_exhaustive()
    }
}

impl Background {
    pub(super) fn start<T: Send + 'static>(
        exec: Exec,
        log: &Path,
        ready: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> Result<(Self, T)> {
        let to_be_ready = exec.deadline;
        let (log_path, mut log_file) = (PathBuf::from(log), open_log(log)?);
        let stderr_log = log_file.try_clone().context("cannot share the log file")?;
        // It may run for as long as we do; only being ready has a deadline.
        let exec = exec.deadline(Duration::MAX).on_stderr(move |line| {
            writeln!(&stderr_log, "{line}").ok();
        });
        let Started {
            child,
            stdout,
            stdin: leash,
        } = Child::start(exec, true)?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                writeln!(log_file, "{line}").ok();
                if let Some(answer) = ready(&line) {
                    sender.send(answer).ok();
                }
            }
        });
        let command = child.command.clone();
        let server = Self { child, leash };
        let answer = receiver.recv_timeout(to_be_ready).map_err(|_| {
            anyhow!(
                "`{command}` was not ready within {} s; its log is {}",
                to_be_ready.as_secs(),
                log_path.display()
            )
        })?;
        Ok((server, answer))
    }

    /// Ends the server and waits until it is gone.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.leash.take().is_some() && !matches!(self.child.handle.wait_timeout(GRACE), Ok(Some(_))) {
            self.child.group.kill();
            self.child.handle.wait_timeout(GRACE).ok();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}

fn open_log(log: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open the log file {}", log.display()))
}
