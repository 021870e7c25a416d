//! How much data the time that is allowed holds here: shown before an operation begins, not when it is late.

use serde::Serialize;

use super::estimate::{
    ASSUMED_READ_BYTES_PER_S, ASSUMED_RESTORE_BYTES_PER_S, RestoreMeasures, measures, scaled,
};
use crate::domain::ledger::LedgerState;
use crate::report;

/// Less than this shows no speed: asking the server and opening files take longer than reading.
const LEAST_BYTES: u64 = 64 << 20;
/// How often about as many bytes are read, beside mongorestore and the swap: by the safety backup and its check, the check of the
/// backup, the comparison of the shadow, the comparison from outside, and of both sides by the rescue file.
const READS: u64 = 7;
/// What an assumed speed is reckoned with.
const ASSUMED_BYTES: u64 = 1 << 30;

/// How much data the time that is allowed holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataCapacity {
    /// The time that is allowed for the data.
    pub budget_ms: u64,
    pub holds_bytes: u64,
    /// How much there is.
    pub has_bytes: u64,
    /// What it is reckoned from, in words.
    pub from: String,
}

impl DataCapacity {
    /// From the newest restore in the ledger that had enough data to show a speed.
    pub fn of(ledger: Option<&LedgerState>, budget_ms: u64, has_bytes: u64) -> Self {
        let known = ledger.into_iter().flat_map(measures);
        Self::measured(known, budget_ms, has_bytes)
    }

    fn measured(
        mut known: impl Iterator<Item = (String, RestoreMeasures)>,
        budget_ms: u64,
        has_bytes: u64,
    ) -> Self {
        let enough = |m: &RestoreMeasures| m.bytes >= LEAST_BYTES && m.restore_ms > 0;
        let (took_ms, bytes, from) = match known.find(|(_, m)| enough(m)) {
            Some((operation, m)) => (
                m.restore_ms + m.swap_ms + READS * m.compare_ms,
                m.bytes,
                format!("measured on {operation}, {} of data", report::bytes(m.bytes)),
            ),
            None => (
                ASSUMED_BYTES * 1_000 / ASSUMED_RESTORE_BYTES_PER_S
                    + READS * ASSUMED_BYTES * 1_000 / ASSUMED_READ_BYTES_PER_S,
                ASSUMED_BYTES,
                "assumed: no restore of 64 MB or more is in the ledger".to_owned(),
            ),
        };
        Self {
            budget_ms,
            holds_bytes: scaled(bytes, budget_ms, took_ms),
            has_bytes,
            from,
        }
    }

    /// For people; `help` is what can be done where there is more data.
    pub fn text(&self, help: &str) -> String {
        let mut text = format!(
            "{} hold about {} here ({}), and this is {}",
            report::duration_ms(self.budget_ms),
            report::bytes(self.holds_bytes),
            self.from,
            report::bytes(self.has_bytes)
        );
        if self.has_bytes > self.holds_bytes {
            text.push_str("; that is more than the time holds: ");
            text.push_str(help);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(bytes: u64, compare_ms: u64) -> (String, RestoreMeasures) {
        let measures = RestoreMeasures {
            bytes,
            collections: 3,
            restore_ms: 60_000,
            compare_ms,
            swap_ms: 1_000,
        };
        (format!("of {compare_ms}"), measures)
    }

    #[test]
    fn what_the_time_holds_follows_from_the_newest_restore_that_shows_a_speed() {
        let small = || known(LEAST_BYTES - 1, 5);
        let all = [small(), known(1 << 30, 10_000), known(1 << 30, 20_000)];
        // 60 s, 1 s and seven times 10 s for one GiB.
        let found = DataCapacity::measured(all.into_iter(), 262_000, 3 << 30);
        assert_eq!(found.holds_bytes, 2 << 30);
        let text = found.text("HELP");
        assert!(
            text.contains("measured on of 10000") && text.ends_with("HELP"),
            "{text}"
        );
        let less = DataCapacity {
            has_bytes: 1,
            ..found
        };
        assert!(!less.text("HELP").contains("HELP"));
        let assumed = DataCapacity::measured([small()].into_iter(), 900_000, 1);
        assert!((2 << 30..4 << 30).contains(&assumed.holds_bytes), "{assumed:?}");
        assert!(assumed.from.starts_with("assumed"), "{assumed:?}");
    }
}
