//! Workflow runs, their approvals, and artifacts.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::checks::suite_of;
use super::{Endpoint, GitHub, State, counted, id_of, list, message, not_found, user_value};
use crate::http::router::Captures;
use crate::http::{Request, Response};
use crate::platform::clock::iso_s;

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /repos/{owner}/{repo}/actions/runs", GitHub::list_runs),
    ("GET /repos/{owner}/{repo}/actions/runs/{run}", GitHub::run),
    (
        "GET /repos/{owner}/{repo}/actions/workflows",
        GitHub::list_workflows,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/workflows/{workflow}",
        GitHub::workflow,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/runs/{run}/approvals",
        GitHub::approvals,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/runs/{run}/pending_deployments",
        GitHub::pending_deployments,
    ),
    (
        "POST /repos/{owner}/{repo}/actions/runs/{run}/cancel",
        GitHub::cancel_run,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/runs/{run}/artifacts",
        GitHub::run_artifacts,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/artifacts",
        GitHub::list_artifacts,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/artifacts/{artifact}",
        GitHub::artifact,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/artifacts/{artifact}/zip",
        GitHub::artifact_zip,
    ),
];

const DAY_MS: i64 = 86_400_000;

/// One workflow run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    fields: Value,
    approvals: Vec<Value>,
    jobs: Vec<Value>,
    /// Names of environments that wait for approval.
    waiting_for: Vec<String>,
}

impl Run {
    pub(super) fn value(&self) -> Value {
        self.fields.clone()
    }

    pub(super) fn is_of(&self, commit: &str) -> bool {
        self.fields["head_sha"] == commit
    }

    /// Its jobs as check runs: those that were set, or one that is as far as the run. A run that is going on has a job
    /// in progress: the one that asks.
    pub(super) fn jobs(&self) -> Vec<Value> {
        let given = self.jobs.clone();
        if !given.is_empty() {
            return given;
        }
        let (status, conclusion) = match self.fields["status"].as_str() {
            Some("completed") => ("completed", self.fields["conclusion"].clone()),
            _ => ("in_progress", Value::Null),
        };
        vec![
            json!({"name": "Deploy", "status": status, "conclusion": conclusion,
                   "started_at": self.fields["run_started_at"]}),
        ]
    }
}

/// One uploaded artifact.
#[derive(Debug, Clone)]
pub(super) struct Artifact {
    id: u64,
    name: String,
    run: u64,
    zip: Vec<u8>,
    created_ms: i64,
    expires_ms: i64,
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("not a number: {text}"))
}

