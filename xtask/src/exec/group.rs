//! Process groups: every child leads one, and none outlives us.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::catalogue::tools as errors;

/// How long a child has to end by itself after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Groups that are running now, for the signal handler.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
/// How many signals asked us to stop.
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// One running process group; dropping it kills what is left of it.
#[derive(Debug)]
pub(super) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    pub(super) fn of(pids: &[u32]) -> Self {
        let leader = pids
            .first()
            .and_then(|pid| i32::try_from(*pid).ok())
            .and_then(Pid::from_raw);
        if let Some(leader) = leader {
            running().push(leader);
        }
        if interrupted() && !SIGNALS_DEFERRED.get() {
            // The signal came while the child was being started, before the handler could see it.
            signal_group(leader, Signal::TERM);
        }
        Self(leader)
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Ends the group when `deadline` has passed, unless the watchdog is stopped before.
    pub(super) fn watch(&self, deadline: Duration) -> Watchdog {
        let leader = self.0;
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            // `Duration::MAX`: no deadline, for servers.
            if deadline == Duration::MAX || stopped.recv_timeout(deadline) != Err(RecvTimeoutError::Timeout) {
                return true;
            }
            signal_group(leader, Signal::TERM);
            if stopped.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                signal_group(leader, Signal::KILL);
            }
            false
        });
        Watchdog { stop, thread }
    }

    /// Ends the group when no sign of progress comes for so long; the signs end with their senders. Gives whether it did.
    pub(super) fn watch_progress(&self, silence: Duration, signs: mpsc::Receiver<()>) -> JoinHandle<bool> {
        let leader = self.0;
        std::thread::spawn(move || {
            loop {
                match signs.recv_timeout(silence) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return false,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            // It waits for an answer: there is nothing to be put in order.
            signal_group(leader, Signal::KILL);
            true
        })
    }

    fn signal(&self, signal: Signal) {
        signal_group(self.0, signal);
    }
}

/// Enforces a deadline from a thread of its own: the caller may be blocked in a read of the child's output.
pub(super) struct Watchdog {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Calls the watchdog off; says whether the child had ended in time.
    pub(super) fn stop(self) -> bool {
        drop(self.stop);
        self.thread.join().unwrap_or(true)
    }
}

/// Ends every child, for who does not wait for its answer any longer.
pub fn end_children() {
    for leader in running().iter() {
        signal_group(Some(*leader), Signal::KILL);
    }
}

fn signal_group(leader: Option<Pid>, signal: Signal) {
    if let Some(leader) = leader {
        // An error means that the group is gone, which is what we want.
        kill_process_group(leader, signal).ok();
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
        running().retain(|leader| Some(*leader) != self.0);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    crate::sync::lock(&RUNNING)
}

/// From here on SIGINT, SIGTERM and SIGHUP end the children first and are seen by [`check_interrupted`]; the second
/// one kills everything at once.
pub fn install_signal_handler() -> Result<()> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot watch signals")?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let earlier = SIGNALS.fetch_add(1, Ordering::SeqCst);
            let signal = if earlier == 0 { Signal::TERM } else { Signal::KILL };
            for leader in running().iter() {
                kill_process_group(*leader, signal).ok();
            }
            if earlier > 0 {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// Whether a signal asked us to stop.
pub fn interrupted() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}

thread_local! {
    static SIGNALS_DEFERRED: Cell<bool> = const { Cell::new(false) };
}

/// Lets this thread run commands although a signal has come: what must be recorded before the end. A second
/// signal ends the program all the same.
pub fn with_signals_deferred<T>(work: impl FnOnce() -> T) -> T {
    SIGNALS_DEFERRED.set(true);
    let result = work();
    SIGNALS_DEFERRED.set(false);
    result
}

/// An error when a signal asked us to stop: loops and waits call it.
pub fn check_interrupted() -> Result<()> {
    if interrupted() && !SIGNALS_DEFERRED.get() {
        Err(errors::interrupted().into())
    } else {
        Ok(())
    }
}
