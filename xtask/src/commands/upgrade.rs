//! `cargo xtask upgrade`: brings what an earlier version left in a repository to today's form.

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::config::version;
use crate::context::{PIPELINE_FILE, repository_root};
use crate::error::catalogue::setup as errors;
use crate::report;
use crate::upgrade::{self, Upgrade, UpgradeState, proposal_path};

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  everything has this version's form, or would get it (--plan)
  1  failed
  2  wrong usage or configuration
  3  you and this version changed the same lines, or pipeline.toml is meant for a later version; only proposals were written

Example:
  cargo xtask upgrade --plan";

/// Options of `upgrade`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The version to upgrade to: that of this program, which is meant unless given
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Show what would change and write nothing
    #[arg(long)]
    plan: bool,
    /// The action that puts this program on PATH in workflows from now on: owner/repository/setup-action@commit
    #[arg(long, value_name = "ACTION")]
    setup: Option<String>,
}

#[derive(Serialize)]
struct UpgradeResult<'a> {
    #[serde(flatten)]
    upgrade: &'a Upgrade,
    /// Paths that were written.
    written: Vec<String>,
}

/// Plans, writes, shows.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    if let Some(to) = &args.to
        && !version::is_meant_for(to, version::PROGRAM)
    {
        return Err(errors::upgrade_to_other(to, version::PROGRAM).into());
    }
    let root = repository_root()?;
    let upgrade = upgrade::plan(&root, args.setup.as_deref())?;
    let conflicts = upgrade.conflicts();
    let mut written = Vec::new();
    if !args.plan {
        let has_changes = upgrade
            .files
            .iter()
            .any(|file| !matches!(file.state, UpgradeState::Same));
        if has_changes {
            super::init::write_ignored(&root)?;
        }
        written = upgrade::write(&root, &upgrade)?;
    }
    let result = UpgradeResult {
        upgrade: &upgrade,
        written,
    };
    if args.plan {
        report::emit(common.format, "upgrade/1", &result, || text(&result))?;
    } else {
        report::emit_done(common.format, "upgrade/1", &result, || text(&result));
    }
    if args.plan || conflicts.is_empty() {
        return Ok(());
    }
    Err(errors::upgrade_conflicts(conflicts.join(", ")).into())
}

fn text(result: &UpgradeResult<'_>) -> String {
    let upgrade = result.upgrade;
    let mut text = format!("from {} to {}\n", upgrade.from, upgrade.to);
    for file in &upgrade.files {
        let word = match file.state {
            UpgradeState::Same => "up to date",
            UpgradeState::Changed if result.written.contains(&file.path) => "written",
            UpgradeState::New if result.written.contains(&file.path) => "written, new",
            UpgradeState::Changed => "to be changed",
            UpgradeState::New => "to be added",
            UpgradeState::Removed => "removed by you, left away",
            UpgradeState::NotNeeded => "not needed any more",
            UpgradeState::Conflict => "CONFLICT",
        };
        text.push_str(&format!("{word}: {}\n", file.path));
        if file.path == PIPELINE_FILE {
            text.extend(upgrade.steps.iter().map(|step| format!("    {step}\n")));
        }
        text.extend(file.edits.iter().map(|edit| format!("    kept: {edit}\n")));
        if file.state == UpgradeState::Conflict {
            text.push_str(&format!("    proposal: {}\n", proposal_path(&file.path)));
            text.push_str(&conflict_lines(&file.text));
        }
    }
    let is_written = !result.written.is_empty();
    let check = is_written.then_some("check the change: git diff").into_iter();
    let steps = upgrade.by_hand.iter().map(String::as_str);
    text.push_str("by hand:\n");
    for (index, line) in check.chain(steps).chain(["cargo xtask doctor"]).enumerate() {
        text.push_str(&format!("  {}. {line}\n", index + 1));
    }
    text
}

/// The lines between the markers, and the markers.
fn conflict_lines(proposal: &str) -> String {
    let mut text = String::new();
    let mut is_inside = false;
    for line in proposal.lines() {
        is_inside |= line.starts_with("<<<<<<< ");
        if is_inside {
            text.push_str(&format!("    | {line}\n"));
        }
        is_inside &= !line.starts_with(">>>>>>> ");
    }
    text
}
