//! Waiting for the outside world: every wait has a deadline, every repetition a bound, and a signal ends both.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::exec::{check_interrupted, interrupted};

/// Steps in which pauses sleep, so that a signal ends them.
const PAUSE_STEP: Duration = Duration::from_millis(50);
/// How often a read that failed for a passing reason is tried.
const TRIES: u32 = 4;
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Whole milliseconds of a duration.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole milliseconds since then.
pub fn elapsed_ms(since: Instant) -> u64 {
    millis(since.elapsed())
}

/// Sleeps, to the end or to the signal that asks the program to end.
pub fn pause(pause: Duration) {
    let until = Instant::now() + pause;
    while !interrupted() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(PAUSE_STEP));
    }
}

/// Asks until the answer is `Some`, or the deadline has passed. An error of `ask` ends the wait.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    pause: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        check_interrupted()?;
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() >= deadline {
            bail!("{what} did not happen within {} s", deadline.as_secs());
        }
        std::thread::sleep(pause);
    }
}

/// Repeats a *read* that fails for a reason that may pass. Never for what changes something: an answer that got
/// lost may have been a success.
pub fn retry<T>(may_pass: impl Fn(&anyhow::Error) -> bool, mut read: impl FnMut() -> Result<T>) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match read() {
            Err(error) if may_pass(&error) => {
                crate::report::trace(&format!("trying again in {} ms: {error:#}", pause.as_millis()));
            }
            answer => return answer,
        }
        check_interrupted()?;
        std::thread::sleep(pause);
        pause *= 2;
    }
    read()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_faults_are_retried_and_not_for_ever() {
        let mut calls = 0;
        let result: Result<()> = retry(
            |error| error.to_string() == "busy",
            || {
                calls += 1;
                bail!(if calls < 3 { "busy" } else { "no such thing" })
            },
        );
        assert_eq!(
            (result.unwrap_err().to_string().as_str(), calls),
            ("no such thing", 3)
        );
        let mut calls = 0;
        let result: Result<()> = retry(
            |_| true,
            || {
                calls += 1;
                bail!("busy")
            },
        );
        assert!(result.is_err());
        assert_eq!(calls, TRIES);
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let result: Result<()> = until("the answer", Duration::ZERO, Duration::ZERO, || Ok(None));
        assert_eq!(
            result.unwrap_err().to_string(),
            "the answer did not happen within 0 s"
        );
    }
}
