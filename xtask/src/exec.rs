//! The one process runner. Every child has a deadline, bounded output, its own process group, an environment of
//! its own, and an error that names the command and the last lines it wrote.
//!
//! Commands are written with `xshell::cmd!` (arguments are values, never a shell string) and run by `duct`.
//! `duct`'s own `kill` misses grandchildren (the shims of npm), so children lead a process group and the
//! group is ended; and what they print is read here, line by line, because `duct`'s captures have no bound.

mod group;
mod output;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use group::{Group, Watchdog};
pub use group::{check_interrupted, install_signal_handler, interrupted, with_signals_deferred};
use output::{LineCallback, collect_stderr, collect_stdout};

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
    program: OsString,
    args: Vec<OsString>,
    /// How many of the first arguments messages leave out.
    unshown: usize,
    dir: Option<PathBuf>,
    env: BTreeMap<OsString, OsString>,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
    on_stderr: Option<LineCallback>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command as shown to people, scrubbed.
    pub command: String,
    /// Exit code, `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    /// The last lines of standard error, scrubbed.
    pub stderr_tail: Vec<String>,
    pub duration: Duration,
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec")
            .field("command", &self.display())
            .finish_non_exhaustive()
    }
}

impl Exec {
    pub fn new(cmd: xshell::Cmd<'_>) -> Self {
        let command = Command::from(cmd);
        let env = PASSED_ON
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        let own = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        Self {
            program: command.get_program().to_owned(),
            args: command.get_args().map(OsStr::to_owned).collect(),
            unshown: 0,
            dir: command.get_current_dir().map(PathBuf::from),
            env: env.chain(own).collect(),
            stdin: None,
            deadline: DEFAULT_DEADLINE,
            on_stderr: None,
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

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
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
                self.env.insert(name.into(), value);
            }
        }
        self
    }

    /// What the child reads on standard input (otherwise it reads nothing).
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sees each line of standard error, scrubbed, as it comes.
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
        serde_json::from_str(&finished.stdout).with_context(|| {
            format!(
                "`{}` printed something else than the JSON expected of it",
                finished.command
            )
        })
    }

    /// Runs to the end and leaves the judgement of the exit code to the caller.
    pub fn output(mut self) -> Result<Finished> {
        let input = self.stdin.take();
        let (stdout, child) = self.start(input.is_some())?;
        let stdout = std::thread::spawn(move || collect_stdout(stdout, STDOUT_LIMIT_BYTES));
        if let (Some(bytes), Some(mut pipe)) = (input, child.stdin_pipe()) {
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
        self,
        consume: impl FnOnce(PipeReader) -> Result<T>,
    ) -> Result<(Result<T>, Finished)> {
        let (stdout, mut child) = self.start(false)?;
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
        let (stdout, mut child) = self.start(true)?;
        let stdout = std::thread::spawn(move || collect_stdout(stdout, STDOUT_LIMIT_BYTES));
        let mut pipe = child.take_stdin().context("the child has no standard input")?;
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
        let words = std::iter::once(&self.program).chain(self.args.iter().skip(self.unshown));
        let words = words.map(|word| {
            let word = word.to_string_lossy();
            let plain =
                !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"$`\\".contains(c));
            if plain {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        });
        scrub(&words.collect::<Vec<_>>().join(" "))
    }

    fn start(mut self, with_stdin: bool) -> Result<(PipeReader, Child)> {
        check_interrupted()?;
        let command = self.display();
        let (stdout_reader, stdout_writer) = std::io::pipe().context("cannot make a pipe")?;
        let (stderr_reader, stderr_writer) = std::io::pipe().context("cannot make a pipe")?;
        let mut expression = duct::cmd(&self.program, &self.args)
            .unchecked()
            .stdout_file(stdout_writer)
            .stderr_file(stderr_writer)
            .full_env(&self.env)
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        let mut stdin = None;
        if with_stdin {
            let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
            stdin = Some(writer);
            expression = expression.stdin_file(reader);
        } else {
            expression = expression.stdin_null();
        }
        if let Some(dir) = &self.dir {
            expression = expression.dir(dir);
        }
        let started = Instant::now();
        let handle = expression
            .start()
            .with_context(|| format!("cannot start `{command}`"))?;
        let group = Group::of(&handle.pids());
        let on_stderr = self.on_stderr.take();
        let stderr =
            std::thread::spawn(move || collect_stderr(stderr_reader, TAIL_LINES, on_stderr.as_ref()));
        let watchdog = group.watch(self.deadline);
        let child = Child {
            command,
            handle,
            group,
            watchdog,
            ending: None,
            stdin,
            stderr,
            started,
            deadline: self.deadline,
        };
        Ok((stdout_reader, child))
    }
}

