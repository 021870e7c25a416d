//! Repairs what records releases: a ledger that is gone is begun again from the release records, and records and tags that are
//! gone are pushed again from the ledger. Nothing that exists is changed: git refuses that, and so does this.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use super::releases::{Releases, publish_record, push_tag};
use crate::context::Context;
use crate::domain::ledger::{LedgerState, OperationOutcome};
use crate::domain::release::ReleaseRecord;
use crate::domain::release_chain::{ADOPTED, LedgerRelease, RecordedRelease, ReleaseLink, releases_of};
use crate::operation::ledger::{Ledger, Start};
use crate::operation::run::plan_sha256;
use crate::tools::git::{Git, RELEASES};

/// The kind of the operation in the ledger.
const KIND: &str = "ledger-repair";
/// How far the clocks of two machines may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// What a repair will do.
#[derive(Debug, Default, Serialize)]
pub struct RepairPlan {
    /// Releases that a new ledger takes over, oldest first; the last one is what should be live.
    pub adopt: Vec<AdoptedRelease>,
    /// Releases whose record or tag is pushed again.
    pub push: Vec<String>,
    /// What cannot be repaired, and what to do.
    pub left: Vec<String>,
    #[serde(skip)]
    messages: BTreeMap<String, PushedAgain>,
}

/// A release of a new ledger.
#[derive(Debug, Serialize)]
pub struct AdoptedRelease {
    pub tag: String,
    pub record_sha256: String,
}

/// What is pushed of a release.
#[derive(Debug)]
struct PushedAgain {
    message: String,
    commit: String,
}

/// Finds out what has to be repaired. Nothing is changed.
pub fn plan(ctx: &Context) -> Result<RepairPlan> {
    let releases = Releases::read(ctx)?;
    match &releases.ledger {
        Some(state) if !releases.links.is_empty() || releases.unrecorded.is_empty() => {
            push_again(ctx, state, &releases)
        }
        Some(_) => Ok(adopt(&Releases::without_ledger(ctx)?)),
        None => Ok(adopt(&releases)),
    }
}

/// Carries the plan out.
///
/// # Errors
/// Exit 3 where somebody else began a ledger meanwhile.
pub fn carry_out(ctx: &Context, plan: &RepairPlan) -> Result<()> {
    let git = Git::open(ctx);
    for (tag, again) in &plan.messages {
        publish_record(&git, tag, &again.message)?;
        push_tag(&git, tag, &again.message, &again.commit)?;
    }
    if plan.adopt.is_empty() {
        return Ok(());
    }
    let lock = Ledger::open_new(ctx).begin(Start {
        kind: KIND.into(),
        reason: format!(
            "a new ledger takes over {} releases from their records",
            plan.adopt.len()
        ),
        target: ctx.env_name.clone(),
        plan_sha256: plan_sha256(plan)?,
        plan: serde_json::to_value(plan)?,
        over: None,
    })?;
    lock.finish(OperationOutcome::Done, json!({ ADOPTED: plan.adopt }))
}

/// The releases whose record, tag and time agree.
fn adopt(releases: &Releases) -> RepairPlan {
    let mut plan = RepairPlan::default();
    for link in &releases.links {
        match sound(link) {
            Ok(sha256) => plan.adopt.push(AdoptedRelease {
                tag: link.tag.clone(),
                record_sha256: sha256,
            }),
            Err(why) => plan.left.push(format!("{} is left out: {why}", link.tag)),
        }
    }
    plan
}

fn sound(link: &ReleaseLink) -> Result<String, String> {
    if !link.problems.is_empty() {
        return Err(link.problems.join("; "));
    }
    let created = link.release.as_ref().map(|release| release.created);
    if created.is_some_and(|created| created > Utc::now() + SKEW) {
        return Err("it was made in the future".into());
    }
    link.sha256.clone().ok_or_else(|| "it has no record".into())
}

/// The records and tags that the ledger has and the remote has not.
fn push_again(ctx: &Context, state: &LedgerState, releases: &Releases) -> Result<RepairPlan> {
    let found = Git::open(ctx).recorded_releases(&ctx.env().tag_prefix)?;
    let found: BTreeMap<&str, &RecordedRelease> = found.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut plan = RepairPlan::default();
    for ledger in releases_of(state) {
        let doubts = releases.doubts(&ledger.tag);
        if doubts.is_empty() {
            continue;
        }
        if releases.is_of_another_ledger(&ledger.tag) {
            plan.left
                .push(format!("{}: {}", doubts.join("; "), rewritten(&ctx.env_name)));
            continue;
        }
        let there = found.get(ledger.tag.as_str());
        match again(&ledger, there.copied()) {
            Ok(again) => {
                plan.push.push(ledger.tag.clone());
                plan.messages.insert(ledger.tag, again);
            }
            Err(advice) => plan.left.push(format!("{}: {advice}", doubts.join("; "))),
        }
    }
    Ok(plan)
}

/// What has to be done by hand where the ledger was rewritten.
fn rewritten(environment: &str) -> String {
    let ledger = format!("xtask/ledger/{environment}");
    format!(
        "find out who did it; then push the former ledger of a clone that has read it (`git log refs/xtask/seen/{ledger}`) with \
         `git push --force origin COMMIT:refs/{ledger}`; or remove the ledger with `git push --delete origin refs/{ledger}` and run \
         this command again: a new one takes over what the records have"
    )
}

/// What to push of a release, or what has to be done by hand.
fn again(ledger: &LedgerRelease, there: Option<&RecordedRelease>) -> Result<PushedAgain, String> {
    let tag = &ledger.tag;
    if let Some(there) = there {
        let mut commands = Vec::new();
        if there.is_tagged {
            commands.push(format!("git push --delete origin refs/tags/{tag}"));
        }
        let is_other = ReleaseRecord::from_message(tag, &there.message)
            .map_or(true, |record| ledger.sha256.as_ref() != Some(&record.sha256));
        if there.is_recorded && is_other {
            commands.push(format!("git push --delete origin {RELEASES}/{tag}"));
        }
        return Err(format!(
            "find out who changed it, then {} and run this command again",
            commands.join(" and ")
        ));
    }
    let none = || format!("the ledger has no copy of the record of {tag}: deploy a new release");
    let value = ledger.record.clone().ok_or_else(none)?;
    let record = ReleaseRecord::from_value(tag, value.clone()).map_err(|error| format!("{error:#}"))?;
    if ledger
        .sha256
        .as_ref()
        .is_some_and(|sha256| *sha256 != record.sha256)
    {
        return Err("the ledger's copy of the record is not the one that was made".into());
    }
    let message = record.release.message_with(&value);
    Ok(PushedAgain {
        message: message.map_err(|error| format!("{error:#}"))?,
        commit: record.release.commit,
    })
}
