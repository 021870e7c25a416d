//! A deploy of several parts that failed midway: what it made live is undone, where the data are as they were.

use anyhow::Result;

use super::plan::DeployPlan;
use crate::context::Context;
use crate::domain::release::Release;
use crate::domain::step::Step;
use crate::operation::run::Operation;
use crate::release::never_live::data_is_as_before;
use crate::release::platforms::Platforms;
use crate::release::releases::Releases;
use crate::release::revert::CodeUndo;
use crate::report;

/// Rolls every part back to the live release. `false` where that is left to the operator: with one of each; where data changed, which
/// would have to be restored too; and where there is no release before.
///
/// # Errors
/// Where a part could not be rolled back: the operation can only be undone then.
pub(super) fn undo(
    ctx: &Context,
    plan: &DeployPlan,
    operation: &Operation,
    releases: &Releases,
) -> Result<bool> {
    let environment = ctx.env();
    if environment.backends.len() <= 1 && environment.frontends.len() <= 1 {
        return Ok(false);
    }
    let is_newest = releases.newest().map(|newest| &newest.tag) == plan.replaces.as_ref();
    let (Some(newest), Some(expected)) = (releases.newest().filter(|_| is_newest), releases.expected_live())
    else {
        return Ok(false);
    };
    if !data_is_as_before(ctx, plan, Some(newest)) {
        report::progress("  the data may have changed: no part is rolled back automatically");
        return Ok(false);
    }
    let before = Release {
        parts: expected.parts,
        ..newest.clone()
    };
    operation.step(Step::Reverting, || Ok(()))?;
    let code = CodeUndo {
        ctx,
        operation,
        platforms: &Platforms::of_operation(ctx, operation)?,
        before: &before,
    };
    code.settle()?;
    code.run()?;
    Ok(true)
}
