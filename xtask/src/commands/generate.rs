//! `cargo xtask generate`: the workflows of GitHub, and the generated part of the rollback guide, from pipeline.toml.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Common;
use crate::context::Context;
use crate::error::catalogue::setup as errors;
use crate::report;
use crate::workflows::{self, ComparedWorkflow, WorkflowState};

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  the workflows do what pipeline.toml asks for
  1  --check: one differs; or failed
  2  wrong usage or configuration
  3  a workflow was edited by hand, or pipeline.toml is meant for another version

Example:
  cargo xtask generate --check";

/// Options of `generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Compare, and write nothing
    #[arg(long)]
    check: bool,
    /// Write over workflows that were edited by hand, too
    #[arg(long, conflicts_with = "check")]
    force: bool,
}

#[derive(Serialize)]
struct Generated {
    workflows: Vec<ComparedWorkflow>,
    /// Paths that were written.
    written: Vec<String>,
}

/// Compares; writes what is missing or out of date.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    ctx.require_version()?;
    let mut compared = compared(&ctx)?;
    compared.extend(workflows::compare_guide(&ctx.root, &ctx.config)?);
    if args.check {
        let lines = workflows::out_of_step(&compared);
        let generated = Generated {
            workflows: compared,
            written: Vec::new(),
        };
        report::emit(common.format, "generate/1", &generated, || text(&generated))?;
        return if lines.is_empty() {
            Ok(())
        } else {
            Err(errors::workflows_differ(lines.join("\n")).into())
        };
    }
    if !args.force {
        workflows::refuse_edited(&compared)?;
    }
    let mut written = Vec::new();
    for one in &compared {
        if !matches!(one.state, WorkflowState::Same | WorkflowState::NotNeeded) {
            write(&ctx.root, one)?;
            written.push(one.path.clone());
        }
    }
    let generated = Generated {
        workflows: compared,
        written,
    };
    report::emit_done(common.format, "generate/1", &generated, || text(&generated));
    Ok(())
}

/// The workflows of this repository beside the generated ones.
fn compared(ctx: &Context) -> Result<Vec<ComparedWorkflow>> {
    let health: Vec<String> = crate::health::secret_names(&ctx.root)?.into_iter().collect();
    workflows::compare(&ctx.root, &ctx.config, &health)
}

/// A line for each workflow that is there and does something else than pipeline.toml asks for.
pub(super) fn warnings(ctx: &Context) -> Vec<String> {
    match compared(ctx) {
        Ok(mut compared) => {
            compared.retain(|one| one.state != WorkflowState::Missing);
            workflows::out_of_step(&compared)
        }
        Err(error) => vec![format!(
            "the workflows were not compared with pipeline.toml: {error:#}"
        )],
    }
}

fn write(root: &Path, one: &ComparedWorkflow) -> Result<()> {
    let file = root.join(&one.path);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    std::fs::write(&file, &one.text).with_context(|| format!("cannot write {}", file.display()))
}

fn text(generated: &Generated) -> String {
    let mut text = String::new();
    for one in &generated.workflows {
        let word = match one.state {
            _ if generated.written.contains(&one.path) => "written",
            WorkflowState::Same => "up to date",
            WorkflowState::Missing => "missing",
            WorkflowState::Outdated => "out of date",
            WorkflowState::Edited => "edited by hand",
            WorkflowState::NotNeeded => "not needed any more, remove it",
        };
        text.push_str(&format!("{word}: {}\n", one.path));
    }
    text
}
