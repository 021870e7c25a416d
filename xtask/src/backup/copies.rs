//! Copies of a finished backup in the other storages.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{BackupFile, off_machine, write_metadata};
use crate::config::StorageConfig;
use crate::context::Context;
use crate::error::CliError;
use crate::exec::interrupted;
use crate::report;
use crate::secret::scrub;
use crate::storage::{self, BackupStore, directory::Directory};

/// Copies the backup to every storage but the one it is in, and records in its metadata what has it. A storage that fails
/// is a warning, or an error where it is required; then the backup still exists, and the error says where.
pub(super) fn copy_to_other_storages(
    ctx: &Context,
    first: &Directory,
    backup: &mut BackupFile,
) -> Result<()> {
    let (mut failed, mut remedies) = (Vec::new(), Vec::new());
    let others: Vec<&StorageConfig> = ctx
        .config
        .backup
        .storage
        .iter()
        .filter(|storage| !is_folder(ctx, storage, first.path()))
        .collect();
    for storage in &others {
        if interrupted() {
            return Err(CliError::failed(
                "interrupted by a signal before every storage had a copy of the backup",
            )
            .live(format!(
                "nothing was changed; the backup itself is good: {}",
                backup.path.display()
            ))
            .next("run the command again for a backup in every storage")
            .into());
        }
        match storage::open(ctx, storage).and_then(|store| {
            report::progress(&format!("copying the backup to {}", store.name()));
            store
                .put(backup)
                .with_context(|| format!("no copy in {}", store.name()))
        }) {
            Ok(stored) => {
                off_machine::note_proved(storage, &backup.metadata);
                backup.metadata.storage.push(stored);
            }
            Err(error) => {
                let warning = scrub(&format!("{error:#}"));
                report::progress(&format!("warning: {warning}"));
                backup.metadata.warnings.push(warning.clone());
                let remedy = error
                    .downcast_ref::<CliError>()
                    .and_then(|error| error.next.clone());
                if storage::is_required(storage) {
                    failed.push(warning);
                    remedies.extend(remedy);
                } else if let Some(remedy) = remedy {
                    report::progress(&format!("  next: {remedy}"));
                }
            }
        }
    }
    if !others.is_empty() {
        record(backup).map_err(|error| {
            CliError::failed(format!(
                "the copies of the backup cannot be recorded in its metadata: {error:#}"
            ))
            .live(format!(
                "nothing was changed; the backup itself is good: {}",
                backup.path.display()
            ))
            .next("remove the cause, and run the command again for a backup that knows its copies")
        })?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let (what, path) = (failed.join("; "), backup.path.display());
    if remedies.is_empty() {
        remedies
            .push("correct the storage in pipeline.toml or its secret, and run the command again".to_owned());
    }
    Err(
        CliError::failed(format!("a required storage has no copy of the backup: {what}"))
            .live(format!("nothing was changed; the backup itself is good: {path}"))
            .next(remedies.join("; "))
            .into(),
    )
}

/// Copies what lies outside of the storages, a rescue file, to every storage; without one, to the folder for local state. A
/// storage that fails is a warning: [`off_machine::is_kept`] tells whether the file may be relied on.
pub fn keep(ctx: &Context, backup: &mut BackupFile) -> Result<()> {
    let configured = ctx.config.backup.storage.iter();
    let mut stores: Vec<Result<Box<dyn BackupStore>>> =
        configured.map(|storage| storage::open(ctx, storage)).collect();
    if stores.is_empty() {
        let local = Directory::open(ctx.state_dir("backups")?);
        stores.push(local.map(|local| Box::new(local) as Box<dyn BackupStore>));
    }
    for store in stores {
        let kept = store.and_then(|store| {
            let there = store.metadata(&backup.metadata.id)?;
            if there.is_some_and(|there| there.hash == backup.metadata.hash) {
                return Ok(None);
            }
            let copied = store.put(backup);
            copied
                .with_context(|| format!("no copy in {}", store.name()))
                .map(Some)
        });
        match kept {
            Ok(copy) => backup.metadata.storage.extend(copy),
            Err(error) => {
                let warning = scrub(&format!("{error:#}"));
                report::progress(&format!("warning: {warning}"));
                backup.metadata.warnings.push(warning);
            }
        }
    }
    write_metadata(backup.folder(), &backup.metadata)?;
    record(backup)
}

/// Writes the metadata anew where that is possible: in folders. Elsewhere they stay as they were uploaded.
fn record(backup: &BackupFile) -> Result<()> {
    for stored in backup
        .metadata
        .storage
        .iter()
        .filter(|stored| stored.kind == "directory")
    {
        write_metadata(Path::new(&stored.location), &backup.metadata)?;
    }
    Ok(())
}

fn is_folder(ctx: &Context, storage: &StorageConfig, folder: &Path) -> bool {
    matches!(storage, StorageConfig::Directory { path, .. } if ctx.root.join(path) == folder)
}
