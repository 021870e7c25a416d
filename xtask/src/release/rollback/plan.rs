//! What a rollback will do: the target, whether the database is restored, what will be lost, how long it takes.

mod form;

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::backend::{Backend, BackendBack, slowest};
use super::facts::{Facts, OfGit};
use super::targets::{CheckedPlatforms, Targets, check_platforms};
use super::{RequiredHealth, RollbackTarget};
use crate::backup;
use crate::config::{BackendConfig, ExternalConfig};
use crate::context::Context;
use crate::database::{Digests, Live, backup_inventory};
use crate::domain::migration::ChangedMigration;
use crate::domain::parts::{OnVercel, ReleaseParts, about};
use crate::domain::release::{
    BackupRef, DatabaseAction, DatabaseChoice, Health, Release, SchemaFacts, database_action,
};
use crate::domain::release_chain::restores;
use crate::error::catalogue::release as errors;
use crate::operation::job_limit::JobLimit;
use crate::operation::preflight::Preflight;
use crate::release::break_glass;
use crate::release::checkout::Checkout;
use crate::release::migrations::applied_note;
use crate::release::others::absent;
use crate::release::releases::{Releases, tag_note};
use crate::release::variables::Variables;
use crate::report;
use crate::restore;
use crate::tools::railway::RailwayService;
use crate::tools::railway::database_uri;

/// The plan of a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "form::PlanForm", into = "form::PlanForm")]
pub struct RollbackPlan {
    pub environment: String,
    pub target: String,
    pub commit: String,
    /// The newest release, which is rolled back.
    pub from: String,
    pub database: DatabaseAction,
    /// The backup to restore, where the database is restored.
    pub backup: Option<BackupRef>,
    /// By part.
    pub backends: BTreeMap<String, BackendBack>,
    pub frontends: BTreeMap<String, OnVercel>,
    /// Parts that the target has not: they stay as they are.
    pub stays: Option<ReleaseParts>,
    /// What later releases changed in the data, by their migrations; nothing where that is not known.
    pub migrations: Vec<ChangedMigration>,
    /// Systems outside, which are not rolled back.
    pub external: Vec<ExternalConfig>,
    pub notes: Vec<String>,
}

/// A plan, and what it was made of.
pub(super) struct Made {
    pub plan: RollbackPlan,
    pub releases: Releases,
    /// The schema of the data, read once; `None` where the database could not be read.
    pub live_schema: Option<String>,
}

/// Finds the target and what is to be done, or every reason why it cannot be.
pub(super) fn make(ctx: &Context, wanted: &RollbackTarget<'_>) -> Result<Made> {
    let tag = wanted.tag;
    let releases = Releases::read(ctx)?;
    releases.require_ledger(ctx)?;
    let Some(target) = releases.find(tag) else {
        return Err(no_such_target(ctx, &releases, tag));
    };
    let mut preflight = Preflight::default();
    let Some(from) = releases.newest() else {
        releases.require_sound(None, &mut preflight);
        preflight.finish(&format!("the rollback to {tag}"))?;
        return Err(no_such_target(ctx, &releases, tag));
    };
    releases.require_sound(Some(tag), &mut preflight);
    break_glass::require_none(ctx, &mut preflight);
    preflight.require(
        wanted.health == RequiredHealth::Any || releases.is_good(ctx, target),
        || {
            format!(
                "{tag} was never healthy: its record has {}, and no later check recorded another verdict (`cargo xtask health --record` \
                 does, --allow-unhealthy-target rolls back to it all the same)",
                target.health.word()
            )
        },
    );
    let parts = Targets::of(ctx, target, from);
    let facts = Facts::ask(ctx, &parts.target, target, &releases);
    let CheckedPlatforms {
        backends,
        services,
        mut notes,
        has_drift,
    } = check_platforms(&parts, target, &releases, wanted, facts.platforms, &mut preflight);
    notes.extend(absent(ctx));
    // Where the platforms serve something else, it is live in the records only.
    if !has_drift && (from.tag == target.tag || restores(&releases.all, from, tag)) {
        return Err(errors::live_already(tag, &from.tag).into());
    }
    let has_database = ctx.env().mongodb.is_some();
    preflight.require(facts.live_schema.is_some() || !has_database, || {
        "the database cannot be read".into()
    });
    // Where the backend is not what was recorded, the migrations of the newest release say nothing about the data that are live.
    let known = facts.git.changed_migrations.as_ref().ok().filter(|_| !has_drift);
    let migrations = known.cloned();
    let mut schema = schema_facts(target, migrations.as_deref(), facts.live_schema.as_deref());
    // It reads the whole backup: only where the verdict follows from it.
    let only_adds = schema.changed_migrations.as_ref().is_some_and(Vec::is_empty)
        && !schema.additive_migrations.is_empty();
    if wanted.database == DatabaseChoice::Auto && only_adds {
        schema.taken_away = taken_away(ctx, &releases, tag);
    }
    let database = if has_database {
        database_action(wanted.database, &schema)
    } else {
        DatabaseAction::Keep {
            why: "the environment has none".into(),
        }
    };
    if has_database {
        require_word(wanted, &database, &schema, &mut preflight);
    }
    check_commit(ctx, target, facts.git, &mut preflight);
    let backup = match &database {
        DatabaseAction::Restore { .. } => check_backup(ctx, &releases, tag, &mut preflight, &mut notes),
        DatabaseAction::Keep { .. } => None,
    };
    check_files(ctx, target, &backends, &services, &mut preflight);
    if let Some(mongodb) = &ctx.env().mongodb {
        preflight.check("the database's secret", ctx.connection_string(&mongodb.uri));
        preflight.check("the backup's keys", backup::encryption::check(ctx));
    }
    preflight.check(
        "the time that the job has",
        JobLimit::read(ctx).and_then(|limit| limit.require_all()),
    );
    notes.extend(costs(&releases, target, backup.as_ref()));
    notes.extend(
        migrations
            .as_deref()
            .and_then(|changed| applied_note(ctx, changed)),
    );
    notes.extend(changed_variables(ctx, target, &backends, &mut preflight));
    notes.extend(tag_note(ctx, &target.commit));
    preflight.finish(&format!("the rollback to {tag}"))?;
    let plan = RollbackPlan {
        environment: ctx.env_name.clone(),
        target: target.tag.clone(),
        commit: target.commit.clone(),
        from: from.tag.clone(),
        database,
        backup,
        backends,
        frontends: parts.target.frontends,
        stays: parts.stays,
        migrations: migrations.unwrap_or_default(),
        external: ctx.env().external.clone(),
        notes,
    };
    Ok(Made {
        plan,
        live_schema: facts.live_schema,
        releases,
    })
}

