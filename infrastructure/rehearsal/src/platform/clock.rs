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
    written(time_ms, SecondsFormat::Millis)
}

/// As GitHub writes them (REST API, "timezones and the REST API": `2014-02-27T15:05:06Z`). `fromdate` of jq, which the action runs,
/// takes no fraction of a second.
pub(super) fn iso_s(time_ms: i64) -> String {
    written(time_ms, SecondsFormat::Secs)
}

fn written(time_ms: i64, precision: SecondsFormat) -> String {
    DateTime::from_timestamp_millis(time_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(precision, true)
}
