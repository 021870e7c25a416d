//! Figures about releases, made of what the tags, the ledger and the history say. What none of them says is not a
//! figure: it is listed as not recorded.

mod delivery;
mod operations;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::approval::ApprovalRequest;
use super::ledger::LedgerOperation;
use super::release::Release;
use super::spread::Spread;
use super::status_record::{StatusRecord, StatusResult};
use super::step::Budgets;
use super::timeline::Timing;
use super::verdict::HealthStatus;

/// Everything that the figures are made of.
#[derive(Debug, Clone)]
pub struct Records {
    pub environment: String,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// All releases in order of time, also those before `since`.
    pub releases: Vec<Release>,
    /// All operations of the ledger, oldest first.
    pub operations: Vec<LedgerOperation>,
    /// By tag: when the commits that were released with it were made; none for a tag whose commits are not here.
    pub commits: BTreeMap<String, Vec<DateTime<Utc>>>,
    /// What was put before approvers.
    pub requests: Vec<ApprovalRequest>,
    pub status_records: Vec<StatusRecord>,
    /// The newest verified backup, where one is known.
    pub newest_backup: Option<NewestBackup>,
    pub budgets: Budgets,
}

/// The state that could be gone back to at worst.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewestBackup {
    pub id: String,
    pub at: DateTime<Utc>,
}

/// A part of a whole, with the goal for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    pub count: usize,
    pub of: usize,
    pub percent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
}

/// What a share should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    AbovePercent(f64),
    BelowPercent(f64),
}

impl Share {
    /// `count` of `of`; `None` where there is nothing that it could be a part of.
    fn of(count: usize, of: usize, goal: Option<Goal>) -> Option<Self> {
        (of > 0).then(|| Self {
            count,
            of,
            percent: count as f64 / of as f64 * 100.0,
            goal,
        })
    }

    /// Whether the goal is met; `None` where there is none.
    pub fn met(&self) -> Option<bool> {
        self.goal.map(|goal| match goal {
            Goal::AbovePercent(least) => self.percent > least,
            Goal::BelowPercent(most) => self.percent < most,
        })
    }
}

/// The times of one kind of step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepTimes {
    /// `deploy` or `rollback`.
    pub operation: String,
    pub step: String,
    #[serde(flatten)]
    pub times: Spread,
    pub budget_ms: Option<u64>,
    pub over_budget: usize,
}

/// One rollback, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackRun {
    pub operation: String,
    pub target: String,
    pub started_at: DateTime<Utc>,
    pub outcome: String,
    pub total_ms: u64,
    /// Steps whose duration is not recorded have none, and begin where they ended.
    pub steps: Vec<Timing>,
}

/// One release, for the course of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleasePoint {
    pub tag: String,
    pub at: DateTime<Utc>,
    pub is_rollback: bool,
    /// Found unhealthy, or taken back later.
    pub failed: bool,
    /// From start to end of its operation, where the ledger has it.
    pub total_ms: Option<u64>,
}

/// How many drills there were and how they went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drills {
    pub good: Share,
    pub last: DateTime<Utc>,
    #[serde(flatten)]
    pub times: Spread,
}

/// How often the system was found healthy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Availability {
    /// Of the looks that could tell.
    pub healthy: Share,
    pub unknown: usize,
    pub first: DateTime<Utc>,
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    pub environment: String,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub deployments: usize,
    pub rollbacks: usize,
    pub deployments_per_week: Option<f64>,
    /// From a commit to its release.
    pub lead_time: Option<Spread>,
    /// Releases found unhealthy or taken back, of all that were deployed.
    pub change_fail: Option<Share>,
    /// From a failed release to the next healthy one.
    pub recovery_time: Option<Spread>,
    /// Failed releases that nothing healthy has followed yet.
    pub not_recovered: usize,
    /// Releases that repair one before them, of all.
    pub rework: Option<Share>,
    /// Deploys that ended with a healthy release, of all that ended.
    pub success: Option<Share>,
    /// Deployments that were rolled back, of all.
    pub rollback_rate: Option<Share>,
    pub steps: Vec<StepTimes>,
    pub approval_waiting: Option<Spread>,
    pub newest_backup: Option<NewestBackup>,
    /// Age of that backup: what would be lost at worst if it had to be restored now.
    pub recovery_point_ms: Option<u64>,
    /// From start to end of the rollbacks: the recovery time that was really needed.
    pub rollback_time: Option<Spread>,
    pub rollback_budget_ms: u64,
    pub rollback_runs: Vec<RollbackRun>,
    pub drills: Option<Drills>,
    pub availability: Option<Availability>,
    pub releases: Vec<ReleasePoint>,
    /// What no record says, and why.
    pub not_recorded: Vec<String>,
}

