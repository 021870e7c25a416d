//! The proof that a backup file is whole, before anything is restored from it.

use anyhow::{Result, ensure};

use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::error::catalogue::restore as errors;

/// Reads all of the file and compares it with everything that is recorded of it.
pub(super) fn require_undamaged(ctx: &Context, file: &BackupFile) -> Result<()> {
    let found = backup::verify(ctx, file)?;
    ensure!(
        found.is_good(),
        errors::backup_damaged(file.path.display(), found.problems.join("; "))
    );
    Ok(())
}
