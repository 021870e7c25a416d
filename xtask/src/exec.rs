//! The one process runner. Every child has a deadline, bounded output, its own process group, an environment of
//! its own, and an error that names the command and the last lines it wrote.
//!
//! Commands are written with `xshell::cmd!` (arguments are values, never a shell string) and run by `duct`.
//! `duct`'s own `kill` misses grandchildren (the shims of npm), so children lead a process group and the
//! group is ended; and what they print is read here, line by line, because `duct`'s captures have no bound.

mod child;
mod confined;
mod finished;
mod group;
mod held;
mod output;
mod passed_on;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write as _};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result};

use child::{Child, Pipes};
pub use finished::Finished;
pub use group::{
    check_interrupted, end_children, install_signal_handler, interrupted, with_signals_deferred,
};
pub use held::Held;
use output::{LineCallback, collect_stdout};
pub use passed_on::{OF_CARGO, OF_GITHUB, OF_NODE, OF_TEAM};

use crate::secret::{Secret, scrub};

/// What a command may run where the caller names no deadline.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);
/// How much standard output is kept before the command counts as run away.
const STDOUT_LIMIT_BYTES: usize = 32 << 20;
/// How many last lines of standard error an error message shows.
const TAIL_LINES: usize = 12;
/// What every child may see of our environment: where things are, how to reach the network, how to talk to a person.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "TERM",
    "NO_COLOR",
    "CI",
    "SHELL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// A command about to run.
#[must_use]
pub struct Exec {
    command: Command,
    /// How many of the first arguments messages leave out.
    unshown: usize,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
    on_stderr: Option<LineCallback>,
    progress: Option<(Duration, mpsc::Receiver<()>)>,
    stdout: Option<File>,
    is_foreign: bool,
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec")
            .field("command", &self.display())
            .finish_non_exhaustive()
    }
}

impl Exec {
    /// A command written with `xshell::cmd!`, with the usual deadline.
    pub fn new(cmd: xshell::Cmd<'_>) -> Self {
        Self {
            command: cmd.into(),
            unshown: 0,
            stdin: None,
            deadline: DEFAULT_DEADLINE,
            on_stderr: None,
            progress: None,
            stdout: None,
            is_foreign: false,
        }
    }

    /// Leaves the first arguments out of messages: settings that every call of a tool has, and nobody types.
    pub fn unshown(mut self, arguments: usize) -> Self {
        self.unshown = arguments;
        self
    }

