//! `backup prune`: shows what is older than the retention; deletes it with `--yes`.

use anyhow::Result;

use crate::backup::prune::{self, PrunePlan};
use crate::context::Context;
use crate::report;

pub(super) fn run(ctx: &Context) -> Result<()> {
    let mut plan = prune::plan(ctx)?;
    if ctx.yes {
        prune::delete(ctx, &mut plan)?;
        report::emit_done(ctx.format, "backup-prune/1", &plan, || text(&plan));
        return Ok(());
    }
    report::emit(ctx.format, "backup-prune/1", &plan, || text(&plan))
}

fn text(plan: &PrunePlan) -> String {
    let rows = plan.backups.iter().map(|backup| {
        let action = match (backup.delete, plan.deleted) {
            (false, _) => "keep",
            (true, false) => "would delete",
            (true, true) => "deleted",
        };
        vec![
            backup.id.clone(),
            action.into(),
            backup.why.clone(),
            backup.storages.join(", "),
        ]
    });
    let table = report::table(&["id", "action", "why", "storages"], &rows.collect::<Vec<_>>());
    let waiting = plan.backups.iter().any(|backup| backup.delete) && !plan.deleted;
    table
        + if waiting {
            "nothing was deleted: add --yes to delete\n"
        } else {
            ""
        }
}
