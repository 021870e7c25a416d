//! What a rollback will do: the target, whether the database is restored, what will be lost, how long it takes.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::facts::{Facts, OfGit, OfPlatforms};
use super::{RequiredHealth, RollbackTarget};
use crate::backup;
use crate::context::Context;
use crate::domain::ledger::OperationOutcome;
use crate::domain::release::{
    BackupRef, DatabaseAction, DatabaseChoice, Health, OnRailway, OnVercel, Release, SchemaFacts, backup_of,
    database_action, known_good,
};
use crate::domain::step::Step;
use crate::error::catalogue::release as errors;
use crate::operation::job_limit::JobLimit;
use crate::operation::preflight::Preflight;
use crate::release::checkout::Checkout;
use crate::release::releases::{Releases, tag_note};
use crate::release::variables::Variables;
use crate::report;

/// How the backend is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// With the image that the platform still has.
    Image,
    /// Built again from the tag's tree: the image is gone. It takes longer.
    Rebuild,
}

/// The plan of a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackPlan {
    pub environment: String,
    pub target: String,
    pub commit: String,
    /// The newest release, which is rolled back.
    pub from: String,
    #[serde(rename = "verdict")]
    pub database: DatabaseAction,
    /// The backup to restore, where the database is restored.
    pub backup: Option<BackupRef>,
    pub backend: Backend,
    pub railway: OnRailway,
    pub vercel: OnVercel,
    pub notes: Vec<String>,
}

/// Finds the target and what is to be done, or every reason why it cannot be.
pub(super) fn make(ctx: &Context, wanted: &RollbackTarget<'_>) -> Result<(RollbackPlan, Releases)> {
    let tag = wanted.tag;
    let releases = Releases::read(ctx)?;
    let Some(target) = releases.find(tag) else {
        return Err(no_such_target(ctx, &releases, tag));
    };
    let mut preflight = Preflight::default();
    let from = releases
        .newest()
        .context("there is a target, so there is a newest release")?;
    preflight.require(from.tag != target.tag, || {
        format!("{tag} is the newest release: it should be live already")
    });
    preflight.require(
        target.health == Health::Healthy || wanted.health == RequiredHealth::Any,
        || format!("{tag} was never healthy: its record has {}", target.health.word()),
    );
    let facts = Facts::ask(ctx, target, from);
    let database = decide(target, &facts, wanted.database, &mut preflight);
    check_record(ctx, target, facts.git, &mut preflight);
    let backup = match &database {
        DatabaseAction::Restore { .. } => check_backup(ctx, &releases, tag, &mut preflight),
        DatabaseAction::Keep { .. } => None,
    };
    let (backend, mut notes) = check_platforms(target, from, facts.platforms, &mut preflight);
    if backend == Backend::Rebuild {
        preflight.check("the files to release", Checkout::of(ctx, &target.commit));
    }
    preflight.check("the database's secret", ctx.secret(&ctx.env().mongodb.uri));
    preflight.check("the backup's keys", backup::encryption::check(ctx));
    preflight.check(
        "the time that the job has",
        JobLimit::read(ctx).and_then(|limit| limit.require_all()),
    );
    notes.extend(changed_variables(ctx, target, backend, &mut preflight));
    notes.extend(tag_note(ctx, &target.commit));
    preflight.finish(&format!("the rollback to {tag}"))?;
    let plan = RollbackPlan {
        environment: ctx.env_name.clone(),
        target: target.tag.clone(),
        commit: target.commit.clone(),
        from: from.tag.clone(),
        database,
        backup,
        backend,
        railway: target.railway.clone(),
        vercel: target.vercel.clone(),
        notes,
    };
    Ok((plan, releases))
}

/// The tag is wrong: says in which way, and which tags would be right.
fn no_such_target(ctx: &Context, releases: &Releases, tag: &str) -> anyhow::Error {
    let prefix = &ctx.env().tag_prefix;
    let unreadable = releases
        .unreadable
        .iter()
        .find(|(name, _)| name == tag)
        .map(|(_, why)| why.clone());
    let malformed = crate::domain::release::tag_time(prefix, tag)
        .err()
        .map(|error| error.to_string());
    let why = unreadable
        .or(malformed)
        .unwrap_or_else(|| format!("the remote has no tag {tag}"));
    errors::not_a_target(tag, why, offered(releases).join(", ")).into()
}

/// The releases that a rollback offers, newest first.
pub fn offered(releases: &Releases) -> Vec<String> {
    known_good(&releases.all)
        .into_iter()
        .map(|release| release.tag.clone())
        .collect()
}

/// The ledger has the hash of each record, so a tag that was recreated with another record is refused.
fn check_record(ctx: &Context, target: &Release, git: OfGit, preflight: &mut Preflight) {
    if let Some(state) = preflight.check("the ledger", git.ledger) {
        let mut ends = state
            .operations
            .iter()
            .filter_map(|operation| operation.ended.as_ref())
            .filter(|end| end.outcome == OperationOutcome::Done);
        let recorded = ends.rfind(|end| end.facts["tag"] == target.tag.as_str());
        let same = recorded.is_some_and(|end| {
            target
                .sha256()
                .is_ok_and(|sha256| end.facts["record_sha256"] == sha256)
        });
        preflight.require(same, || {
            format!(
                "the record of {} is not the one that the ledger knows",
                target.tag
            )
        });
    }
    if let Some(reachable) = preflight.check("the target's commit", git.reachable) {
        preflight.require(reachable, || {
            format!("{} is not on the branch {}", target.commit, ctx.config.git.branch)
        });
    }
}

