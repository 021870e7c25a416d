//! Makes a history: a bare repository with release tags, ledger, approval requests, health looks and drills, as the
//! program itself writes them; and remembers in plain lists what it made.

mod events;
mod repository;

pub use repository::PIPELINE;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::Value;
use xtask::domain::approval::{ApprovalRequest, REQUEST_SCHEMA};
use xtask::domain::ledger::LedgerEvent;
use xtask::domain::operation::OperationId;
use xtask::domain::parts::{OnRailway, OnVercel, ReleaseParts};
use xtask::domain::release::{BackupRef, Health, RELEASE_SCHEMA, Release, VariableFingerprint};
use xtask::domain::status_record::{StatusRecord, StatusResult};
use xtask::domain::verdict::HealthStatus;
use xtask::operation::status_records;

use super::programs::{PRODUCT, built};
use repository::git;

/// Releases of the time looked at, and some before it that must not count.
pub const RELEASES: usize = 30;
const EARLIER: usize = 2;
/// Of ten releases, this one is found unhealthy and the next one takes it back.
const BAD: usize = 6;
const BACK: usize = 7;

const DEPLOY: &[(&str, u64)] = &[
    ("backup", 60_000),
    ("stage frontend", 90_000),
    ("check staged frontend", 4_000),
    ("upload backend", 20_000),
    ("backend serves", 120_000),
    ("check backend", 3_000),
    ("promote frontend", 9_000),
    ("check release", 5_000),
];
const ROLLBACK: &[(&str, u64)] = &[
    ("safety backup", 60_000),
    ("restore into shadow", 150_000),
    ("swap database", 8_000),
    ("backend back", 100_000),
    ("frontend back", 20_000),
    ("check release", 5_000),
];

/// One release as it was planned.
#[derive(Debug, Clone)]
pub struct Planned {
    pub tag: String,
    pub created: DateTime<Utc>,
    pub is_rollback: bool,
    pub healthy: bool,
    pub takes_back: Option<String>,
    pub commits: Vec<DateTime<Utc>>,
    pub steps: BTreeMap<String, u64>,
    pub began: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    pub waited_ms: Option<i64>,
}

/// The repository and what was put into it.
#[derive(Debug)]
pub struct History {
    dir: tempfile::TempDir,
    pub since: DateTime<Utc>,
    /// Also those before `since`.
    pub releases: Vec<Planned>,
    /// Deploys that ended without a release.
    pub failed_deploys: usize,
    pub looks: Vec<(DateTime<Utc>, HealthStatus)>,
    pub drills: Vec<(bool, u64)>,
    events: Vec<LedgerEvent>,
    /// The numbers are the same each time.
    random: u64,
}

