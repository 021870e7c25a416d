//! Downloads a backup from the first storage that has it: checked on the way, resumed where it broke off.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::progress::Meter;
use super::{BackupFile, recorded, sync_folder, write_metadata};
use crate::archive::Progress;
use crate::config::StorageConfig;
use crate::context::Context;
use crate::domain::manifest::{BackupMetadata, METADATA_FILE, check_backup_id};
use crate::exec::check_interrupted;
use crate::report;
use crate::storage::{self, BackupStore, COPY_BYTES, directory::Directory, github::DraftReleases};

/// Folders of downloads that broke off; they are gone on with.
const FETCH_PREFIX: &str = ".fetch-";

/// Downloads the backup from the first storage but folders that has it and delivers it whole, with the hash of its record
/// where there is one; `None` where none has it.
/// Storages that fail are reported, and the next one is asked.
pub(super) fn from_afar(ctx: &Context, id: &str, recorded: Option<&str>) -> Result<Option<BackupFile>> {
    let storages = ctx.config.backup.storage.iter();
    let afar = storages.filter(|storage| !matches!(storage, StorageConfig::Directory { .. }));
    let deliver = |store: &dyn BackupStore, metadata| download(ctx, store, metadata);
    let artifact = || from_artifact(ctx, id, recorded);
    first_that_delivers(ctx, id, recorded, afar, deliver, artifact)
}

/// A copy of its own in this folder, as it would be had where this machine is gone: downloaded whole from the first storage that is not
/// the local one, with the name of that storage; `None` where no other storage has it.
pub(super) fn fresh_copy(
    ctx: &Context,
    id: &str,
    recorded: Option<&str>,
    first: &Path,
    folder: &Path,
) -> Result<Option<(String, BackupFile)>> {
    let is_local = |storage: &StorageConfig| match storage {
        StorageConfig::Directory { path, .. } => ctx.root.join(path) == first,
        _ => false,
    };
    let others = ctx
        .config
        .backup
        .storage
        .iter()
        .filter(|storage| !is_local(storage));
    let deliver = |store: &dyn BackupStore, metadata: BackupMetadata| {
        let path = folder.join(&metadata.file);
        let is_whole = transfer(store, &metadata, &path)?;
        ensure!(
            is_whole,
            "what {} delivers is not the backup that was stored",
            store.name()
        );
        write_metadata(folder, &metadata)?;
        Ok((store.name(), BackupFile { path, metadata }))
    };
    let artifact = || {
        let found = artifact_into(ctx, id, recorded, folder)?;
        Ok(found.map(|backup| ("the artifacts of GitHub".to_owned(), backup)))
    };
    first_that_delivers(ctx, id, recorded, others, deliver, artifact)
}

/// What the first of these storages that has the backup delivers, or the artifact of a workflow.
fn first_that_delivers<'a, T>(
    ctx: &Context,
    id: &str,
    recorded: Option<&str>,
    storages: impl Iterator<Item = &'a StorageConfig>,
    deliver: impl Fn(&dyn BackupStore, BackupMetadata) -> Result<T>,
    artifact: impl FnOnce() -> Result<Option<T>>,
) -> Result<Option<T>> {
    check_backup_id(id)?;
    let mut failed = None;
    for storage in storages {
        check_interrupted()?;
        let fetched = storage::open(ctx, storage).and_then(|store| {
            let Some(metadata) = store.metadata(id)? else {
                return Ok(None);
            };
            recorded::check(&metadata, recorded)?;
            report::progress(&format!("fetching {id} from {}", store.name()));
            deliver(store.as_ref(), metadata).map(Some)
        });
        match fetched {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => {
                report::progress(&format!("warning: a storage cannot deliver {id}: {error:#}"));
                failed = Some(error);
            }
        }
    }
    // Whatever storages are configured: the workflows keep each of their backups as an artifact.
    if ctx.config.github.is_some()
        && let Some(found) = artifact()?
    {
        return Ok(Some(found));
    }
    failed.map_or(Ok(None), Err)
}

