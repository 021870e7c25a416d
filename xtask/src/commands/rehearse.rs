//! `cargo xtask rehearse`: a whole release and its rollback on one machine, with a real database, real dumps, a real
//! git remote, and simulated platforms. It runs our own program as a team would, then proves from outside what it did.

mod page;
mod practise;
mod proof;
mod scenarios;
mod story;
mod world;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Common;
use crate::context::repository_root;
use crate::report;
pub use proof::Proof;
pub use scenarios::Scenario;
pub use world::{DATABASE, Served, World};

/// Options of `rehearse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Documents in the database, about
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    documents: u32,
    /// The same seed makes the same data
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How long the simulated platform takes at least, in the rollback, until the old backend serves again: a real one
    /// fetches the image, makes room and starts it
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        conflicts_with = "scenario"
    )]
    platform_s: u32,
    /// Another story than the whole one
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// Stop when a faulty release is live, and wait: you take it back yourself, as the guide says
    #[arg(long, conflicts_with_all = ["scenario", "html"])]
    practise: bool,
    /// Keep the folder with logs, backups, repository and database
    #[arg(long)]
    keep: bool,
    /// Write what was done as one page of HTML, too
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    html: Option<PathBuf>,
}

/// Sets the world up, plays the story, takes everything down again; says where the logs are.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let root = repository_root()?;
    // A short path: the simulator's socket lies below it, and socket paths have 108 bytes.
    let folder = tempfile::Builder::new()
        .prefix("xtask-rehearsal-")
        .tempdir()
        .context("cannot make a folder")?;
    let program = std::env::current_exe().context("cannot tell our own path")?;
    let outcome = World::start(&root, folder.path(), &program).and_then(|world| play(args, common, &world));
    if args.keep || outcome.is_err() {
        let kept: PathBuf = folder.keep();
        report::progress(&format!(
            "everything is kept in {} (logs in {}/logs)",
            kept.display(),
            kept.display()
        ));
    }
    outcome
}

fn play(args: &Args, common: &Common, world: &World) -> Result<()> {
    match args.scenario {
        None if args.practise => practise::practise(args, common, world),
        None => {
            let rehearsed = story::play(args, world)?;
            if let Some(file) = &args.html {
                std::fs::write(file, page::page(&rehearsed))
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            report::emit(common.format, "rehearsal/1", &rehearsed, || {
                story::text(&rehearsed)
            })
        }
        Some(scenario) => {
            let played = scenarios::play(scenario, args, world)?;
            report::emit(common.format, "scenario/1", &played, || played.text())
        }
    }
}

fn tag_of(report: &Value) -> Result<String> {
    report["release"]["tag"]
        .as_str()
        .map(str::to_owned)
        .context("the report names no release tag")
}

fn say(what: &str) {
    report::progress(&format!("» {what}"));
}
