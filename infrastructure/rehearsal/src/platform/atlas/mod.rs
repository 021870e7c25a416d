//! MongoDB Atlas: the part of its Administration API that backups need, with digest authentication.
//!
//! Snapshots have the documents that the cluster's server has when they are asked for. A state lasts until the next question:
//! each question finds what is under way one state further.

mod clusters;
mod data;
mod digest;
mod jobs;
mod snapshots;

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use xtask::sync::lock;

use super::Shared;
use super::clock::iso;
use super::config;
use super::observed::{Simulated, name_of};
use crate::http::router::{self, Captures};
use crate::http::{Request, Response};

/// What every answer has, and every question asks for.
const MEDIA_TYPE: &str = "application/vnd.atlas.";

pub(super) struct Atlas {
    config: config::Atlas,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    clusters: Vec<clusters::Cluster>,
    snapshots: Vec<snapshots::Snapshot>,
    jobs: Vec<jobs::Job>,
    restores: Vec<jobs::Restore>,
    /// What becomes of the next ones.
    next: snapshots::Next,
    next_job: jobs::Next,
}

impl State {
    /// 24 hexadecimal digits.
    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("6a79468a2c88faeb{:08x}", self.next_id)
    }

    fn cluster(&self, name: &str) -> Result<&clusters::Cluster, Response> {
        let cluster = self.clusters.iter().find(|cluster| cluster.name == name);
        cluster.ok_or_else(|| {
            let detail = format!("No cluster named {name} exists in group.");
            error(404, "CLUSTER_NOT_FOUND", &detail)
        })
    }
}

type Endpoint = fn(&Atlas, &Request, &Captures) -> Result<Response, Response>;

/// Endpoints below `/api/atlas/v2/groups/{groupId}`, whose capture is checked before.
const TABLES: [&[(&str, Endpoint)]; 3] = [clusters::ENDPOINTS, snapshots::ENDPOINTS, jobs::ENDPOINTS];

fn find(request: &Request) -> Option<(&'static str, Endpoint, Captures)> {
    router::find(&TABLES, "/api/atlas/v2/groups/{groupId}", request)
}

impl Simulated for Arc<Atlas> {
    const PLATFORM: &'static str = "atlas";

    fn operation(&self, request: &Request) -> String {
        name_of(find(request).map(|(pattern, ..)| pattern), request)
    }

    fn answer(&self, request: &Request) -> Response {
        let Some((_, endpoint, mut captures)) = find(request) else {
            return error(501, "NOT_IMPLEMENTED", "not implemented");
        };
        if let Err(refused) = digest::require(&self.config, request) {
            return refused;
        }
        if let Err(refused) = require_version(request) {
            return refused;
        }
        let group = captures.remove(0);
        if group != self.config.project {
            return error(
                404,
                "GROUP_NOT_FOUND",
                &format!("No group with ID {group} exists."),
            );
        }
        endpoint(self, request, &captures).unwrap_or_else(|refused| refused)
    }
}

/// The API has versions by media type and no default (API, "Versioned Atlas Administration API").
fn require_version(request: &Request) -> Result<(), Response> {
    let accepts = request.headers.get("accept").unwrap_or_default();
    if !accepts.starts_with(MEDIA_TYPE) {
        return Err(error(
            406,
            "INVALID_VERSION_DATE",
            "The version is missing in Accept.",
        ));
    }
    let sends = request.headers.get("content-type").unwrap_or_default();
    if request.method == "POST" && !sends.starts_with(MEDIA_TYPE) {
        return Err(error(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "The version is missing in Content-Type.",
        ));
    }
    Ok(())
}

/// An error as the API words it.
fn error(status: u16, code: &str, detail: &str) -> Response {
    let body = json!({"detail": detail, "error": status, "errorCode": code, "parameters": [], "reason": "x"});
    Response::bytes(status, "application/json", body.to_string())
}

fn answer(status: u16, body: &Value) -> Response {
    Response::bytes(
        status,
        "application/vnd.atlas.2025-03-12+json;charset=utf-8",
        body.to_string(),
    )
}

/// The body, which has no other attributes than these.
fn body_of(request: &Request, attributes: &[&str]) -> Result<Value, Response> {
    let invalid = |detail: &str| error(400, "INVALID_JSON", detail);
    let body = request.json().map_err(|_| invalid("Received malformed JSON."))?;
    let object = body.as_object().ok_or_else(|| invalid("Received no object."))?;
    match object.keys().find(|name| !attributes.contains(&name.as_str())) {
        Some(other) => Err(error(
            400,
            "INVALID_ATTRIBUTE",
            &format!("Invalid attribute {other} specified."),
        )),
        None => Ok(body),
    }
}

impl Atlas {
    pub(super) fn new(config: config::Atlas, shared: Arc<Shared>) -> Self {
        let clusters = config.clusters.iter().map(clusters::Cluster::new).collect();
        let initial = State {
            clusters,
            ..State::default()
        };
        Self {
            config,
            shared,
            state: Mutex::new(initial),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn now(&self) -> String {
        iso(self.shared.clock.now_ms())
    }

    pub(super) fn report(&self) -> Value {
        let state = self.state();
        json!({
            "snapshots": state.snapshots.iter().map(snapshots::Snapshot::value).collect::<Vec<_>>(),
            "collection_restores": state.restores.iter().map(jobs::Restore::value).collect::<Vec<_>>(),
            "restores": state.jobs.iter().map(jobs::Job::value).collect::<Vec<_>>(),
        })
    }

    /// What Atlas's own people and clocks would do.
    pub(super) fn control(&self, what: &str, body: &Value) -> Result<()> {
        let mut state = self.state();
        match what {
            "cluster" => {
                let name = body["name"].as_str().context("name is missing")?;
                let cluster = state.clusters.iter_mut().find(|cluster| cluster.name == name);
                cluster.context("there is no such cluster")?.set_up(body)?;
            }
            "next" => state.next = serde_json::from_value(body.clone())?,
            "next-job" => state.next_job = serde_json::from_value(body.clone())?,
            // What is under way is completed.
            "finish" => state.finish(),
            // Somebody else's.
            "snapshot" => {
                let request = json!({"description": body["description"], "retentionInDays": 1});
                let name = body["cluster"].as_str().context("cluster is missing")?;
                let made = self.snapshot(&mut state, name, &request);
                made.map_err(|refused| anyhow::anyhow!("refused with {}", refused.status))?;
            }
            other => bail!("there is no control atlas/{other}"),
        }
        Ok(())
    }
}
