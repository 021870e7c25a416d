//! Reads a backup whole, as stored, and compares everything that is recorded about it.

use anyhow::Result;

use super::progress::Meter;
use super::{BackupFile, identities, open_archive};
use crate::archive::{self, Check, VerifyReport};
use crate::context::Context;
use crate::error::CliError;

/// Reads the whole file, down to the last byte of each document.
pub fn verify(ctx: &Context, backup: &BackupFile) -> Result<VerifyReport> {
    if backup.metadata.encrypted {
        // A key that is missing or another one is no damage: an error that names the variable.
        match open_archive(ctx, backup) {
            Err(error) if error.is::<CliError>() => return Err(error),
            // What else is wrong is found, and reported with everything else.
            Ok(_) | Err(_) => {}
        }
    }
    let mut meter = Meter::new("verify", backup.metadata.archive_bytes);
    archive::verify(
        &backup.path,
        Some(&backup.metadata),
        identities(ctx)?.as_ref(),
        Check::Strict,
        &mut |progress| meter.at(progress),
    )
}
