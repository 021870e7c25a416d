//! Opens the archive inside a backup.

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};

use super::BackupFile;
use super::find::find;
use crate::archive::container::default_workers;
use crate::archive::{BaseArchive, ContainerReader, Identities, KeyError};
use crate::context::Context;
use crate::domain::release::BackupRef;
use crate::error::catalogue::backup as errors;
use crate::exec::check_interrupted;
use crate::storage::COPY_BYTES;
use crate::sync::lock;

/// Folders of bases that this process has compared with their hash, by the hash; what changes afterwards is found while reading.
static CHECKED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

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

/// The archive inside a backup: decrypted, decompressed, together with its base where it is a differential one. Who reads it
/// need not know which kind it is.
///
/// # Errors
/// A usage error (exit 2) that names the variable, where the key is missing or another one; failed (exit 1) where no storage has
/// the base as it was.
pub fn open_archive(ctx: &Context, backup: &BackupFile) -> Result<ContainerReader> {
    open_with(ctx, backup, identities(ctx)?.as_ref())
}

/// The same with other keys for the backup itself.
pub(super) fn open_with(
    ctx: &Context,
    backup: &BackupFile,
    keys: Option<&Identities>,
) -> Result<ContainerReader> {
    let opened = open_file(ctx, backup, keys)?;
    let Some(base) = &backup.metadata.base else {
        return Ok(opened);
    };
    let file = base_of(ctx, backup)?.context("a differential backup without base")?;
    let archive = open_file(ctx, &file, identities(ctx)?.as_ref())?;
    Ok(opened.with_base(BaseArchive::new(archive, base.clone())))
}

fn open_file(ctx: &Context, backup: &BackupFile, keys: Option<&Identities>) -> Result<ContainerReader> {
    let opened = ContainerReader::open(&backup.path, keys, default_workers());
    opened.map_err(|error| match error.downcast_ref::<KeyError>() {
        Some(KeyError::Missing) => key_missing(ctx, backup),
        Some(KeyError::Wrong) => key_wrong(ctx, backup),
        None => error,
    })
}

/// The full backup that a differential one builds on; `None` of a full one.
///
/// # Errors
/// Failed (exit 1) where it is nowhere as it was.
pub fn base_of(ctx: &Context, backup: &BackupFile) -> Result<Option<BackupFile>> {
    let Some(base) = &backup.metadata.base else {
        return Ok(None);
    };
    let found = recorded_file(ctx, base, Some(backup));
    let found =
        found.map_err(|error| errors::base_unusable(&backup.metadata.id, &base.id, format!("{error:#}")))?;
    Ok(Some(found))
}

/// The backup with this hash: beside another one, or from the storages.
pub(super) fn recorded_file(
    ctx: &Context,
    wanted: &BackupRef,
    beside: Option<&BackupFile>,
) -> Result<BackupFile> {
    if let Some(folder) = lock(&CHECKED).get(&wanted.hash) {
        return BackupFile::in_folder(folder);
    }
    let folder = beside.and_then(|file| Some(file.folder().parent()?.join(&wanted.id)));
    let beside = folder.filter(|folder| folder.is_dir()).map(|folder| {
        let file = BackupFile::in_folder(&folder)?;
        file.check_digest().map(|()| file)
    });
    let file = match beside {
        Some(Ok(file)) if file.reference() == *wanted => file,
        _ => find(ctx, &wanted.id)?,
    };
    ensure!(
        file.reference() == *wanted && file.metadata.base.is_none(),
        "{} is another backup than the one with the hash {}",
        file.path.display(),
        wanted.hash
    );
    lock(&CHECKED).insert(wanted.hash.clone(), file.folder().to_owned());
    Ok(file)
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
