//! `bench backup`: our backup beside the pipeline of shell tools that it replaces, on the same data.
//!
//! Twice: with a recorded archive in place of mongodump, so that no server is the limit; and through one server.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use xshell::{Shell, cmd};

use super::data::{DATABASE, record};
use super::measure::{self, Cost};
use crate::commands::Common;
use crate::context::{Context, PIPELINE_FILE};
use crate::exec::{Exec, shell_in};
use crate::report;
use crate::secret::Secret;
use crate::tools::resolve::{path_with, resolve};
use crate::tools::{mongo_server, mongorestore};

const TOOLS: [&str; 3] = ["mongodump", "mongorestore", "mongodb-server"];
const URI_VARIABLE: &str = "BENCH_MONGODB_URI";
/// What stands in the place of mongodump where an archive is replayed: it would write its files to the disk too.
const COPY: &str = "mkdir dump && cp \"$0\" dump/archive";
/// The pipeline that ours replaces, from plain files to a checked backup.
const PIPELINE: &str = "tar czf backup.tar.gz dump
 sha256sum backup.tar.gz > backup.tar.gz.sha256
 sha256sum --check --quiet backup.tar.gz.sha256
 gzip --test backup.tar.gz";

/// Options of `bench backup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Size of the replayed archive
    #[arg(long, default_value_t = 1_000)]
    megabytes: u64,
    /// Size of a second archive, to compare the memory: only ours is run, encrypted; 0: none
    #[arg(long, default_value_t = 4_000)]
    large_megabytes: u64,
    /// Size of what is backed up through a server; 0: not at all
    #[arg(long, default_value_t = 1_000)]
    server_megabytes: u64,
    /// Runs of each; the quickest counts
    #[arg(long, default_value_t = 1)]
    rounds: u32,
}

#[derive(Debug, Serialize)]
struct Report {
    cores: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    through: String,
    what: &'static str,
    archive_bytes: u64,
    stored_bytes: u64,
    #[serde(flatten)]
    cost: Cost,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(ctx.state_dir("tmp")?)
        .context("cannot make a folder for the benchmark")?;
    let bench = Bench {
        path: path_with(&resolve(&ctx.root, &TOOLS.map(str::to_owned))?)?,
        rounds: args.rounds.max(1),
        folder: folder.path().to_owned(),
    };
    let mut rows = bench.replay(args.megabytes, true)?;
    if args.large_megabytes > 0 {
        rows.extend(bench.replay(args.large_megabytes, false)?);
    }
    if args.server_megabytes > 0 {
        rows.extend(bench.through_a_server(&ctx, args.server_megabytes)?);
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let report = Report { cores, rows };
    report::emit(common.format, "bench-backup/1", &report, || text(&report))
}

struct Bench {
    path: std::ffi::OsString,
    rounds: u32,
    folder: PathBuf,
}

impl Bench {
    fn replay(&self, megabytes: u64, with_pipeline: bool) -> Result<Vec<Row>> {
        let archive = self.recorded(megabytes)?;
        let bytes = archive.metadata()?.len();
        let row = |what, (stored_bytes, cost)| Row {
            through: format!("replayed {}", report::bytes(bytes)),
            what,
            archive_bytes: bytes,
            stored_bytes,
            cost,
        };
        let us = std::env::current_exe().context("cannot tell where this program is")?;
        let mut rows = Vec::new();
        if with_pipeline {
            let script = format!("set -euo pipefail\n{COPY}\n{PIPELINE}");
            let best = self.best("the shell pipeline", |sh, _| {
                Ok(Exec::new(cmd!(sh, "bash -c {script} {archive}")))
            })?;
            rows.push(row("shell pipeline", best));
        }
        let plain = with_pipeline.then_some(("ours", &[][..]));
        let encrypted = ("ours, encrypted", &["--encrypted"][..]);
        for (what, encrypted) in plain.into_iter().chain([encrypted]) {
            let best = self.best(what, |sh, folder| {
                Ok(Exec::new(cmd!(
                    sh,
                    "{us} bench replay {archive} {folder} {encrypted...}"
                )))
            })?;
            rows.push(row(what, best));
        }
        std::fs::remove_file(&archive).context("cannot remove the recorded archive")?;
        Ok(rows)
    }

