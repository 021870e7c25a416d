//! Signs of life: bars and spinners on a terminal, below what is said meanwhile; a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle, WeakProgressBar};

use super::progress;
use crate::sync::lock;

/// A line this often where there is no terminal.
const TICK: Duration = Duration::from_secs(9);
const REDRAW: Duration = Duration::from_millis(120);

/// All of them are drawn by one: steps run beside each other, and each would draw over the others' lines.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Those that may be drawn now.
static SHOWN: Mutex<Vec<WeakProgressBar>> = Mutex::new(Vec::new());

/// Writes to the terminal while no bar is drawn.
pub(super) fn beside_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Shows a bar below the others, where stderr is a terminal.
pub fn shown_bar(bar: ProgressBar) -> Option<ProgressBar> {
    if !draws_bars() {
        return None;
    }
    let bar = BARS.add(bar);
    lock(&SHOWN).push(bar.downgrade());
    Some(bar)
}

/// On a terminal that can move its cursor: on others a bar would not be drawn at all.
fn draws_bars() -> bool {
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !is_dumb
}

/// Whether a bar is being drawn.
pub(super) fn is_shown() -> bool {
    let mut shown = lock(&SHOWN);
    shown.retain(|bar| bar.upgrade().is_some_and(|bar| !bar.is_finished()));
    !shown.is_empty()
}

/// Says that something long goes on: a spinner with the elapsed time on a terminal, else a line now and then.
/// Ends when dropped.
#[derive(Debug)]
pub struct Ticker {
    spinner: Option<ProgressBar>,
    /// Dropped to end the lines.
    _stop: Option<mpsc::Sender<()>>,
}

impl Ticker {
    /// Says it at once.
    pub fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        if !draws_bars() {
            progress(&what);
        }
        Self::quietly(what)
    }

    /// Without a line at the beginning: for what says itself that it is done, mostly soon.
    pub fn quietly(what: impl Into<String>) -> Self {
        let what = what.into();
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let spinner = ProgressBar::new_spinner()
            .with_style(style)
            .with_message(what.trim_start().to_owned());
        if let Some(spinner) = shown_bar(spinner) {
            spinner.enable_steady_tick(REDRAW);
            return Self {
                spinner: Some(spinner),
                _stop: None,
            };
        }
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let started = Instant::now();
            while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                progress(&format!("{what}: {} s so far", started.elapsed().as_secs()));
            }
        });
        Self {
            spinner: None,
            _stop: Some(stop),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
