//! Whether the programs that deploy a part keep to the form of their answers. Nothing is deployed and nothing is rolled back.

use anyhow::Result;

use super::Line;
use crate::context::{Context, PIPELINE_FILE};
use crate::error::catalogue::configuration as errors;
use crate::tools::adapter::Adapter;

const FIX: &str = "infrastructure/schemas/adapter.schema.json has the form of questions and answers";

/// One line for each property.
///
/// # Errors
/// Usage (exit 2) where no part of this name has an adapter.
pub(super) fn lines(ctx: &Context, name: &str) -> Result<Vec<Line>> {
    let found = ctx.env().adapters().find(|(part, ..)| *part == name);
    let (_, deploy_s, programs) =
        found.ok_or_else(|| errors::no_such_adapter(name, &ctx.env_name, PIPELINE_FILE))?;
    let adapter = Adapter::open(ctx, programs, name, deploy_s)?;
    let checks = adapter.conformance().into_iter();
    let lines = checks.map(|(property, found)| match found {
        Ok(found) => Line::ok(property, found),
        Err(error) => Line::problem(property, format!("{error:#}"), FIX),
    });
    Ok(lines.collect())
}
