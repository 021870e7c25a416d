//! Waiting for the outside world: every wait has a deadline, every repetition a bound, and a signal ends both.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::exec::{check_interrupted, interrupted};

mod rate_limit;

/// Steps in which pauses sleep, so that a signal ends them.
const PAUSE_STEP: Duration = Duration::from_millis(50);
/// How often a read that failed for a passing reason is tried.
const TRIES: u32 = 4;
/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Pauses between two questions whether something has happened: the first one, and the longest one.
const FIRST_POLL: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_secs(10);
/// How long nothing but errors may come while something is waited for.
const UNANSWERED: Duration = Duration::from_secs(120);
/// For how long a read that fails is tried again: one that took longer was ended by its deadline, and would take as long again.
const TRIED_FOR: Duration = Duration::from_secs(15);
/// How long a read waits for a rate limit to end.
const LIMITED: Duration = Duration::from_secs(90);

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

/// Asks until the answer is `Some`, or the deadline has passed. The pauses grow from 1 s to 10 s; where the other side
/// names a time, they are that long. An error that may pass does not end the wait, unless nothing else comes for two
/// minutes. What the answer means is judged after the wait.
///
/// # Errors
/// What `ask` answered, where it may not pass; otherwise that `what` did not happen in time.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    may_pass: impl Fn(&anyhow::Error) -> bool,
    ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    until_by(&RealTime(Instant::now()), what, deadline, may_pass, ask)
}

fn until_by<T>(
    clock: &impl Clock,
    what: &str,
    deadline: Duration,
    may_pass: impl Fn(&anyhow::Error) -> bool,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut poll = FIRST_POLL;
    let mut answered = clock.elapsed();
    loop {
        check_interrupted()?;
        let mut next = poll;
        let mut failed = None;
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => answered = clock.elapsed(),
            Err(error) => {
                let limit = rate_limit::of(&error);
                let passing = limit.is_some() || may_pass(&error);
                if !passing || clock.elapsed().saturating_sub(answered) >= UNANSWERED {
                    return Err(error);
                }
                crate::report::trace(&format!("still waiting for {what}: {error:#}"));
                next = limit.map_or(poll, |limit| limit.pause(poll));
                failed = Some(error);
            }
        }
        let left = deadline.saturating_sub(clock.elapsed());
        if left.is_zero() {
            let late = format!("{what} did not happen within {} s", deadline.as_secs());
            return Err(match failed {
                Some(error) => error.context(late),
                None => anyhow!(late),
            });
        }
        clock.pause(next.min(left));
        poll = longer(poll);
    }
}

/// Repeats a *read* that fails for a reason that may pass, or something else that is the same when done twice. Never what
/// is not: an answer that got lost may have been a success.
pub fn retry<T>(may_pass: impl Fn(&anyhow::Error) -> bool, read: impl FnMut() -> Result<T>) -> Result<T> {
    retry_by(&RealTime(Instant::now()), may_pass, read)
}

fn retry_by<T>(
    clock: &impl Clock,
    may_pass: impl Fn(&anyhow::Error) -> bool,
    mut read: impl FnMut() -> Result<T>,
) -> Result<T> {
    let (mut tries, mut pause, mut poll) = (1, FIRST_PAUSE, FIRST_POLL);
    loop {
        let error = match read() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let next = match rate_limit::of(&error) {
            Some(limit) => {
                let next = limit.pause(poll);
                poll = longer(poll);
                (clock.elapsed() + next <= LIMITED).then_some(next)
            }
            None => {
                let again = tries < TRIES && clock.elapsed() < TRIED_FOR;
                (again && may_pass(&error)).then_some(pause)
            }
        };
        let Some(next) = next else { return Err(error) };
        crate::report::trace(&format!("trying again in {} ms: {error:#}", next.as_millis()));
        check_interrupted()?;
        clock.pause(next);
        if next == pause {
            tries += 1;
            pause *= 2;
        }
    }
}

/// The pause after this one.
fn longer(poll: Duration) -> Duration {
    (poll * 3 / 2).min(LONGEST_POLL)
}

/// Time as a wait needs it.
trait Clock {
    /// Since the wait began.
    fn elapsed(&self) -> Duration;
    fn pause(&self, pause: Duration);
}

/// Since an instant.
struct RealTime(Instant);

impl Clock for RealTime {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, length: Duration) {
        pause(length);
    }
}

#[cfg(test)]
mod tests;