impl History {
    pub fn generate() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Utc::now().trunc_subsecs(0);
        let mut history = Self {
            dir,
            since: (now - TimeDelta::days(90))
                .date_naive()
                .and_time(chrono::NaiveTime::MIN)
                .and_utc(),
            releases: Vec::new(),
            failed_deploys: 0,
            looks: Vec::new(),
            drills: Vec::new(),
            events: Vec::new(),
            random: 42,
        };
        history.make_repository();
        for number in 0..EARLIER + RELEASES {
            history.release(number, now);
        }
        git(
            &history.path("clone"),
            &["push", "--quiet", "origin", "main", "--tags"],
            None,
        );
        history.fail_deploys(now);
        history.push_ledger();
        history.look(now);
        history
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program in the clone, in a cleared environment.
    pub fn metrics(&self, format: &str) -> Output {
        let since = self.since.format("%F").to_string();
        let mut command = Command::new(built(PRODUCT));
        command
            .args(["metrics", "--since", &since, "--format", format])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path())
            .current_dir(self.path("clone"))
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    pub fn json(&self) -> Value {
        let output = self.metrics("json");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The releases of the time looked at.
    pub fn counted(&self) -> Vec<Planned> {
        let counted = self
            .releases
            .iter()
            .filter(|release| release.created >= self.since);
        counted.cloned().collect()
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// One release: its commits, its operation in the ledger, its tag.
    fn release(&mut self, number: usize, now: DateTime<Utc>) {
        // The two earlier ones lie before the 90 days, the others are spread over 87 of them.
        let at = match number.checked_sub(EARLIER) {
            None => now - TimeDelta::days(100) + TimeDelta::days(i64::try_from(number).unwrap()),
            Some(counted) => {
                now - TimeDelta::days(88) + TimeDelta::hours(i64::try_from(counted).unwrap() * 70)
            }
        };
        let place = number.checked_sub(EARLIER).map(|counted| counted % 10);
        let (is_rollback, healthy) = (place == Some(BACK), place != Some(BAD));
        let commits = if is_rollback {
            Vec::new()
        } else {
            self.commit(number, at)
        };
        let steps: Vec<(String, u64)> = if is_rollback { ROLLBACK } else { DEPLOY }
            .iter()
            .map(|(step, about_ms)| ((*step).to_owned(), about_ms / 2 + self.random(*about_ms)))
            .collect();
        let waited_ms = (!is_rollback).then(|| i64::try_from(60_000 + self.random(7_200_000)).unwrap());
        let id = OperationId::at(at, u16::try_from(number).unwrap());
        let (planned, fence) = self.operate(&id, at, is_rollback, &steps);
        let takes_back = is_rollback.then(|| self.releases.last().unwrap().tag.clone());
        let planned = Planned {
            healthy,
            takes_back,
            commits,
            waited_ms,
            ..planned
        };
        if let Some(waited_ms) = waited_ms {
            self.request(&id, at - TimeDelta::milliseconds(waited_ms), number);
        }
        let release = self.tag(&planned, &id);
        self.end(&planned, &id, fence, &release);
        self.releases.push(planned);
    }

    fn commit(&mut self, number: usize, released: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let count = 1 + self.random(3);
        // Old before new: the first release brings only its last commit, as what came before it is not known.
        let mut times: Vec<DateTime<Utc>> = (0..count)
            .map(|_| released - TimeDelta::seconds(i64::try_from(600 + self.random(90_000)).unwrap()))
            .collect();
        times.sort();
        for time in &times {
            let message = format!("work for release {number}");
            git(
                &self.path("clone"),
                &["commit", "--quiet", "--allow-empty", "--message", &message],
                Some(*time),
            );
        }
        times
    }

    fn request(&self, id: &OperationId, at: DateTime<Utc>, run: usize) {
        let request = ApprovalRequest {
            schema: REQUEST_SCHEMA.into(),
            environment: "production".into(),
            run: run as u64,
            plan_sha256: id.to_string(),
            requested_at: at,
            requested_by: "ann".into(),
        };
        let text = format!("approval asked\n\n{}\n", serde_json::to_string(&request).unwrap());
        self.chain(&format!("refs/xtask/gate/production/{run}"), &[text]);
    }

    fn tag(&self, planned: &Planned, id: &OperationId) -> Release {
        let git = self.git();
        let commit = match &planned.takes_back {
            // The code goes back to the release before the bad one.
            Some(_) => {
                let tag = git.tag(&self.releases[self.releases.len() - 2].tag).unwrap();
                tag.and_then(|tag| tag.commit).unwrap()
            }
            None => git.head().unwrap(),
        };
        let release = Release {
            schema: RELEASE_SCHEMA.into(),
            tag: planned.tag.clone(),
            environment: "production".into(),
            operation: id.to_string(),
            created: planned.created,
            commit: commit.to_string(),
            parts: ReleaseParts::one_of_each(
                OnRailway {
                    deployment: "d".into(),
                    image_digest: None,
                    commit: None,
                    settings: std::collections::BTreeMap::new(),
                },
                OnVercel {
                    deployment: "dpl".into(),
                    commit: None,
                },
            ),
            backup: Some(BackupRef {
                id: planned.began.format("%Y%m%d-%H%M%S").to_string(),
                hash: "h".into(),
            }),
            snapshot: None,
            ledger: None,
            approvers: vec!["bob".into()],
            actor: "ann".into(),
            reason: None,
            health: if planned.healthy {
                Health::Healthy
            } else {
                Health::Unhealthy
            },
            variables: Vec::<VariableFingerprint>::new(),
            schema_fingerprint: None,
            rollback_of: planned.takes_back.clone(),
            restores: planned
                .takes_back
                .as_ref()
                .map(|_| self.releases[self.releases.len() - 2].tag.clone()),
            timings_ms: planned.steps.clone(),
            health_report: None,
        };
        let message = release.message().unwrap();
        git.push_annotated_tag(&planned.tag, &message, &commit).unwrap();
        release
    }

    /// Health looks and drills.
    fn look(&mut self, now: DateTime<Utc>) {
        let mut texts = Vec::new();
        for number in 0..60_i64 {
            let at = now - TimeDelta::hours(number * 30 + 1);
            let verdict = match number % 20 {
                3 => HealthStatus::Unhealthy,
                4 => HealthStatus::Unknown,
                _ => HealthStatus::Healthy,
            };
            let mut results = vec![StatusResult::Health {
                verdict,
                summary: "generated".into(),
            }];
            self.looks.push((at, verdict));
            if number % 15 == 0 {
                let (good, total_ms) = (number != 30, 40_000 + self.random(90_000));
                results.push(StatusResult::Drill {
                    backup: "b".into(),
                    good,
                    total_ms,
                    budget_ms: 300_000,
                });
                self.drills.push((good, total_ms));
            }
            for result in results {
                let observation = StatusRecord {
                    at,
                    by: "clock".into(),
                    result,
                };
                texts.push(status_records::message("production", &observation).unwrap());
            }
        }
        self.chain(&status_records::reference("production"), &texts);
    }
}
