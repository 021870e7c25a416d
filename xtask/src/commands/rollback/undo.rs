//! Going back from an operation: what stopped midway is taken back; what has ended is a release, and is rolled back.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::{KIND, go_back};
use crate::backup;
use crate::commands::confirm::confirm;
use crate::commands::deploy;
use crate::context::Context;
use crate::domain::ledger::{Operation as Recorded, Outcome};
use crate::domain::operation::OperationId;
use crate::domain::release::{BackupRef, DatabaseChoice, Release, SchemaFacts, Verdict, verdict};
use crate::domain::step::Step;
use crate::error::CliError;
use crate::operation::ledger::Ledger;
use crate::operation::run::{Operation, ResumeMode, find, refuse_other_kind};
use crate::release::platforms::{Platforms, join};
use crate::release::release_tag::schema_fingerprint;
use crate::release::releases::Releases;
use crate::report;
use crate::restore;

/// Goes back from a deploy or a rollback: the release that was live before it serves again, with its data.
pub fn undo(ctx: &Context, id: &OperationId, kind: &str) -> Result<()> {
    let state = Ledger::open(ctx).state()?;
    let recorded = find(&state, &ctx.env_name, id)?;
    refuse_other_kind(recorded, kind)?;
    let releases = Releases::read(ctx)?;
    let before = release_before(&releases, recorded)?;
    let made = releases.of_operation(id);
    if made.is_none() && !recorded.unfinished() {
        return Err(nothing_to_undo(recorded));
    }
    let name = before.map_or(ctx.env_name.as_str(), |before| &before.tag);
    let agreed = || confirm(ctx, &format!("going back from {id}"), name);
    match (made, before) {
        (None, before) => {
            agreed()?;
            take_back(ctx, recorded, before)
        }
        (Some(made), None) => Err(
            CliError::refused(format!("there was no release before {}", made.tag))
                .live(format!("{} is live", made.tag))
                .next("mend and deploy")
                .into(),
        ),
        (Some(made), Some(before)) => roll_back(ctx, recorded, made, before, agreed),
    }
}

/// The release that was live when the operation began: `from` of a rollback's plan, `replaces` of a deploy's.
fn release_before<'a>(releases: &'a Releases, operation: &Recorded) -> Result<Option<&'a Release>> {
    let plan = &operation.started.plan;
    let Some(tag) = plan["from"].as_str().or(plan["replaces"].as_str()) else {
        return Ok(None);
    };
    let found = releases.find(tag);
    found
        .map(Some)
        .with_context(|| format!("the tag {tag} is gone from the remote"))
}

fn nothing_to_undo(recorded: &Recorded) -> anyhow::Error {
    let how = recorded.ended.as_ref().map(|end| end.outcome.to_string());
    CliError::usage(format!(
        "{} has ended ({}) and made no release: there is nothing to go back from",
        recorded.id,
        how.unwrap_or_else(|| "replaced by a later operation".into())
    ))
    .live("nothing was changed")
    .next("cargo xtask releases")
    .into()
}

/// The operation made a release: what is left of it is finished, so that the records say what happened, and then the
/// release before it is gone back to. What would be lost is shown first where nothing has to be finished before.
fn roll_back(
    ctx: &Context,
    recorded: &Recorded,
    made: &Release,
    before: &Release,
    agreed: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let reason = format!("undo of {}, which made {}", recorded.id, made.tag);
    let back = if recorded.unfinished() {
        agreed()?;
        finish_first(ctx, recorded);
        go_back(ctx, &before.tag, &reason, false, || Ok(()))
    } else {
        go_back(ctx, &before.tag, &reason, false, agreed)
    };
    super::told(ctx, &back?)
}

/// An unhealthy release is a reason to go back, not to stop.
fn finish_first(ctx: &Context, recorded: &Recorded) {
    let id = &recorded.id;
    let finished = if recorded.started.kind == KIND {
        super::resume(ctx, id).map(drop)
    } else {
        deploy::resume(ctx, id).map(drop)
    };
    if let Err(error) = finished {
        report::progress(&format!("{id} was finished first: {error:#}"));
    }
}

