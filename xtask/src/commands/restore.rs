//! `cargo xtask restore`: a backup takes the place of the live data, after proof, and can be undone.
//!
//! The operator's steps: `restore BACKUP --plan` to see what would be lost; `restore BACKUP`; `restore --undo OPERATION`
//! if it was a mistake; `restore --forget OPERATION` days later, when nobody needs what was live before.

mod target;
mod text;

pub use text::{loss_text, methods_text};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::backup::{self, BackupFile};
use crate::commands::confirm::confirm;
use crate::commands::prepared::print_prepared;
use crate::context::Context;
use crate::domain::ledger::RESTORE;
use crate::domain::operation::OperationId;
use crate::domain::release::tag_time;
use crate::error::catalogue::restore as errors;
use crate::error::unchanged;
use crate::operation::basis::DataBasis;
use crate::release::releases::Releases;
use crate::report;
use crate::restore::{
    self, ConflictChoice, KnownRestore, LossDetail, PlanOptions, ReinsertOptions, RestoreChoice,
    RestoreMethod, RestoreOptions, RestorePlan, RestoreUndone, Resumed, Selection, Swapped,
};

/// What concerns restores that were made before, where options of a new one mean nothing. `requires = "backup"` would not refuse
/// them: clap does not ask for an argument that conflicts with one that is there.
const EARLIER: [&str; 5] = ["undo", "resume", "forget", "reinsert", "list"];

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed; nothing live was changed
  2  wrong usage or configuration
  3  refused by the lock, a confirmation or a safety rule; nothing was changed
  4  stopped midway; the state is recorded, --resume or --undo continues

Example:
  cargo xtask restore 20260102-030405 --plan
  cargo xtask restore 20260102-030405 --collection users,orders";

/// Options of `restore`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(group = clap::ArgGroup::new("what").required(true), after_help = AFTER_HELP)]
pub struct Args {
    /// A backup: its id, its file, its folder, or the tag of the release that it belongs to
    #[arg(group = "what")]
    backup: Option<String>,
    /// Undo a restore: what was live before becomes live again
    #[arg(long, value_name = "OPERATION", group = "what")]
    undo: Option<OperationId>,
    /// Resume a restore that stopped midway, or that was prepared
    #[arg(long, value_name = "OPERATION", group = "what")]
    resume: Option<OperationId>,
    /// Drop what was live before a restore
    #[arg(long, value_name = "OPERATION", group = "what")]
    forget: Option<OperationId>,
    /// Insert documents of a rescue file where their `_id` and unique keys are free
    #[arg(long, value_name = "RESCUE", group = "what")]
    reinsert: Option<String>,
    /// Only these collections and views of the backup or rescue file; all others stay as they are (repeatable)
    #[arg(long, value_name = "NAME,…", conflicts_with_all = ["undo", "resume", "forget", "list"])]
    collection: Vec<String>,
    /// Restore into this environment instead, with the masks of pipeline.toml
    #[arg(long, value_name = "ENVIRONMENT", conflicts_with_all = EARLIER)]
    to: Option<String>,
    /// Restore into the database whose connection string is in this variable, with the masks of pipeline.toml; also for
    /// --undo, --resume, --forget and --list of such a restore
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["to", "reinsert"])]
    to_uri_env: Option<String>,
    /// The database there, where it has another name
    #[arg(long, value_name = "NAME", requires = "to_uri_env")]
    to_database: Option<String>,
    /// Run the hooks of pipeline.toml that keep writers away during the swap
    #[arg(long, conflicts_with_all = ["forget", "list", "reinsert", "to", "to_uri_env"])]
    quiesce: bool,
    /// The reason, kept in the ledger
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
    /// Show the restores of this database and what they left in it
    #[arg(long, group = "what")]
    list: bool,
    /// Show what would be done and lost; change nothing
    #[arg(long, conflicts_with_all = EARLIER)]
    plan: bool,
    /// Take the lock and the safety backup, restore beside the live data, and stop before the first live change: --resume
    /// finishes
    #[arg(long, conflicts_with_all = EARLIER, conflicts_with_all = ["plan", "quiesce", "to", "to_uri_env"])]
    prepare: bool,
    /// Show whole documents as examples of what would be lost, not only ids and field names
    #[arg(long, conflicts_with_all = EARLIER, conflicts_with_all = ["to", "to_uri_env"])]
    show_values: bool,
    /// Compare every document with the backup, only counts, or nothing
    #[arg(long, value_enum, default_value_t, conflicts_with_all = EARLIER)]
    delta: LossDetail,
    /// How collections are restored: changed documents put back in place, or all of it beside the live one and swapped
    #[arg(long, value_enum, default_value_t, conflicts_with_all = EARLIER, conflicts_with_all = ["to", "to_uri_env"])]
    method: RestoreMethod,
    /// What becomes of a document that is changed after it was compared and before it is put back in place
    #[arg(long, value_enum, default_value_t, conflicts_with_all = EARLIER, conflicts_with_all = ["to", "to_uri_env"])]
    conflicts: ConflictChoice,
    /// Accept a backup or rescue file that was taken on another host: a new cluster
    #[arg(long, conflicts_with_all = ["undo", "resume", "forget", "list", "to", "to_uri_env"])]
    other_host: bool,
}

