//! How releases are made: where they come from, what must have passed, who approves, how long each part may take.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::step;

/// Where releases and the ledger are recorded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GitConfig {
    /// Name of the remote that tags and the ledger are pushed to.
    pub remote: String,
    /// Branch that releases come from; a commit that is not on it is not deployed.
    pub branch: String,
    /// Whether the commit's checks on GitHub must have passed before it is deployed.
    pub require_ci: bool,
}

impl Default for GitConfig {
    fn default() -> Self {
        Self {
            remote: "origin".into(),
            branch: "main".into(),
            require_ci: true,
        }
    }
}

/// Which checks of a commit must have passed before it is released (with `git.require_ci`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CiConfig {
    /// Names of the check runs and commit statuses that count; empty: all that ran for the commit.
    pub required: Vec<String>,
    /// How long a deploy waits for checks that are pending.
    pub wait_s: u64,
}

impl Default for CiConfig {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            wait_s: 1_200,
        }
    }
}

/// The repository on GitHub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GithubConfig {
    /// `owner/name`.
    pub repository: String,
}

/// How a deploy behaves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeployConfig {
    /// What happens when health fails after promotion.
    pub on_unhealthy: OnUnhealthy,
}

impl Default for DeployConfig {
    fn default() -> Self {
        Self {
            on_unhealthy: OnUnhealthy::Stop,
        }
    }
}

/// `deploy.on_unhealthy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnhealthy {
    /// Stop and print the rollback command.
    Stop,
    /// Roll back at once.
    Rollback,
}

/// Who must approve a release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalConfig {
    pub method: ApprovalMethod,
    /// Distinct people other than the author.
    pub required: u32,
    /// An approval, and the backup it approved, count for this long.
    pub max_age_hours: u32,
    /// GitHub environments whose reviewers approve, one after the other.
    pub environments: Vec<String>,
    /// The GitHub environment one of whose reviewers approves a rollback of normal urgency. One of critical urgency is reviewed
    /// afterwards.
    pub rollback: Option<String>,
    /// Logins of the reviewers of an environment, as `setup` sets them; left alone where none are named.
    pub reviewers: BTreeMap<String, Vec<String>>,
}

impl Default for ApprovalConfig {
    fn default() -> Self {
        Self {
            method: ApprovalMethod::Github,
            required: 2,
            max_age_hours: 24,
            environments: vec!["production-approval-1".into(), "production-approval-2".into()],
            rollback: None,
            reviewers: BTreeMap::new(),
        }
    }
}

/// `approval.method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalMethod {
    /// Reviewers of GitHub environments.
    Github,
    /// Signed git tags bound to the plan's hash, checked against `infrastructure/approvers`.
    SignedTag,
}

/// How the workflows that `generate` writes get this program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkflowsConfig {
    /// The action that puts it on PATH: a folder of the repository (`./…`), which builds it, or
    /// `owner/repository/folder@commit`, which downloads it.
    pub setup: String,
    /// Labels of the machine for the jobs that reach the database: one of one's own has a fixed address, which a firewall can name.
    pub runs_on: Vec<String>,
}

impl Default for WorkflowsConfig {
    fn default() -> Self {
        Self {
            setup: "./.github/actions/xtask".into(),
            runs_on: vec!["ubuntu-latest".into()],
        }
    }
}

/// Time budgets in seconds; the requirement's, unless set lower.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetsConfig {
    pub backup_s: u64,
    pub restore_s: u64,
    pub redeploy_s: u64,
    pub total_s: u64,
}

impl BudgetsConfig {
    /// The same budgets in milliseconds, as steps have them.
    pub fn limits(&self) -> step::Budgets {
        step::Budgets {
            backup_ms: self.backup_s * 1_000,
            restore_ms: self.restore_s * 1_000,
            redeploy_ms: self.redeploy_s * 1_000,
            total_ms: self.total_s * 1_000,
        }
    }
}

impl Default for BudgetsConfig {
    fn default() -> Self {
        Self {
            backup_s: 180,
            restore_s: 300,
            redeploy_s: 420,
            total_s: 900,
        }
    }
}
