//! Every question to the server ends: the driver has no limit for one answer, so a server, or a proxy before it, that takes
//! the connection and stays silent would be waited for for ever. And a connection that breaks for some seconds is no end.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use mongodb::error::{Error, ErrorKind};

use crate::error::catalogue::database as errors;
use crate::exec::check_interrupted;
use crate::{report, wait};

/// How long a broken connection or a change of the primary is ridden out; the driver looks for a server for some seconds
/// of it by itself.
pub(super) const RIDE_OUT: Duration = Duration::from_secs(30);
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// `NotWritablePrimary`, `PrimarySteppedDown`, `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary`, `InterruptedAtShutdown`,
/// `InterruptedDueToReplStateChange`, `ShutdownInProgress`, `HostUnreachable`, `NetworkTimeout`, `SocketException`.
const PASSING: [i32; 10] = [10_107, 189, 13_435, 13_436, 11_600, 11_602, 91, 6, 89, 9_001];

/// Runs a call of the driver, and waits no longer than that. A call that never returns leaves its thread behind.
///
/// # Errors
/// `database_silent`, or the driver's own.
pub(super) fn within<T: Send + 'static>(
    longest: Duration,
    host: &str,
    call: impl FnOnce() -> mongodb::error::Result<T> + Send + 'static,
) -> Result<T> {
    let silent = || Err(errors::database_silent(host, longest.as_secs_f32()).into());
    while_alive(longest, silent, call)
}

/// Runs a call of the driver that takes long on a good server. Each time so much has passed, `alive` decides whether to go on.
pub(super) fn while_alive<T: Send + 'static>(
    each: Duration,
    mut alive: impl FnMut() -> Result<()>,
    call: impl FnOnce() -> mongodb::error::Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, answer) = sync_channel(1);
    on_a_thread(move || drop(sender.send(call())))?;
    loop {
        match answer.recv_timeout(each) {
            Ok(answered) => return Ok(answered?),
            Err(RecvTimeoutError::Timeout) => alive()?,
            Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("the driver gave no answer")),
        }
    }
}

/// Starts a thread that may wait for a server without an end.
pub(super) fn on_a_thread(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("database".into());
    let started = thread.spawn(work);
    started
        .map(drop)
        .map_err(|error| anyhow!("cannot start a thread for the database: {error}"))
}

/// Asks again after a connection that broke, for a bounded time. Only for what is the same when done twice.
pub(super) fn ride_out<T>(mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match ask() {
            Err(error) if is_broken(&error) && started.elapsed() < RIDE_OUT => {
                report::trace(&format!(
                    "the connection to the database broke, trying again: {error:#}"
                ));
            }
            answer => return answer,
        }
        check_interrupted()?;
        wait::pause(PAUSE);
    }
}

/// Whether the connection broke after it stood, or the server is giving its place to another. A server that is not found
/// was looked for as long as is worth it.
pub(super) fn is_broken(error: &anyhow::Error) -> bool {
    let Some(error) = error.downcast_ref::<Error>() else {
        return false;
    };
    match error.kind.as_ref() {
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => true,
        ErrorKind::Command(command) => PASSING.contains(&command.code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> anyhow::Error {
        Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset)).into()
    }

    #[test]
    fn an_answer_that_never_comes_is_waited_for_no_longer_than_allowed() {
        let (never, silence) = sync_channel::<()>(0);
        let answer = within(Duration::from_millis(50), "h:1", move || {
            silence.recv().ok();
            Ok(())
        });
        let error = answer.unwrap_err();
        assert_eq!(
            error
                .downcast_ref::<crate::error::CliError>()
                .and_then(|error| error.code),
            Some("database_silent")
        );
        drop(never);
        assert_eq!(within(Duration::from_secs(60), "h:1", || Ok(7)).unwrap(), 7);
    }

    #[test]
    fn a_broken_connection_is_ridden_out_and_a_refusal_is_not() {
        let mut asked = 0;
        let answer = ride_out(|| {
            asked += 1;
            if asked < 3 { Err(broken()) } else { Ok(asked) }
        });
        assert_eq!(answer.unwrap(), 3);
        let mut asked = 0;
        let refused: Result<()> = ride_out(|| {
            asked += 1;
            Err(anyhow!("no such thing"))
        });
        assert!(refused.is_err());
        assert_eq!(asked, 1);
    }
}
