//! A deployment of a backend or a frontend, and what each status of one means. Every one that Railway's API has for a backend is
//! named here; those that come later are unknown, which is a decision too.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One deployment of a backend. Its words are Railway's, as journals have them; those of other platforms are put into them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendDeployment {
    pub id: String,
    pub status: String,
    #[serde(default)]
    pub meta: Value,
    /// Whether the platform still has its image; on Railway, only single queries tell.
    #[serde(default)]
    pub can_rollback: Option<bool>,
}

impl BackendDeployment {
    /// Digest of the image that it runs.
    pub fn image_digest(&self) -> Option<&str> {
        self.meta["imageDigest"].as_str()
    }

    /// The message that it was uploaded with.
    pub fn message(&self) -> &str {
        self.meta["cliMessage"].as_str().unwrap_or_default()
    }

    /// What its status means.
    pub fn phase(&self) -> Phase {
        Phase::of(&self.status)
    }
}

/// The state of a frontend that can be shown to users.
pub const READY: &str = "READY";
/// A frontend that no preview is.
pub const PRODUCTION: &str = "production";

/// One deployment of a frontend. Its words are Vercel's, as journals have them; those of other platforms are put into them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendDeployment {
    pub id: String,
    /// Where it is reached itself: its host name on Vercel, elsewhere its address.
    pub url: String,
    pub ready_state: String,
    pub target: Option<String>,
}

impl FrontendDeployment {
    /// Whether users can be shown it: anything else Vercel's `promote` would build again.
    pub fn is_promotable(&self) -> bool {
        self.ready_state == READY && self.target.as_deref() == Some(PRODUCTION)
    }
}

/// The message of an upload: how it is found again when its answer got lost.
pub fn message_of(release: &str, commit: &str) -> String {
    format!("release={release} sha={commit}")
}

/// What a deployment's status means for who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It serves, or does so as soon as somebody asks (`SLEEPING`).
    Good,
    /// It is on its way.
    Pending,
    /// It did not get up, or went down.
    Failed,
    /// Another deployment took its place, or somebody took it away.
    Replaced,
    /// The service's watch patterns match nothing that changed: what served before goes on.
    Skipped,
    /// Somebody must allow it on the platform.
    Blocked,
    /// A status that this program has no meaning for: waited for to the deadline.
    Unknown,
}

impl Phase {
    /// The meaning of a status as the API writes it.
    pub fn of(status: &str) -> Self {
        match status {
            "SUCCESS" | "SLEEPING" => Self::Good,
            "QUEUED" | "WAITING" | "INITIALIZING" | "BUILDING" | "DEPLOYING" => Self::Pending,
            "FAILED" | "CRASHED" => Self::Failed,
            "REMOVED" | "REMOVING" | "CANCELLED" | "CANCELED" => Self::Replaced,
            "SKIPPED" => Self::Skipped,
            "NEEDS_APPROVAL" => Self::Blocked,
            _ => Self::Unknown,
        }
    }

    /// Whether nothing more will come of it without somebody's doing.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Unknown)
    }

    /// Whether a deployment exists that serves or may come to serve: an upload of the same release is not repeated then.
    pub fn may_serve(self) -> bool {
        matches!(self, Self::Good | Self::Pending | Self::Unknown | Self::Blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_decision() {
        use Phase::{Blocked, Failed, Good, Pending, Replaced, Skipped, Unknown};
        let cases = [
            ("SUCCESS", Good),
            ("SLEEPING", Good),
            ("QUEUED", Pending),
            ("WAITING", Pending),
            ("INITIALIZING", Pending),
            ("BUILDING", Pending),
            ("DEPLOYING", Pending),
            ("FAILED", Failed),
            ("CRASHED", Failed),
            ("REMOVED", Replaced),
            ("REMOVING", Replaced),
            ("CANCELLED", Replaced),
            ("CANCELED", Replaced),
            ("SKIPPED", Skipped),
            ("NEEDS_APPROVAL", Blocked),
            ("ARCHIVING", Unknown),
            ("", Unknown),
        ];
        for (status, phase) in cases {
            assert_eq!(Phase::of(status), phase, "{status}");
            assert_eq!(phase.is_final(), !matches!(phase, Pending | Unknown), "{status}");
        }
    }
}
