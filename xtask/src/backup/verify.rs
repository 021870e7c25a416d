//! Reads a backup whole, as stored, and compares everything that is recorded about it.

use anyhow::Result;

use super::progress::Meter;
use super::{BackupFile, identities};
use crate::archive::{self, Check, VerifyReport};
use crate::context::Context;

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