impl GitHub {
    /// Makes or changes a run; what the body does not say has its usual value.
    pub(super) fn set_run(&self, body: &Value) -> Result<()> {
        let id = body["id"].as_u64().context("id is missing")?;
        let now = self.now();
        let mut fields = json!({
            "id": id, "check_suite_id": suite_of(id), "name": "production deploy", "workflow_id": 1, "run_number": 1, "run_attempt": 1,
            "event": "workflow_dispatch", "status": "waiting", "conclusion": null, "head_branch": "main",
            "head_sha": "0", "created_at": now, "updated_at": now, "run_started_at": now,
            "path": ".github/workflows/production-deploy.yml",
            "actor": user_value(&self.config.user), "triggering_actor": user_value(&self.config.user),
            "html_url": format!("https://github.com/{}/{}/actions/runs/{id}", self.config.owner, self.config.repo),
        });
        for (name, value) in body.as_object().context("not an object")? {
            if matches!(name.as_str(), "jobs" | "waiting_for") {
                continue;
            }
            let is_user = matches!(name.as_str(), "actor" | "triggering_actor");
            fields[name] = value
                .as_str()
                .filter(|_| is_user)
                .map_or_else(|| value.clone(), user_value);
        }
        let waiting_for = body["waiting_for"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let waiting_for = waiting_for.map(str::to_owned).collect();
        let jobs = body["jobs"].as_array().cloned().unwrap_or_default();
        let mut state = self.state();
        let approvals = state
            .runs
            .get(&id)
            .map(|run| run.approvals.clone())
            .unwrap_or_default();
        state.runs.insert(
            id,
            Run {
                fields,
                approvals,
                jobs,
                waiting_for,
            },
        );
        Ok(())
    }

    /// Somebody approves or rejects on the web page.
    pub(super) fn approve(&self, body: &Value) -> Result<()> {
        let id = body["run"].as_u64().context("run is missing")?;
        let login = body["user"].as_str().context("user is missing")?;
        let environment = body["environment"].as_str().context("environment is missing")?;
        let mut state = self.state();
        let run = state
            .runs
            .get_mut(&id)
            .with_context(|| format!("there is no run {id}"))?;
        run.waiting_for.retain(|name| name != environment);
        run.approvals.push(json!({
            "state": body["state"].as_str().unwrap_or("approved"),
            "comment": body["comment"].as_str().unwrap_or_default(),
            "user": user_value(login),
            "environments": [{"id": id_of(environment), "name": environment}],
        }));
        Ok(())
    }

    fn run_of(&self, captures: &Captures) -> Result<Option<Run>> {
        Ok(self.state().runs.get(&number(&captures[0])?).cloned())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn list_runs(&self, request: &Request, _: &Captures) -> Result<Response> {
        let state = self.state();
        let matches = |run: &&Run| {
            [
                ("status", "status"),
                ("branch", "head_branch"),
                ("event", "event"),
                ("head_sha", "head_sha"),
            ]
            .into_iter()
            .all(|(asked, field)| {
                request.param(asked).is_none_or(|value| {
                    run.fields[field] == value || (asked == "status" && run.fields["conclusion"] == value)
                })
            })
        };
        let runs: Vec<Value> = state
            .runs
            .values()
            .rev()
            .filter(matches)
            .map(Run::value)
            .collect();
        Ok(counted(request, "workflow_runs", &runs))
    }

    fn run(&self, _: &Request, captures: &Captures) -> Result<Response> {
        Ok(self
            .run_of(captures)?
            .map_or_else(not_found, |run| Response::json(200, &run.value())))
    }

    /// The workflows of the default branch. `disabled_inactivity` is what GitHub makes of a schedule in a public repository
    /// where nothing happened for 60 days.
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn list_workflows(&self, request: &Request, _: &Captures) -> Result<Response> {
        let state = self.state();
        let files = state.default_branch.workflows.iter();
        let workflows: Vec<Value> = files
            .map(|file| {
                let path = format!(".github/workflows/{file}");
                let current = state.workflows.get(&path).map_or("active", String::as_str);
                json!({"id": id_of(file), "name": file, "path": path, "state": current})
            })
            .collect();
        Ok(counted(request, "workflows", &workflows))
    }

    pub(super) fn set_workflow(&self, body: &Value) -> Result<()> {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let path = text("path").context("path is missing")?;
        let state = text("state").context("state is missing")?;
        self.state().workflows.insert(path, state);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    #[expect(clippy::unused_self, reason = "an endpoint like the others")]
    fn workflow(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let path = ".github/workflows/production-deploy.yml";
        let id = captures[0].parse::<u64>().unwrap_or(1);
        Ok(Response::json(
            200,
            &json!({"id": id, "name": "production deploy", "path": path, "state": "active"}),
        ))
    }

    fn approvals(&self, request: &Request, captures: &Captures) -> Result<Response> {
        Ok(self
            .run_of(captures)?
            .map_or_else(not_found, |run| list(request, &run.approvals)))
    }

    fn pending_deployments(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let Some(run) = self.run_of(captures)? else {
            return Ok(not_found());
        };
        let pending: Vec<Value> = run
            .waiting_for
            .iter()
            .map(|name| {
                json!({"environment": {"id": id_of(name), "name": name}, "wait_timer": 0, "wait_timer_started_at": null,
                       "current_user_can_approve": true, "reviewers": []})
            })
            .collect();
        Ok(list(request, &pending))
    }

    fn cancel_run(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let id = number(&captures[0])?;
        let now = self.now();
        let mut state = self.state();
        let Some(run) = state.runs.get_mut(&id) else {
            return Ok(not_found());
        };
        if run.fields["status"] == "completed" {
            return Ok(message(409, "Cannot cancel a workflow run that is completed."));
        }
        run.fields["status"] = Value::from("completed");
        run.fields["conclusion"] = Value::from("cancelled");
        run.fields["updated_at"] = Value::from(now);
        run.waiting_for.clear();
        Ok(Response::json(202, &json!({})))
    }

    /// What the upload step of a workflow leaves: `zip` in base64.
    pub(super) fn add_artifact(&self, body: &Value) -> Result<()> {
        let name = body["name"].as_str().context("name is missing")?.to_owned();
        let zip = BASE64.decode(body["zip"].as_str().context("zip (base64) is missing")?)?;
        let now_ms = self.shared.clock.now_ms();
        let mut state = self.state();
        // More than the repository allows is reduced without a word.
        let asked_days = body["retention_days"].as_i64().unwrap_or(state.retention_days);
        let expires_ms = now_ms + asked_days.min(state.retention_days) * DAY_MS;
        let id = state.id();
        let run = body["run"].as_u64().unwrap_or(1);
        state.artifacts.push(Artifact {
            id,
            name,
            run,
            zip,
            created_ms: now_ms,
            expires_ms,
        });
        Ok(())
    }

    /// Ends the retention of artifacts of that name, or of all.
    pub(in crate::platform) fn expire_artifacts(&self, name: Option<&str>) {
        let now_ms = self.shared.clock.now_ms();
        for artifact in &mut self.state().artifacts {
            if name.is_none_or(|name| name == artifact.name) {
                artifact.expires_ms = now_ms;
            }
        }
    }

    /// As listed: with the run's branch, and the repository that it came from, a fork where it is one.
    pub(super) fn artifact_value(&self, state: &State, one: &Artifact) -> Value {
        let digest = hex::encode(Sha256::digest(&one.zip));
        let base = format!(
            "https://api.github.com/repos/{}/{}/actions/artifacts/{}",
            self.config.owner, self.config.repo, one.id
        );
        let own = id_of(&format!("{}/{}", self.config.owner, self.config.repo));
        let run = state.runs.get(&one.run).map_or(Value::Null, Run::value);
        json!({
            "id": one.id, "name": one.name, "size_in_bytes": one.zip.len(), "url": base,
            "archive_download_url": format!("{base}/zip"), "digest": format!("sha256:{digest}"),
            "expired": one.expires_ms <= self.shared.clock.now_ms(),
            "created_at": iso_s(one.created_ms), "updated_at": iso_s(one.created_ms), "expires_at": iso_s(one.expires_ms),
            "workflow_run": {
                "id": one.run, "repository_id": own, "head_repository_id": run["head_repository_id"].as_u64().unwrap_or(own),
                "head_branch": run["head_branch"].as_str().unwrap_or("main"),
                "head_sha": run["head_sha"].as_str().unwrap_or("0"),
            },
        })
    }

    fn artifacts_where(&self, request: &Request, wanted: impl Fn(&Artifact) -> bool) -> Response {
        let state = self.state();
        let found: Vec<Value> = state
            .artifacts
            .iter()
            .rev()
            .filter(|one| wanted(one) && request.param("name").is_none_or(|name| name == one.name))
            .map(|one| self.artifact_value(&state, one))
            .collect();
        counted(request, "artifacts", &found)
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn list_artifacts(&self, request: &Request, _: &Captures) -> Result<Response> {
        Ok(self.artifacts_where(request, |_| true))
    }

    fn run_artifacts(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let run = number(&captures[0])?;
        Ok(self.artifacts_where(request, |one| one.run == run))
    }

    fn artifact_of(&self, captures: &Captures) -> Result<Option<Artifact>> {
        let id = number(&captures[0])?;
        Ok(self.state().artifacts.iter().find(|one| one.id == id).cloned())
    }

    fn artifact(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let found = self.artifact_of(captures)?;
        Ok(found.map_or_else(not_found, |one| {
            Response::json(200, &self.artifact_value(&self.state(), &one))
        }))
    }

    /// The real API redirects to storage; a client that follows redirects sees no difference.
    fn artifact_zip(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let Some(one) = self.artifact_of(captures)? else {
            return Ok(not_found());
        };
        if one.expires_ms <= self.shared.clock.now_ms() {
            return Ok(message(410, "Artifact has expired"));
        }
        Ok(Response::bytes(200, "application/zip", one.zip))
    }
}
