//! `--undo OPERATION` of `deploy` and `rollback`.

use anyhow::Result;

use super::confirm::{confirm, tick};
use super::rollback::text::{print_plan, print_result};
use crate::config::ExternalConfig;
use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::release::external::TickedExternal;
use crate::release::rollback::PlannedRollback;
use crate::release::undo::{Operator, Reverted, RevertedData, Undo, undo};
use crate::report;

/// The operator at the terminal.
struct Terminal<'a> {
    ctx: &'a Context,
    operation: &'a OperationId,
    allow_drift: bool,
}

impl Operator for Terminal<'_> {
    fn show(&self, planned: &PlannedRollback) {
        print_plan(planned);
    }

    fn allows_drift(&self) -> bool {
        self.allow_drift
    }

    fn confirm(&self, name: &str) -> Result<()> {
        confirm(self.ctx, &format!("the undo of {}", self.operation), name)
    }

    fn tick(&self, systems: &[ExternalConfig]) -> Result<Vec<TickedExternal>> {
        tick(self.ctx, systems)
    }
}

/// Undoes an operation of this kind and prints the result.
pub(super) fn run(ctx: &Context, operation: &OperationId, kind: &str, allow_drift: bool) -> Result<()> {
    let terminal = Terminal {
        ctx,
        operation,
        allow_drift,
    };
    match undo(ctx, operation, kind, &terminal)? {
        Undo::Reverted(reverted) => {
            report::emit_done(ctx.format, "undone/1", &reverted, || text(&reverted));
            Ok(())
        }
        Undo::RolledBack(done) => print_result(ctx, &done),
    }
}

fn text(reverted: &Reverted) -> String {
    let Some(tag) = &reverted.serves else {
        return "there was no release before: what was deployed stays until the next deploy\n".to_owned();
    };
    let data = match &reverted.data {
        RevertedData::Kept => "the data were not changed".to_owned(),
        RevertedData::Restored { backup } => format!("the backup {backup} is restored"),
        RevertedData::RenamedBack => "the collections from before the swap are live again".to_owned(),
    };
    let rescue = reverted.rescue.as_ref();
    let rescue = rescue.map_or_else(String::new, |rescue| {
        format!("taken out of the live data: {}\n", rescue.text())
    });
    format!("{tag} serves again; {data}\n{rescue}")
}
