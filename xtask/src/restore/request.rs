//! What the ledger has of the plan of a restore, and of what is done to an earlier one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::delta_choice::DeltaChoice;
use super::selection::Selection;
use crate::domain::ledger::RESTORE;
use crate::domain::operation::OperationId;

/// The kind of the operation in the ledger.
pub(super) const KIND: &str = RESTORE;

/// The plan of the operation, as the ledger has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum RestoreRequest {
    /// An earlier restore, which has ended or is not in the ledger, is resumed or undone.
    Earlier { verb: Verb, restore: OperationId },
    /// A backup is restored.
    Backup {
        backup: String,
        /// The file of the backup; earlier versions did not record it.
        #[serde(default)]
        file: Option<PathBuf>,
        /// SHA-256 of that file; earlier versions did not record it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// What of it; earlier versions restored all of it.
        #[serde(default, skip_serializing_if = "Selection::is_all")]
        collections: Selection,
        /// What of that is put back in place.
        #[serde(default, skip_serializing_if = "DeltaChoice::is_none")]
        delta: DeltaChoice,
        created_changed_deleted: [u64; 3],
    },
}

impl RestoreRequest {
    /// What of the backup is restored.
    pub(super) fn selection(&self) -> Selection {
        match self {
            Self::Backup { collections, .. } => collections.clone(),
            Self::Earlier { .. } => Selection::default(),
        }
    }

    /// What of that is put back in place.
    pub(super) fn delta(&self) -> DeltaChoice {
        match self {
            Self::Backup { delta, .. } => delta.clone(),
            Self::Earlier { .. } => DeltaChoice::default(),
        }
    }
}

/// What is done to an earlier restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    Resume,
    Undo,
    Forget,
}

impl Verb {
    /// The command line that does it.
    pub(super) fn command(self, id: &OperationId) -> String {
        match self {
            Self::Resume => format!("cargo xtask restore --resume {id}"),
            Self::Undo => format!("cargo xtask restore --undo {id}"),
            Self::Forget => format!("cargo xtask restore --forget {id}"),
        }
    }
}
