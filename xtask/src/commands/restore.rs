//! `cargo xtask restore`: a backup takes the place of the live data, after proof, and can be taken back.
//!
//! The operator's steps: `restore BACKUP --plan` to see what would be lost; `restore BACKUP`; `restore --undo OPERATION`
//! if it was a mistake; `restore --forget OPERATION` days later, when nobody needs what was live before.

mod locked;
mod plan;

pub use plan::loss_text;

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::backup;
use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::domain::ledger::OperationOutcome;
use crate::domain::operation::OperationId;
use crate::domain::step::Step;
use crate::error::{CliError, unchanged};
use crate::report;
use crate::restore::{self, Delta, Known, Mended, Swapped, Undone};

/// Options of `restore`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// A backup: its id, its file, its folder, or the tag of the release that it belongs to
    #[arg(group = "what")]
    backup: Option<String>,
    /// Take a restore back: what was live before it becomes live again
    #[arg(long, value_name = "OPERATION", group = "what")]
    undo: Option<OperationId>,
    /// Go on with a restore that was stopped
    #[arg(long, value_name = "OPERATION", group = "what")]
    resume: Option<OperationId>,
    /// Drop what was live before a restore
    #[arg(long, value_name = "OPERATION", group = "what")]
    forget: Option<OperationId>,
    /// Put documents of a rescue file back where their `_id` and unique keys are free
    #[arg(long, value_name = "RESCUE", group = "what")]
    reinsert: Option<String>,
    /// Only this collection of the rescue file
    #[arg(long, requires = "reinsert")]
    collection: Option<String>,
    /// Run the hooks of pipeline.toml that keep writers away during the swap
    #[arg(long, conflicts_with_all = ["forget", "list", "reinsert"])]
    quiesce: bool,
    /// Why; kept in the ledger
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
    /// Show the restores of this database and what they left in it
    #[arg(long, group = "what")]
    list: bool,
    /// Show what would be done and lost; change nothing
    #[arg(long, requires = "backup")]
    plan: bool,
    /// Show whole documents as examples of what would be lost, not only ids and field names
    #[arg(long, requires = "backup")]
    show_values: bool,
    /// Compare every document with the backup, or only counts
    #[arg(long, value_enum, default_value_t, requires = "backup")]
    delta: Delta,
    /// Accept a backup that was taken on another host: a new cluster
    #[arg(long, requires = "backup")]
    other_host: bool,
}

/// Runs one of the verbs. Where something live was changed, the error says so itself.
pub fn run(args: &Args, ctx: &Context) -> Result<()> {
    verb(args, ctx).map_err(|error| unchanged(&error))
}

fn verb(args: &Args, ctx: &Context) -> Result<()> {
    if let Some(operation) = &args.undo {
        require_known(ctx, operation)?;
        confirm_change(ctx, &format!("undo of restore {operation}"))?;
        let entry = args.entry(operation.as_str(), "undo");
        let done = locked::again(ctx, operation, entry, OperationOutcome::Undone, |held| {
            held.step(Step::RestoreUndo.name(), json!({ "restore": operation }))?;
            around(args, ctx, || restore::undo(ctx, operation))
        });
        return undone(ctx, &done?);
    }
    if let Some(operation) = &args.resume {
        confirm_change(ctx, &format!("going on with restore {operation}"))?;
        let entry = args.entry(operation.as_str(), "resume");
        let done = locked::again(ctx, operation, entry, OperationOutcome::Done, |held| {
            held.step(Step::RestoreResume.name(), json!({ "restore": operation }))?;
            around(args, ctx, || restore::resume(ctx, operation))
        });
        return swapped(ctx, &done?);
    }
    if let Some(operation) = &args.forget {
        return forget(ctx, operation);
    }
    if let Some(rescue) = &args.reinsert {
        return reinsert(ctx, rescue, args.collection.as_deref());
    }
    if args.list {
        return list(ctx);
    }
    let backup = plan::named(ctx, args.backup.as_deref().unwrap_or_default())?;
    let plan = plan::make(ctx, args, &backup)?;
    if args.plan {
        return report::emit(ctx.format, "restore-plan/1", &plan, || plan.text());
    }
    report::progress(&plan.text());
    if !plan.preflight.problems.is_empty() {
        return Err(
            CliError::refused("the restore cannot be made, for the reasons above")
                .live("nothing was changed")
                .next("remove what stands in the way and run the command again")
                .into(),
        );
    }
    confirm_change(
        ctx,
        &format!("restoring backup {} into `{}`", plan.backup_id, plan.database),
    )?;
    let totals = plan.loss.totals().map(|count| count.documents);
    let entry = locked::Entry {
        plan: json!({ "backup": plan.backup_id, "created_changed_deleted": totals }),
        ..args.entry(&plan.backup_id, "")
    };
    let done = locked::begin(ctx, entry, |held| {
        let operation = held.id();
        report::progress(&format!("operation {operation}"));
        let safety = backup::CreateOptions {
            allow_empty: true,
            purpose: format!("before restore {operation}"),
        };
        backup::create(ctx, &safety)?;
        let prepared = restore::prepare(ctx, &backup, operation)?;
        held.step(
            Step::RestoreSwapBegins.name(),
            json!({ "backup": plan.backup_id }),
        )?;
        held.check()?;
        around(args, ctx, || restore::swap(prepared))
    });
    swapped(ctx, &done?)
}

impl Args {
    fn entry<'a>(&'a self, target: &'a str, verb: &str) -> locked::Entry<'a> {
        locked::Entry {
            reason: &self.reason,
            target,
            plan: json!({ "verb": verb, "restore": target }),
        }
    }
}

