//! What the outcomes of checks say about the whole: healthy, unhealthy, or unknown because we could not look.

use serde::{Deserialize, Serialize};

/// What is said about the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every critical check passed.
    Healthy,
    /// A critical check saw something wrong.
    Unhealthy,
    /// Nothing wrong was seen, but a critical check could not look.
    Unknown,
}

impl Verdict {
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
pub enum Outcome {
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
pub fn judge(checks: impl IntoIterator<Item = (Severity, Outcome)>) -> Verdict {
    let (mut failed, mut blind, mut passed) = (false, false, false);
    for (severity, outcome) in checks {
        if severity == Severity::Warning {
            continue;
        }
        match outcome {
            Outcome::Failed => failed = true,
            Outcome::Unknown | Outcome::Skipped => blind = true,
            Outcome::Passed => passed = true,
            Outcome::NotAsked => {}
        }
    }
    match (failed, blind, passed) {
        (true, ..) => Verdict::Unhealthy,
        (false, true, _) | (false, false, false) => Verdict::Unknown,
        (false, false, true) => Verdict::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_blindness_and_warnings_decide_nothing() {
        use Outcome::{Failed, NotAsked, Passed, Skipped, Unknown};
        use Severity::{Critical, Warning};
        let table: &[(&[(Severity, Outcome)], Verdict)] = &[
            (&[(Critical, Passed)], Verdict::Healthy),
            (&[(Critical, Passed), (Warning, Failed)], Verdict::Healthy),
            (&[(Critical, Passed), (Warning, Unknown)], Verdict::Healthy),
            (&[(Critical, Passed), (Critical, NotAsked)], Verdict::Healthy),
            (&[(Critical, Passed), (Critical, Failed)], Verdict::Unhealthy),
            (&[(Critical, Unknown), (Critical, Failed)], Verdict::Unhealthy),
            (&[(Critical, Passed), (Critical, Unknown)], Verdict::Unknown),
            (&[(Critical, Passed), (Critical, Skipped)], Verdict::Unknown),
            (&[(Critical, NotAsked)], Verdict::Unknown),
            (&[(Warning, Passed)], Verdict::Unknown),
            (&[], Verdict::Unknown),
        ];
        for (checks, expected) in table {
            assert_eq!(judge(checks.iter().copied()), *expected, "{checks:?}");
        }
    }
}
