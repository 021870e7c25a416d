//! `cargo xtask health`: is the system working, and is it the release that we think it is?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::Common;
use crate::context::Context;
use crate::domain::commit::CommitId;
use crate::domain::release::{Release, tag_time};
use crate::domain::status_record::StatusResult;
use crate::domain::verdict::HealthStatus;
use crate::error::ExitKind;
use crate::error::catalogue::health as errors;
use crate::health::compare::{self, Comparison};
use crate::health::watch::{self, Pace};
use crate::health::{self, CheckGroup, ExpectedRelease, HealthOptions, HealthReport};
use crate::operation::status_records;
use crate::release::releases::Releases;
use crate::report;

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  healthy
  1  unhealthy or unknown: fix what the report names
  2  wrong usage or configuration

Example:
  cargo xtask health --only api --format json";

/// Options of `health`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Only the checks of this group, and what they depend on
    #[arg(long, value_enum, value_name = "GROUP")]
    only: Option<CheckGroup>,
    /// The release that backend and frontend must be: a release tag, or a full commit id
    #[arg(long, value_name = "TAG")]
    release: Option<String>,
    /// Repeat the checks; print changes only, and a summary when interrupted
    #[arg(long, conflicts_with_all = ["compare", "junit"])]
    watch: bool,
    /// Seconds from one round to the next
    #[arg(long, requires = "watch", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    every: Duration,
    /// Stop watching after N seconds
    #[arg(long = "for", requires = "watch", value_name = "SECONDS", value_parser = seconds)]
    for_at_most: Option<Duration>,
    /// Print what got slower or broke since this report: a file (written by `--format json`), or the tag of a release, whose
    /// record has one
    #[arg(long, value_name = "REPORT")]
    compare: Option<String>,
    /// Record the verdict on the git remote, where `metrics` computes the availability from
    #[arg(long, conflicts_with_all = ["watch", "only"])]
    record: bool,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A report with what changed since another.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a HealthReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

/// Runs the checks; exit 0 only for healthy.
pub fn run(common: &Common, args: &Args) -> Result<ExitCode> {
    let ctx = common.context()?;
    let earlier = args
        .compare
        .as_deref()
        .map(|named| earlier(&ctx, named))
        .transpose()?;
    let request = HealthOptions {
        only: args.only,
        release: args
            .release
            .as_deref()
            .map(|release| expected(&ctx, release))
            .transpose()?,
        ..HealthOptions::default()
    };
    if args.watch {
        return keep_watching(&ctx, &request, args);
    }
    let report = health::run(&ctx, &request)?;
    crate::exec::check_interrupted()?;
    let comparison = earlier.map(|earlier| Comparison::of(&earlier, &report));
    let shown = Shown {
        report: &report,
        comparison: comparison.as_ref(),
    };
    report::emit(ctx.format, health::SCHEMA, &shown, || {
        let compared = comparison.as_ref().map(Comparison::text).unwrap_or_default();
        health::render::text(&report) + &compared
    })?;
    report::step_summary(&health::render::markdown(&report))?;
    if let Some(path) = &args.junit {
        std::fs::write(path, health::junit::xml(&report))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.record {
        let summary = report.summary.clone();
        let verdict = report.verdict;
        status_records::record(&ctx, StatusResult::Health { verdict, summary })
            .context("cannot record the verdict")?;
    }
    Ok(exit_code(Some(report.verdict)))
}

/// The report to compare with.
fn earlier(ctx: &Context, named: &str) -> Result<HealthReport> {
    if Path::new(named).exists() || tag_time(&ctx.env().tag_prefix, named).is_err() {
        return compare::read(Path::new(named));
    }
    let releases = Releases::read(ctx)?;
    let record = releases.named(named)?;
    let report = record
        .health_report
        .clone()
        .ok_or_else(|| errors::release_without_report(named))?;
    serde_json::from_value(report).with_context(|| format!("the health report of {named} is not readable"))
}

fn keep_watching(ctx: &Context, request: &HealthOptions, args: &Args) -> Result<ExitCode> {
    let pace = Pace {
        every: args.every,
        for_at_most: args.for_at_most,
    };
    let summary = watch::watch(ctx, request, pace)?;
    report::emit(ctx.format, watch::SCHEMA, &summary, || summary.text())?;
    Ok(exit_code(summary.last))
}

fn exit_code(verdict: Option<HealthStatus>) -> ExitCode {
    match verdict {
        Some(HealthStatus::Healthy) => ExitCode::SUCCESS,
        Some(HealthStatus::Unhealthy | HealthStatus::Unknown) | None => {
            ExitCode::from(ExitKind::Failed.code())
        }
    }
}

/// What the release's record says, or the commit alone.
fn expected(ctx: &Context, release: &str) -> Result<ExpectedRelease> {
    if release.parse::<CommitId>().is_ok() {
        return Ok(ExpectedRelease {
            commit: release.to_owned(),
            ..ExpectedRelease::default()
        });
    }
    let releases = Releases::read(ctx).with_context(|| format!("cannot find the release {release}"))?;
    if let Some((_, why)) = releases.unreadable.iter().find(|(tag, _)| tag == release) {
        bail!("the record of {release} is not readable: {why}");
    }
    let asked = releases
        .find(release)
        .ok_or_else(|| errors::release_unknown(release))?;
    // A rollback restores a release with new deployments and a new tag.
    let restored_as = |newest: &&Release| newest.restores.as_deref() == Some(release);
    let record = releases.newest().filter(restored_as).unwrap_or(asked).clone();
    if record.tag != release {
        report::progress(&format!("{release} was rolled back to as {}", record.tag));
    }
    Ok(ExpectedRelease {
        tag: Some(record.tag),
        ..ExpectedRelease::of(&record.commit, &record.parts)
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a number of seconds".to_owned())
}
