//! Finds one backup, and opens the archive inside it.

use std::io::{Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;

use super::{BackupFile, fetch, recorded};
use crate::archive::container::default_workers;
use crate::archive::{ContainerReader, Identities, KeyError};
use crate::config::StorageConfig;
use crate::context::Context;
use crate::domain::manifest::check_backup_id;
use crate::error::CliError;
use crate::error::catalogue::backup as errors;
use crate::exec::check_interrupted;
use crate::report;
use crate::storage::directory::Directory;
use crate::storage::{self, BackupStore, COPY_BYTES};

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

/// The keys that open encrypted backups, where this machine has them.
pub fn identities(ctx: &Context) -> Result<Option<Identities>> {
    let Some(variable) = &ctx.config.backup.identity else {
        return Ok(None);
    };
    let Some(secret) = ctx.secret_if_set(variable) else {
        return Ok(None);
    };
    match Identities::parse(secret.expose()) {
        Ok(identities) => Ok(Some(identities)),
        Err(error) => Err(errors::key_unusable(variable, format!("{error:#}")).into()),
    }
}

/// The archive inside a backup: decrypted, decompressed.
///
/// # Errors
/// A usage error (exit 2) that names the variable, where the key is missing or another one.
pub fn open_archive(ctx: &Context, backup: &BackupFile) -> Result<ContainerReader> {
    let opened = ContainerReader::open(&backup.path, identities(ctx)?.as_ref(), default_workers());
    opened.map_err(|error| match error.downcast_ref::<KeyError>() {
        Some(KeyError::Missing) => key_missing(ctx, backup),
        Some(KeyError::Wrong) => key_wrong(ctx, backup),
        None => error,
    })
}

fn key_missing(ctx: &Context, backup: &BackupFile) -> anyhow::Error {
    let why = match &ctx.config.backup.identity {
        Some(variable) => format!("the environment variable {variable} is not set"),
        None => "`backup.identity` in pipeline.toml does not name the variable that holds it".to_owned(),
    };
    errors::key_missing(backup.path.display(), why).into()
}

fn key_wrong(ctx: &Context, backup: &BackupFile) -> anyhow::Error {
    let variable = ctx.config.backup.identity.as_deref().unwrap_or_default();
    let recipients = backup.metadata.recipients.join(", ");
    errors::key_wrong(backup.path.display(), variable, recipients).into()
}

/// Writes the archive inside a backup to `into`; an error unless the whole file was read and has the recorded digest.
pub fn copy_archive(ctx: &Context, backup: &BackupFile, into: &mut dyn Write) -> Result<()> {
    let mut reader = open_archive(ctx, backup)?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = reader.read(&mut buffer).context("cannot read the backup")?;
        if count == 0 {
            break;
        }
        into.write_all(&buffer[..count])
            .context("cannot pipe the archive to mongorestore")?;
        check_interrupted()?;
    }
    let digest = reader.finish()?;
    ensure!(
        digest.sha256 == backup.metadata.hash,
        "the backup file was changed while it was being read"
    );
    Ok(())
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
