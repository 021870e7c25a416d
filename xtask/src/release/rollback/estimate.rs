//! How long a rollback will take, from what the steps of earlier operations took: the newest rollback that did the step, or a
//! deploy that did the same work.

use serde::Serialize;

use super::backend::{Backend, slowest};
use super::plan::RollbackPlan;
use crate::domain::release::Release;
use crate::domain::step::Step;

/// Groups of phases that move no data.
const PLATFORMS: u8 = 2;
const HEALTH: u8 = 4;

/// The phases in their order; those of one group run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackEstimate {
    pub phases: Vec<RollbackPhase>,
    /// The slowest of each group, added up. Where a phase was never measured, it will be more.
    pub total_ms: u64,
    pub budget_ms: u64,
}

/// What one phase will take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackPhase {
    pub phase: &'static str,
    /// `None` where no earlier operation did it.
    pub ms: Option<u64>,
    /// What it is estimated from, in words.
    pub from: String,
    #[serde(skip)]
    group: u8,
}

/// A step, and how it is done in the phase's place where no rollback has done it.
struct Source<'a> {
    steps: &'a [Step],
    /// Newest first.
    releases: Vec<&'a Release>,
}

/// Estimates every phase of the plan from the recorded releases, oldest first.
pub(super) fn estimate(plan: &RollbackPlan, releases: &[Release], budget_ms: u64) -> RollbackEstimate {
    let newest = |is_rollback: bool| {
        let all = releases.iter().rev();
        all.filter(move |release| release.restores.is_some() == is_rollback)
    };
    let rollbacks = || newest(true).collect::<Vec<_>>();
    let deploys = || newest(false).collect::<Vec<_>>();
    let target = || {
        releases
            .iter()
            .filter(|release| release.tag == plan.target)
            .collect()
    };
    let rolled_back = |steps| Source {
        steps,
        releases: rollbacks(),
    };
    let deployed = |steps| Source {
        steps,
        releases: deploys(),
    };
    let built = Source {
        steps: &[Step::UploadBackend, Step::BackendServes],
        releases: target(),
    };
    let image = [
        rolled_back(&[Step::RollBackBackend]),
        deployed(&[Step::BackendServes]),
    ];
    let mut phases = vec![phase(
        (0, "safety backup"),
        &[rolled_back(&[Step::SafetyBackup]), deployed(&[Step::Backup])],
    )];
    if plan.restores() {
        let shadow = rolled_back(&[Step::PrepareShadow]);
        phases.push(phase((0, "restore beside the live collections"), &[shadow]));
        let swap = rolled_back(&[Step::SwapDatabase]);
        phases.push(phase((1, "swap of the database"), &[swap]));
    }
    if !plan.backends.is_empty() {
        phases.push(match slowest(plan.backends.values()) {
            Backend::Image => phase((PLATFORMS, "backend, with its image"), &image),
            Backend::Rebuild => phase((PLATFORMS, "backend, built again"), &[built]),
        });
    }
    if !plan.frontends.is_empty() {
        phases.push(phase(
            (PLATFORMS, "frontend"),
            &[
                rolled_back(&[Step::RollBackFrontend]),
                deployed(&[Step::PromoteFrontend]),
            ],
        ));
    }
    if plan.restores() {
        let proof = rolled_back(&[Step::ProveDatabase]);
        phases.push(phase((3, "proof of the database"), &[proof]));
    }
    phases.push(phase(
        (HEALTH, "health checks"),
        &[
            rolled_back(&[Step::CheckRelease]),
            deployed(&[Step::CheckRelease]),
        ],
    ));
    RollbackEstimate {
        total_ms: (0..=4).map(|group| longest_ms(&phases, group)).sum(),
        phases,
        budget_ms,
    }
}

fn longest_ms(phases: &[RollbackPhase], group: u8) -> u64 {
    let of_group = phases.iter().filter(|phase| phase.group == group);
    of_group.filter_map(|phase| phase.ms).max().unwrap_or(0)
}

fn phase((group, name): (u8, &'static str), sources: &[Source<'_>]) -> RollbackPhase {
    let measured = sources.iter().find_map(Source::measured);
    let (ms, from) = match measured {
        Some((ms, from)) => (Some(ms), from),
        None => (None, "no release of this environment has measured it".to_owned()),
    };
    RollbackPhase {
        phase: name,
        ms,
        from,
        group,
    }
}

impl Source<'_> {
    /// What the newest of the releases took that did all the steps.
    fn measured(&self) -> Option<(u64, String)> {
        self.releases.iter().find_map(|release| {
            let took = self.steps.iter().map(|step| release.took_ms(*step));
            let ms = took.sum::<Option<u64>>()?;
            let kind = if release.restores.is_some() {
                "rollback"
            } else {
                "deploy"
            };
            Some((ms, format!("the {kind} {}", release.tag)))
        })
    }
}

impl RollbackEstimate {
    /// The time of the platforms and of the health checks, which the data cannot have.
    pub fn beside_data_ms(&self) -> u64 {
        longest_ms(&self.phases, PLATFORMS) + longest_ms(&self.phases, HEALTH)
    }

    /// Whether a phase is missing in the total.
    pub fn is_partial(&self) -> bool {
        self.phases.iter().any(|phase| phase.ms.is_none())
    }
}

#[cfg(test)]
mod tests;
