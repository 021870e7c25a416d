//! How far a pass over a backup is: one bar on a terminal, a line every few seconds elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::archive::Progress;
use crate::report;

/// A line this often where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR: &str =
    "{prefix} {bar:30} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {msg}  {eta} left";
const NO_TOTAL: &str = "{prefix} {spinner} {decimal_bytes}  {decimal_bytes_per_sec}  {msg}  {elapsed}";

/// Shows progress; cleared when dropped.
pub(super) struct Meter {
    what: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    next_line: Instant,
}

impl Meter {
    /// `total_bytes` may be an estimate; 0 where it is not known.
    pub(super) fn new(what: &'static str, total_bytes: u64) -> Self {
        let (bar, template) = if total_bytes == 0 {
            (ProgressBar::new_spinner(), NO_TOTAL)
        } else {
            (ProgressBar::new(total_bytes), BAR)
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = report::shown_bar(bar.with_style(style).with_prefix(what));
        let started = Instant::now();
        Self {
            what,
            bar,
            started,
            next_line: started + LINE_EVERY,
        }
    }

    /// Takes note of how far it is.
    pub(super) fn at(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            // The total is an estimate: what is more is no reason for a bar beyond its end.
            bar.set_position(progress.bytes.min(bar.length().unwrap_or(u64::MAX)));
            bar.set_message(format!("{} documents", progress.documents));
            return;
        }
        let now = Instant::now();
        if now < self.next_line {
            return;
        }
        self.next_line = now + LINE_EVERY;
        let elapsed_s = (now - self.started).as_secs_f64();
        report::progress(&format!(
            "{}: {} documents, {}, {:.0} MB/s",
            self.what,
            progress.documents,
            report::bytes(progress.bytes),
            progress.bytes as f64 / 1e6 / elapsed_s
        ));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
