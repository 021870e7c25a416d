//! `cargo xtask tools [NAME…]`: finds or builds the outside programs.

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::report;
use crate::tools::toolchain::{Origin, Tool, resolve};

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  all tools are there
  1  a tool could not be built
  2  no such tool, or its package is not installed

Example:
  cargo xtask tools mongodump mongorestore";

/// Options of `tools`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Only these tools
    names: Vec<String>,
    /// Print the folders that they are in, one a line
    #[arg(long)]
    paths: bool,
}

#[derive(Serialize)]
struct Tools {
    tools: Vec<Tool>,
}

/// Finds the tools, builds what is missing, prints the table.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let root = crate::context::repository_root()?;
    let found = Tools {
        tools: resolve(&root, &args.names)?,
    };
    if args.paths {
        let folders: std::collections::BTreeSet<_> =
            found.tools.iter().filter_map(|tool| tool.path.parent()).collect();
        for folder in folders {
            report::print(&format!("{}\n", folder.display()))?;
        }
        return Ok(());
    }
    report::emit(common.format, "tools/1", &found, || {
        let rows = found.tools.iter().map(|tool| {
            let from = match tool.from {
                Origin::Path => "PATH",
                Origin::Cache => "cache",
                Origin::Built => "built now",
            };
            vec![
                tool.name.clone(),
                tool.version.clone(),
                from.into(),
                tool.path.display().to_string(),
            ]
        });
        report::table(&["tool", "version", "from", "path"], &rows.collect::<Vec<_>>())
    })
}
