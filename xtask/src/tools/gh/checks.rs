//! `gh`: everything that GitHub lists as a check of one commit.

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::GitHub;
use crate::domain::checks::{CheckState, CommitCheck, CommitChecks, CommitRun};
use crate::error::catalogue::tools::no_permission_for_checks;

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    status: String,
    conclusion: Option<String>,
    started_at: Option<DateTime<Utc>>,
    check_suite: Suite,
    app: Option<App>,
}

#[derive(Deserialize)]
struct Suite {
    id: u64,
}

#[derive(Deserialize)]
struct App {
    slug: String,
}

#[derive(Deserialize)]
struct Statuses {
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    context: String,
    state: String,
    updated_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct WorkflowRuns {
    workflow_runs: Vec<WorkflowRun>,
}

#[derive(Deserialize)]
struct WorkflowRun {
    id: u64,
    check_suite_id: u64,
    path: String,
    event: String,
    status: String,
    conclusion: Option<String>,
}

impl GitHub {
    /// The check runs, commit statuses and workflow runs of a commit, all pages of them.
    pub fn commit_checks(&self, commit: &str) -> Result<CommitChecks> {
        let path = format!("commits/{commit}");
        let check_runs: Vec<CheckRuns> = self.pages(&format!("{path}/check-runs?per_page=100"))?;
        let statuses: Vec<Statuses> = self.pages(&format!("{path}/status?per_page=100"))?;
        let runs: Vec<WorkflowRuns> = self.pages(&format!("actions/runs?head_sha={commit}&per_page=100"))?;
        let check_runs = check_runs.into_iter().flat_map(|page| page.check_runs);
        let statuses = statuses.into_iter().flat_map(|page| page.statuses);
        Ok(CommitChecks {
            checks: check_runs
                .map(CheckRun::into_check)
                .chain(statuses.map(Status::into_check))
                .collect(),
            runs: runs
                .into_iter()
                .flat_map(|page| page.workflow_runs)
                .map(WorkflowRun::into_run)
                .collect(),
        })
    }
}

impl CheckRun {
    fn into_check(self) -> CommitCheck {
        let state = state(&self.status, self.conclusion);
        CommitCheck {
            name: self.name,
            started_at: self.started_at.filter(|_| self.status != "queued"),
            state,
            suite: Some(self.check_suite.id),
            app: self.app.map(|app| app.slug).unwrap_or_default(),
        }
    }
}

impl Status {
    fn into_check(self) -> CommitCheck {
        let state = match self.state.as_str() {
            "success" => CheckState::Passed,
            "pending" => CheckState::Pending(self.state),
            _ => CheckState::Failed(self.state),
        };
        CommitCheck {
            name: self.context,
            state,
            suite: None,
            app: "commit status".into(),
            started_at: self.updated_at,
        }
    }
}

impl WorkflowRun {
    fn into_run(self) -> CommitRun {
        CommitRun {
            id: self.id,
            suite: self.check_suite_id,
            state: state(&self.status, self.conclusion),
            path: self.path,
            event: self.event,
        }
    }
}

fn state(status: &str, conclusion: Option<String>) -> CheckState {
    match (status, conclusion.as_deref()) {
        ("completed", Some("success" | "neutral" | "skipped")) => CheckState::Passed,
        ("completed", _) => CheckState::Failed(conclusion.unwrap_or_else(|| "without a conclusion".into())),
        _ => CheckState::Pending(status.to_owned()),
    }
}

/// GitHub's words for a permission that the token of a workflow's job lacks.
pub(super) fn explain_permission(error: anyhow::Error) -> anyhow::Error {
    if format!("{error:#}").contains("Resource not accessible by integration") {
        no_permission_for_checks(format!("{error:#}")).into()
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_and_good_checks_have_passed() {
        let state = |status: &str, conclusion: Option<&str>| state(status, conclusion.map(str::to_owned));
        for good in ["success", "neutral", "skipped"] {
            assert_eq!(state("completed", Some(good)), CheckState::Passed);
        }
        for bad in [
            "failure",
            "cancelled",
            "timed_out",
            "action_required",
            "stale",
            "startup_failure",
        ] {
            assert_eq!(state("completed", Some(bad)), CheckState::Failed(bad.into()));
        }
        for pending in ["queued", "in_progress", "waiting", "pending", "requested"] {
            assert_eq!(state(pending, None), CheckState::Pending(pending.into()));
        }
    }
}
