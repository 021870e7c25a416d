//! Workflow runs and who approved them.

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::GitHub;

/// A workflow run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Run {
    pub id: u64,
    pub name: Option<String>,
    pub status: String,
    pub run_attempt: u32,
    pub head_sha: String,
    pub created_at: DateTime<Utc>,
    pub html_url: String,
    /// File of the workflow.
    pub path: String,
    actor: User,
    triggering_actor: Option<User>,
}

impl Run {
    /// Everybody who set the run off: on a re-run these are two.
    pub fn authors(&self) -> Vec<&str> {
        let mut authors = vec![self.actor.login.as_str()];
        authors.extend(self.triggering_actor.as_ref().map(|user| user.login.as_str()));
        authors.dedup();
        authors
    }
}

/// One review of a waiting job. GitHub says no time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Approval {
    /// `approved`, `rejected` or `pending`.
    pub state: String,
    user: User,
    environments: Vec<Named>,
}

impl Approval {
    pub fn login(&self) -> &str {
        &self.user.login
    }

    /// Names of the environments that the review was for.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        self.environments.iter().map(|one| one.name.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct User {
    login: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Commit {
    /// Of the account that has the author's address.
    author: Option<User>,
}

#[derive(Deserialize)]
struct Artifacts {
    artifacts: Vec<Artifact>,
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Run>,
}

impl GitHub {
    pub fn run(&self, id: u64) -> Result<Run> {
        self.get(&format!("actions/runs/{id}"))?
            .with_context(|| format!("GitHub has no workflow run {id}"))
    }

    /// The reviews of a run's waiting jobs, of all its attempts.
    pub fn approvals(&self, run: u64) -> Result<Vec<Approval>> {
        self.get(&format!("actions/runs/{run}/approvals"))?
            .with_context(|| format!("GitHub has no workflow run {run}"))
    }

    /// Login of whoever wrote a commit; `None` where GitHub knows no account of that address.
    pub fn commit_author(&self, commit: &str) -> Result<Option<String>> {
        let found: Option<Commit> = self.get(&format!("commits/{commit}"))?;
        let found = found.with_context(|| format!("GitHub does not know the commit {commit}"))?;
        Ok(found.author.map(|user| user.login))
    }

    /// For how many days the newest artifact whose name begins so is kept; `None` where there is none.
    pub fn artifact_days(&self, name_prefix: &str) -> Result<Option<i64>> {
        let found: Option<Artifacts> = self.get("actions/artifacts?per_page=100")?;
        let newest = found
            .into_iter()
            .flat_map(|found| found.artifacts)
            .filter(|one| one.name.starts_with(name_prefix))
            .max_by_key(|one| one.created_at);
        Ok(newest.and_then(|one| {
            // GitHub rounds the expiry to the time of the upload's begin.
            let kept = one.expires_at? - one.created_at + chrono::TimeDelta::hours(12);
            Some(kept.num_days())
        }))
    }

    /// Runs that wait for an approval.
    pub fn waiting_runs(&self) -> Result<Vec<Run>> {
        let runs: Option<Runs> = self.get("actions/runs?status=waiting&per_page=100")?;
        Ok(runs.map(|runs| runs.workflow_runs).unwrap_or_default())
    }

    /// Asks a run to end.
    pub fn cancel(&self, run: u64) -> Result<()> {
        self.send("POST", &format!("actions/runs/{run}/cancel"), &json!({}))
    }
}