/// What is built again must be there as it was committed.
fn check_files(
    ctx: &Context,
    target: &Release,
    backends: &BTreeMap<String, BackendBack>,
    services: &[(BackendConfig, RailwayService)],
    preflight: &mut Preflight,
) {
    for (config, service) in services {
        let back = &backends[&config.name];
        if back.how == Backend::Rebuild {
            let commit = back.to.commit.as_ref().unwrap_or(&target.commit);
            let files = Checkout::of(ctx, commit);
            let files = files.and_then(|files| files.backend(config, service));
            preflight.check(&about("the files to release", &config.name), files);
        }
    }
}

/// The tag is wrong: says in which way, and which tags would be right.
fn no_such_target(ctx: &Context, releases: &Releases, tag: &str) -> anyhow::Error {
    if releases.unrecorded.iter().any(|release| release.tag == tag) {
        return errors::not_in_ledger(tag, offered(ctx, releases).join(", ")).into();
    }
    let prefix = &ctx.env().tag_prefix;
    let doubts = releases.doubts(tag);
    let doubtful = (!doubts.is_empty()).then(|| doubts.join("; "));
    let unreadable = releases
        .unreadable
        .iter()
        .find(|(name, _)| name == tag)
        .map(|(_, why)| why.clone());
    let malformed = crate::domain::release::tag_time(prefix, tag)
        .err()
        .map(|error| error.to_string());
    let why = unreadable
        .or(doubtful)
        .or(malformed)
        .unwrap_or_else(|| format!("the remote has no tag {tag}"));
    errors::not_a_target(tag, why, offered(ctx, releases).join(", ")).into()
}

/// The releases that a rollback offers, newest first.
pub fn offered(ctx: &Context, releases: &Releases) -> Vec<String> {
    releases
        .known_good(ctx)
        .into_iter()
        .map(|release| release.tag.clone())
        .collect()
}

fn check_commit(ctx: &Context, target: &Release, git: OfGit, preflight: &mut Preflight) {
    if let Some(reachable) = preflight.check("the target's commit", git.reachable) {
        preflight.require(reachable, || {
            format!("{} is not on the branch {}", target.commit, ctx.config.git.branch)
        });
    }
}

fn schema_facts<'a>(
    target: &'a Release,
    migrations: Option<&[ChangedMigration]>,
    live_schema: Option<&'a str>,
) -> SchemaFacts<'a> {
    let texts = |additive: bool, all: &[ChangedMigration]| -> Vec<String> {
        let of_kind = all.iter().filter(|one| one.is_additive() == additive);
        of_kind.map(ChangedMigration::text).collect()
    };
    SchemaFacts {
        changed_migrations: migrations.map(|all| texts(false, all)),
        additive_migrations: migrations.map_or_else(Vec::new, |all| texts(true, all)),
        taken_away: None,
        target_schema: target.schema_fingerprint.as_deref(),
        live_schema,
    }
}

