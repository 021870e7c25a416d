//! What a commit's page shows: check runs (of the jobs of workflow runs, and of other applications) and the older commit
//! statuses.
//!
//! As on GitHub, the job that asks is listed among the check runs of its commit, in progress; so are the jobs of earlier
//! runs of the same workflow and of scheduled runs. Each workflow run has its own check suite, so one name may be there
//! several times.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Endpoint, GitHub, counted, page};
use crate::http::router::Captures;
use crate::http::{Request, Response};

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    (
        "GET /repos/{owner}/{repo}/commits/{commit}/check-runs",
        GitHub::check_runs,
    ),
    (
        "GET /repos/{owner}/{repo}/commits/{commit}/status",
        GitHub::commit_status,
    ),
];

/// Check suite of everything that is not a workflow run.
const SUITE_OF_OTHERS: u64 = 1;
/// The states of a commit status, the gravest first.
const STATES: [&str; 4] = ["error", "failure", "pending", "success"];

/// The check suite of a workflow run.
pub(super) fn suite_of(run: u64) -> u64 {
    90_000 + run
}

impl GitHub {
    /// Check runs of a commit, the newest first: what `github/checks` set (one green check unless told), and the jobs of
    /// its workflow runs.
    fn checks(&self, commit: &str) -> Vec<Value> {
        let now = self.now();
        let state = self.state();
        let green = || vec![json!({"name": "ci", "status": "completed", "conclusion": "success"})];
        let others = state.checks.get(commit).cloned().unwrap_or_else(green);
        let others = others.into_iter().map(|check| (None, check));
        let jobs = state.runs.iter().filter(|(_, run)| run.is_of(commit));
        let jobs = jobs.flat_map(|(id, run)| run.jobs().into_iter().map(|job| (Some(*id), job)));
        let mut checks: Vec<Value> = Vec::new();
        for (index, (run, given)) in others.chain(jobs).enumerate() {
            let id = index + 1;
            let mut check = json!({
                "id": id, "head_sha": commit, "status": "queued", "conclusion": null, "started_at": now,
                "completed_at": null, "check_suite": {"id": run.map_or(SUITE_OF_OTHERS, suite_of)},
                "app": {"id": 7, "slug": "other-ci", "name": "Other CI"},
                "details_url": format!("https://ci.example/{id}"),
            });
            if let Some(run) = run {
                let (owner, repo) = (&self.config.owner, &self.config.repo);
                check["app"] = json!({"id": 15368, "slug": "github-actions", "name": "GitHub Actions"});
                check["details_url"] =
                    format!("https://github.com/{owner}/{repo}/actions/runs/{run}/job/{id}").into();
            }
            for (name, value) in given.as_object().into_iter().flatten() {
                check[name] = value.clone();
            }
            if check["status"] == "completed" && check["completed_at"].is_null() {
                check["completed_at"] = check["started_at"].clone();
            }
            checks.push(check);
        }
        checks.reverse();
        checks
    }

    /// `filter=latest`, the default, hides what was run again in the same check suite.
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn check_runs(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let mut checks = self.checks(&captures[0]);
        if request.param("filter").is_none_or(|filter| filter == "latest") {
            let mut seen = BTreeSet::new();
            checks.retain(|check| {
                check["check_suite"]["id"] == SUITE_OF_OTHERS
                    || seen.insert(format!("{} {}", check["check_suite"]["id"], check["name"]))
            });
        }
        Ok(counted(request, "check_runs", &checks))
    }

    /// The combined status: without any commit status GitHub calls it "pending".
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn commit_status(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let statuses = self
            .state()
            .statuses
            .get(&captures[0])
            .cloned()
            .unwrap_or_default();
        let gravest = STATES
            .into_iter()
            .find(|state| statuses.iter().any(|one| one["state"] == *state));
        let (shown, link) = page(request, &statuses);
        let body = json!({"state": gravest.unwrap_or("pending"), "statuses": shown, "total_count": statuses.len(),
                          "sha": captures[0]});
        let response = Response::json(200, &body);
        Ok(link
            .iter()
            .fold(response, |response, link| response.header("link", link)))
    }

    pub(super) fn set_checks(&self, body: &Value) -> Result<()> {
        let commit = body["commit"].as_str().context("commit is missing")?;
        let runs = body["runs"].as_array().context("runs are missing")?;
        self.state().checks.insert(commit.to_owned(), runs.clone());
        Ok(())
    }

    /// The newest status of each context, as the combined status shows them.
    pub(super) fn set_statuses(&self, body: &Value) -> Result<()> {
        let commit = body["commit"].as_str().context("commit is missing")?;
        let statuses = body["statuses"].as_array().context("statuses are missing")?;
        for one in statuses {
            let state = one["state"].as_str().unwrap_or_default();
            if !STATES.contains(&state) || !one["context"].is_string() {
                bail!("not a commit status: {one}");
            }
        }
        self.state().statuses.insert(commit.to_owned(), statuses.clone());
        Ok(())
    }
}