    /// The longest the command may run.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The longest the command may run without a sign of progress; the signs end with their senders.
    pub fn progress(mut self, silence: Duration, signs: mpsc::Receiver<()>) -> Self {
        self.progress = Some((silence, signs));
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives the child a secret by its environment: argument lists are public on a machine.
    pub fn secret_env(self, name: &str, value: &Secret) -> Self {
        self.env(name, value.expose())
    }

    /// Passes on variables of our own environment that this tool needs.
    pub fn inherit<T: AsRef<OsStr>>(mut self, names: &[T]) -> Self {
        for name in names {
            if let Some(value) = std::env::var_os(name) {
                self.command.env(name, value);
            }
        }
        self
    }

    /// What the child reads on standard input (otherwise it reads nothing).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The file that the child has as its standard output, in place of one that is read here.
    pub fn stdout_file(mut self, file: File) -> Self {
        self.stdout = Some(file);
        self
    }

    /// The child runs programs of others, as a build does: it and all that it starts can inspect no process of ours, and get no
    /// rights beyond those of the user (`sudo` refuses).
    pub fn foreign(mut self) -> Self {
        self.is_foreign = true;
        self
    }

    /// Sees each line of standard error as it comes. It is not scrubbed: it is data for the caller, who shows none of it
    /// unscrubbed.
    pub fn on_stderr(mut self, callback: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_stderr = Some(Arc::new(callback));
        self
    }

    /// Runs to the end; anything but exit 0 is an error.
    pub fn run(self) -> Result<()> {
        self.output()?.checked().map(drop)
    }

    /// Runs to the end and gives standard output without the trailing newline; anything but exit 0 is an error.
    pub fn read(self) -> Result<String> {
        let finished = self.output()?.checked()?;
        Ok(finished.stdout.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Runs to the end and parses standard output as JSON; anything but exit 0 is an error.
    pub fn json<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        let finished = self.output()?.checked()?;
        serde_json::from_str(&finished.stdout)
            .with_context(|| format!("`{}` returned invalid JSON", finished.command))
    }

    /// Runs to the end and leaves the judgement of the exit code to the caller.
    pub fn output(mut self) -> Result<Finished> {
        let input = self.stdin.take();
        let Pipes { child, stdout, stdin } = Child::start(self, input.is_some())?;
        let stdout = std::thread::spawn(move || collect_stdout(stdout, STDOUT_LIMIT_BYTES));
        if let (Some(bytes), Some(mut pipe)) = (input, stdin) {
            // A child that ends without reading its input closes the pipe: its exit code tells, not our write.
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        let (mut finished, _) = child.wait()?;
        let collected = stdout
            .join()
            .map_err(|_| anyhow::anyhow!("the reader of standard output panicked"))?;
        finished.stdout =
            collected.with_context(|| format!("cannot read what `{}` printed", finished.command))?;
        Ok(finished)
    }

    /// Hands standard output to `consume` as it comes, then gives the ending. The caller judges both: an exit code
    /// of 0 does not prove the stream, and a good stream does not prove the exit.
    pub fn stream_out<T>(
        mut self,
        consume: impl FnOnce(PipeReader) -> Result<T>,
    ) -> Result<(Result<T>, Finished)> {
        let input = self.stdin.take();
        let Pipes {
            mut child,
            stdout,
            stdin,
        } = Child::start(self, input.is_some())?;
        if let (Some(bytes), Some(mut pipe)) = (input, stdin) {
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        let consumed = consume(stdout);
        if consumed.is_err() {
            child.end();
        }
        Ok((consumed, child.wait()?.0))
    }

    /// Lets `produce` write standard input, then gives the ending. An error of `produce` ends the child.
    pub fn stream_in<T>(
        self,
        produce: impl FnOnce(&mut PipeWriter) -> Result<T>,
    ) -> Result<(Result<T>, Finished)> {
        let Pipes {
            mut child,
            stdout,
            stdin,
        } = Child::start(self, true)?;
        let stdout = std::thread::spawn(move || collect_stdout(stdout, STDOUT_LIMIT_BYTES));
        let mut pipe = stdin.context("the child has no standard input")?;
        let produced = produce(&mut pipe);
        if produced.is_err() {
            // Its input is closed only when it is gone: it must not take a cut input for a whole one. The wait ends,
            // because a child that does not obey is killed.
            child.end();
            child.handle.wait().ok();
        }
        drop(pipe);
        let (mut finished, _) = child.wait()?;
        if let Ok(Ok(text)) = stdout.join() {
            finished.stdout = text;
        }
        Ok((produced, finished))
    }

    /// The command line for people, scrubbed.
    fn display(&self) -> String {
        let words: Vec<Cow<'_, str>> = std::iter::once(self.command.get_program())
            .chain(self.command.get_args().skip(self.unshown))
            .map(OsStr::to_string_lossy)
            .collect();
        let quoter = shlex::Quoter::new().allow_nul(true);
        scrub(&quoter.join(words.iter().map(AsRef::as_ref)).unwrap_or_default())
    }

    /// All that the child sees of the environment.
    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let passed_on = PASSED_ON
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        let own = self
            .command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        passed_on.chain(own).collect()
    }
}

/// A shell whose commands run in this folder. `Shell` is not `Sync`: it is made where it is used.
pub fn shell_in(dir: &std::path::Path) -> Result<xshell::Shell> {
    let sh = xshell::Shell::new().context("cannot determine the current folder")?;
    sh.change_dir(dir);
    Ok(sh)
}

/// Whether the error is that of a reader that has gone: its own error has the reason.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Reads at most `limit_bytes`; more is an error, not a cut.
pub fn read_bounded(reader: impl Read, limit_bytes: usize) -> Result<Vec<u8>> {
    output::read_bounded(reader, limit_bytes)
}

/// Closes `/proc/PID/environ` and the memory of this process to other processes of the same user: a build that we start runs
/// programs of others, and can read everything that its parents let it read (proc(5), prctl(2), `PR_SET_DUMPABLE`). Best effort:
/// other systems have no such file, and root reads it all the same.
pub fn hide_environment() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        crate::report::trace(&format!("the environment stays readable: {error}"));
    }
}

#[cfg(test)]
mod tests;
