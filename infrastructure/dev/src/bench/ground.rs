//! What the benches stand on: a folder, sizes, the programs, and a repository of their own.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rehearsal::test_env::programs::{self, PRODUCT, path_with};
use tempfile::TempDir;
use xshell::{Shell, cmd};

use super::contest::Contest;
use super::data::DATABASE;
use super::report::Row;
use xtask::context::{Context, PIPELINE_FILE};
use xtask::exec::{Exec, shell_in};
use xtask::tools::toolchain::resolve;

/// The variable that a scratch repository names for its connection string.
pub(super) const URI_VARIABLE: &str = "BENCH_MONGODB_URI";
/// The environment of a scratch repository.
pub(super) const ENVIRONMENT: &str = "bench";

/// Shared by all benches of a run.
pub(super) struct Ground {
    pub(super) ctx: Context,
    scales: Vec<u32>,
    rounds: u32,
    /// The product, which is measured.
    pub(super) product: PathBuf,
    /// This program, which runs single parts of the product.
    pub(super) us: PathBuf,
    folder: TempDir,
}

impl Ground {
    pub(super) fn new(ctx: Context, scales: Vec<u32>, rounds: u32) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(ctx.state_dir("tmp")?)
            .context("cannot make a folder for the benchmark")?;
        let us = std::env::current_exe().context("cannot tell where this program is")?;
        Ok(Self {
            product: programs::build(&ctx.root)?.join(PRODUCT),
            ctx,
            scales,
            rounds,
            us,
            folder,
        })
    }

    /// A new folder, gone when the value is.
    pub(super) fn new_folder(&self) -> Result<TempDir> {
        tempfile::tempdir_in(self.folder.path()).context("cannot make a folder for a run")
    }

    /// The rows of each size, one size after the other.
    pub(super) fn at_each_scale(&self, bench: impl Fn(u32) -> Result<Vec<Row>>) -> Result<Vec<Row>> {
        let rows: Result<Vec<Vec<Row>>> = self.scales.iter().map(|scale| bench(*scale)).collect();
        Ok(rows?.concat())
    }

    /// The multiple of the smallest data.
    pub(super) fn smallest_scale(&self) -> u32 {
        self.scales.iter().copied().min().unwrap_or(1)
    }

    /// All sizes but the largest; the only one where there is one.
    pub(super) fn scales_below_the_largest(&self) -> Vec<u32> {
        let mut scales = self.scales.clone();
        scales.sort_unstable();
        if scales.len() > 1 {
            scales.pop();
        }
        scales
    }

    /// PATH with these tools on it.
    pub(super) fn path(&self, tools: &[&str]) -> Result<OsString> {
        let names: Vec<String> = tools.iter().map(ToString::to_string).collect();
        path_with(&resolve(&self.ctx.root, &names)?)
    }

    /// A comparison of what grows with data.
    pub(super) fn grown(&self, bench: &'static str, data: String, scale: u32) -> Contest {
        Contest {
            bench,
            data,
            scale: Some(scale),
            rounds: self.rounds,
        }
    }

    /// A repository with the least configuration, and a remote for its ledger.
    pub(super) fn repository(&self, backend: &str) -> Result<Repository> {
        let folder = self.new_folder()?;
        let root = folder.path().join("repository");
        std::fs::create_dir_all(root.join("infrastructure"))?;
        std::fs::write(root.join(PIPELINE_FILE), configuration(backend))?;
        let sh = shell_in(&root)?;
        Exec::new(cmd!(sh, "git init --quiet --bare ../remote.git")).run()?;
        Exec::new(cmd!(sh, "git init --quiet .")).run()?;
        Exec::new(cmd!(sh, "git remote add origin ../remote.git")).run()?;
        Ok(Repository {
            root,
            product: self.product.clone(),
            _folder: folder,
        })
    }
}

/// A scratch repository, gone when the value is.
pub(super) struct Repository {
    pub(super) root: PathBuf,
    product: PathBuf,
    _folder: TempDir,
}

impl Repository {
    /// A shell in it.
    pub(super) fn shell(&self) -> Result<Shell> {
        shell_in(&self.root)
    }

    /// The product in it.
    pub(super) fn xtask(&self, args: &[&str]) -> Result<Exec> {
        let (sh, product) = (self.shell()?, &self.product);
        Ok(Exec::new(cmd!(sh, "{product} --yes --format json {args...}")))
    }
}

fn configuration(backend: &str) -> String {
    format!(
        r#"schema = "pipeline/1"
default_environment = "{ENVIRONMENT}"
[[backup.places]]
kind = "directory"
path = "backups"
[environments.{ENVIRONMENT}]
tag_prefix = "bench"
[environments.{ENVIRONMENT}.railway]
project = "p"
environment = "e"
service = "s"
token = "UNUSED"
source = "backend"
url = "{backend}"
[environments.{ENVIRONMENT}.vercel]
org = "o"
project = "p"
token = "UNUSED"
source = "frontend"
domain = "localhost"
[environments.{ENVIRONMENT}.mongodb]
uri = "{URI_VARIABLE}"
database = "{DATABASE}"
"#
    )
}
