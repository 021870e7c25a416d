//! What `atlas --output json` prints, as far as it is needed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::connection::ConnectionString;
use crate::domain::snapshot::SnapshotState;
use crate::secret::Secret;

/// A cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtlasCluster {
    pub name: String,
    #[serde(default)]
    pub state_name: String,
    #[serde(default, rename = "mongoDBVersion")]
    pub version: String,
    #[serde(default)]
    pub backup_enabled: bool,
    #[serde(default)]
    connection_strings: ConnectionStrings,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConnectionStrings {
    standard: Option<String>,
    standard_srv: Option<String>,
    private: Option<String>,
    private_srv: Option<String>,
    private_endpoint: Vec<PrivateEndpoint>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PrivateEndpoint {
    connection_string: Option<String>,
    srv_connection_string: Option<String>,
}

impl AtlasCluster {
    /// The members of every connection string that Atlas has for it.
    pub fn members(&self) -> BTreeSet<String> {
        let all = &self.connection_strings;
        let own = [&all.standard, &all.standard_srv, &all.private, &all.private_srv];
        let endpoints = all.private_endpoint.iter();
        let endpoints = endpoints.flat_map(|one| [&one.connection_string, &one.srv_connection_string]);
        let strings = own.into_iter().chain(endpoints).flatten();
        let read = strings.filter_map(|string| ConnectionString::read(&Secret::new(string)).ok());
        read.flat_map(|string| string.members()).collect()
    }
}

/// A snapshot.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtlasSnapshot {
    pub id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    pub description: String,
    pub created_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    /// 0 until it is completed.
    #[serde(default)]
    pub storage_size_bytes: u64,
    #[serde(default)]
    snapshot_type: String,
}

impl AtlasSnapshot {
    pub fn state(&self) -> SnapshotState {
        SnapshotState::of(&self.status)
    }

    /// Whether somebody asked for it: while such a one is made, Atlas takes no other.
    pub fn is_on_demand(&self) -> bool {
        self.snapshot_type == "onDemand"
    }

    /// As Atlas has it.
    pub fn status(&self) -> &str {
        &self.status
    }
}

/// A page.
#[derive(Debug, Deserialize)]
pub(super) struct SnapshotPage {
    #[serde(default)]
    pub results: Vec<AtlasSnapshot>,
}
