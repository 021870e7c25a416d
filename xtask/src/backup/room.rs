//! The room that a backup needs on the disk.

use std::path::Path;

use anyhow::Result;

use crate::error::CliError;
use crate::report;
use crate::storage::directory::free_bytes;

/// Compressed documents are rarely larger than this part of themselves; and room that must stay in any case.
const ESTIMATED_RATIO_PERCENT: u64 = 50;
const SPARE_BYTES: u64 = 32 << 20;

/// The room that a backup of so many bytes of documents needs, and what must stay free beside it.
pub fn room_bytes(documents_bytes: u64) -> u64 {
    documents_bytes / 100 * ESTIMATED_RATIO_PERCENT + SPARE_BYTES
}

/// A full disk is found while writing too, but then minutes are lost.
pub(super) fn require_room(folder: &Path, size_bytes: u64) -> Result<()> {
    let (needed, free) = (room_bytes(size_bytes), free_bytes(folder)?);
    if free >= needed {
        return Ok(());
    }
    Err(CliError::failed(format!(
        "{} has {} free, and a backup of {} of documents needs about {}",
        folder.display(),
        report::bytes(free),
        report::bytes(size_bytes),
        report::bytes(needed)
    ))
    .next("make room (cargo xtask backup prune), or name another folder in the storages of pipeline.toml")
    .into())
}
