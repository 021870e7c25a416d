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
