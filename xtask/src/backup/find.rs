//! Finds one backup in the storages.

use std::path::Path;

use anyhow::Result;
use chrono::Utc;

use super::{BackupFile, fetch, recorded};
use crate::config::StorageConfig;
use crate::context::Context;
use crate::domain::manifest::check_backup_id;
use crate::error::CliError;
use crate::report;
use crate::storage::directory::Directory;
use crate::storage::{self, BackupStore};

/// The backup that an operator names: an id, or the path of its file, folder or metadata.
pub fn resolve(ctx: &Context, named: &str) -> Result<BackupFile> {
    if check_backup_id(named).is_ok() {
        find(ctx, named)
    } else {
        BackupFile::at(Path::new(named))
    }
}

/// The backup with this id from the first storage that has it undamaged: its size and SHA-256 are checked, and compared with
/// the record of the release or operation that took it.
/// Ends with exit 1 where no storage has it.
pub fn find(ctx: &Context, id: &str) -> Result<BackupFile> {
    let recorded = recorded::hash(ctx, id);
    let recorded = recorded.as_deref();
    let mut damaged = None;
    for directory in directories(ctx)? {
        match undamaged_in(&directory, id, recorded) {
            Ok(None) => {}
            Ok(Some(backup)) => return Ok(backup),
            Err(error) => {
                report::progress(&format!("warning: {}: {error:#}", directory.path().display()));
                damaged = Some(error);
            }
        }
    }
    if let Some(backup) = fetch::from_afar(ctx, id, recorded)? {
        return Ok(backup);
    }
    let what = damaged.map_or_else(
        || format!("no storage has a backup {id}"),
        |error| format!("no storage has an undamaged backup {id}: {error:#}"),
    );
    Err(CliError::failed(what)
        .live("nothing was changed")
        .next("see what there is with: cargo xtask backup list")
        .into())
}

fn undamaged_in(directory: &Directory, id: &str, recorded: Option<&str>) -> Result<Option<BackupFile>> {
    let backup = directory.get(id)?;
    if let Some(backup) = &backup {
        recorded::check(&backup.metadata, recorded)?;
        backup.check_digest()?;
    }
    Ok(backup)
}

/// The configured folders, and the one for local state, where backups of other storages are downloaded to.
fn directories(ctx: &Context) -> Result<Vec<Directory>> {
    let configured = ctx
        .config
        .backup
        .storage
        .iter()
        .filter_map(|storage| match storage {
            StorageConfig::Directory { path, .. } => Some(ctx.root.join(path)),
            _ => None,
        });
    let local = ctx.state_dir("backups")?;
    configured.chain([local]).map(Directory::open).collect()
}

/// Every configured storage, and the folder for local state.
pub(super) fn stores(ctx: &Context) -> Result<Vec<Box<dyn BackupStore>>> {
    let local: Box<dyn BackupStore> = Box::new(Directory::open(ctx.state_dir("backups")?)?);
    let configured = ctx.config.backup.storage.iter();
    let configured = configured.map(|storage| storage::open(ctx, storage));
    configured.chain([Ok(local)]).collect()
}

/// An id that no backup of this machine has.
pub fn free_id(ctx: &Context) -> Result<String> {
    Ok(first_directory(ctx)?.reserve(Utc::now())?.id.clone())
}

/// Where a new backup is written: the first required folder, else the first folder, else the one for local state.
pub(super) fn first_directory(ctx: &Context) -> Result<Directory> {
    let directory = |wanted: bool| {
        ctx.config
            .backup
            .storage
            .iter()
            .find_map(|storage| match storage {
                StorageConfig::Directory { path, required, .. } if *required || !wanted => {
                    Some(ctx.root.join(path))
                }
                _ => None,
            })
    };
    match directory(true).or_else(|| directory(false)) {
        Some(path) => Directory::open(path),
        None => Directory::open(ctx.state_dir("backups")?),
    }
}
