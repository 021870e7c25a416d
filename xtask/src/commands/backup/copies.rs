//! Copies of a finished backup in the other places.

use anyhow::{Context as _, Result};

use crate::backup::{self, BackupFile};
use crate::config::Place;
use crate::context::Context;
use crate::domain::manifest::StoragePlace;
use crate::error::Stop;
use crate::places::directory::Directory;
use crate::report;

/// Copies the backup to every place but the one it is in, and records in its metadata what has it. A place that fails
/// is a warning, or an error where it is required; then the backup still exists, and the error says where.
pub(super) fn copy_to_other_places(ctx: &Context, first: &Directory, backup: &mut BackupFile) -> Result<()> {
    let mut failed = Vec::new();
    let mut changed = false;
    for place in &ctx.config.backup.places {
        let Place::Directory { path, required } = place else {
            continue;
        };
        let path = ctx.root.join(path);
        if path == first.path() {
            continue;
        }
        changed = true;
        match Directory::open(path.clone()).and_then(|directory| directory.put(backup)) {
            Ok(location) => backup.metadata.storage.push(StoragePlace {
                kind: "directory".into(),
                location: location.display().to_string(),
                expires: None,
                verified: true,
            }),
            Err(error) => {
                let warning = format!("no copy in {}: {error:#}", path.display());
                report::progress(&format!("warning: {warning}"));
                backup.metadata.warnings.push(warning.clone());
                if *required {
                    failed.push(warning);
                }
            }
        }
    }
    if changed {
        for place in &backup.metadata.storage {
            let folder = std::path::Path::new(&place.location);
            backup::write_metadata(folder, &backup.metadata).context(
                "the backup is good and has its copies, but its metadata cannot say where they are",
            )?;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Stop::failed(format!(
        "a required place has no copy of the backup: {}",
        failed.join("; ")
    ))
    .live(format!(
        "nothing was changed; the backup itself is good: {}",
        backup.path.display()
    ))
    .next("correct the place in pipeline.toml, and run the command again")
    .into())
}
