//! What is put back in place, as journal, ledger and database keep it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::inventory::CollectionFacts;

/// What becomes of a document that was changed after the changes were planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictChoice {
    /// It stays as it is
    Keep,
    /// The backup's takes its place; the newer one is in a rescue file before
    Restore,
    /// Nothing is changed; once the first document is put back, as `keep`
    #[default]
    Stop,
}

/// Which collections are put back in place. Journal, ledger and database keep it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaChoice {
    pub collections: BTreeSet<String>,
    pub conflicts: ConflictChoice,
}

impl DeltaChoice {
    /// Whether every collection is restored whole.
    pub fn is_none(&self) -> bool {
        self.collections.is_empty()
    }
}

/// What is put back in one collection: numbers of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaCounts {
    /// Only live has them: they are removed.
    pub created: u64,
    pub changed: u64,
    /// Only the backup has them: they are inserted.
    pub deleted: u64,
}

impl DeltaCounts {
    pub const fn documents(self) -> u64 {
        self.created + self.changed + self.deleted
    }
}

/// What is put back in place, as the plan of the swap has it; the documents are in the batches beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeltaPlan {
    pub collections: BTreeMap<String, DeltaCounts>,
    pub batches: u32,
    /// What the backup has of each collection.
    pub restored: BTreeMap<String, CollectionFacts>,
    /// Documents that were changed before the plan of the swap was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<DeltaConflict>,
}

impl DeltaPlan {
    pub fn is_none(&self) -> bool {
        self.collections.is_empty()
    }
}

/// A document that was changed after the changes were planned, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaConflict {
    pub collection: String,
    pub id: String,
    pub outcome: ConflictOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictOutcome {
    /// What was written is live.
    Kept,
    /// What was written is in a rescue file.
    Restored,
}

impl DeltaConflict {
    /// For people.
    pub fn text(&self) -> String {
        let outcome = match self.outcome {
            ConflictOutcome::Kept => "stays as it is",
            ConflictOutcome::Restored => "is in the rescue file",
        };
        format!(
            "`{}` _id {}: what was written {outcome}",
            self.collection, self.id
        )
    }
}