    fn through_a_server(&self, ctx: &Context, megabytes: u64) -> Result<Vec<Row>> {
        let archive = self.recorded(megabytes)?;
        let bytes = archive.metadata()?.len();
        mongo_server::with_scratch(ctx, |uri| {
            fill(ctx, uri, &archive)?;
            std::fs::remove_file(&archive).context("cannot remove the recorded archive")?;
            let row = |what, (stored_bytes, cost)| Row {
                through: format!("one server, {}", report::bytes(bytes)),
                what,
                archive_bytes: bytes,
                stored_bytes,
                cost,
            };
            let script = format!(
                "set -euo pipefail\nmongodump --quiet --uri \"${URI_VARIABLE}\" --db {DATABASE} --out dump\n{PIPELINE}"
            );
            let shell = self.best("mongodump and the shell pipeline", |sh, _| {
                Ok(Exec::new(cmd!(sh, "bash -c {script}")).secret_env(URI_VARIABLE, uri))
            })?;
            let us = std::env::current_exe().context("cannot tell where this program is")?;
            let ours = self.best("ours", |sh, folder| {
                std::fs::create_dir(folder.join("infrastructure"))?;
                std::fs::write(folder.join(PIPELINE_FILE), configuration())?;
                Ok(Exec::new(cmd!(sh, "{us} --format json backup")).secret_env(URI_VARIABLE, uri))
            })?;
            Ok(vec![row("shell pipeline", shell), row("ours", ours)])
        })
    }

    fn recorded(&self, megabytes: u64) -> Result<PathBuf> {
        report::progress(&format!("recording an archive of {megabytes} MB"));
        let path = self.folder.join("archive");
        record(&path, megabytes * 1_000_000)?;
        Ok(path)
    }

    /// The quickest of all rounds: bytes of the backup, and the costs.
    fn best(&self, what: &str, command: impl Fn(&Shell, &Path) -> Result<Exec>) -> Result<(u64, Cost)> {
        let mut best: Option<(u64, Cost)> = None;
        for _ in 0..self.rounds {
            report::progress(&format!("running {what}"));
            let folder = tempfile::tempdir_in(&self.folder).context("cannot make a folder for a run")?;
            let exec = command(&shell_in(folder.path())?, folder.path())?;
            let (_, cost) = measure::run(exec.env("PATH", &self.path))?;
            let stored = stored_bytes(folder.path())?;
            if best.is_none_or(|(_, known)| cost.elapsed_s < known.elapsed_s) {
                best = Some((stored, cost));
            }
        }
        best.context("there was no round")
    }
}

/// Restores the recorded archive into the server.
fn fill(ctx: &Context, uri: &Secret, archive: &Path) -> Result<()> {
    let request = mongorestore::Request {
        uri,
        from_database: DATABASE,
        to_database: DATABASE,
        prefix: "",
        collections: &[],
        excluded: &[],
        bypass_validation: false,
        parallel: 2,
    };
    let _ticker = report::Ticker::start("filling the server");
    let mut file = File::open(archive).context("cannot open the recorded archive")?;
    mongorestore::restore(&ctx.shell()?, &request, |pipe| {
        std::io::copy(&mut file, pipe).context("cannot hand on the archive")?;
        Ok(())
    })?;
    Ok(())
}

/// The one backup below the folder.
fn stored_bytes(folder: &Path) -> Result<u64> {
    let mut open = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".tar.gz") || name.ends_with(".tar.gz.age") {
                found.push(path.metadata()?.len());
            }
        }
    }
    ensure!(
        found.len() == 1,
        "a run left {} backups instead of one",
        found.len()
    );
    Ok(found[0])
}

/// The least that a backup needs.
fn configuration() -> String {
    format!(
        r#"schema = "pipeline/1"
default_environment = "bench"
[environments.bench]
tag_prefix = "bench"
[environments.bench.railway]
project = "p"
environment = "e"
service = "s"
token = "UNUSED"
source = "backend"
url = "http://127.0.0.1:1"
[environments.bench.vercel]
org = "o"
project = "p"
token = "UNUSED"
source = "frontend"
domain = "localhost"
[environments.bench.mongodb]
uri = "{URI_VARIABLE}"
database = "{DATABASE}"
"#
    )
}

fn text(report: &Report) -> String {
    let rows = report.rows.iter().map(|row| {
        let megabytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
        vec![
            row.through.clone(),
            row.what.to_owned(),
            format!("{:.1}", row.cost.elapsed_s),
            format!("{:.1}", row.cost.cpu_s),
            megabytes(row.cost.rss_largest_bytes),
            megabytes(row.cost.rss_together_bytes),
            megabytes(row.stored_bytes),
            format!("{:.2}", row.archive_bytes as f64 / row.stored_bytes as f64),
        ]
    });
    let header = [
        "through",
        "what",
        "elapsed s",
        "CPU s",
        "largest RSS MB",
        "all RSS MB",
        "stored MB",
        "ratio",
    ];
    format!(
        "{}{} cores\n",
        report::table(&header, &rows.collect::<Vec<_>>()),
        report.cores
    )
}
