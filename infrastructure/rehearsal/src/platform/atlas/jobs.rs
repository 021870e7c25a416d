//! Restores: of a whole cluster into another one, and of collections beside the live ones.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Atlas, Endpoint, State, answer, body_of, error};
use crate::http::{Request, Response};

const RUNNING: [&str; 3] = ["INITIALIZING", "IN_PROGRESS", "FINALIZING"];
/// Collections of one request.
const MOST: usize = 100;

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    (
        "POST /clusters/{clusterName}/collectionRestoreJobs",
        |atlas, request, captures| atlas.restore_collections(request, &captures[0]),
    ),
    (
        "GET /clusters/{clusterName}/collectionRestoreJobs",
        |atlas, _, captures| {
            let state = atlas.state();
            let of_cluster = state
                .restores
                .iter()
                .rev()
                .filter(|one| one.cluster == captures[0]);
            let all: Vec<Value> = of_cluster.map(Restore::value).collect();
            Ok(answer(
                200,
                &json!({"links": [], "totalCount": all.len(), "results": all}),
            ))
        },
    ),
    (
        "GET /clusters/{clusterName}/collectionRestoreJobs/{jobId}",
        |atlas, _, captures| atlas.later(&captures[0], &captures[1]),
    ),
    (
        "GET /clusters/{clusterName}/collectionRestoreJobs/{jobId}/collections",
        |atlas, _, captures| {
            let state = atlas.state();
            let restore = state.restore(&captures[0], &captures[1])?;
            let all: Vec<Value> = restore
                .collections
                .iter()
                .map(|one| one.value(restore.state()))
                .collect();
            Ok(answer(
                200,
                &json!({"links": [], "totalCount": all.len(), "results": all}),
            ))
        },
    ),
    (
        "POST /clusters/{clusterName}/backup/restoreJobs",
        |atlas, request, captures| atlas.restore_cluster(request, &captures[0]),
    ),
    (
        "GET /clusters/{clusterName}/backup/restoreJobs/{jobId}",
        |atlas, _, captures| {
            let mut state = atlas.state();
            let job = state
                .jobs
                .iter_mut()
                .find(|job| job.cluster == captures[0] && job.id == captures[1]);
            let job = job.ok_or_else(|| not_found(&captures[1]))?;
            if job.states.len() > 1 {
                job.states.pop_front();
            }
            Ok(answer(200, &job.value()))
        },
    ),
];

fn not_found(id: &str) -> Response {
    error(404, "RESOURCE_NOT_FOUND", &format!("Cannot find resource {id}."))
}

/// What becomes of the next restore of either kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    /// Its states, one for each question.
    states: VecDeque<String>,
}

impl Next {
    fn of(states: &[&str]) -> Self {
        Self {
            states: states.iter().map(|state| (*state).to_owned()).collect(),
        }
    }
}

/// Of collections.
#[derive(Debug)]
pub(super) struct Restore {
    id: String,
    cluster: String,
    snapshot: String,
    states: VecDeque<String>,
    collections: Vec<Collection>,
}

#[derive(Debug)]
struct Collection {
    source: String,
    target: String,
    effective: Option<String>,
    documents: u64,
}

impl Collection {
    fn value(&self, state: &str) -> Value {
        let restored = if self.effective.is_some() {
            self.documents
        } else {
            0
        };
        json!({"sourceNamespace": self.source, "targetNamespace": self.target, "effectiveTargetNamespace": self.effective,
               "state": state, "restoredDocuments": restored, "totalDocuments": self.documents,
               "indexStatus": {"state": state}})
    }
}

impl Restore {
    fn state(&self) -> &str {
        self.states.front().map_or("SUCCESSFUL", String::as_str)
    }

    pub(super) fn value(&self) -> Value {
        let pairs = self.collections.iter();
        let pairs = pairs.map(|one| json!({"sourceNamespace": one.source, "targetNamespace": one.target}));
        let documents: u64 = self.collections.iter().map(|one| one.documents).sum();
        let mut value = json!({
            "id": self.id, "state": self.state(), "snapshotId": self.snapshot, "targetClusterName": self.cluster,
            "collections": pairs.collect::<Vec<_>>(), "writeStrategy": "CREATE_NEW", "indexStrategy": "ALL",
            "restoredDocuments": documents, "totalDocuments": documents,
        });
        if self.state() == "FAILED" {
            value["errorMessage"] = "The restore failed.".into();
        }
        value
    }
}

/// Of a cluster.
#[derive(Debug)]
pub(super) struct Job {
    id: String,
    cluster: String,
    target: String,
    snapshot: String,
    states: VecDeque<String>,
}

impl Job {
    /// There is no field for a state: three marks and a time.
    pub(super) fn value(&self) -> Value {
        let state = self.states.front().map_or("finished", String::as_str);
        let mut value = json!({
            "id": self.id, "cancelled": state == "cancelled", "expired": state == "expired", "failed": state == "failed",
            "deliveryType": "automated", "deliveryUrl": [], "links": [], "snapshotId": self.snapshot,
            "targetClusterName": self.target, "timestamp": "2026-11-27T01:00:00Z",
        });
        if state != "pending" {
            value["finishedAt"] = "2026-11-27T01:04:00Z".into();
        }
        value
    }
}

