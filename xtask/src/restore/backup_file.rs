//! The backup that a restore works with: found on whichever machine, and proved whole before anything is restored from it.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::archive::Visitor;
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::error::catalogue::restore as errors;

/// The backup of a plan: the file that the plan names, where it is here and is that backup; another machine has another path,
/// and takes the copy that a storage has.
pub(super) fn named(
    ctx: &Context,
    path: Option<&Path>,
    id: &str,
    sha256: Option<&str>,
) -> Result<BackupFile> {
    let is_it = |file: &BackupFile| {
        file.metadata.id == id && sha256.is_none_or(|sha256| file.metadata.hash == sha256)
    };
    let here = path.filter(|path| path.exists()).map(BackupFile::at);
    if let Some(file) = here.transpose()?.filter(is_it) {
        return Ok(file);
    }
    let found = backup::find(ctx, id)?;
    ensure!(is_it(&found), errors::backup_replaced(id));
    Ok(found)
}

/// Reads all of the file and compares it with everything that is recorded of it; `visitor` has what it was shown only then.
pub(super) fn require_undamaged(ctx: &Context, file: &BackupFile, visitor: &mut impl Visitor) -> Result<()> {
    let found = backup::verify_with(ctx, file, visitor)?;
    ensure!(
        found.is_good(),
        errors::backup_damaged(file.path.display(), found.problems.join("; "))
    );
    Ok(())
}
