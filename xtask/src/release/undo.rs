//! The undo of a deploy or a rollback: what stopped midway is reverted; what has ended is a release, and is rolled back.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::external::TickedExternal;
use super::platforms::Platforms;
use super::releases::Releases;
use super::revert::CodeUndo;
use super::rollback::{PlannedRollback, RequiredHealth, RollbackTarget, RolledBack};
use super::{deploy, rollback};
use crate::backup;
use crate::config::ExternalConfig;
use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::domain::release::{
    BackupRef, DatabaseAction, DatabaseChoice, Release, SchemaFacts, database_action,
};
use crate::domain::snapshot::SnapshotRef;
use crate::domain::step::Step;
use crate::error::catalogue::release as errors;
use crate::operation::after::AfterFailures;
use crate::operation::basis::schema_fingerprint;
use crate::operation::run::{Operation, ResumeMode, find, refuse_other_kind};
use crate::report;
use crate::restore::{Rescue, Restore};

/// How an undo talks to the operator.
pub trait Operator {
    /// Shows what the rollback would do and what would be lost.
    fn show(&self, planned: &PlannedRollback);

    /// Whether the platforms may serve something else than the newest release recorded.
    fn allows_drift(&self) -> bool;

    /// Asks for the confirmation: the operator types `name`.
    fn confirm(&self, name: &str) -> Result<()>;

    /// Asks for what a rollback means for the systems outside.
    fn tick(&self, systems: &[ExternalConfig]) -> Result<Vec<TickedExternal>>;
}

/// What an undo did.
#[derive(Debug)]
pub enum Undo {
    /// The operation had stopped midway and was reverted.
    Reverted(Reverted),
    /// The operation had made a release, and another one rolled it back.
    RolledBack(Box<RolledBack>),
}

/// An operation that was reverted midway.
#[derive(Debug, Serialize)]
pub struct Reverted {
    pub operation: OperationId,
    /// The release that was live before; `None` where there was none.
    pub serves: Option<String>,
    /// What became of the data.
    pub data: RevertedData,
    /// What was taken out of the live data by that, in a file of its own.
    pub rescue: Option<Rescue>,
}

/// What an undo midway did to the data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum RevertedData {
    /// Nothing.
    #[default]
    Kept,
    /// A backup was restored.
    Restored { backup: String },
    /// The collections from before the swap have their names again.
    RenamedBack,
}

/// The facts of the step that reverts the data; earlier versions recorded none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct DataFacts {
    data: RevertedData,
    rescue: Option<Rescue>,
}

/// Undoes a deploy or a rollback: the release that was live before it serves again, with its data.
///
/// # Errors
/// Exit 2 or 3 where there is nothing to undo; exit 4 where the undo itself stopped midway.
pub fn undo(ctx: &Context, id: &OperationId, kind: &str, operator: &impl Operator) -> Result<Undo> {
    let releases = Releases::read(ctx)?;
    let recorded = find(releases.require_ledger(ctx)?, &ctx.env_name, id)?;
    refuse_other_kind(recorded, kind)?;
    let before = release_before(&releases, recorded)?;
    let made = releases.of_operation(id);
    if let (Some(made), Some(newest)) = (made, releases.newest())
        && newest.tag != made.tag
        && !recorded.unfinished()
    {
        return Err(not_the_last(recorded, made, newest, before));
    }
    if made.is_none() && !recorded.unfinished() {
        return Err(nothing_to_undo(recorded));
    }
    let name = before.map_or(ctx.env_name.as_str(), |before| &before.tag);
    match (made, before) {
        (None, before) => {
            report::progress(&what_of_data(recorded));
            operator.confirm(name)?;
            revert(ctx, recorded, before).map(Undo::Reverted)
        }
        (Some(made), None) => Err(errors::no_release_before(&made.tag).into()),
        (Some(made), Some(before)) => {
            roll_back(ctx, recorded, made, before, operator).map(|back| Undo::RolledBack(Box::new(back)))
        }
    }
}

/// The release that was live when the operation began: `from` of a rollback's plan, `replaces` of a deploy's.
fn release_before<'a>(releases: &'a Releases, operation: &LedgerOperation) -> Result<Option<&'a Release>> {
    let plan = &operation.started.plan;
    let Some(tag) = plan["from"].as_str().or(plan["replaces"].as_str()) else {
        return Ok(None);
    };
    Ok(Some(releases.named(tag)?))
}

