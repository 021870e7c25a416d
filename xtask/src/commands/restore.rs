//! `cargo xtask restore`: a backup takes the place of the live data, after proof, and can be taken back.
//!
//! The operator's steps: `restore BACKUP --plan` to see what would be lost; `restore BACKUP`; `restore --undo OPERATION`
//! if it was a mistake; `restore --forget OPERATION` days later, when nobody needs what was live before.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::backup::BackupFile;
use crate::commands::backup;
use crate::context::Context;
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::operation::OperationId;
use crate::engine::confirm::confirm;
use crate::error::Stop;
use crate::report;
use crate::restore::{self, Known, Preflight, Swapped, Undone};

/// Options of `restore`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// A backup: its id, its file or its folder
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
    /// Show the restores of this database and what they left in it
    #[arg(long, group = "what")]
    list: bool,
    /// Show what would be done and lost; change nothing
    #[arg(long, requires = "backup")]
    plan: bool,
}

/// What a restore would do.
#[derive(Debug, Serialize)]
struct Plan {
    backup_id: String,
    database: String,
    documents: u64,
    bytes: u64,
    /// In which the backup differs from what is live now.
    differences: Vec<Difference>,
    #[serde(flatten)]
    preflight: Preflight,
}

/// Runs one of the verbs.
pub fn run(args: &Args, ctx: &Context) -> Result<()> {
    if let Some(operation) = &args.undo {
        confirm_change(ctx, &format!("undo of restore {operation}"))?;
        return undone(ctx, &restore::undo(ctx, operation)?);
    }
    if let Some(operation) = &args.resume {
        confirm_change(ctx, &format!("going on with restore {operation}"))?;
        return swapped(ctx, &restore::resume(ctx, operation)?);
    }
    if let Some(operation) = &args.forget {
        return forget(ctx, operation);
    }
    if args.list {
        return list(ctx);
    }
    let backup = backup::resolve(ctx, args.backup.as_deref().unwrap_or_default())?;
    let operation = OperationId::new();
    let plan = plan(ctx, &backup, &operation)?;
    if args.plan {
        return report::emit(ctx.format, "restore-plan/1", &plan, || plan_text(&plan));
    }
    report::progress(&plan_text(&plan));
    if !plan.preflight.problems.is_empty() {
        return Err(Stop::refused("the restore cannot be made, for the reasons above")
            .live("nothing was changed")
            .next("remove what stands in the way and run the command again")
            .into());
    }
    confirm_change(
        ctx,
        &format!("restoring backup {} into `{}`", plan.backup_id, plan.database),
    )?;
    report::progress(&format!("operation {operation}"));
    let safety = backup::CreateOptions {
        allow_empty: true,
        purpose: format!("before restore {operation}"),
    };
    backup::create(ctx, &safety)?;
    let prepared = restore::prepare(ctx, &backup, &operation)?;
    swapped(ctx, &restore::swap(prepared)?)
}

fn confirm_change(ctx: &Context, what: &str) -> Result<()> {
    confirm(ctx, what, &ctx.env().mongodb.database)
}

fn plan(ctx: &Context, backup: &BackupFile, operation: &OperationId) -> Result<Plan> {
    let live = restore::connect(ctx)?;
    let expected = Inventory::of_backup(&backup.metadata.namespaces, live.name());
    let found = live.inventory(crate::database::Digests::None)?;
    Ok(Plan {
        backup_id: backup.metadata.id.clone(),
        database: live.name().to_owned(),
        documents: backup.metadata.documents,
        bytes: backup.metadata.archive_bytes,
        differences: expected.compare(&found),
        preflight: restore::preflight(ctx, &live, backup, operation)?,
    })
}

fn plan_text(plan: &Plan) -> String {
    let mut text = format!(
        "backup {}: {} documents, {}, into `{}`\n",
        plan.backup_id,
        plan.documents,
        report::bytes(plan.bytes),
        plan.database
    );
    for difference in &plan.differences {
        writeln!(text, "  live now differs: {difference}").expect("writing to a string");
    }
    for warning in &plan.preflight.warnings {
        writeln!(text, "  warning: {warning}").expect("writing to a string");
    }
    for problem in &plan.preflight.problems {
        writeln!(text, "  problem: {problem}").expect("writing to a string");
    }
    text
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
        for difference in &done.written_since {
            writeln!(text, "written since: {difference}").expect("writing to a string");
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
        text
    })
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
        let rows: Vec<Vec<String>> = known.restores.iter().map(row).collect();
        report::table(&["operation", "state", "backup", "old", "shadow", "late"], &rows)
    })
}

fn row(known: &Known) -> Vec<String> {
    let state = known.phase.map_or("unknown here", restore::Phase::name);
    vec![
        known.operation.to_string(),
        state.to_owned(),
        known.backup_id.clone().unwrap_or_default(),
        known.old.len().to_string(),
        known.shadow.len().to_string(),
        known.late.len().to_string(),
    ]
}
