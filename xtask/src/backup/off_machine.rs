//! Whether a backup outlives this machine. The machine of a workflow's job is gone when the job ends, or before, with its
//! disk: nothing live is begun there before the backup of what is live is elsewhere, and was read back from there.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};

use super::BackupFile;
use crate::config::StorageConfig;
use crate::context::Context;
use crate::domain::ledger::RESTORE;
use crate::domain::manifest::BackupMetadata;
use crate::domain::release::BackupRef;
use crate::error::catalogue::backup as errors;
use crate::report;
use crate::storage::directory::Directory;
use crate::storage::github::DraftReleases;
use crate::storage::{self, BackupStore, is_off_machine};
use crate::sync::lock;

/// What this process has stored off this machine, by its hash, with its base; a storage reads back what it takes.
static PROVED: Mutex<BTreeMap<String, Option<BackupRef>>> = Mutex::new(BTreeMap::new());

/// Where a backup is, and which one it builds on.
type Copy = (String, Option<BackupRef>);

/// Whether this machine is gone with the job that runs on it.
pub fn machine_vanishes() -> bool {
    report::is_workflow()
}

/// Whether pipeline.toml has a storage that outlives this machine.
pub fn is_configured(ctx: &Context) -> bool {
    ctx.config.backup.storage.iter().any(is_off_machine)
}

/// Whether an operation of this kind writes a backup: a snapshot of Atlas is on no machine of ours.
fn writes_backup(ctx: &Context, kind: &str) -> bool {
    ctx.env().mongodb.is_some() && (kind == RESTORE || ctx.config.engine(ctx.env()).has_archive())
}

/// Refuses to begin what cannot become live here: nothing would have the backup when the machine is gone.
///
/// # Errors
/// Exit 3, in a workflow's job without a storage that outlives it.
pub fn require_configured(ctx: &Context, kind: &str) -> Result<()> {
    ensure!(
        !writes_backup(ctx, kind) || !machine_vanishes() || is_configured(ctx),
        errors::no_storage_off_machine(kind)
    );
    Ok(())
}

/// Keeps in mind that this storage has just taken the backup and read it back.
pub(super) fn note_proved(storage: &StorageConfig, metadata: &BackupMetadata) {
    if is_off_machine(storage) {
        lock(&PROVED).insert(metadata.hash.clone(), metadata.base.clone());
    }
}

/// Proves, on a machine that vanishes, that a storage elsewhere has this backup.
///
/// # Errors
/// Exit 3 where none has it.
pub fn require(ctx: &Context, backup: &BackupRef) -> Result<()> {
    if !machine_vanishes() {
        return Ok(());
    }
    let mut next = Some(backup.clone());
    while let Some(backup) = next {
        let copy = find_copy(ctx, &backup);
        let (copy, base) = copy.ok_or_else(|| errors::backup_only_here(&backup.id))?;
        report::progress(&format!("  the backup {} is off this machine: {copy}", backup.id));
        next = base;
    }
    Ok(())
}

/// Whether a storage has this file, read back: on a machine that vanishes one that outlives it.
pub fn is_kept(ctx: &Context, file: &BackupRef) -> Result<bool> {
    if machine_vanishes() {
        return Ok(find_copy(ctx, file).is_some());
    }
    let storages = &ctx.config.backup.storage;
    if storages
        .iter()
        .any(|storage| reported(in_storage(ctx, storage, file)).is_some())
    {
        return Ok(true);
    }
    let local = Directory::open(ctx.state_dir("backups")?)?;
    Ok(storages.is_empty() && reported(in_store(&local, file)).is_some())
}

/// A storage off this machine that has the backup with this hash, read back; an artifact of a workflow counts.
fn find_copy(ctx: &Context, backup: &BackupRef) -> Option<Copy> {
    if let Some(base) = lock(&PROVED).get(&backup.hash) {
        return Some(("stored and read back".to_owned(), base.clone()));
    }
    let mut storages = ctx.config.backup.storage.iter().filter(|one| is_off_machine(one));
    let copy = storages.find_map(|storage| reported(in_storage(ctx, storage, backup)));
    if copy.is_some() || ctx.config.github.is_none() {
        return copy;
    }
    reported(artifact(ctx, backup))
}

/// A storage that fails is reported, and the next one is asked.
fn reported(copy: Result<Option<Copy>>) -> Option<Copy> {
    copy.unwrap_or_else(|error| {
        report::progress(&format!("warning: {error:#}"));
        None
    })
}

fn in_storage(ctx: &Context, storage: &StorageConfig, backup: &BackupRef) -> Result<Option<Copy>> {
    in_store(storage::open(ctx, storage)?.as_ref(), backup)
}

fn in_store(store: &dyn BackupStore, backup: &BackupRef) -> Result<Option<Copy>> {
    let name = store.name();
    let proved = || -> Result<Option<Copy>> {
        let Some(metadata) = store.metadata(&backup.id)? else {
            return Ok(None);
        };
        ensure!(metadata.hash == backup.hash, "it has another hash than recorded");
        store.prove(&metadata)?;
        Ok(Some((name.clone(), metadata.base)))
    };
    proved().with_context(|| format!("{} in {name}", backup.id))
}

/// What the workflow uploaded, downloaded and compared.
fn artifact(ctx: &Context, backup: &BackupRef) -> Result<Option<Copy>> {
    let folder = tempfile::Builder::new()
        .prefix(".off-machine-")
        .tempdir_in(ctx.state_dir("backups")?)
        .context("cannot make a folder for the download")?;
    if !DraftReleases::open(ctx)?.download_artifact(&backup.id, folder.path())? {
        return Ok(None);
    }
    let file = BackupFile::in_folder(folder.path()).context("it holds no whole backup")?;
    ensure!(file.reference() == *backup, "it is not the recorded backup");
    file.check_digest()?;
    let name = format!("the artifact mongodb-backup-{}", backup.id);
    Ok(Some((name, file.metadata.base)))
}
