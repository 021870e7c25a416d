//! Takes a backup: one pass from mongodump's pipe to a file that is complete but not yet visible.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

use super::container::{ContainerOptions, ContainerWriter, PendingFile};
use super::digest::Check;
use super::scan::{OnProgress, scan};
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

    /// Where [`StoredBackup::commit`] will put the file.
    pub fn target(&self) -> &Path {
        self.file.target()
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
    let writer = ContainerWriter::create(options)?;
    let workers = options.workers.div_ceil(2);
    let scan = scan(Tee { source, writer }, Check::Outline, workers, progress)?;
    let mut writer = scan.inner.writer;
    let (archive_bytes, chunks) = writer.end_stream()?;
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        id: options.id.clone(),
        created,
        server_version: scan.prelude.server_version,
        tool_version: scan.prelude.tool_version,
        archive_bytes,
        chunk_bytes: writer.chunk_bytes(),
        chunks,
        namespaces: scan.namespaces,
    };
    let text = serde_json::to_vec(&manifest).context("cannot write the manifest as JSON")?;
    let (file, stored) = writer.finish(&text)?;
    Ok(StoredBackup {
        manifest,
        stored,
        file,
    })
}

/// Gives everything that is read to the writer too.
struct Tee<R> {
    source: R,
    writer: ContainerWriter,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.writer.write_all(&buffer[..count])?;
        Ok(count)
    }
}