/// What the undo midway may do to the data, before it is confirmed.
fn what_of_data(recorded: &LedgerOperation) -> String {
    let backup = recorded
        .steps
        .iter()
        .find(|step| step.name == Step::Backup.name());
    let how = match backup.and_then(|step| step.facts["id"].as_str()) {
        Some(backup) => format!("where its migrations may have run, the backup {backup} is restored"),
        None => "collections that it renamed get their names again".to_owned(),
    };
    format!("data: {how}; what was written since is counted and kept in a rescue file")
}

/// Its undo would take away the releases that came after it, and their data, without naming them.
fn not_the_last(
    recorded: &LedgerOperation,
    made: &Release,
    newest: &Release,
    before: Option<&Release>,
) -> anyhow::Error {
    let next = before.map_or_else(
        || "cargo xtask releases".to_owned(),
        |before| {
            format!(
                "cargo xtask rollback {} --plan shows what it would cost; cargo xtask {} --undo {} undoes the last one",
                before.tag,
                if newest.restores.is_some() { rollback::KIND } else { deploy::KIND },
                newest.operation
            )
        },
    );
    errors::not_the_last_operation(&recorded.id, &made.tag, &newest.tag, next).into()
}

fn nothing_to_undo(recorded: &LedgerOperation) -> anyhow::Error {
    let ended = recorded.ended.as_ref().map(|end| end.outcome.to_string());
    let ended = ended.unwrap_or_else(|| "replaced by a later operation".into());
    errors::nothing_to_undo(&recorded.id, ended).into()
}

/// The operation made a release: what is left of it is finished first, so that the records are complete, and then it is
/// rolled back. What would be lost is shown before the confirmation, unless something has to be finished first.
fn roll_back(
    ctx: &Context,
    recorded: &LedgerOperation,
    made: &Release,
    before: &Release,
    operator: &impl Operator,
) -> Result<RolledBack> {
    let reason = format!("undo of {}, which made {}", recorded.id, made.tag);
    let unfinished = recorded.unfinished();
    if unfinished {
        operator.confirm(&before.tag)?;
        finish_first(ctx, recorded);
    }
    let target = RollbackTarget {
        health: RequiredHealth::Any,
        allow_drift: operator.allows_drift(),
        ..RollbackTarget::healthy(&before.tag)
    };
    let mut planned = rollback::plan(ctx, &target)?;
    operator.show(&planned);
    if !unfinished {
        operator.confirm(&before.tag)?;
    }
    planned.ticked = operator.tick(&planned.plan.external)?;
    rollback::start(ctx, &planned, &reason)
}

/// An unhealthy release is a reason to roll back, not to stop here.
fn finish_first(ctx: &Context, recorded: &LedgerOperation) {
    let id = &recorded.id;
    let finished = if recorded.started.kind == rollback::KIND {
        rollback::resume(ctx, id).map(drop)
    } else {
        deploy::resume(ctx, id).map(drop)
    };
    if let Err(error) = finished {
        report::progress(&format!("{id} was finished first: {error:#}"));
    }
}

fn revert(ctx: &Context, recorded: &LedgerOperation, before: Option<&Release>) -> Result<Reverted> {
    let (operation, _): (Operation, Value) =
        Operation::resume(ctx, &recorded.id, &recorded.started.kind, ResumeMode::Revert)?;
    let mut facts = DataFacts::default();
    let mut outcome = OperationOutcome::Undone;
    if let Some(before) = before {
        let steps = Revert {
            ctx,
            recorded,
            before,
            operation: &operation,
        };
        facts = match steps.run() {
            Ok(facts) => facts,
            Err(error) => return Err(operation.fail(error)),
        };
    } else {
        // There is nothing to bring back in its place: what is live stays, and the ledger does not call that undone.
        match is_uploaded(ctx, recorded) {
            Ok(true) => outcome = OperationOutcome::Partial,
            Ok(false) => {}
            Err(error) => return Err(operation.stop(error)),
        }
    }
    let reverted = Reverted {
        operation: recorded.id.clone(),
        serves: before.map(|before| before.tag.clone()),
        data: facts.data,
        rescue: facts.rescue,
    };
    let ended = json!({ "serves": reverted.serves, "rescue": reverted.rescue });
    operation.conclude(outcome, ended)?;
    Ok(reverted)
}

