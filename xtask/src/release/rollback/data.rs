//! What a rollback did to the data.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::restore::{DeltaConflict, DeltaCounts, Rescue, Swapped, WrittenSince};

/// What a rollback did to the data; nothing where the database was kept.
#[derive(Debug, Default, Serialize)]
pub struct RestoredData {
    /// What only the live data had before.
    pub rescue: Option<Rescue>,
    /// What was written to documents before they were put back in place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<Rescue>,
    /// What was put back in place: numbers of documents, by collection.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub in_place: BTreeMap<String, DeltaCounts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<DeltaConflict>,
    /// What was written to the restored collections before they were compared: it is live.
    pub written_since: Vec<WrittenSince>,
    /// Time-series collections, which stay as they are, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub time_series: Vec<String>,
    /// The backup that was restored.
    pub backup: Option<String>,
}

impl RestoredData {
    pub(super) fn of(proved: Swapped) -> Self {
        Self {
            rescue: proved.rescue,
            newer: proved.newer,
            in_place: proved.in_place,
            conflicts: proved.conflicts,
            written_since: proved.written_since,
            time_series: proved.time_series,
            backup: Some(proved.backup_id),
        }
    }
}
