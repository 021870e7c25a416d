//! Results of health checks and drills that were recorded outside of an operation.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::verdict::HealthStatus;

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRecord {
    pub at: DateTime<Utc>,
    pub by: String,
    #[serde(flatten)]
    pub result: StatusResult,
}

/// What was checked, and the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StatusResult {
    /// The verdict of one run of the health checks.
    Health { verdict: HealthStatus, summary: String },
    /// A backup was restored into a scratch server and compared.
    Drill {
        backup: String,
        good: bool,
        total_ms: u64,
        budget_ms: u64,
    },
}

/// Whether a check of everything found the system healthy from `from` on, and before `until`.
pub fn is_healthy_between(
    records: &[StatusRecord],
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
) -> bool {
    records.iter().any(|record| {
        let is_healthy = matches!(
            record.result,
            StatusResult::Health {
                verdict: HealthStatus::Healthy,
                ..
            }
        );
        is_healthy && record.at >= from && until.is_none_or(|until| record.at < until)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_check_counts_for_the_release_that_was_live() {
        let at = |minutes: i64| DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes);
        let check = |minutes: i64, verdict: HealthStatus| StatusRecord {
            at: at(minutes),
            by: "dev".into(),
            result: StatusResult::Health {
                verdict,
                summary: String::new(),
            },
        };
        let records = [
            check(5, HealthStatus::Healthy),
            check(15, HealthStatus::Unhealthy),
            check(25, HealthStatus::Healthy),
        ];
        for (from, until, expected) in [
            (0, Some(10), true),
            (10, Some(20), false),
            (10, None, true),
            (20, Some(25), false),
            (25, Some(26), true),
            (26, None, false),
        ] {
            let found = is_healthy_between(&records, at(from), until.map(at));
            assert_eq!(found, expected, "{from} to {until:?}");
        }
    }
}