/// Whether the platform has the backend of a deploy, so that it may be live. The platform is asked, not the record: we may have died
/// between the upload and its record.
fn is_uploaded(ctx: &Context, recorded: &LedgerOperation) -> Result<bool> {
    let commit = recorded.started.plan["commit"].as_str();
    let commit = commit.context("the plan names no commit")?;
    for railway in &Platforms::open(ctx)?.backends {
        if railway.has_release(recorded.id.as_str(), commit)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The steps that revert an operation which stopped midway.
struct Revert<'a> {
    ctx: &'a Context,
    recorded: &'a LedgerOperation,
    before: &'a Release,
    operation: &'a Operation,
}

impl Revert<'_> {
    fn run(&self) -> Result<DataFacts> {
        let platforms = Platforms::of_operation(self.ctx, self.operation)?;
        let code = CodeUndo {
            ctx: self.ctx,
            operation: self.operation,
            platforms: &platforms,
            before: self.before,
        };
        code.settle()?;
        // First the data: what is live goes on writing until it is replaced, and code never goes back beside data that could not.
        let data = self.data()?;
        code.run()?;
        let config = &self.ctx.config;
        let of_restore = match data.data {
            RevertedData::Kept => &[][..],
            RevertedData::Restored { .. } | RevertedData::RenamedBack => &config.restore.after,
        };
        let lists = [of_restore, &config.rollback.after].map(|commands| (Step::UndoAfter, commands));
        AfterFailures::of_all(self.ctx, self.operation, &lists)?.require_none(self.operation)?;
        Ok(data)
    }

    fn data(&self) -> Result<DataFacts> {
        let facts: Option<DataFacts> = self.operation.step(Step::UndoDatabase, || {
            if self.recorded.started.kind == rollback::KIND && self.ctx.env().mongodb.is_some() {
                // Its collections are renamed back; where none was renamed, there is nothing to do.
                let undone = Restore::of(self.ctx, self.operation)?.undo()?;
                let data = if undone.collections.is_empty() {
                    RevertedData::Kept
                } else {
                    RevertedData::RenamedBack
                };
                let rescue = undone.rescue;
                return Ok(Some(DataFacts { data, rescue }));
            }
            let Some(backup) = self.backup_to_restore()? else {
                return Ok(None);
            };
            let file = backup::find(self.ctx, &backup.id)?;
            let rescue = Restore::of(self.ctx, self.operation)?.run(&file)?.rescue;
            let data = RevertedData::Restored { backup: backup.id };
            Ok(Some(DataFacts { data, rescue }))
        })?;
        Ok(facts.unwrap_or_default())
    }

    /// A deploy has no shadow: where its backend was uploaded, its migrations may have run, and the backup that it
    /// took before is restored by the same rule as in a rollback.
    fn backup_to_restore(&self) -> Result<Option<BackupRef>> {
        if self.ctx.env().mongodb.is_none() || !is_uploaded(self.ctx, self.recorded)? {
            return Ok(None);
        }
        let live = schema_fingerprint(self.ctx);
        let facts = SchemaFacts {
            changed_migrations: serde_json::from_value(self.recorded.started.plan["migrations"].clone()).ok(),
            additive_migrations: Vec::new(),
            taken_away: None,
            target_schema: self.before.schema_fingerprint.as_deref(),
            live_schema: live.as_deref(),
        };
        if let DatabaseAction::Keep { why } = database_action(DatabaseChoice::Auto, &facts) {
            report::progress(&format!("  the database is kept: {why}"));
            return Ok(None);
        }
        let taken = self.operation.done(&Step::Backup.into());
        if let (None, Some(snapshot)) = (taken, self.operation.done(&Step::Snapshot.into())) {
            let snapshot: SnapshotRef = serde_json::from_value(snapshot.clone())?;
            let id = &self.operation.id;
            return Err(errors::data_only_in_snapshot(&snapshot.id, &snapshot.cluster, id).into());
        }
        let taken = taken.context(
            "the backend was uploaded without a backup on record: restore one by hand (cargo xtask backup list)",
        )?;
        Ok(Some(serde_json::from_value(taken.clone())?))
    }
}
