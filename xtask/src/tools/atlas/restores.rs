//! Restores of single collections of a snapshot, beside the live ones, by `atlas api`: what is answered is printed as it is.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;
use xshell::{Cmd, cmd};

use super::{Atlas, explained, may_pass};

/// The only version that these calls have; without one `atlas` warns, and takes another some day.
const VERSION: &str = "2025-03-12";
/// Collections that one request may have, and a page of answers.
pub const COLLECTIONS: usize = 100;

/// A collection of a snapshot, and the name that it gets: `database.collection` both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionPair {
    pub source: String,
    pub target: String,
}

/// A job.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionRestore {
    pub id: String,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub error_message: Option<String>,
    #[serde(default)]
    collections: Vec<Requested>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Requested {
    target_namespace: String,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreEnd {
    Successful,
    Failed,
}

impl CollectionRestore {
    /// `None` while it runs, also in a state that this program does not know.
    pub fn end(&self) -> Option<RestoreEnd> {
        match self.state.as_str() {
            "SUCCESSFUL" => Some(RestoreEnd::Successful),
            "FAILED" | "CANCELED" | "CANCELLED" => Some(RestoreEnd::Failed),
            _ => None,
        }
    }
}

/// What became of a collection.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredCollection {
    pub source_namespace: String,
    /// Where the name was taken, another one than was asked for.
    pub effective_target_namespace: Option<String>,
    #[serde(default)]
    pub restored_documents: u64,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    results: Vec<T>,
}

impl Atlas {
    /// Begins a restore beside the live collections; never over one. Where an answer gets lost, the job is found by the names that
    /// it was asked for: they carry the operation.
    pub fn restore_collections(&self, snapshot: &str, pairs: &[CollectionPair]) -> Result<CollectionRestore> {
        let collections = pairs
            .iter()
            .map(|pair| json!({"sourceNamespace": pair.source, "targetNamespace": pair.target}));
        let body = json!({
            "snapshotId": snapshot, "targetGroupId": self.project, "targetClusterName": self.cluster,
            "writeStrategy": "CREATE_NEW", "indexStrategy": "ALL", "collections": collections.collect::<Vec<_>>(),
        });
        let create = self.api("createCollectionRestoreJob", &[]);
        let begun = self.run(create).stdin(body.to_string()).json();
        let error = match begun {
            Err(error) if may_pass(&error) => error,
            other => return other.map_err(explained),
        };
        let page: Page<CollectionRestore> = self.ask(|| self.api("listCollectionRestoreJobs", &[]))?;
        let wanted = &pairs.first().context("no collection to restore")?.target;
        let is_ours =
            |job: &CollectionRestore| job.collections.iter().any(|one| one.target_namespace == *wanted);
        page.results.into_iter().find(is_ours).ok_or(error)
    }

    /// The job of this id.
    pub fn collection_restore(&self, id: &str) -> Result<CollectionRestore> {
        self.ask(|| self.api("getCollectionRestoreJob", &["--jobId", id]))
    }

    /// What the job made of each collection.
    pub fn restored_collections(&self, id: &str) -> Result<Vec<RestoredCollection>> {
        let size = COLLECTIONS.to_string();
        let arguments = ["--jobId", id, "--itemsPerPage", &size];
        let page: Page<RestoredCollection> =
            self.ask(|| self.api("listRestoreJobCollections", &arguments))?;
        Ok(page.results)
    }

    fn api<'a>(&'a self, operation: &str, arguments: &[&str]) -> Cmd<'a> {
        let (sh, project, cluster) = (&self.sh, &self.project, &self.cluster);
        cmd!(
            sh,
            "atlas api cloudBackups {operation} --version {VERSION} --groupId {project} --clusterName {cluster} {arguments...}"
        )
    }
}