/// A typing error must not look like a restore that was taken back.
fn require_known(ctx: &Context, operation: &OperationId) -> Result<()> {
    if restore::list(ctx)?
        .iter()
        .any(|known| known.operation == *operation)
    {
        return Ok(());
    }
    Err(CliError::usage(format!("there is no restore {operation}"))
        .live("nothing was changed")
        .next("cargo xtask restore --list")
        .into())
}

/// Between the hooks, where they are asked for.
fn around<T>(args: &Args, ctx: &Context, swap: impl FnOnce() -> Result<T>) -> Result<T> {
    if args.quiesce {
        restore::quiesced(ctx, swap)
    } else {
        swap()
    }
}

fn reinsert(ctx: &Context, rescue: &str, only: Option<&str>) -> Result<()> {
    let file = backup::resolve(ctx, rescue)?;
    confirm_change(ctx, &format!("putting documents of {} back", file.path.display()))?;
    let done = restore::reinsert(ctx, &file, only)?;
    report::emit(ctx.format, "restore-reinsert/1", &done, || {
        let mut text = String::new();
        for (collection, count) in &done.inserted {
            writeln!(text, "{count} documents put back into `{collection}`").expect("writing to a string");
        }
        for conflict in &done.listed {
            writeln!(
                text,
                "not put back: `{}` _id {}: {}",
                conflict.collection, conflict.id, conflict.why
            )
            .expect("writing to a string");
        }
        writeln!(
            text,
            "{} conflicts; a document in the way is never changed",
            done.conflicts
        )
        .expect("writing to a string");
        text
    })
}

fn confirm_change(ctx: &Context, what: &str) -> Result<()> {
    confirm(ctx, what, &ctx.env().mongodb.database)
}

fn swapped(ctx: &Context, done: &Swapped) -> Result<()> {
    report::emit(ctx.format, "restore/1", done, || {
        let mut text = format!(
            "restored backup {}: {} collections swapped in {}; documents, indexes and options are the backup's\n",
            done.backup_id,
            done.collections.len(),
            report::duration_ms(done.total_ms)
        );
        if let Some(longest) = done.collections.iter().max_by_key(|c| c.unavailable_ms) {
            writeln!(
                text,
                "longest absence: `{}`, {}",
                longest.collection,
                report::duration_ms(longest.unavailable_ms)
            )
            .expect("writing to a string");
        }
        for written in &done.written_since {
            writeln!(
                text,
                "written since the swap, and live: `{}`: {} documents created, {} changed, {} deleted",
                written.collection, written.created, written.changed, written.deleted
            )
            .expect("writing to a string");
        }
        mended_text(&done.mended, &mut text);
        if let Some(rescue) = &done.rescue {
            writeln!(
                text,
                "{} documents that only the old state had: {}",
                rescue.documents,
                rescue.path.display()
            )
            .expect("writing to a string");
        }
        writeln!(text,
            "to take it back: cargo xtask restore --undo {0}\nto drop what was live before: cargo xtask restore --forget {0}",
            done.operation
        ).expect("writing to a string");
        text
    })
}

fn undone(ctx: &Context, done: &Undone) -> Result<()> {
    report::emit(ctx.format, "restore-undo/1", done, || {
        let mut text = format!(
            "restore {} was taken back: {} collections are as they were\n",
            done.operation,
            done.collections.len()
        );
        for difference in &done.written_since {
            writeln!(text, "written since: {difference}").expect("writing to a string");
        }
        mended_text(&done.mended, &mut text);
        if let Some(rescue) = &done.rescue {
            writeln!(
                text,
                "{} documents that were written to the restored collections: {}",
                rescue.documents,
                rescue.path.display()
            )
            .expect("writing to a string");
        }
        text
    })
}

fn mended_text(mended: &[Mended], text: &mut String) {
    for mended in mended {
        writeln!(text, "warning: `{}`: {}", mended.collection, mended.what).expect("writing to a string");
    }
}

#[derive(Serialize)]
struct Forgotten<'a> {
    operation: &'a OperationId,
    dropped: Vec<String>,
}

fn forget(ctx: &Context, operation: &OperationId) -> Result<()> {
    confirm_change(ctx, &format!("dropping what restore {operation} kept"))?;
    let forgotten = Forgotten {
        operation,
        dropped: restore::forget(ctx, operation)?,
    };
    report::emit(ctx.format, "restore-forget/1", &forgotten, || {
        format!(
            "dropped {} collections of restore {operation}\n",
            forgotten.dropped.len()
        )
    })
}

#[derive(Serialize)]
struct Restores {
    restores: Vec<Known>,
}

fn list(ctx: &Context) -> Result<()> {
    let known = Restores {
        restores: restore::list(ctx)?,
    };
    report::emit(ctx.format, "restore-list/1", &known, || {
        report::table_with_notes(
            &["operation", "state", "backup", "old", "shadow", "late"],
            known.restores.iter().map(row),
        )
    })
}

fn row(known: &Known) -> (Vec<String>, String) {
    let state = known.phase.map_or("unknown here", restore::Phase::name);
    let row = vec![
        known.operation.to_string(),
        state.to_owned(),
        known.backup_id.clone().unwrap_or_default(),
        known.old.len().to_string(),
        known.shadow.len().to_string(),
        known.late.len().to_string(),
    ];
    let next = known.next.as_ref().map_or_else(
        || "nothing is left to do".to_owned(),
        |next| format!("next: {next}"),
    );
    (row, next)
}
