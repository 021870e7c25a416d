//! Snapshots on demand. Atlas makes one at a time.

use std::collections::VecDeque;

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};

use super::data::Data;
use super::{Atlas, Endpoint, State, answer, body_of, error, iso};
use crate::http::Response;

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    (
        "GET /clusters/{clusterName}/backup/snapshots",
        |atlas, request, captures| {
            let mut state = atlas.state();
            state.cluster(&captures[0])?;
            state.one_later();
            let number = |name: &str, usual: usize| {
                request
                    .param(name)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(usual)
            };
            let (page, size) = (
                number("pageNum", 1).max(1),
                number("itemsPerPage", 100).clamp(1, 500),
            );
            let of_cluster = state
                .snapshots
                .iter()
                .rev()
                .filter(|one| one.cluster == captures[0]);
            let all: Vec<Value> = of_cluster.map(Snapshot::value).collect();
            let shown: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
            Ok(answer(
                200,
                &json!({"links": [], "results": shown, "totalCount": all.len()}),
            ))
        },
    ),
    (
        "POST /clusters/{clusterName}/backup/snapshots",
        |atlas, request, captures| {
            let body = body_of(request, &["description", "retentionInDays"])?;
            let mut state = atlas.state();
            atlas.snapshot(&mut state, &captures[0], &body)
        },
    ),
    (
        "GET /clusters/{clusterName}/backup/snapshots/{snapshotId}",
        |atlas, _, captures| {
            let mut state = atlas.state();
            state.cluster(&captures[0])?;
            state.one_later();
            let found = state.snapshot(&captures[0], &captures[1])?;
            Ok(answer(200, &found.value()))
        },
    ),
];

/// What becomes of the next snapshot.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    /// Its states, one for each question.
    statuses: VecDeque<String>,
    /// Days that it is kept, in the place of those that were asked for.
    #[serde(default)]
    keep_days: Option<i64>,
}

impl Default for Next {
    fn default() -> Self {
        Self {
            statuses: ["queued", "inProgress", "completed"].map(str::to_owned).into(),
            keep_days: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) cluster: String,
    statuses: VecDeque<String>,
    description: String,
    created: String,
    expires: String,
    pub(super) data: Data,
}

impl Snapshot {
    pub(super) fn status(&self) -> &str {
        self.statuses.front().map_or("completed", String::as_str)
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.status(), "queued" | "inProgress")
    }

    pub(super) fn value(&self) -> Value {
        let mut value = json!({
            "id": self.id, "status": self.status(), "type": "replicaSet", "snapshotType": "onDemand",
            "frequencyType": "ondemand", "description": self.description, "replicaSetName": self.cluster,
            "storageSizeBytes": 0, "policyItems": [], "copyRegions": [], "expiresAt": self.expires, "links": [],
        });
        if self.status() == "completed" {
            value["storageSizeBytes"] = self.data.bytes().into();
            value["createdAt"] = self.created.as_str().into();
            value["mongodVersion"] = "8.0.29".into();
            value["cloudProvider"] = "AWS".into();
        }
        value
    }
}

impl State {
    /// Time goes by from one question to the next.
    fn one_later(&mut self) {
        for snapshot in &mut self.snapshots {
            if snapshot.statuses.len() > 1 {
                snapshot.statuses.pop_front();
            }
        }
    }

    pub(super) fn finish(&mut self) {
        for snapshot in self.snapshots.iter_mut().filter(|one| one.is_under_way()) {
            snapshot.statuses.clear();
        }
    }

    pub(super) fn snapshot(&self, cluster: &str, id: &str) -> Result<&Snapshot, Response> {
        let found = self
            .snapshots
            .iter()
            .find(|one| one.cluster == cluster && one.id == id);
        found.ok_or_else(|| {
            let detail = format!("Cannot find resource snapshot {id}.");
            error(404, "RESOURCE_NOT_FOUND", &detail)
        })
    }
}

impl Atlas {
    pub(super) fn snapshot(
        &self,
        state: &mut State,
        cluster: &str,
        body: &Value,
    ) -> Result<Response, Response> {
        let of = state.cluster(cluster)?.clone();
        let value = of.value(&self.config.project);
        if value["backupEnabled"] != true {
            return Err(error(
                400,
                "CLUSTER_BACKUP_NOT_ENABLED",
                "Cloud backup is not enabled.",
            ));
        }
        let others = state.snapshots.iter();
        if others
            .filter(|one| one.cluster == cluster)
            .any(Snapshot::is_under_way)
        {
            let detail = "A snapshot of the cluster was requested already.";
            return Err(error(409, "CLUSTER_ALREADY_REQUESTED_SNAPSHOT", detail));
        }
        // Both are in the request of the program, the second also where nobody named it: a day.
        let (Some(description), Some(days)) =
            (body["description"].as_str(), body["retentionInDays"].as_i64())
        else {
            return Err(error(
                400,
                "MISSING_ATTRIBUTE",
                "The attribute description is required.",
            ));
        };
        let data = Data::read(&of.uri).map_err(|why| error(500, "UNEXPECTED_ERROR", &format!("{why:#}")))?;
        let next = std::mem::take(&mut state.next);
        let now = self.shared.clock.now();
        let expires = now + TimeDelta::days(next.keep_days.unwrap_or(days));
        let made = Snapshot {
            id: state.id(),
            cluster: cluster.to_owned(),
            statuses: next.statuses,
            description: description.to_owned(),
            created: self.now(),
            expires: iso(expires.timestamp_millis()),
            data,
        };
        let value = made.value();
        state.snapshots.push(made);
        Ok(answer(200, &value))
    }
}
