//! Takes a backup: one pass from mongodump's pipe to a file that is complete but not yet visible.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

use super::container::{ContainerOptions, ContainerWriter, PendingFile};
use super::differential::{Base, SegmentWriter, Sink, Tee};
use super::digest::Check;
use super::scan::{OnProgress, Scan, scan_with};
use crate::domain::manifest::{BackupMetadata, Consistency, MANIFEST_SCHEMA, Manifest, StoredFile};

/// A backup that is whole and on the disk under a temporary name. Dropped, it is removed.
///
/// Only the caller knows whether mongodump succeeded, and an archive of half a database is as well-formed as
/// a whole one: so [`StoredBackup::commit`] is a step of its own.
#[derive(Debug)]
pub struct StoredBackup {
    pub manifest: Manifest,
    pub stored: StoredFile,
    file: PendingFile,
}

impl StoredBackup {
    /// The metadata to be stored beside the file.
    pub fn metadata(&self, consistency: Consistency) -> BackupMetadata {
        BackupMetadata::new(&self.manifest, self.stored.clone(), consistency)
    }

    /// Where it lies until then.
    pub fn partial_path(&self) -> &Path {
        self.file.partial_path()
    }

    /// Gives the file its final name.
    pub fn commit(self) -> Result<PathBuf> {
        self.file.commit()
    }
}

/// Reads the whole archive from `source`, checks it and stores it. `created` is when the dump began.
pub fn store(
    source: impl Read,
    options: &ContainerOptions,
    created: DateTime<Utc>,
    progress: OnProgress,
) -> Result<StoredBackup> {
    store_upon(None, source, options, created, progress)
}

/// The same; of a base, only what it has not is stored.
pub fn store_upon(
    base: Option<Base>,
    source: impl Read,
    options: &ContainerOptions,
    created: DateTime<Utc>,
    progress: OnProgress,
) -> Result<StoredBackup> {
    let writer = ContainerWriter::create(options)?;
    let workers = options.workers.div_ceil(2);
    let named = base.as_ref().map(|base| base.archive.base().clone());
    let sink = RefCell::new(match base {
        Some(base) => Sink::Differential(Box::new(SegmentWriter::new(writer, base))),
        None => Sink::Full(writer),
    });
    let tee = Tee { source, sink: &sink };
    let Scan { prelude, namespaces } = scan_with(tee, Check::Outline, workers, progress, &mut &sink)?;
    let mut writer = match sink.into_inner() {
        Sink::Full(writer) => writer,
        Sink::Differential(segments) => segments.finish()?,
    };
    let (archive_bytes, chunks) = writer.end_stream()?;
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        id: options.id.clone(),
        created,
        server_version: prelude.server_version,
        tool_version: prelude.tool_version,
        archive_bytes,
        chunk_bytes: writer.chunk_bytes(),
        chunks,
        base: named,
        namespaces,
    };
    let text = serde_json::to_vec(&manifest).context("cannot write the manifest as JSON")?;
    let (file, stored) = writer.finish(&text)?;
    Ok(StoredBackup {
        manifest,
        stored,
        file,
    })
}
