//! Snapshots that MongoDB Atlas takes of a cluster: what is recorded of one, and what its states mean.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operation::OperationId;

/// How the description of a snapshot of ours begins; the operation follows.
const DESCRIPTION: &str = "xtask ";

/// A completed snapshot, as a release records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    pub id: String,
    pub project: String,
    pub cluster: String,
    /// Atlas deletes it then.
    pub expires: DateTime<Utc>,
    /// What it has of the environment's database: Atlas lists the collections of no snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<String>,
    /// Views by name, as the server lists them: no restore of collections has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub views: BTreeMap<String, Value>,
    /// Time-series collections, which no restore of collections has, and what was made, changed or dropped while it was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotState {
    /// Not completed yet; a state that this program does not know is one of these.
    Pending,
    Completed,
    Failed,
}

impl SnapshotState {
    /// Lower case for clusters of their own, upper case for Flex (API, "Return one snapshot").
    pub fn of(status: &str) -> Self {
        match status.to_ascii_lowercase().as_str() {
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            _ => Self::Pending,
        }
    }
}

/// What Atlas keeps beside a snapshot: whoever asks again finds by it what an operation has asked for already.
pub fn description_of(operation: &OperationId) -> String {
    format!("{DESCRIPTION}{operation}")
}

/// The operation that a snapshot was taken by; `None` for those of others.
pub fn operation_of(description: &str) -> Option<OperationId> {
    description.strip_prefix(DESCRIPTION)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_not_known_is_no_success_and_no_failure() {
        for (status, state) in [
            ("queued", SnapshotState::Pending),
            ("inProgress", SnapshotState::Pending),
            ("completed", SnapshotState::Completed),
            ("failed", SnapshotState::Failed),
            ("COMPLETED", SnapshotState::Completed),
            ("RUNNING", SnapshotState::Pending),
            ("paused", SnapshotState::Pending),
            ("", SnapshotState::Pending),
        ] {
            assert_eq!(SnapshotState::of(status), state, "{status}");
        }
    }

    #[test]
    fn a_description_leads_back_to_its_operation() {
        let id: OperationId = "20260102-030405-ab12".parse().unwrap();
        assert_eq!(operation_of(&description_of(&id)), Some(id));
        for other in ["", "nightly", "xtask", "xtask by hand"] {
            assert_eq!(operation_of(other), None, "{other}");
        }
    }
}