fn take_back(ctx: &Context, recorded: &Recorded, before: Option<&Release>) -> Result<()> {
    let (operation, _): (Operation, Value) =
        Operation::resume(ctx, &recorded.id, &recorded.started.kind, ResumeMode::Revert)?;
    if let Some(before) = before {
        let back = Back {
            ctx,
            recorded,
            before,
            operation: &operation,
        };
        if let Err(error) = back.take() {
            return Err(operation.fail(&error));
        }
    }
    let undone = Undone {
        operation: recorded.id.clone(),
        serves: before.map(|before| before.tag.clone()),
    };
    operation.finish(Outcome::Undone, json!({ "serves": undone.serves }))?;
    report::emit(ctx.format, "undone/1", &undone, || undone.text())
}

/// What was taken back midway.
#[derive(Serialize)]
struct Undone {
    operation: OperationId,
    /// The release that was live before; `None` where there was none.
    serves: Option<String>,
}

impl Undone {
    fn text(&self) -> String {
        match &self.serves {
            Some(tag) => format!("{tag} serves again, with the data that it had\n"),
            None => "there was no release before: what was deployed stays until the next deploy\n".to_owned(),
        }
    }
}

/// The way back of an operation that stopped midway.
struct Back<'a> {
    ctx: &'a Context,
    recorded: &'a Recorded,
    before: &'a Release,
    operation: &'a Operation,
}

impl Back<'_> {
    fn take(&self) -> Result<()> {
        let platforms = Platforms::open(self.ctx)?;
        self.settle(&platforms)?;
        std::thread::scope(|scope| {
            let frontend = scope.spawn(|| {
                self.operation.step(Step::UndoFrontend, || {
                    platforms.frontend_back(&self.before.vercel)
                })
            });
            let backend = scope.spawn(|| {
                self.operation
                    .step(Step::UndoBackend, || platforms.backend_back(&self.before.railway))
            });
            let data = self.data(&platforms);
            let (frontend, backend) = (join(frontend), join(backend));
            data?;
            frontend?;
            backend.map(drop)
        })
    }

    /// A backend that is still on its way up would take over from the one brought back, and run its migrations over the
    /// data that come back: its end is awaited, good or bad.
    fn settle(&self, platforms: &Platforms) -> Result<()> {
        self.operation
            .step(Step::UndoSettleBackend, || platforms.railway.settle())
    }

    fn data(&self, platforms: &Platforms) -> Result<()> {
        self.operation.step(Step::UndoDatabase, || {
            if self.recorded.started.kind == KIND {
                // Its collections are renamed back; where none was renamed, there is nothing to do.
                return restore::undo(self.ctx, &self.operation.id).map(drop);
            }
            let Some(backup) = self.backup_to_restore(platforms)? else {
                return Ok(());
            };
            let file = backup::find(self.ctx, &backup.id)?;
            restore::restore(self.ctx, &file, &self.operation.id).map(drop)
        })
    }

    /// A deploy has no shadow: where its backend was uploaded, its migrations may have run, and the backup that it
    /// took before is restored by the same rule as in a rollback.
    fn backup_to_restore(&self, platforms: &Platforms) -> Result<Option<BackupRef>> {
        let commit = self.recorded.started.plan["commit"].as_str();
        let commit = commit.context("the plan names no commit")?;
        // The platform is asked, not the record: we may have died between the upload and its record.
        if !platforms
            .railway
            .has_release(self.operation.id.as_str(), commit)?
        {
            return Ok(None);
        }
        let live = schema_fingerprint(self.ctx);
        let facts = SchemaFacts {
            changed_migrations: serde_json::from_value(self.recorded.started.plan["migrations"].clone()).ok(),
            target_schema: self.before.schema_fingerprint.as_deref(),
            live_schema: live.as_deref(),
        };
        if let Verdict::Keep { why } = verdict(DatabaseChoice::Auto, &facts) {
            report::progress(&format!("  the database is kept: {why}"));
            return Ok(None);
        }
        let taken = self.operation.done(Step::Backup).context(
            "the backend was uploaded without a backup on record: restore one by hand (cargo xtask backup list)",
        )?;
        Ok(Some(serde_json::from_value(taken.clone())?))
    }
}
