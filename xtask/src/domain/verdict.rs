//! What the outcomes of checks say about the whole: healthy, unhealthy, or unknown because we could not look.

use serde::{Deserialize, Serialize};

/// What is said about the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthStatus {
    /// Every critical check passed.
    Healthy,
    /// A critical check saw something wrong.
    Unhealthy,
    /// Nothing wrong was seen, but a critical check could not look.
    Unknown,
}

impl HealthStatus {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

/// How one check, or one attempt of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckResult {
    Passed,
    Failed,
    /// We could not look: no name, no route, no TLS, no secret.
    Unknown,
    /// A check that it depends on did not pass.
    Skipped,
    /// It needs something that was not asked for (a release to compare with), and so says nothing.
    NotAsked,
}

/// How much a check counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Critical,
    /// Shown, but never decides the verdict.
    Warning,
}

/// The verdict over all checks. A failure that was seen outweighs what could not be looked at; where nothing critical
/// passed at all, nothing is known.
pub fn judge(checks: impl IntoIterator<Item = (Severity, CheckResult)>) -> HealthStatus {
    let (mut failed, mut blind, mut passed) = (false, false, false);
    for (severity, outcome) in checks {
        if severity == Severity::Warning {
            continue;
        }
        match outcome {
            CheckResult::Failed => failed = true,
            CheckResult::Unknown | CheckResult::Skipped => blind = true,
            CheckResult::Passed => passed = true,
            CheckResult::NotAsked => {}
        }
    }
    match (failed, blind, passed) {
        (true, ..) => HealthStatus::Unhealthy,
        (false, true, _) | (false, false, false) => HealthStatus::Unknown,
        (false, false, true) => HealthStatus::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_blindness_and_warnings_decide_nothing() {
        use CheckResult::{Failed, NotAsked, Passed, Skipped, Unknown};
        use Severity::{Critical, Warning};
        let table: &[(&[(Severity, CheckResult)], HealthStatus)] = &[
            (&[(Critical, Passed)], HealthStatus::Healthy),
            (&[(Critical, Passed), (Warning, Failed)], HealthStatus::Healthy),
            (&[(Critical, Passed), (Warning, Unknown)], HealthStatus::Healthy),
            (&[(Critical, Passed), (Critical, NotAsked)], HealthStatus::Healthy),
            (&[(Critical, Passed), (Critical, Failed)], HealthStatus::Unhealthy),
            (
                &[(Critical, Unknown), (Critical, Failed)],
                HealthStatus::Unhealthy,
            ),
            (&[(Critical, Passed), (Critical, Unknown)], HealthStatus::Unknown),
            (&[(Critical, Passed), (Critical, Skipped)], HealthStatus::Unknown),
            (&[(Critical, NotAsked)], HealthStatus::Unknown),
            (&[(Warning, Passed)], HealthStatus::Unknown),
            (&[], HealthStatus::Unknown),
        ];
        for (checks, expected) in table {
            assert_eq!(judge(checks.iter().copied()), *expected, "{checks:?}");
        }
    }
}
