//! The result of a run, as it is written to JSON: schema `health-report/1`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::CheckGroup;
use crate::domain::parts::{BACKEND, FRONTEND, ReleaseParts};
use crate::domain::verdict::{CheckResult, HealthStatus, Severity};

/// Name of the schema.
pub const SCHEMA: &str = "health-report/1";

/// What both sides must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedRelease {
    pub commit: String,
    /// The release tag, for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub railway_deployment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vercel_deployment: Option<String>,
    /// Deployments of backends and frontends by name, where there may be several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub frontends: BTreeMap<String, String>,
    /// The commit of each part that was built from another one: it did not change since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commits: BTreeMap<String, String>,
}

impl ExpectedRelease {
    /// The parts of a release of this commit.
    pub fn of(commit: &str, parts: &ReleaseParts) -> Self {
        let parts = parts.clone().of_release(commit);
        let mut expected = Self {
            commit: commit.to_owned(),
            ..Self::default()
        };
        for (name, backend) in parts.backends {
            expected
                .commits
                .extend(backend.commit.map(|commit| (name.clone(), commit)));
            if name == BACKEND {
                expected.railway_deployment = Some(backend.deployment);
            } else {
                expected.backends.insert(name, backend.deployment);
            }
        }
        for (name, frontend) in parts.frontends {
            expected
                .commits
                .extend(frontend.commit.map(|commit| (name.clone(), commit)));
            if name == FRONTEND {
                expected.vercel_deployment = Some(frontend.deployment);
            } else {
                expected.frontends.insert(name, frontend.deployment);
            }
        }
        expected
    }

    /// The deployment that a backend must be.
    pub fn backend(&self, part: &str) -> Option<&str> {
        let single = self.railway_deployment.as_ref().filter(|_| part == BACKEND);
        single.or_else(|| self.backends.get(part)).map(String::as_str)
    }

    /// The deployment that a frontend must be.
    pub fn frontend(&self, part: &str) -> Option<&str> {
        let single = self.vercel_deployment.as_ref().filter(|_| part == FRONTEND);
        single.or_else(|| self.frontends.get(part)).map(String::as_str)
    }

    /// The commit that a part must be of.
    pub fn commit_of(&self, part: Option<&str>) -> &str {
        let own = part.and_then(|part| self.commits.get(part));
        own.unwrap_or(&self.commit)
    }
}

/// Everything that one run saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthReport {
    pub environment: String,
    pub backend: String,
    pub frontend: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ExpectedRelease>,
    pub started_at: String,
    pub duration_ms: f64,
    /// The longest path through the dependencies: what the run would take with no other check beside it.
    pub slowest_chain_ms: f64,
    pub verdict: HealthStatus,
    /// One sentence: why the verdict is what it is.
    pub summary: String,
    pub checks: Vec<CheckReport>,
}

/// What one check saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckReport {
    pub name: String,
    pub group: CheckGroup,
    pub severity: Severity,
    pub outcome: CheckResult,
    pub message: String,
    /// A page with more, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The time that counts against the budget: the slowest answer, the percentile or the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ms: Option<f64>,
    /// From the start of the run.
    pub started_ms: f64,
    pub duration_ms: f64,
    /// All attempts; the list below keeps the first and the last ones.
    pub attempts_total: u32,
    pub attempts: Vec<Attempt>,
    /// What this kind of check found: percentiles, assets, versions, roles.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
}

/// One try of a check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// From the start of the run.
    pub at_ms: f64,
    pub outcome: CheckResult,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Of the slowest request of the attempt.
    pub timings: RequestTimings,
}

/// The phases of a request in milliseconds; connection phases are missing where a connection was used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestTimings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
    pub total_ms: f64,
}

/// Milliseconds with three decimals: microseconds are the finest that means anything here.
pub(super) fn ms(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
