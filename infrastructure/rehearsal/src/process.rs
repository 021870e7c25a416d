//! Children that never outlive us: each leads its own process group, which is ended with TERM, then KILL.

use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// Between two looks at a child.
const POLL: Duration = Duration::from_millis(10);

/// Why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The one who started us is gone or said that it is done.
    StdinClosed,
    /// SIGTERM, SIGINT or SIGHUP.
    Signal,
}

/// A channel that reports the end of standard input and the ending signals.
pub fn watch_for_stop() -> Result<mpsc::Receiver<Stop>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let (sender, receiver) = mpsc::channel();
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).context("cannot watch signals")?;
    let from_signals = sender.clone();
    thread::spawn(move || {
        for _ in signals.forever() {
            let _ = from_signals.send(Stop::Signal);
        }
    });
    thread::spawn(move || {
        let mut sink = [0_u8; 1024];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut sink), Ok(count) if count > 0) {}
        let _ = sender.send(Stop::StdinClosed);
    });
    Ok(receiver)
}

/// Starts a command as the leader of its own process group.
pub fn spawn_group(command: &mut Command) -> Result<Child> {
    command.process_group(0);
    command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Ends a group: TERM, and KILL for what is left after `grace`. Returns the leader's status.
pub fn end_group(child: &mut Child, grace: Duration) -> Result<ExitStatus> {
    let group = Pid::from_child(child);
    // The group may be gone already: that is what we want.
    let _ = kill_process_group(group, Signal::TERM);
    let deadline = Instant::now() + grace;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            let _ = kill_process_group(group, Signal::KILL);
            break child.wait()?;
        }
        thread::sleep(POLL);
    };
    // Members that outlived their leader.
    let _ = kill_process_group(group, Signal::KILL);
    Ok(status)
}

/// Runs a program on a leash: its group ends when our standard input does, or when we are told to end.
///
/// Against a `kill -9` of this process the program itself asks the kernel for a signal (see [`run_leashed`]).
pub fn leash(program: &[String], grace: Duration) -> Result<u8> {
    if program.is_empty() {
        bail!("leash needs a program: rehearsal leash -- PROGRAM ARGUMENTS…");
    }
    let stop = watch_for_stop()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("run-leashed")
        .arg("--")
        .args(program)
        .stdin(std::process::Stdio::null());
    // The kernel's signal comes when the *thread* that started the child ends: so it is the main thread.
    let mut child = spawn_group(&mut command)?;
    let status = loop {
        match stop.recv_timeout(POLL) {
            Ok(_) => break end_group(&mut child, grace)?,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait()? {
                    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                    break status;
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                bail!("the watchers of standard input and signals ended")
            }
        }
    };
    Ok(exit_code(status))
}

/// Becomes that program, after asking for SIGKILL should the parent die. `exec` keeps the request.
pub fn run_leashed(program: &[String]) -> Result<u8> {
    let (name, arguments) = program.split_first().context("no program")?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let error = Command::new(name).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {name}"))
}

/// The status as a shell would report it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
