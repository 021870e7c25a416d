//! Workflow runs and who approved them.

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::GitHub;

/// A workflow run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WorkflowRun {
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

impl WorkflowRun {
    /// Everybody who started the run: on a re-run these are two.
    pub fn authors(&self) -> Vec<&str> {
        let mut authors = vec![self.actor.login.as_str()];
        authors.extend(self.triggering_actor.as_ref().map(|user| user.login.as_str()));
        authors.dedup();
        authors
    }
}

/// A file of the default branch that GitHub runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WorkflowFile {
    pub path: String,
    /// `active`, or why GitHub does not run it: `disabled_manually`, `disabled_inactivity`.
    pub state: String,
}

impl WorkflowFile {
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }
}

/// One review of a waiting job. GitHub gives no time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RunReview {
    /// `approved`, `rejected` or `pending`.
    pub state: String,
    user: User,
    environments: Vec<Named>,
}

impl RunReview {
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
    /// The same of whoever made the commit.
    committer: Option<User>,
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<WorkflowRun>,
}

#[derive(Deserialize)]
struct Workflows {
    workflows: Vec<WorkflowFile>,
}

impl GitHub {
    /// The workflows of the default branch.
    pub fn workflows(&self) -> Result<Vec<WorkflowFile>> {
        let pages: Vec<Workflows> = self.pages("actions/workflows?per_page=100")?;
        Ok(pages.into_iter().flat_map(|page| page.workflows).collect())
    }

    pub fn run(&self, id: u64) -> Result<WorkflowRun> {
        self.get(&format!("actions/runs/{id}"))?
            .with_context(|| format!("GitHub has no workflow run {id}"))
    }

    /// The reviews of a run's waiting jobs, of all its attempts.
    pub fn approvals(&self, run: u64) -> Result<Vec<RunReview>> {
        self.get(&format!("actions/runs/{run}/approvals"))?
            .with_context(|| format!("GitHub has no workflow run {run}"))
    }

    /// Logins of who wrote and who made a commit, where GitHub has an account with the address.
    pub fn commit_logins(&self, commit: &str) -> Result<Vec<String>> {
        let found: Option<Commit> = self.get(&format!("commits/{commit}"))?;
        let found = found.with_context(|| format!("GitHub does not know the commit {commit}"))?;
        let people = [found.author, found.committer].into_iter().flatten();
        Ok(people.map(|user| user.login).collect())
    }

    /// Runs that wait for an approval.
    pub fn waiting_runs(&self) -> Result<Vec<WorkflowRun>> {
        let runs: Option<Runs> = self.get("actions/runs?status=waiting&per_page=100")?;
        Ok(runs.map(|runs| runs.workflow_runs).unwrap_or_default())
    }

    /// Asks a run to end.
    pub fn cancel(&self, run: u64) -> Result<()> {
        self.send("POST", &format!("actions/runs/{run}/cancel"), &json!({}))
    }
}
