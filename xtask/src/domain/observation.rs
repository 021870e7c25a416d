//! What was looked at outside of an operation, and kept: the history of health and of drills.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::verdict::HealthStatus;

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub at: DateTime<Utc>,
    pub by: String,
    #[serde(flatten)]
    pub seen: Seen,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Seen {
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
