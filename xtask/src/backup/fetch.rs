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
    check_backup_id(id)?;
    let mut failed = None;
    for storage in &ctx.config.backup.storage {
        if matches!(storage, StorageConfig::Directory { .. }) {
            continue;
        }
        check_interrupted()?;
        let fetched = storage::open(ctx, storage).and_then(|store| {
            let Some(metadata) = store.metadata(id)? else {
                return Ok(None);
            };
            recorded::check(&metadata, recorded)?;
            report::progress(&format!("fetching {id} from {}", store.name()));
            download(ctx, store.as_ref(), metadata).map(Some)
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
        && let Some(backup) = from_artifact(ctx, id, recorded)?
    {
        return Ok(Some(backup));
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
    if !DraftReleases::open(ctx)?.download_artifact(id, folder.path())? {
        return Ok(None);
    }
    let backup = BackupFile::in_folder(folder.path()).context("the artifact holds no whole backup")?;
    ensure!(
        backup.metadata.id == id,
        "the artifact holds backup {}",
        backup.metadata.id
    );
    recorded::check(&backup.metadata, recorded)?;
    backup.check_digest()?;
    expose(&local, &folder.keep(), backup.metadata).map(Some)
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
