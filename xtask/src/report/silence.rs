//! No silence: where nothing was printed for some seconds, a line names what the program waits for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{progress, shortened, ticker};
use crate::sync::lock;

/// After so long without a line, a reader asks whether the program hangs. Longer than the pauses of a [`super::Ticker`].
const LIMIT: Duration = Duration::from_millis(9_500);
const POLL: Duration = Duration::from_millis(500);
/// A longer command line is cut.
const SHOWN_CHARS: usize = 60;

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// What runs, and when the last line was printed.
#[derive(Debug)]
struct State {
    last_line: Instant,
    /// When the last line was printed that is not of this file.
    last_news: Instant,
    /// Commands that run, the oldest first.
    running: Vec<(u64, String, Instant)>,
    /// Questions to a person: their answer may take its time.
    questions: usize,
}

/// Something that is waited for; ends when dropped.
#[derive(Debug)]
pub struct Waiting(u64);

/// A question to a person; ends when dropped.
#[derive(Debug)]
pub struct Question(());

/// Names what is waited for from now on.
pub fn waiting_for(command: &str) -> Waiting {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    change(|state| state.running.push((number, command.to_owned(), Instant::now())));
    Waiting(number)
}

/// No line is printed until the answer is there.
pub fn question() -> Question {
    change(|state| state.questions += 1);
    Question(())
}

impl Drop for Waiting {
    fn drop(&mut self) {
        change(|state| state.running.retain(|(number, _, _)| *number != self.0));
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        change(|state| {
            state.questions -= 1;
            state.printed_at(Instant::now());
        });
    }
}

pub(super) fn line_printed() {
    change(|state| state.printed_at(Instant::now()));
}

fn change(change: impl FnOnce(&mut State)) {
    if let Some(state) = lock(&STATE).as_mut() {
        change(state);
    }
}

/// Watches to the end of the process.
pub fn watch_silence() {
    let mut state = lock(&STATE);
    if state.is_some() {
        return;
    }
    *state = Some(State::new(Instant::now()));
    drop(state);
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(POLL);
            let due = lock(&STATE)
                .as_ref()
                .and_then(|state| Some((state.line(Instant::now())?, state.last_news)));
            if let Some((line, last_news)) = due.filter(|_| !ticker::is_shown()) {
                progress(&line);
                change(|state| state.last_news = last_news);
            }
        }
    });
}

impl State {
    fn new(now: Instant) -> Self {
        Self {
            last_line: now,
            last_news: now,
            running: Vec::new(),
            questions: 0,
        }
    }

    fn printed_at(&mut self, now: Instant) {
        (self.last_line, self.last_news) = (now, now);
    }

    /// The line that is due.
    fn line(&self, now: Instant) -> Option<String> {
        if self.questions > 0 || now.duration_since(self.last_line) < LIMIT {
            return None;
        }
        let Some((_, command, since)) = self.running.first() else {
            let seconds = now.duration_since(self.last_news).as_secs();
            return Some(format!("  still working: no news for {seconds} s"));
        };
        let shown = shortened(command, SHOWN_CHARS);
        let seconds = now.duration_since(*since).as_secs();
        Some(format!("  waiting for `{shown}`: {seconds} s so far"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_named_before_ten_seconds_of_silence() {
        let began = Instant::now();
        let after = |seconds: u64| began + Duration::from_secs(seconds);
        let mut state = State::new(began);
        assert_eq!(state.line(after(9)), None);
        assert_eq!(
            state.line(after(10)).unwrap(),
            "  still working: no news for 10 s"
        );
        state.last_line = after(10);
        assert_eq!(
            state.line(after(20)).unwrap(),
            "  still working: no news for 20 s",
            "the line above is no news"
        );
        state.printed_at(began);
        state
            .running
            .push((1, format!("railway api {}", "x".repeat(90)), after(2)));
        state.running.push((2, "git fetch".into(), after(3)));
        let line = state.line(after(10)).unwrap();
        assert!(line.starts_with("  waiting for `railway api xxx") && line.ends_with("…`: 8 s so far"));
        assert!(line.chars().count() < 100);
        state.last_line = after(5);
        assert_eq!(state.line(after(10)), None);
        state.questions = 1;
        assert_eq!(state.line(after(1000)), None, "a person may think about it");
    }
}
