//! A child that runs: it leads a process group, and the whole group ends with it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::confined;
use super::finished::{Finished, indented};
use super::group::{ProcessGroup, Watchdog, check_interrupted};
use super::output::collect_stderr;
use super::{Exec, TAIL_LINES};

/// What a started command reads and writes.
pub(super) struct Pipes {
    pub child: Child,
    pub stdout: PipeReader,
    /// Where it was asked for; otherwise the child reads nothing.
    pub stdin: Option<PipeWriter>,
}

/// A running child.
pub(super) struct Child {
    pub command: String,
    pub handle: duct::Handle,
    pub group: ProcessGroup,
    watchdog: Watchdog,
    /// The longest silence, and whether the child was ended for a longer one.
    progress: Option<(Duration, JoinHandle<bool>)>,
    /// Set once we ended it ourselves.
    ending: Option<Watchdog>,
    stderr: JoinHandle<Vec<String>>,
    started: Instant,
    deadline: Duration,
    waiting: crate::report::Waiting,
}

impl Child {
    pub(super) fn start(exec: Exec, with_stdin: bool) -> Result<Pipes> {
        check_interrupted()?;
        let command = exec.display();
        let (stdout, stdout_writer) = std::io::pipe().context("cannot make a pipe")?;
        let (stderr, stderr_writer) = std::io::pipe().context("cannot make a pipe")?;
        let environment = exec.environment();
        let program = found_in_path(exec.command.get_program(), &environment);
        let mut expression = duct::cmd(program, exec.command.get_args())
            .unchecked()
            .stderr_file(stderr_writer)
            .full_env(environment)
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        expression = match exec.stdout {
            Some(file) => expression.stdout_file(file),
            None => expression.stdout_file(stdout_writer),
        };
        let mut stdin = None;
        if with_stdin {
            let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
            stdin = Some(writer);
            expression = expression.stdin_file(reader);
        } else {
            expression = expression.stdin_null();
        }
        if let Some(dir) = exec.command.get_current_dir() {
            expression = expression.dir(dir);
        }
        let started = Instant::now();
        let handle = confined::start(&expression, exec.is_foreign)
            .with_context(|| format!("cannot start `{command}`"))?;
        let group = ProcessGroup::of(&handle.pids());
        let on_stderr = exec.on_stderr;
        let child = Self {
            waiting: crate::report::waiting_for(&command),
            command,
            handle,
            watchdog: group.watch(exec.deadline),
            progress: exec
                .progress
                .map(|(silence, signs)| (silence, group.watch_progress(silence, signs))),
            group,
            ending: None,
            stderr: std::thread::spawn(move || collect_stderr(stderr, TAIL_LINES, on_stderr.as_ref())),
            started,
            deadline: exec.deadline,
        };
        Ok(Pipes { child, stdout, stdin })
    }

    /// Ends the child: SIGTERM first, SIGKILL where it does not end in time.
    pub(super) fn end(&mut self) {
        self.ending = Some(self.group.watch(Duration::ZERO));
    }

    /// Waits for the end; past its deadline that is an error. The caller has closed standard input.
    pub(super) fn wait(mut self) -> Result<(Finished, ExitStatus)> {
        let output = self
            .handle
            .wait()
            .with_context(|| format!("cannot wait for `{}`", self.command))?;
        let status = output.status;
        drop(self.waiting);
        let in_time = self.watchdog.stop();
        self.ending = None;
        // Grandchildren that outlive the child would hold its pipes open.
        self.group.kill();
        let stderr_tail = self.stderr.join().unwrap_or_default();
        check_interrupted()?;
        if let Some((silence, watched)) = self.progress
            && watched.join().unwrap_or_default()
        {
            let (limit_s, tail) = (silence.as_secs_f64(), indented(&stderr_tail));
            bail!(
                "`{}` made no progress for {limit_s} s and was stopped{tail}",
                self.command
            );
        }
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
            finished.exit_text(),
            finished.duration.as_millis()
        ));
        Ok((finished, status))
    }
}

/// The program as `PATH` of the child has it; a name that is not there stays, and its start is the error. With a path in place of a
/// name the standard library starts a child without a copy of our page tables and without a try in each folder (`posix_spawn`): of a
/// deploy, which starts two hundred children, it takes about a fifth of the system's time away.
fn found_in_path(program: &OsStr, environment: &BTreeMap<OsString, OsString>) -> OsString {
    let found = environment
        .get(OsStr::new("PATH"))
        .filter(|_| Path::new(program).components().count() == 1)
        .and_then(|path| which::which_in_global(program, Some(path)).ok()?.next());
    found.map_or_else(|| program.to_owned(), OsString::from)
}