/// What the live schema lacks of the one that the target left: its backup has it. `None` where that is not known.
fn taken_away(ctx: &Context, releases: &Releases, tag: &str) -> Option<Vec<String>> {
    let place = ctx.env().mongodb.as_ref()?;
    let backup = backup::find(ctx, &releases.backup_of(tag).ok()??.id).ok()?;
    let then = backup_inventory(&backup.metadata.namespaces, &place.database);
    let live = Live::connect(&database_uri(ctx).ok()?, &place.database).ok()?;
    let taken = then.taken_away(&live.inventory(Digests::Structure).ok()?);
    Some(taken.iter().map(ToString::to_string).collect())
}

/// Code that was not made for the data that it meets needs a word of the operator.
fn require_word(
    wanted: &RollbackTarget<'_>,
    database: &DatabaseAction,
    schema: &SchemaFacts<'_>,
    preflight: &mut Preflight,
) {
    let changed = schema.changed_migrations.as_deref().unwrap_or_default();
    let is_kept = matches!(database, DatabaseAction::Keep { .. });
    preflight.require(!is_kept || changed.is_empty() || wanted.over_migrations, || {
        format!(
            "--database keep leaves what these migrations did to the data, and {} was not made for it: {} (--over-migrations accepts \
             that; --database restore restores the data of {})",
            wanted.tag,
            changed.join(", "),
            wanted.tag
        )
    });
}

/// What the target means and costs beyond its name: its health, and what was written where it was live a second time.
fn costs(releases: &Releases, target: &Release, backup: Option<&BackupRef>) -> Vec<String> {
    let mut notes = Vec::new();
    let tag = &target.tag;
    if target.health != Health::Healthy {
        notes.push(format!("{tag} was {} when it was live", target.health.word()));
    }
    let mut again = releases.all.iter().rev();
    let again = again.find(|release| restores(&releases.all, release, tag));
    if let (Some(again), Some(backup)) = (again, backup) {
        notes.push(format!(
            "{tag} was live a second time, as {}: what was written then and since is not in the backup {}, which was taken \
             when {tag} was replaced for the first time. To keep what was written until {} was replaced: cargo xtask rollback {}",
            again.tag, backup.id, again.tag, again.tag
        ));
    }
    notes
}

/// The backup of the target must be there and be the one that was recorded, and can be restored.
fn check_backup(
    ctx: &Context,
    releases: &Releases,
    tag: &str,
    preflight: &mut Preflight,
    notes: &mut Vec<String>,
) -> Option<BackupRef> {
    // In doubt, the record that names it is a problem of its own.
    let Some(backup) = releases.backup_of(tag).ok()? else {
        preflight.require(false, || match releases.snapshot_of(tag) {
            Some(snapshot) => backup::snapshot::way_back(snapshot, tag),
            None => format!(
                "no backup was taken when {tag} was replaced: --database keep rolls back the code only"
            ),
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
        // Without it the backup is found unreadable only under the lock, where nothing is compared before.
        preflight.check("the backup's key", backup::open_archive(ctx, &found));
        let ledger = releases.ledger.clone().unwrap_or_default();
        if let Some(part) = preflight.check("the restore", restore::as_part(ctx, &found, &ledger)) {
            for problem in part.problems {
                preflight.require(false, || format!("the restore: {problem}"));
            }
            notes.extend(part.notes);
        }
    }
    if releases.snapshot_of(tag).is_some() {
        notes.push("the data come from the backup of this program, and not from the snapshot on Atlas: that takes longer".into());
    }
    Some(backup.clone())
}

fn changed_variables(
    ctx: &Context,
    target: &Release,
    backends: &BTreeMap<String, BackendBack>,
    preflight: &mut Preflight,
) -> Vec<String> {
    let what_comes = match slowest(backends.values()) {
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
        let mut rows = vec![
            vec!["from".to_owned(), self.from.clone()],
            vec!["commit".to_owned(), self.commit.clone()],
            vec!["database".to_owned(), format!("{database}: {why}")],
            vec!["backup".to_owned(), backup.to_owned()],
        ];
        rows.extend(self.backends.iter().map(|(name, back)| {
            let how = match back.how {
                Backend::Image => "with the image that the platform kept",
                Backend::Rebuild => "rebuilt from the tag",
            };
            vec![about("backend", name), how.to_owned()]
        }));
        rows.extend(
            self.frontends
                .iter()
                .map(|(name, to)| vec![about("frontend", name), format!("deployment {}", to.deployment)]),
        );
        rows.extend(self.migrations.iter().map(|migration| {
            let because = migration.classified.because.join(", ");
            vec!["migration".to_owned(), format!("{}: {because}", migration.text())]
        }));
        rows.extend(self.external.iter().map(|system| {
            vec![
                "not rolled back".to_owned(),
                format!("{}: {}", system.name, system.on_rollback),
            ]
        }));
        rows.extend(
            self.notes
                .iter()
                .map(|note| vec!["note".to_owned(), note.clone()]),
        );
        report::table(&["rollback to", &self.target], &rows)
    }
}
