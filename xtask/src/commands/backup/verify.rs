//! `backup verify`: reads backups whole; with `--deep`, restores them into a scratch server too.

use anyhow::Result;
use serde::Serialize;

use crate::archive::VerifyReport;
use crate::backup;
use crate::backup::drill::{self, DrilledBackup};
use crate::context::Context;
use crate::error::CliError;
use crate::error::catalogue::backup::backups_not_good;
use crate::report;

/// Options of `backup verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Backup ids, files or folders
    #[arg(required = true)]
    backups: Vec<String>,
    /// Restore each into a scratch server too, and compare documents, indexes and options there
    #[arg(long)]
    deep: bool,
}

#[derive(Serialize)]
struct Verified {
    backups: Vec<VerifiedBackup>,
}

#[derive(Serialize)]
struct VerifiedBackup {
    backup: String,
    good: bool,
    #[serde(flatten)]
    report: Option<VerifyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What to do about the error, where it is not the backup's.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let verified = Verified {
        backups: args
            .backups
            .iter()
            .map(|named| verify_one(ctx, named, args.deep))
            .collect(),
    };
    report::emit(ctx.format, "backup-verify/1", &verified, || text(&verified))?;
    let bad: Vec<&str> = verified
        .backups
        .iter()
        .filter(|one| !one.good)
        .map(|one| one.backup.as_str())
        .collect();
    let next = verified.backups.iter().find_map(|one| one.next.as_deref());
    if bad.is_empty() {
        return Ok(());
    }
    let next = next.unwrap_or("fetch another copy (cargo xtask backup fetch ID), or take a new backup");
    Err(backups_not_good(bad.join(", "), next).into())
}

fn verify_one(ctx: &Context, named: &str, deep: bool) -> VerifiedBackup {
    match examine(ctx, named, deep) {
        Ok(report) => VerifiedBackup {
            backup: named.to_owned(),
            good: report.is_good(),
            report: Some(report),
            error: None,
            next: None,
        },
        Err(error) => VerifiedBackup {
            backup: named.to_owned(),
            good: false,
            report: None,
            error: Some(format!("{error:#}")),
            next: error.downcast::<CliError>().ok().and_then(|stop| stop.next),
        },
    }
}

fn examine(ctx: &Context, named: &str, deep: bool) -> Result<VerifyReport> {
    let backup = backup::resolve(ctx, named)?;
    let mut report = backup::verify(ctx, &backup)?;
    if deep && report.is_good() {
        let drill = drill::drill_on_scratch_server(ctx, &DrilledBackup::local(backup.clone()))?;
        report.checked.push(format!(
            "restored into a scratch server ({}): documents, indexes and options of {} collections",
            drill.server, drill.collections
        ));
        report.problems.extend(drill.differences);
    }
    Ok(report)
}

fn text(verified: &Verified) -> String {
    let mut lines = Vec::new();
    for one in &verified.backups {
        let verdict = if one.good { "good" } else { "NOT GOOD" };
        lines.push(format!("{}: {verdict}\n", one.backup));
        let reports = || one.report.iter();
        let problems = reports().flat_map(|report| &report.problems).chain(&one.error);
        lines.extend(problems.map(|problem| format!("  wrong: {problem}\n")));
        let checked = reports().flat_map(|report| &report.checked);
        lines.extend(checked.map(|checked| format!("  checked: {checked}\n")));
    }
    lines.concat()
}