impl State {
    fn restore(&self, cluster: &str, id: &str) -> Result<&Restore, Response> {
        let found = self
            .restores
            .iter()
            .find(|one| one.cluster == cluster && one.id == id);
        found.ok_or_else(|| not_found(id))
    }
}

impl Atlas {
    fn restore_collections(&self, request: &Request, cluster: &str) -> Result<Response, Response> {
        let attributes = [
            "snapshotId",
            "targetGroupId",
            "targetClusterName",
            "writeStrategy",
            "indexStrategy",
            "collections",
        ];
        let body = body_of(request, &attributes)?;
        let invalid = |detail: &str| error(400, "INVALID_ATTRIBUTE", detail);
        let mut state = self.state();
        let of = state.cluster(cluster)?.clone();
        if body["targetGroupId"] != self.config.project.as_str() || body["targetClusterName"] != cluster {
            return Err(invalid("targetClusterName"));
        }
        // The other strategy drops what is there: a program that may ask for it is wrong.
        if body["writeStrategy"] != "CREATE_NEW" || body["indexStrategy"] != "ALL" {
            return Err(invalid("writeStrategy or indexStrategy"));
        }
        if state
            .restores
            .iter()
            .any(|one| one.cluster == of.name && RUNNING.contains(&one.state()))
        {
            return Err(error(
                409,
                "COLLECTION_RESTORE_IN_PROGRESS",
                "A restore is in progress.",
            ));
        }
        let id = state.id();
        let snapshot = state.snapshot(cluster, body["snapshotId"].as_str().unwrap_or_default())?;
        if snapshot.status() != "completed" {
            return Err(invalid("snapshotId is of a snapshot that is not completed"));
        }
        let pairs = body["collections"]
            .as_array()
            .filter(|pairs| (1..=MOST).contains(&pairs.len()));
        let mut collections = Vec::new();
        for pair in pairs.ok_or_else(|| invalid("collections has 1 to 100"))? {
            let text = |name: &str| pair[name].as_str().unwrap_or_default().to_owned();
            let (source, target) = (text("sourceNamespace"), text("targetNamespace"));
            if !snapshot.data.has(&source) || !target.contains('.') {
                return Err(invalid(&format!("collections: {source} to {target}")));
            }
            collections.push(Collection {
                documents: snapshot.data.count(&source),
                effective: None,
                source,
                target,
            });
        }
        let snapshot = snapshot.id.clone();
        let mut next = std::mem::take(&mut state.next_job);
        if next.states.is_empty() {
            next = Next::of(&["INITIALIZING", "IN_PROGRESS", "FINALIZING", "SUCCESSFUL"]);
        }
        let made = Restore {
            id,
            cluster: of.name,
            snapshot,
            states: next.states,
            collections,
        };
        let value = made.value();
        state.restores.push(made);
        Ok(answer(201, &value))
    }

    /// A restore, one state further; the collections are there when it ends.
    fn later(&self, cluster: &str, id: &str) -> Result<Response, Response> {
        let mut state = self.state();
        let uri = state.cluster(cluster)?.uri.clone();
        let State {
            restores, snapshots, ..
        } = &mut *state;
        let restore = restores
            .iter_mut()
            .find(|one| one.cluster == cluster && one.id == id);
        let restore = restore.ok_or_else(|| not_found(id))?;
        if restore.states.len() > 1 {
            restore.states.pop_front();
        }
        if restore.state() == "SUCCESSFUL" {
            let snapshot = snapshots.iter().find(|one| one.id == restore.snapshot);
            let snapshot = snapshot.ok_or_else(|| not_found(&restore.snapshot))?;
            for one in restore
                .collections
                .iter_mut()
                .filter(|one| one.effective.is_none())
            {
                let written = snapshot.data.write(&uri, &one.source, &one.target);
                let written = written.map_err(|why| error(500, "UNEXPECTED_ERROR", &format!("{why:#}")))?;
                one.effective = Some(written);
            }
        }
        Ok(answer(200, &restore.value()))
    }

    fn restore_cluster(&self, request: &Request, cluster: &str) -> Result<Response, Response> {
        let attributes = ["deliveryType", "snapshotId", "targetClusterName", "targetGroupId"];
        let body = body_of(request, &attributes)?;
        let mut state = self.state();
        let id = state.id();
        let snapshot = state.snapshot(cluster, body["snapshotId"].as_str().unwrap_or_default())?;
        let target = state.cluster(body["targetClusterName"].as_str().unwrap_or_default())?;
        if body["deliveryType"] != "automated" || body["targetGroupId"] != self.config.project.as_str() {
            return Err(error(400, "INVALID_ATTRIBUTE", "deliveryType or targetGroupId"));
        }
        let replaced = snapshot.data.replace(&target.uri);
        replaced.map_err(|why| error(500, "UNEXPECTED_ERROR", &format!("{why:#}")))?;
        let (target, snapshot) = (target.name.clone(), snapshot.id.clone());
        let mut next = std::mem::take(&mut state.next_job);
        if next.states.is_empty() {
            next = Next::of(&["pending", "pending", "finished"]);
        }
        let made = Job {
            id,
            cluster: cluster.to_owned(),
            target,
            snapshot,
            states: next.states,
        };
        let value = made.value();
        state.jobs.push(made);
        Ok(answer(200, &value))
    }
}
