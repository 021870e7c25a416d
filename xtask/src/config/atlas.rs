//! `[environments.NAME.atlas]` and `backup.engine`: the cluster of MongoDB Atlas that a database is on, and what keeps its data.

use serde::Deserialize;

/// `backup.engine`: what keeps the data before a release, in the environments that have `[environments.NAME.atlas]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Backups that this program writes and reads back.
    #[default]
    Archive,
    /// Snapshots of the cluster, for databases that outgrow one machine.
    Atlas,
    Both,
}

impl Engine {
    /// Whether this program writes a backup.
    pub const fn has_archive(self) -> bool {
        matches!(self, Self::Archive | Self::Both)
    }

    /// Whether Atlas takes a snapshot.
    pub const fn has_snapshot(self) -> bool {
        matches!(self, Self::Atlas | Self::Both)
    }
}

/// The cluster of an environment's database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtlasConfig {
    /// Id of the project.
    pub project: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Environment variables with the two halves of an API key.
    pub public_key: Option<String>,
    pub private_key: Option<String>,
    /// Environment variables with the id and the secret of a service account, in the place of a key.
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    /// How long a snapshot is waited for.
    #[serde(default = "default_snapshot_s")]
    pub snapshot_s: u64,
}

impl AtlasConfig {
    /// Environment variables that must hold a secret.
    pub fn secret_names(&self) -> impl Iterator<Item = String> {
        let all = [
            &self.public_key,
            &self.private_key,
            &self.client_id,
            &self.client_secret,
        ];
        all.into_iter().filter_map(Clone::clone)
    }

    /// Whether a whole pair of credentials is named, and one only.
    pub const fn has_one_pair(&self) -> bool {
        let key = (self.public_key.is_some(), self.private_key.is_some());
        let account = (self.client_id.is_some(), self.client_secret.is_some());
        matches!(
            (key, account),
            ((true, true), (false, false)) | ((false, false), (true, true))
        )
    }
}

/// Over 20 minutes were seen; the Terraform provider waits for an hour (hashicorp/terraform-provider-mongodbatlas 3171).
const fn default_snapshot_s() -> u64 {
    3_600
}
