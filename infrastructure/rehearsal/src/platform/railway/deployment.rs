//! One deployment and the states that it goes through.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::fingerprints;
use crate::platform::clock::iso;

/// As Railway names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Queued,
    Initializing,
    Building,
    Deploying,
    Success,
    Failed,
    Crashed,
    Removing,
    Removed,
    Waiting,
    NeedsApproval,
    Skipped,
    Cancelled,
    Sleeping,
    /// One that no program has heard of.
    Archiving,
}

/// All of them.
const ALL: [Status; 15] = [
    Status::Queued,
    Status::Initializing,
    Status::Building,
    Status::Deploying,
    Status::Success,
    Status::Failed,
    Status::Crashed,
    Status::Removing,
    Status::Removed,
    Status::Waiting,
    Status::NeedsApproval,
    Status::Skipped,
    Status::Cancelled,
    Status::Sleeping,
    Status::Archiving,
];

impl Status {
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|status| status.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Initializing => "INITIALIZING",
            Self::Building => "BUILDING",
            Self::Deploying => "DEPLOYING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Crashed => "CRASHED",
            Self::Removing => "REMOVING",
            Self::Removed => "REMOVED",
            Self::Waiting => "WAITING",
            Self::NeedsApproval => "NEEDS_APPROVAL",
            Self::Skipped => "SKIPPED",
            Self::Cancelled => "CANCELLED",
            Self::Sleeping => "SLEEPING",
            Self::Archiving => "ARCHIVING",
        }
    }
}

/// One deployment of the service.
#[derive(Debug, Clone)]
pub(super) struct Deployment {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) created_ms: i64,
    pub(super) message: String,
    pub(super) reason: &'static str,
    /// Known after the build.
    pub(super) image_digest: Option<String>,
    /// The unpacked upload.
    pub(super) image: PathBuf,
    /// The variables that it runs with; a rollback restores them.
    pub(super) variables: BTreeMap<String, String>,
    /// When its image began to age.
    pub(super) removed_ms: Option<i64>,
    /// Whether its process ended well by itself. Whether the platform counts such a one as active is documented nowhere: here it does not.
    pub(super) is_completed: bool,
    /// Each state and when it began.
    pub(super) history: Vec<(i64, Status)>,
}

impl Deployment {
    pub(super) fn enter(&mut self, status: Status, now_ms: i64) {
        self.status = status;
        self.history.push((now_ms, status));
        if status == Status::Removed {
            self.removed_ms = Some(now_ms);
        }
    }

    /// Whether its image is there and may still be used.
    pub(super) fn can_roll_back(&self, now_ms: i64, retention_ms: i64) -> bool {
        let was_live = self.history.iter().any(|(_, status)| *status == Status::Success);
        let kept = self
            .removed_ms
            .is_none_or(|removed_ms| now_ms - removed_ms < retention_ms);
        was_live && kept && self.image.exists()
    }

    pub(super) fn meta(&self) -> Value {
        let mut meta = json!({"reason": self.reason, "cliMessage": self.message, "cliCaller": "cli"});
        if let Some(digest) = &self.image_digest {
            meta["imageDigest"] = Value::from(digest.as_str());
        }
        meta
    }

    pub(super) fn report(&self) -> Value {
        let history: Vec<Value> = self
            .history
            .iter()
            .map(|(at_ms, status)| json!({"at": iso(*at_ms), "status": status.name()}))
            .collect();
        json!({"id": self.id, "status": self.status.name(), "meta": self.meta(), "history": history,
               "image_kept": self.image.exists(), "variables": fingerprints(&self.variables)})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_can_be_used_until_its_retention_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = Deployment {
            id: "d".into(),
            status: Status::Queued,
            created_ms: 0,
            message: "release=r sha=abc".into(),
            reason: "deploy",
            image_digest: None,
            image: folder.path().to_owned(),
            variables: BTreeMap::new(),
            removed_ms: None,
            is_completed: false,
            history: Vec::new(),
        };
        assert!(!deployment.can_roll_back(0, 100), "it was never live");
        deployment.enter(Status::Success, 10);
        assert!(deployment.can_roll_back(1000, 100), "what is live does not age");
        deployment.enter(Status::Removed, 1000);
        assert!(deployment.can_roll_back(1099, 100));
        assert!(!deployment.can_roll_back(1100, 100));
        folder.close().unwrap();
        assert!(!deployment.can_roll_back(1099, 100), "the image is gone");
    }
}
