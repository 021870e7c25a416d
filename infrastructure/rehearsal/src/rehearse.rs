//! `cargo xtask rehearse`: a whole release and its rollback on one machine, with a real database, real dumps, a real
//! git remote, and simulated platforms. It runs the product as a team would, then proves from outside what it did.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::fs::Mode;
use tempfile::TempDir;
use xtask::context::repository_root;
use xtask::report::{self, Format};

use crate::scenarios::{self, Scenario, Setting, release_and_rollback};
use crate::test_env::TestEnv;
use crate::test_env::adopted::Adopted;
use crate::{page, practise};

/// Options of `rehearse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    setting: Setting,
    /// Another scenario than the whole release and its rollback
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// Stop when a faulty release is live, and wait: you take it back yourself, as the guide says
    #[arg(long, conflicts_with_all = ["scenario", "html"])]
    practise: bool,
    /// Rehearse the release and rollback of your own repository, as `cargo xtask init` has prepared it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "practise", "html"])]
    repository: Option<PathBuf>,
    /// Keep the folder with logs, backups, repository and database
    #[arg(long)]
    keep: bool,
    /// Write what was done as one page of HTML, too
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    html: Option<PathBuf>,
}

/// Sets the test environment up, runs the scenario, takes everything down again; reports where the logs are.
pub fn run(args: &Args, format: Format) -> Result<()> {
    let root = repository_root()?;
    let folder = private_folder()?;
    let started = match &args.repository {
        Some(dir) => {
            let dir = dir
                .canonicalize()
                .with_context(|| format!("{} is no folder", dir.display()))?;
            TestEnv::start_adopted(&root, folder.path(), Adopted::read(&dir)?)
        }
        None => TestEnv::start(&root, folder.path()),
    };
    let outcome = started.and_then(|env| play(args, format, &env));
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

/// Logs, backups, keys and the database are below it, written by many programs: nobody else reads what is made from here on.
fn private_folder() -> Result<TempDir> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // A short path: the simulator's socket lies below it, and socket paths have 108 bytes.
    let folder = tempfile::Builder::new().prefix("xtask-rehearsal-").tempdir();
    folder.context("cannot make a folder")
}

fn play(args: &Args, format: Format, env: &TestEnv) -> Result<()> {
    let setting = args.setting;
    if args.repository.is_some() {
        let rehearsed = scenarios::adopted::play(setting, env)?;
        return report::emit(format, "adopted/1", &rehearsed, || rehearsed.text());
    }
    match args.scenario {
        None if args.practise => practise::practise(setting, format, env),
        None => {
            let rehearsed = release_and_rollback::play(setting, env)?;
            if let Some(file) = &args.html {
                std::fs::write(file, page::page(&rehearsed))
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            report::emit(format, "rehearsal/1", &rehearsed, || {
                release_and_rollback::text(&rehearsed)
            })
        }
        Some(scenario) => {
            let played = scenarios::play(scenario, setting, env)?;
            report::emit(format, "scenario/1", &played, || played.text())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_reads_what_a_rehearsal_makes() {
        let folder = private_folder().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "secret").unwrap();
        for path in [folder.path(), &file] {
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
    }
}