/// A running child; its whole group ends with it.
struct Child {
    command: String,
    handle: duct::Handle,
    group: Group,
    watchdog: Watchdog,
    /// Set once we ended it ourselves.
    ending: Option<Watchdog>,
    stdin: Option<PipeWriter>,
    stderr: std::thread::JoinHandle<Vec<String>>,
    started: Instant,
    deadline: Duration,
}

impl Child {
    fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.stdin.take()
    }

    fn stdin_pipe(&self) -> Option<PipeWriter> {
        self.stdin.as_ref().and_then(|pipe| pipe.try_clone().ok())
    }

    /// Ends the child: asked first, killed where it does not obey in time.
    fn end(&mut self) {
        self.ending = Some(self.group.watch(Duration::ZERO));
    }

    fn wait(mut self) -> Result<(Finished, ExitStatus)> {
        self.stdin = None;
        let output = self
            .handle
            .wait()
            .with_context(|| format!("cannot wait for `{}`", self.command))?;
        let status = output.status;
        let in_time = self.watchdog.stop();
        self.ending = None;
        // Grandchildren that outlive the child would hold its pipes open.
        self.group.kill();
        let stderr_tail = self.stderr.join().unwrap_or_default();
        check_interrupted()?;
        if !in_time {
            let (limit_s, tail) = (self.deadline.as_secs_f64(), indented(&stderr_tail));
            bail!(
                "`{}` did not end within {limit_s} s and was stopped{tail}",
                self.command
            );
        }
        let finished = Finished {
            command: self.command,
            code: status.code(),
            stdout: String::new(),
            stderr_tail,
            duration: self.started.elapsed(),
        };
        crate::report::trace(&format!(
            "ran `{}`: {} in {} ms",
            finished.command,
            finished.ending(),
            finished.duration.as_millis()
        ));
        Ok((finished, status))
    }
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

    /// The error that this ending is, with the command and the last lines of its standard error.
    pub fn error(&self) -> anyhow::Error {
        let said = if self.stderr_tail.is_empty() && !self.stdout.trim().is_empty() {
            let lines: Vec<String> = self
                .stdout
                .trim()
                .lines()
                .rev()
                .take(TAIL_LINES)
                .map(scrub)
                .collect();
            indented(&lines.into_iter().rev().collect::<Vec<_>>())
        } else {
            indented(&self.stderr_tail)
        };
        anyhow::anyhow!("`{}` ended with {}{said}", self.command, self.ending())
    }

    fn ending(&self) -> String {
        self.code
            .map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
    }
}

fn indented(lines: &[String]) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + "\n    | " + line)
}

/// A shell whose commands run in this folder. `Shell` is not `Sync`: it is made where it is used.
pub fn shell_in(dir: &std::path::Path) -> Result<xshell::Shell> {
    let sh = xshell::Shell::new().context("cannot tell the current folder")?;
    sh.change_dir(dir);
    Ok(sh)
}

/// Reads at most `limit_bytes`; more is an error, not a cut.
pub fn read_bounded(reader: impl Read, limit_bytes: usize) -> Result<Vec<u8>> {
    output::read_bounded(reader, limit_bytes)
}

#[cfg(test)]
mod tests;
