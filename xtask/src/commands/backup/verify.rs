//! `backup verify`: reads backups whole, as stored, and compares everything that is known about them.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::meter::Meter;
use super::{drill, find, identities};
use crate::archive::{self, Check, VerifyReport};
use crate::backup::BackupFile;
use crate::context::Context;
use crate::error::CliError;
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
    backups: Vec<One>,
}

#[derive(Serialize)]
struct One {
    backup: String,
    good: bool,
    #[serde(flatten)]
    report: Option<VerifyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Reads the whole file, down to the last byte of each document.
pub fn verify(ctx: &Context, backup: &BackupFile) -> Result<VerifyReport> {
    let mut meter = Meter::new("verify", backup.metadata.archive_bytes);
    archive::verify(
        &backup.path,
        Some(&backup.metadata),
        identities(ctx)?.as_ref(),
        Check::Strict,
        &mut |progress| meter.at(progress),
    )
}

/// The backup that an operator names: an id, or a path.
pub fn resolve(ctx: &Context, named: &str) -> Result<BackupFile> {
    if crate::domain::manifest::check_backup_id(named).is_ok() {
        find(ctx, named)
    } else {
        BackupFile::at(Path::new(named))
    }
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let verified = Verified {
        backups: args
            .backups
            .iter()
            .map(|named| one(ctx, named, args.deep))
            .collect(),
    };
    report::emit(ctx.format, "backup-verify/1", &verified, || text(&verified))?;
    let bad: Vec<&str> = verified
        .backups
        .iter()
        .filter(|one| !one.good)
        .map(|one| one.backup.as_str())
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(format!("not good: {}", bad.join(", ")))
        .live("nothing was changed")
        .next("fetch another copy (cargo xtask backup fetch ID), or take a new backup")
        .into())
}

fn one(ctx: &Context, named: &str, deep: bool) -> One {
    match examine(ctx, named, deep) {
        Ok(report) => One {
            backup: named.to_owned(),
            good: report.is_good(),
            report: Some(report),
            error: None,
        },
        Err(error) => One {
            backup: named.to_owned(),
            good: false,
            report: None,
            error: Some(format!("{error:#}")),
        },
    }
}

fn examine(ctx: &Context, named: &str, deep: bool) -> Result<VerifyReport> {
    let backup = resolve(ctx, named)?;
    let mut report = verify(ctx, &backup)?;
    if deep && report.is_good() {
        let drill = drill::scratch(ctx, &backup)?;
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
