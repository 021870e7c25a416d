use std::cell::{Cell, RefCell};

use anyhow::bail;

use super::*;

/// A clock that only pauses move.
#[derive(Default)]
struct Simulated {
    elapsed: Cell<Duration>,
    pauses_ms: RefCell<Vec<u64>>,
}

impl Clock for Simulated {
    fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    fn pause(&self, pause: Duration) {
        self.elapsed.set(self.elapsed.get() + pause);
        self.pauses_ms.borrow_mut().push(millis(pause));
    }
}

fn in_general(error: &anyhow::Error) -> bool {
    error.to_string() != "no such thing"
}

/// Waits ten minutes for an answer that comes after `second`; until then `before` is what is answered.
fn waited(clock: &Simulated, second: u64, before: impl Fn() -> Result<Option<u64>>) -> Result<u64> {
    until_by(clock, "the answer", Duration::from_secs(600), in_general, || {
        let now = clock.elapsed().as_secs();
        if now < second { before() } else { Ok(Some(now)) }
    })
}

#[test]
fn only_passing_faults_are_retried_and_not_for_ever() {
    let clock = Simulated::default();
    let mut calls = 0;
    let result: Result<()> = retry_by(&clock, in_general, || {
        calls += 1;
        bail!(if calls < 3 { "busy" } else { "no such thing" })
    });
    assert_eq!(
        (result.unwrap_err().to_string().as_str(), calls),
        ("no such thing", 3)
    );
    let mut calls = 0;
    let result: Result<()> = retry_by(&clock, in_general, || {
        calls += 1;
        bail!("busy")
    });
    assert!(result.is_err());
    assert_eq!(calls, TRIES);
}

#[test]
fn who_did_not_answer_for_a_minute_is_not_asked_again() {
    let clock = Simulated::default();
    let mut calls = 0;
    let result: Result<()> = retry_by(&clock, in_general, || {
        calls += 1;
        clock.pause(Duration::from_mins(1));
        bail!("`railway api` did not end within 60 s and was stopped")
    });
    assert!(result.is_err());
    assert_eq!(calls, 1);
}

#[test]
fn a_wait_ends_at_its_deadline_and_names_the_last_fault() {
    let clock = Simulated::default();
    let silent = waited(&clock, 10_000, || Ok(None)).unwrap_err();
    assert_eq!(silent.to_string(), "the answer did not happen within 600 s");
    assert_eq!(clock.elapsed().as_secs(), 600);
    let clock = Simulated::default();
    let failing = waited(&clock, 10_000, || {
        if clock.elapsed().as_secs() < 590 {
            Ok(None)
        } else {
            bail!("busy")
        }
    });
    assert_eq!(
        format!("{:#}", failing.unwrap_err()),
        "the answer did not happen within 600 s: busy"
    );
}

#[test]
fn pauses_grow_from_one_second_to_ten() {
    let clock = Simulated::default();
    waited(&clock, 60, || Ok(None)).unwrap();
    let pauses = clock.pauses_ms.borrow();
    assert_eq!(pauses[..4], [1_000, 1_500, 2_250, 3_375]);
    assert_eq!(pauses.last(), Some(&10_000));
}

#[test]
fn a_minute_of_429_ends_no_wait_and_no_read() {
    let clock = Simulated::default();
    let limited = || bail!("Railway API request failed with HTTP 429 Too Many Requests");
    assert!(waited(&clock, 60, limited).unwrap() >= 60);
    assert!(clock.pauses_ms.borrow().len() < 15, "it is not asked too often");
    let clock = Simulated::default();
    let read = retry_by(&clock, in_general, || {
        if clock.elapsed().as_secs() < 60 {
            bail!("You are being ratelimited")
        }
        Ok(())
    });
    read.unwrap();
    let clock = Simulated::default();
    let read: Result<()> = retry_by(&clock, in_general, || {
        bail!("rate limit: try again in 30 minutes")
    });
    assert!(read.is_err());
    assert_eq!(clock.elapsed(), Duration::ZERO, "so long it is not waited for");
}

#[test]
fn the_time_that_the_other_side_names_is_waited() {
    let clock = Simulated::default();
    waited(&clock, 40, || bail!("HTTP 429, retry-after: 20")).unwrap();
    assert_eq!(*clock.pauses_ms.borrow(), [20_000, 20_000]);
}

#[test]
fn a_passing_fault_ends_a_wait_only_after_two_minutes_and_a_refusal_at_once() {
    let clock = Simulated::default();
    assert!(waited(&clock, 100, || bail!("connection reset")).is_ok());
    let clock = Simulated::default();
    let failed = waited(&clock, 10_000, || bail!("connection reset")).unwrap_err();
    assert_eq!(failed.to_string(), "connection reset");
    let seconds = clock.elapsed().as_secs();
    assert!((120..=130).contains(&seconds), "{seconds}");
    let clock = Simulated::default();
    assert!(waited(&clock, 10, || bail!("no such thing")).is_err());
    assert_eq!(clock.elapsed(), Duration::ZERO);
}
