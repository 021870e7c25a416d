//! The last step of a deploy and of a rollback: what is live now is recorded as a release, healthy or not.

use std::sync::{Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use chrono::Utc;
use serde_json::Value;

use super::releases::{Releases, publish, push_missing_tags};
use crate::context::Context;
use crate::domain::parts::ReleaseParts;
use crate::domain::release::{Health, RELEASE_SCHEMA, Release};
use crate::domain::step::Step;
use crate::error::catalogue::release as errors;
use crate::health::HealthReport;
use crate::operation::basis::schema_fingerprint;
use crate::operation::run::Operation;
use crate::secret::scrub_json;
use crate::sync::lock;

/// What was found live.
#[derive(Debug)]
pub struct LiveRelease {
    pub commit: String,
    pub parts: ReleaseParts,
    pub health: Health,
    /// The report of the checks; `None` where an earlier process of the operation ran them.
    pub health_report: Option<Value>,
}

/// The last health report of what is live, kept for the record.
#[derive(Debug, Default)]
pub struct HealthSnapshot(Mutex<Option<Value>>);

impl HealthSnapshot {
    pub fn keep(&self, report: &HealthReport) -> Result<()> {
        let mut report = serde_json::to_value(report).context("cannot keep the health report")?;
        // It is for people, and a tag is public for good.
        scrub_json(&mut report);
        *self.lock() = Some(report);
        Ok(())
    }

    pub fn take(&self) -> Option<Value> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Value>> {
        lock(&self.0)
    }
}

/// Records what is live; `complete` adds to the draft what only the caller knows. Where an earlier process of the operation
/// pushed the record and was killed before it could say so, that record stands.
pub fn record(
    ctx: &Context,
    operation: &Operation,
    releases: &Releases,
    live: LiveRelease,
    complete: impl FnOnce(Release) -> Result<Release>,
) -> Result<Release> {
    operation.step(Step::RecordRelease, || {
        push_missing_tags(ctx, releases);
        if let Some(made) = releases.of_operation(&operation.id) {
            let same = (&made.commit, &made.parts) == (&live.commit, &live.parts);
            if !same || made.environment != ctx.env_name {
                return Err(errors::recorded_otherwise(&operation.id, &made.tag).into());
            }
            return Ok(made.clone());
        }
        let release = complete(Release {
            schema: RELEASE_SCHEMA.into(),
            tag: releases.next_tag(ctx),
            environment: ctx.env_name.clone(),
            operation: operation.id.to_string(),
            created: Utc::now(),
            commit: live.commit,
            parts: live.parts,
            backup: None,
            snapshot: None,
            approvers: Vec::new(),
            actor: ctx.actor(),
            reason: None,
            health: live.health,
            variables: Vec::new(),
            schema_fingerprint: schema_fingerprint(ctx),
            ledger: operation.ledger_head(),
            rollback_of: None,
            restores: None,
            timings_ms: operation.durations_ms(),
            health_report: live.health_report,
        })?;
        operation.check()?;
        publish(ctx, &release)?;
        Ok(release)
    })
}