fn download(ctx: &Context, store: &dyn BackupStore, metadata: BackupMetadata) -> Result<BackupFile> {
    let local = ctx.state_dir("backups")?;
    let folder = local.join(format!("{FETCH_PREFIX}{}", metadata.id));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = File::open(&folder).with_context(|| format!("cannot open {}", folder.display()))?;
    lock.try_lock()
        .with_context(|| format!("another process is fetching {} already", metadata.id))?;
    let file = folder.join(&metadata.file);
    let begun = file.metadata().is_ok_and(|file| file.len() > 0);
    // What broke off is kept and gone on with; what came whole and is wrong is not.
    if !transfer(store, &metadata, &file)? {
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        let wrong = || format!("what {} delivers is not the backup that was stored", store.name());
        ensure!(begun, wrong());
        report::progress("the earlier part of the download does not fit: starting again");
        ensure!(transfer(store, &metadata, &file)?, wrong());
    }
    write_metadata(&folder, &metadata)?;
    expose(&local, &folder, metadata)
}

/// Appends what is missing of the file; says whether all of it, what was there included, is what was stored.
fn transfer(store: &dyn BackupStore, metadata: &BackupMetadata, path: &Path) -> Result<bool> {
    let cannot = || format!("cannot write {}", path.display());
    let mut hash = Sha256::new();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .with_context(cannot)?;
    let mut size = std::io::copy(&mut file, &mut hash).with_context(cannot)?;
    let mut meter = Meter::new("fetch", metadata.size_bytes);
    let mut too_much = false;
    let read = if size < metadata.size_bytes {
        store.read(metadata, size, &mut |stream| {
            let mut buffer = vec![0; COPY_BYTES];
            loop {
                let count = stream.read(&mut buffer).context("the download broke off")?;
                if count == 0 {
                    return Ok(());
                }
                check_interrupted()?;
                size += count as u64;
                // Some servers deliver all of a file when asked for the rest of it.
                too_much = size > metadata.size_bytes;
                ensure!(!too_much, "more arrives than was stored");
                file.write_all(&buffer[..count]).with_context(cannot)?;
                hash.update(&buffer[..count]);
                meter.at(Progress {
                    documents: 0,
                    bytes: size,
                });
            }
        })
    } else {
        Ok(())
    };
    if too_much {
        return Ok(false);
    }
    read?;
    file.sync_all().with_context(cannot)?;
    ensure!(
        size >= metadata.size_bytes,
        "{size} of {} bytes arrived: run the command again to continue",
        metadata.size_bytes
    );
    Ok(size == metadata.size_bytes && hex::encode(hash.finalize()) == metadata.hash)
}

/// What a workflow uploaded: GitHub knows it by name, the file and its metadata are in it.
fn from_artifact(ctx: &Context, id: &str, recorded: Option<&str>) -> Result<Option<BackupFile>> {
    let local = ctx.state_dir("backups")?;
    let folder = tempfile::Builder::new()
        .prefix(FETCH_PREFIX)
        .tempdir_in(&local)
        .context("cannot make a folder for the download")?;
    match artifact_into(ctx, id, recorded, folder.path())? {
        Some(backup) => expose(&local, &folder.keep(), backup.metadata).map(Some),
        None => Ok(None),
    }
}

fn artifact_into(
    ctx: &Context,
    id: &str,
    recorded: Option<&str>,
    folder: &Path,
) -> Result<Option<BackupFile>> {
    if !DraftReleases::open(ctx)?.download_artifact(id, folder)? {
        return Ok(None);
    }
    let backup = BackupFile::in_folder(folder).context("the artifact holds no whole backup")?;
    ensure!(
        backup.metadata.id == id,
        "the artifact holds backup {}",
        backup.metadata.id
    );
    recorded::check(&backup.metadata, recorded)?;
    backup.check_digest()?;
    Ok(Some(backup))
}

fn expose(local: &Path, folder: &Path, metadata: BackupMetadata) -> Result<BackupFile> {
    ensure!(
        folder.join(METADATA_FILE).is_file(),
        "{} has no metadata",
        folder.display()
    );
    let target: PathBuf = Directory::open(local.to_owned())?.folder_of(&metadata.id);
    std::fs::rename(folder, &target)
        .with_context(|| format!("cannot give the download its name {}", target.display()))?;
    sync_folder(local)?;
    Ok(BackupFile {
        path: target.join(&metadata.file),
        metadata,
    })
}
