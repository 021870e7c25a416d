//! Whether the checks of a commit let it be released.
//!
//! A job that asks this on GitHub is itself a check run in progress, and the list also holds earlier runs of its own
//! workflow and scheduled runs on the same commit. What counts is what ran *for the commit*, the newest of each name.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

/// File names of the pipeline's own workflows: their result says nothing about the commit.
const OWN_WORKFLOWS: [&str; 4] = [
    "production-deploy.yml",
    "production-rollback.yml",
    "approval-sweeper.yml",
    "restore-drill.yml",
];
/// Events that run a workflow for the sake of a commit. A workflow that never ran for one of them on this commit (but by
/// schedule, or by hand) is no check of it.
const COMMIT_EVENTS: [&str; 5] = [
    "push",
    "pull_request",
    "pull_request_target",
    "merge_group",
    "dynamic",
];

/// One check run or commit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitCheck {
    pub name: String,
    pub state: CheckState,
    /// Check suite of a check run; `None` for a commit status.
    pub suite: Option<u64>,
    /// The application that reported it.
    pub app: String,
    /// When it began; `None` for what is queued: that is newer than anything that has begun.
    pub started_at: Option<DateTime<Utc>>,
}

/// How far a check is, with GitHub's word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckState {
    Passed,
    Pending(String),
    Failed(String),
}

/// A workflow run on the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRun {
    pub id: u64,
    /// The check suite that holds its jobs.
    pub suite: u64,
    /// File of the workflow.
    pub path: String,
    pub event: String,
    pub state: CheckState,
}

/// What the checks say together; each text is a check with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChecksVerdict {
    Passed,
    Pending(Vec<String>),
    Failed(Vec<String>),
}

/// Everything that GitHub lists for one commit.
#[derive(Debug, Clone, Default)]
pub struct CommitChecks {
    pub checks: Vec<CommitCheck>,
    pub runs: Vec<CommitRun>,
}

impl CommitChecks {
    /// The verdict for a release. `asking` is the workflow run that asks. With `required`, only checks of these names
    /// count, by whichever workflow or application.
    pub fn judge(&self, asking: Option<u64>, required: &[String]) -> ChecksVerdict {
        if required.is_empty() {
            self.judge_all(asking)
        } else {
            self.judge_required(asking, required)
        }
    }

    fn judge_all(&self, asking: Option<u64>) -> ChecksVerdict {
        let own_path = self.runs.iter().find(|run| Some(run.id) == asking);
        let own_path = own_path.map(|run| run.path.as_str());
        let counted: BTreeSet<&str> = self
            .runs
            .iter()
            .filter(|run| COMMIT_EVENTS.contains(&run.event.as_str()))
            .map(|run| run.path.as_str())
            .filter(|path| Some(*path) != own_path && !is_own(path))
            .collect();
        let counts = |path: &str| counted.contains(path);
        let checks = self
            .checks
            .iter()
            .filter(|check| self.run_of(check).is_none_or(|run| counts(&run.path)));
        let mut states: Vec<(&str, &CheckState)> = self
            .newest(checks)
            .into_iter()
            .map(|check| (check.name.as_str(), &check.state))
            .collect();
        // The jobs of a run that has just been queued are not listed yet.
        let bare = |run: &&CommitRun| !self.checks.iter().any(|check| check.suite == Some(run.suite));
        let bare = self.runs.iter().filter(|run| counts(&run.path)).filter(bare);
        states.extend(bare.map(|run| (run.path.as_str(), &run.state)));
        // Our own run's tests have passed when its later jobs run: `needs` in the workflow decides about them.
        let own_tests = self.checks.iter().any(|check| {
            let run = self.run_of(check).map(|run| run.id);
            run.is_some() && run == asking && check.state == CheckState::Passed
        });
        if states.is_empty() && !own_tests {
            return ChecksVerdict::Failed(vec!["no check has run".into()]);
        }
        verdict(states)
    }

    fn judge_required(&self, asking: Option<u64>, required: &[String]) -> ChecksVerdict {
        let of_others = self.checks.iter().filter(|check| {
            let run = self.run_of(check).map(|run| run.id);
            // What has passed counts, whoever ran it; our own job that asks can never have passed.
            check.state == CheckState::Passed || run.is_none() || run != asking
        });
        let newest = self.newest(of_others);
        let missing = CheckState::Pending("missing".into());
        let mut states = Vec::new();
        for name in required {
            let before = states.len();
            let found = newest.iter().filter(|check| check.name == *name);
            states.extend(found.map(|check| (name.as_str(), &check.state)));
            if states.len() == before {
                states.push((name, &missing));
            }
        }
        verdict(states)
    }

    fn run_of(&self, check: &CommitCheck) -> Option<&CommitRun> {
        self.runs.iter().find(|run| Some(run.suite) == check.suite)
    }

    /// The newest check of each name, by workflow or application.
    fn newest<'a>(&'a self, checks: impl Iterator<Item = &'a CommitCheck>) -> Vec<&'a CommitCheck> {
        let mut newest: BTreeMap<(&str, &str), &CommitCheck> = BTreeMap::new();
        for check in checks {
            let source = self.run_of(check).map_or(check.app.as_str(), |run| &run.path);
            let age = |check: &CommitCheck| (check.started_at.is_none(), check.started_at);
            newest
                .entry((source, &check.name))
                .and_modify(|kept| {
                    if age(check) > age(kept) {
                        *kept = check;
                    }
                })
                .or_insert(check);
        }
        newest.into_values().collect()
    }
}

/// The path may end in `@` and a reference.
/// Whether this is the file of a workflow of the pipeline's own.
pub fn is_own(path: &str) -> bool {
    let path = path.split('@').next().unwrap_or(path);
    OWN_WORKFLOWS.contains(&path.rsplit('/').next().unwrap_or(path))
}

fn verdict(states: Vec<(&str, &CheckState)>) -> ChecksVerdict {
    let (mut pending, mut failed) = (Vec::new(), Vec::new());
    for (name, state) in states {
        match state {
            CheckState::Passed => {}
            CheckState::Pending(word) => pending.push(format!("{name} is {word}")),
            CheckState::Failed(word) => failed.push(format!("{name} is {word}")),
        }
    }
    if !failed.is_empty() {
        ChecksVerdict::Failed(failed)
    } else if !pending.is_empty() {
        ChecksVerdict::Pending(pending)
    } else {
        ChecksVerdict::Passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_is_newer_than_what_has_run() {
        let check = |state: CheckState, started_at: Option<&str>| CommitCheck {
            name: "test".into(),
            state,
            suite: Some(1),
            app: "ci".into(),
            started_at: started_at.map(|at| at.parse().unwrap()),
        };
        let checks = CommitChecks {
            checks: vec![
                check(CheckState::Pending("queued".into()), None),
                check(CheckState::Passed, Some("2026-01-01T00:00:00Z")),
            ],
            runs: Vec::new(),
        };
        let expected = ChecksVerdict::Pending(vec!["test is queued".into()]);
        assert_eq!(checks.judge(None, &[]), expected);
        assert_eq!(checks.judge(None, &["test".into()]), expected);
    }

    #[test]
    fn the_pipeline_knows_its_own_workflows_by_their_files() {
        assert!(is_own(".github/workflows/production-deploy.yml"));
        assert!(is_own(".github/workflows/restore-drill.yml@refs/heads/main"));
        assert!(!is_own(".github/workflows/ci.yml"));
    }
}