impl Records {
    fn within(&self, at: DateTime<Utc>) -> bool {
        (self.since..=self.until).contains(&at)
    }

    /// Makes the figures.
    pub fn measure(&self) -> Metrics {
        let (deployments, rollbacks) = delivery::counted(self);
        let weeks = (self.until - self.since).num_milliseconds() as f64
            / TimeDelta::weeks(1).num_milliseconds() as f64;
        let (recovery_time, not_recovered) = delivery::recovery(self);
        let rollback_runs = operations::rollback_runs(self);
        let rollback_times = rollback_runs.iter().map(|run| run.total_ms).collect();
        let mut metrics = Metrics {
            environment: self.environment.clone(),
            since: self.since,
            until: self.until,
            deployments,
            rollbacks,
            deployments_per_week: (weeks > 0.0).then(|| deployments as f64 / weeks),
            lead_time: delivery::lead_time(self),
            change_fail: delivery::change_fail(self),
            recovery_time,
            not_recovered,
            rework: delivery::rework(self),
            success: operations::success(self),
            rollback_rate: delivery::rollback_rate(self),
            steps: operations::steps(self),
            approval_waiting: operations::approval_waiting(self),
            recovery_point_ms: self
                .newest_backup
                .as_ref()
                .map(|backup| ms_between(backup.at, self.until)),
            newest_backup: self.newest_backup.clone(),
            rollback_time: Spread::of(rollback_times),
            rollback_budget_ms: self.budgets.total_ms,
            rollback_runs,
            drills: self.drills(),
            availability: self.availability(),
            releases: delivery::points(self),
            not_recorded: Vec::new(),
        };
        metrics.not_recorded = metrics.gaps();
        metrics
    }

    fn drills(&self) -> Option<Drills> {
        let mut good = 0;
        let mut times_ms = Vec::new();
        let mut last = None;
        for record in self.status_records.iter().filter(|record| self.within(record.at)) {
            if let StatusResult::Drill {
                good: is_good,
                total_ms,
                budget_ms,
                ..
            } = &record.result
            {
                good += usize::from(*is_good && total_ms <= budget_ms);
                times_ms.push(*total_ms);
                last = last.max(Some(record.at));
            }
        }
        Some(Drills {
            good: Share::of(good, times_ms.len(), None)?,
            last: last?,
            times: Spread::of(times_ms)?,
        })
    }

    fn availability(&self) -> Option<Availability> {
        let looks = self.status_records.iter().filter(|record| self.within(record.at));
        let verdicts: Vec<(DateTime<Utc>, HealthStatus)> = looks
            .filter_map(|record| match &record.result {
                StatusResult::Health { verdict, .. } => Some((record.at, *verdict)),
                StatusResult::Drill { .. } => None,
            })
            .collect();
        let count = |wanted| verdicts.iter().filter(|(_, verdict)| *verdict == wanted).count();
        let (healthy, unhealthy) = (count(HealthStatus::Healthy), count(HealthStatus::Unhealthy));
        Some(Availability {
            healthy: Share::of(healthy, healthy + unhealthy, Some(Goal::AbovePercent(99.5)))?,
            unknown: count(HealthStatus::Unknown),
            first: verdicts.iter().map(|(at, _)| *at).min()?,
        })
    }
}

impl Metrics {
    /// The figures that cannot be told, each with the reason.
    fn gaps(&self) -> Vec<String> {
        let gap = |is_missing: bool, why: &str| is_missing.then(|| why.to_owned());
        let gaps = [
            gap(self.deployments == 0, "no release was tagged in this time"),
            gap(
                self.lead_time.is_none(),
                "lead time: the released commits are not in this clone, or there are none",
            ),
            gap(
                self.recovery_time.is_none(),
                "recovery time: no failed release was followed by a healthy one",
            ),
            gap(
                self.success.is_none(),
                "success rate: the ledger has no ended deploy",
            ),
            gap(
                self.rollback_time.is_none(),
                "rollback time: the ledger has no ended rollback",
            ),
            gap(
                self.approval_waiting.is_none(),
                "approval waiting: no recorded request belongs to a deploy of the ledger",
            ),
            gap(
                self.newest_backup.is_none(),
                "backup age: no verified backup is known",
            ),
            gap(
                self.drills.is_none(),
                "drills: none was kept (`cargo xtask backup drill --record` records them)",
            ),
            gap(
                self.availability.is_none(),
                "availability: no check was recorded (`cargo xtask health --record` records them)",
            ),
        ];
        gaps.into_iter().flatten().collect()
    }
}

/// Milliseconds from one time to another; none where the second is the earlier one, as with clocks that disagree.
fn ms_between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