/// Runs the command. Where something live was changed, the error says so itself.
pub fn run(args: &Args, ctx: &Context) -> Result<()> {
    dispatch(args, ctx).map_err(|error| unchanged(&error))
}

fn dispatch(args: &Args, ctx: &Context) -> Result<()> {
    if let Some(name) = args.backup.as_deref() {
        return restore_backup(args, ctx, name);
    }
    match target::of(args) {
        Some(target) => dispatch_earlier(args, &restore::target_context(ctx, target)?),
        None => dispatch_earlier(args, ctx),
    }
}

/// All that is done to restores which were made before.
fn dispatch_earlier(args: &Args, ctx: &Context) -> Result<()> {
    if let Some(operation) = &args.undo {
        return undo(ctx, operation, &args.reason, args.quiesce);
    }
    if let Some(operation) = &args.resume {
        return resume(ctx, operation, &args.reason, args.quiesce);
    }
    if let Some(operation) = &args.forget {
        return forget(ctx, operation, &args.reason);
    }
    if let Some(rescue) = &args.reinsert {
        return reinsert(args, ctx, rescue);
    }
    list(ctx)
}

/// Finishes or undoes a restore that stopped midway.
pub(super) fn recover(ctx: &Context, operation: &OperationId, is_undo: bool) -> Result<()> {
    let act = if is_undo { undo } else { resume };
    act(ctx, operation, "recover", false).map_err(|error| unchanged(&error))
}

fn undo(ctx: &Context, operation: &OperationId, reason: &str, quiesce: bool) -> Result<()> {
    let basis = &DataBasis::read(ctx)?;
    confirm_change(ctx, &format!("undo of restore {operation}"))?;
    let options = RestoreOptions {
        reason,
        quiesce,
        basis,
    };
    print_undone(ctx, &restore::undo(ctx, operation, options)?);
    Ok(())
}

fn resume(ctx: &Context, operation: &OperationId, reason: &str, quiesce: bool) -> Result<()> {
    let basis = &DataBasis::read(ctx)?;
    confirm_change(ctx, &format!("resuming restore {operation}"))?;
    let options = RestoreOptions {
        reason,
        quiesce,
        basis,
    };
    match restore::resume(ctx, operation, options)? {
        Resumed::Restored(done) => print_swapped(ctx, &done),
        Resumed::Undone(done) => print_undone(ctx, &done),
    }
    Ok(())
}

impl Args {
    fn options<'a>(&'a self, basis: &'a DataBasis) -> RestoreOptions<'a> {
        RestoreOptions {
            reason: &self.reason,
            quiesce: self.quiesce,
            basis,
        }
    }
}