fn decide(
    target: &Release,
    facts: &Facts,
    choice: DatabaseChoice,
    preflight: &mut Preflight,
) -> DatabaseAction {
    preflight.require(facts.live_schema.is_some(), || {
        "the database cannot be read".into()
    });
    let facts = SchemaFacts {
        changed_migrations: facts.git.changed_migrations.as_ref().ok().cloned(),
        target_schema: target.schema_fingerprint.as_deref(),
        live_schema: facts.live_schema.as_deref(),
    };
    database_action(choice, &facts)
}

/// The backup of the target must be there and be the one that was recorded.
fn check_backup(
    ctx: &Context,
    releases: &Releases,
    tag: &str,
    preflight: &mut Preflight,
) -> Option<BackupRef> {
    let Some(backup) = backup_of(&releases.all, tag) else {
        preflight.require(false, || {
            format!("no backup was taken when {tag} was replaced: --database keep rolls back the code only")
        });
        return None;
    };
    if let Some(found) = preflight.check(
        &format!("the backup {}", backup.id),
        backup::find(ctx, &backup.id),
    ) {
        preflight.require(found.metadata.hash == backup.hash, || {
            format!(
                "the backup {} is not the one that the release recorded: its hash differs",
                backup.id
            )
        });
        preflight.require(found.metadata.verified.is_some(), || {
            format!("the backup {} was never verified", backup.id)
        });
    }
    Some(backup.clone())
}

fn check_platforms(
    target: &Release,
    from: &Release,
    platforms: Result<OfPlatforms>,
    preflight: &mut Preflight,
) -> (Backend, Vec<String>) {
    let mut notes =
        vec!["after this, Vercel assigns the domain to no new deployment until the next deploy".to_owned()];
    let Some(platforms) = preflight.check("the platforms", platforms) else {
        return (Backend::Image, notes);
    };
    preflight.check("the backend's token", platforms.token);
    if let Some(serving) = preflight.check("what serves now", platforms.serving) {
        let drift = serving.drift_from(from).into_iter();
        notes.extend(drift.map(|drift| format!("drift: {drift}")));
    }
    if let Some(frontend) = preflight.check("the target's frontend", platforms.frontend) {
        preflight.require(frontend.is_promotable(), || {
            format!(
                "the frontend {} of {} is {}",
                frontend.id, target.tag, frontend.ready_state
            )
        });
    }
    if platforms.image_kept {
        return (Backend::Image, notes);
    }
    let took_ms = target.took_ms(Step::BackendServes);
    let took = took_ms.map_or_else(String::new, |ms| {
        format!(" (it took {})", report::duration_ms(ms))
    });
    notes.push(format!(
        "the backend's image is gone: it is rebuilt from the tag, which takes as long as its deploy did{took}"
    ));
    (Backend::Rebuild, notes)
}

fn changed_variables(
    ctx: &Context,
    target: &Release,
    backend: Backend,
    preflight: &mut Preflight,
) -> Vec<String> {
    let what_comes = match backend {
        Backend::Image => "the platform restores the previous values",
        Backend::Rebuild => "the rebuilt backend runs with the current values",
    };
    let changed = preflight.check(
        "the variables",
        Variables::read(ctx).and_then(|now| now.changed_since(target)),
    );
    match changed {
        Some(changed) if !changed.is_empty() => vec![format!(
            "{} ran with other values of {}: {what_comes}",
            target.tag,
            changed.join(", ")
        )],
        _ => Vec::new(),
    }
}

impl RollbackPlan {
    /// Whether the database is restored.
    pub fn restores(&self) -> bool {
        matches!(self.database, DatabaseAction::Restore { .. })
    }

    /// The plan for people.
    pub fn text(&self) -> String {
        let (database, why) = match &self.database {
            DatabaseAction::Keep { why } => ("keep", why),
            DatabaseAction::Restore { why } => ("restore", why),
        };
        let backup = self.backup.as_ref().map_or("none", |backup| backup.id.as_str());
        let backend = match self.backend {
            Backend::Image => "with the image that the platform kept",
            Backend::Rebuild => "rebuilt from the tag",
        };
        let mut rows = vec![
            vec!["from".to_owned(), self.from.clone()],
            vec!["commit".to_owned(), self.commit.clone()],
            vec!["database".to_owned(), format!("{database}: {why}")],
            vec!["backup".to_owned(), backup.to_owned()],
            vec!["backend".to_owned(), backend.to_owned()],
            vec![
                "frontend".to_owned(),
                format!("deployment {}", self.vercel.deployment),
            ],
        ];
        rows.extend(
            self.notes
                .iter()
                .map(|note| vec!["note".to_owned(), note.clone()]),
        );
        report::table(&["rollback to", &self.target], &rows)
    }
}
