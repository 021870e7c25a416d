//! Reads a backup whole, as stored, and compares everything that is recorded about it.

use anyhow::Result;

use super::progress::Meter;
use super::{BackupFile, open_archive};
use crate::archive::{self, Check, Nobody, VerifyReport, Visitor};
use crate::context::Context;
use crate::error::CliError;

/// Reads the whole file, down to the last byte of each document.
pub fn verify(ctx: &Context, backup: &BackupFile) -> Result<VerifyReport> {
    verify_with(ctx, backup, &mut Nobody)
}

/// The same, with a visitor of the documents.
pub fn verify_with(ctx: &Context, backup: &BackupFile, visitor: &mut impl Visitor) -> Result<VerifyReport> {
    let opened = match open_archive(ctx, backup) {
        // A key that is missing or another one is no damage: an error that names the variable.
        Err(error) if error.is::<CliError>() => return Err(error),
        // What else is wrong is reported with everything else.
        opened => opened,
    };
    let mut meter = Meter::new("verify", backup.metadata.archive_bytes);
    archive::verify_with(
        &backup.path,
        opened,
        Some(&backup.metadata),
        Check::Strict,
        &mut |progress| meter.at(progress),
        visitor,
    )
}