fn restore_backup(args: &Args, ctx: &Context, name: &str) -> Result<()> {
    let backup = find_backup(ctx, name)?;
    let selection = Selection::named(&backup, &ctx.mongodb()?.database, &args.collection)?;
    if let Some(target) = target::of(args) {
        return target::copy(args, ctx, &backup, &selection, target);
    }
    let options = PlanOptions {
        detail: args.delta,
        show_values: args.show_values,
        other_host: args.other_host,
        quiesce: args.quiesce,
        method: args.method,
    };
    let plan = RestorePlan::make(ctx, &backup, &selection, options)?;
    if args.plan {
        return report::emit(ctx.format, "restore-plan/1", &plan, || text::plan(&plan));
    }
    report::progress(&text::plan(&plan));
    plan.preflight.require_no_problem()?;
    confirm_change(
        ctx,
        &format!(
            "restoring {}backup {} into `{}`",
            selection.text(),
            plan.backup_id,
            plan.database
        ),
    )?;
    let choice = RestoreChoice {
        delta: plan.delta(args.conflicts),
        selection,
    };
    let loss = plan.loss.totals().map(|count| count.documents);
    if args.prepare {
        let prepared = restore::prepare(ctx, &backup, &choice, loss, args.options(&plan.basis))?;
        return print_prepared(ctx, RESTORE, &prepared);
    }
    let done = restore::start(ctx, &backup, &choice, loss, args.options(&plan.basis))?;
    print_swapped(ctx, &done);
    Ok(())
}

/// The backup of this name; for a release's tag the one taken just before the next release replaced it.
fn find_backup(ctx: &Context, name: &str) -> Result<BackupFile> {
    if tag_time(&ctx.env().tag_prefix, name).is_err() {
        return backup::resolve(ctx, name);
    }
    let releases = Releases::read(ctx)?;
    releases.require_ledger(ctx)?;
    let why = match (releases.find(name), releases.backup_of(name)?) {
        (Some(_), Some(wanted)) => {
            let found = backup::find(ctx, &wanted.id)?;
            ensure!(
                found.metadata.hash == wanted.hash,
                "the backup {} has another hash than the release records",
                wanted.id
            );
            return Ok(found);
        }
        (None, _) => format!("there is no release {name}"),
        (Some(_), None) => format!("no release after {name} has recorded a backup: its data are live"),
    };
    Err(errors::no_backup_of_release(why).into())
}

fn reinsert(args: &Args, ctx: &Context, rescue: &str) -> Result<()> {
    let file = backup::resolve(ctx, rescue)?;
    let basis = &DataBasis::read(ctx)?;
    confirm_change(ctx, &format!("inserting documents of {}", file.path.display()))?;
    let selection = Selection::named(&file, &ctx.mongodb()?.database, &args.collection)?;
    let options = ReinsertOptions {
        only: &selection,
        other_host: args.other_host,
        reason: &args.reason,
        basis,
    };
    let done = restore::reinsert(ctx, &file, options)?;
    report::emit_done(ctx.format, "restore-reinsert/1", &done, || {
        text::reinserted(&done)
    });
    Ok(())
}

fn confirm_change(ctx: &Context, what: &str) -> Result<()> {
    confirm(ctx, what, &ctx.mongodb()?.database)
}

fn print_swapped(ctx: &Context, done: &Swapped) {
    report::emit_done(ctx.format, "restore/1", done, || text::swapped(done));
}

fn print_undone(ctx: &Context, done: &RestoreUndone) {
    report::emit_done(ctx.format, "restore-undo/1", done, || text::undone(done));
}

fn forget(ctx: &Context, operation: &OperationId, reason: &str) -> Result<()> {
    let basis = DataBasis::read(ctx)?;
    confirm_change(ctx, &format!("dropping what restore {operation} kept"))?;
    let forgotten = restore::forget(ctx, operation, reason, &basis)?;
    report::emit_done(ctx.format, "restore-forget/1", &forgotten, || {
        text::forgotten(&forgotten)
    });
    Ok(())
}

#[derive(Serialize)]
struct Restores {
    restores: Vec<KnownRestore>,
}

fn list(ctx: &Context) -> Result<()> {
    let known = Restores {
        restores: restore::list(ctx)?,
    };
    report::emit(ctx.format, "restore-list/1", &known, || {
        report::table_with_notes(
            &["operation", "state", "backup", "previous", "shadow", "late"],
            known.restores.iter().map(text::row),
        )
    })
}
