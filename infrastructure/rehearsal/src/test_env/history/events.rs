//! What operations leave in the ledger.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use xtask::domain::ledger::{Body, Holder, LedgerEvent, OperationOutcome, Started};
use xtask::domain::operation::OperationId;
use xtask::domain::release::{Release, tag_name};

use super::{History, Planned};

impl History {
    /// The ledger's events of one operation up to its record: staged steps one after the other. With it comes its fencing token.
    pub(super) fn operate(
        &mut self,
        id: &OperationId,
        began: DateTime<Utc>,
        is_rollback: bool,
        steps: &[(String, u64)],
    ) -> (Planned, u64) {
        let kind = if is_rollback { "rollback" } else { "deploy" };
        let fence = self.start(id, kind, began);
        let mut at = began;
        for (step, duration_ms) in steps {
            at += TimeDelta::milliseconds(i64::try_from(*duration_ms).unwrap());
            let name = step.clone();
            self.event(
                id,
                fence,
                at,
                Body::Step {
                    name,
                    facts: Value::Null,
                },
            );
        }
        let created = at + TimeDelta::milliseconds(700);
        let ended = created + TimeDelta::milliseconds(150);
        let planned = Planned {
            tag: tag_name("prod", created),
            created,
            is_rollback,
            healthy: true,
            takes_back: None,
            commits: Vec::new(),
            steps: steps.iter().cloned().collect(),
            began,
            ended,
            waited_ms: None,
        };
        (planned, fence)
    }

    /// The record of the release, and the end of its operation.
    pub(super) fn end(&mut self, planned: &Planned, id: &OperationId, fence: u64, release: &Release) {
        let record = Body::Step {
            name: "record release".to_owned(),
            facts: serde_json::to_value(release).unwrap(),
        };
        self.event(id, fence, planned.created, record);
        let end = Body::Finished {
            outcome: OperationOutcome::Done,
            facts: json!({"tag": release.tag, "record_sha256": release.sha256().unwrap()}),
        };
        self.event(id, fence, planned.ended, end);
    }

    fn start(&mut self, id: &OperationId, kind: &str, at: DateTime<Utc>) -> u64 {
        let fence = self.events.len() as u64 + 1;
        let started = Started {
            kind: kind.into(),
            reason: "generated".into(),
            target: "a target".into(),
            plan_sha256: id.to_string(),
            plan: json!({}),
            holder: Holder {
                user: "ann".into(),
                host: "here".into(),
                pid: 1,
                run: None,
                process: None,
            },
            lease_ms: 90_000,
            supersedes: None,
        };
        self.event(id, fence, at, Body::Started(started));
        fence
    }

    fn event(&mut self, id: &OperationId, fence: u64, at: DateTime<Utc>, body: Body) {
        let seq = self.events.len() as u64 + 1;
        self.events.push(LedgerEvent {
            seq,
            at,
            operation: id.clone(),
            fence,
            body,
        });
    }

    /// Two deploys that failed before anything was live, and one that is under way.
    pub(super) fn fail_deploys(&mut self, now: DateTime<Utc>) {
        for number in 0..2_u16 {
            let at = now - TimeDelta::hours(9 - i64::from(number));
            let id = OperationId::at(at, 900 + number);
            let fence = self.start(&id, "deploy", at);
            let (outcome, facts) = (OperationOutcome::Failed, json!({"error": "the backup failed"}));
            self.event(
                &id,
                fence,
                at + TimeDelta::minutes(2),
                Body::Finished { outcome, facts },
            );
            self.failed_deploys += 1;
        }
        let id = OperationId::at(now, 999);
        self.start(&id, "deploy", now);
    }

    pub(super) fn push_ledger(&self) {
        let texts: Vec<String> = self
            .events
            .iter()
            .map(|event| {
                let mut record = serde_json::to_value(event).unwrap();
                record["schema"] = "ledger-event/1".into();
                format!("production {}: generated\n\n{record}\n", event.operation)
            })
            .collect();
        self.chain("refs/xtask/ledger/production", &texts);
    }
}
