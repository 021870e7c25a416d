//! What `--prepare` of a deploy, a rollback and a restore prints.

use anyhow::Result;
use serde::Serialize;

use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::report;

/// An operation that waits for its live changes.
#[derive(Serialize)]
struct PreparedOperation<'a> {
    operation: &'a OperationId,
    next: String,
}

/// Prints what is prepared, and gives the operation to the next step of a workflow.
pub(super) fn print_prepared(ctx: &Context, kind: &str, operation: &OperationId) -> Result<()> {
    report::step_output("operation", operation.as_str())?;
    let prepared = PreparedOperation {
        operation,
        next: format!("cargo xtask {kind} --resume {operation}"),
    };
    report::emit_done(ctx.format, "prepared/1", &prepared, || {
        format!(
            "{operation} is prepared, nothing live was changed; next: {}\n",
            prepared.next
        )
    });
    Ok(())
}
