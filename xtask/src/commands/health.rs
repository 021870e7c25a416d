//! `cargo xtask health`: is the system working, and is it the release that we think it is?

use std::process::ExitCode;

use anyhow::Result;

use super::Common;
use crate::domain::verdict::Verdict;
use crate::error::Stop;
use crate::health::{self, ExpectedRelease, Group, Request};
use crate::report;

/// Options of `health`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the checks of this group, and what they depend on
    #[arg(long, value_enum, value_name = "GROUP")]
    only: Option<Group>,
    /// The commit that backend and frontend must be
    #[arg(long, value_name = "COMMIT")]
    release: Option<String>,
}

/// Runs the checks once; exit 0 only for healthy.
pub fn run(common: &Common, args: &Args) -> Result<ExitCode> {
    let ctx = common.context()?;
    let release = args.release.as_deref().map(expected).transpose()?;
    let request = Request {
        only: args.only,
        release,
        ..Request::default()
    };
    let report = health::run(&ctx, &request)?;
    crate::exec::check_interrupted()?;
    report::emit(ctx.format, health::SCHEMA, &report, || {
        health::render::text(&report)
    })?;
    report::step_summary(&health::render::markdown(&report))?;
    Ok(exit_code(report.verdict))
}

fn exit_code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Healthy => ExitCode::SUCCESS,
        Verdict::Unhealthy | Verdict::Unknown => ExitCode::from(crate::error::Ending::Failed.code()),
    }
}

fn expected(release: &str) -> Result<ExpectedRelease> {
    let is_commit = release.len() == 40 && release.chars().all(|c| c.is_ascii_hexdigit());
    if !is_commit {
        return Err(Stop::usage(format!("`{release}` is not a full commit id")).into());
    }
    Ok(ExpectedRelease {
        commit: release.to_owned(),
        ..ExpectedRelease::default()
    })
}
