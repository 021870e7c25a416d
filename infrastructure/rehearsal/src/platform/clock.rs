//! The platforms' clock: the real one, and a shift that control may add to see what time does to retention and leases.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// Real time plus a shift.
#[derive(Debug, Default)]
pub(super) struct Clock {
    shift_ms: AtomicI64,
}

impl Clock {
    pub(super) fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::milliseconds(self.shift_ms.load(Ordering::SeqCst))
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now().timestamp_millis()
    }

    pub(super) fn advance(&self, by_ms: i64) {
        self.shift_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

/// As the platforms write times.
pub(super) fn iso(time_ms: i64) -> String {
    DateTime::from_timestamp_millis(time_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}
