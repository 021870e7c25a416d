//! `cargo xtask recover`: finishes or undoes the operation that stopped midway, whatever its kind: what a workflow calls, which
//! cannot know it.

use anyhow::Result;

use super::{Common, deploy, restore, rollback, undo};
use crate::context::Context;
use crate::domain::ledger::LedgerOperation;
use crate::domain::operation::OperationId;
use crate::error::catalogue::operation as errors;
use crate::operation::ledger::Ledger;
use crate::operation::run::find;
use crate::release;
use crate::report;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the operation was finished, or undone
  1  failed, nothing live was changed
  2  wrong usage or configuration, or nothing is unfinished
  3  refused: lock, confirmation or approval
  4  stopped midway again, or live and unhealthy: the error names the next command

Example:
  cargo xtask recover --resume";

/// Options of `recover`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Finish the operation
    #[arg(long, required_unless_present = "undo")]
    resume: bool,
    /// Undo the operation
    #[arg(long, conflicts_with = "resume")]
    undo: bool,
    /// The operation; the unfinished one unless its id is given
    operation: Option<OperationId>,
}

/// Finds the operation and does what its own command does.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    let is_undo = args.undo;
    let operation = wanted(ctx, args.operation.as_ref())?;
    let (id, kind) = (&operation.id, operation.started.kind.as_str());
    let verb = if is_undo { "undoing" } else { "finishing" };
    report::progress(&format!(
        "{verb} {kind} {id} of {} ({})",
        operation.holder, operation.started.reason
    ));
    match (kind, is_undo) {
        (release::deploy::KIND, false) => deploy::resume(ctx, id),
        (release::rollback::KIND, false) => rollback::resume(ctx, id),
        (release::deploy::KIND | release::rollback::KIND, true) => undo::run(ctx, id, kind, false),
        _ => restore::recover(ctx, id, is_undo),
    }
}

fn wanted(ctx: &Context, id: Option<&OperationId>) -> Result<LedgerOperation> {
    let state = Ledger::open(ctx).state()?;
    match id {
        Some(id) => find(&state, &ctx.env_name, id).cloned(),
        None => state
            .unfinished()
            .cloned()
            .ok_or_else(|| errors::nothing_unfinished(&ctx.env_name).into()),
    }
}
