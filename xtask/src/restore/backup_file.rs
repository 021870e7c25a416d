//! What a restore needs of a backup beside its metadata: the proof that it is whole, and the archive inside.

use std::io::{Read, Write};

use anyhow::{Context as _, Result, ensure};

use crate::archive::ContainerReader;
use crate::archive::container::default_workers;
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::error::CliError;
use crate::exec::check_interrupted;

const COPY_BYTES: usize = 1 << 18;

/// Reads all of the file and compares it with everything that is recorded of it.
pub(super) fn verify(ctx: &Context, file: &BackupFile) -> Result<()> {
    let found = backup::verify(ctx, file)?;
    if found.is_good() {
        return Ok(());
    }
    Err(CliError::failed(format!(
        "{} is damaged or not the file that was stored: {}",
        file.path.display(),
        found.problems.join("; ")
    ))
    .live("nothing was changed")
    .next("choose another copy or another backup: cargo xtask backup list")
    .into())
}

/// The archive inside.
pub(super) fn open(ctx: &Context, file: &BackupFile) -> Result<ContainerReader> {
    let identities = backup::identities(ctx)?;
    ContainerReader::open(&file.path, identities.as_ref(), default_workers())
}

/// Writes the archive inside to `into`; ends with an error unless all of the file was in order.
pub(super) fn copy_archive(ctx: &Context, file: &BackupFile, into: &mut dyn Write) -> Result<()> {
    let mut reader = open(ctx, file)?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = reader.read(&mut buffer).context("cannot read the backup")?;
        if count == 0 {
            break;
        }
        into.write_all(&buffer[..count])
            .context("cannot hand on the archive")?;
        check_interrupted()?;
    }
    let digest = reader.finish()?;
    ensure!(
        digest.sha256 == file.metadata.hash,
        "the backup file was changed while it was being read"
    );
    Ok(())
}
