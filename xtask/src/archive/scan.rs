//! One pass over an archive: every check of the reader, and what is recorded of each namespace.

use std::io::Read;

use anyhow::{Context, Result};

use super::digest::{Check, DigestPool};
use super::prelude::Prelude;
use super::reader::{ArchiveReader, Event};
use crate::domain::manifest::NamespaceRecord;

/// How far a pass is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Documents of all namespaces so far.
    pub documents: u64,
    /// Bytes of the archive so far.
    pub bytes: u64,
}

/// Called every megabyte or so.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

const PROGRESS_STEP_BYTES: u64 = 1024 * 1024;

/// What one pass found.
#[derive(Debug)]
pub struct Scan<R> {
    pub(super) inner: R,
    pub(super) prelude: Prelude,
    pub namespaces: Vec<NamespaceRecord>,
}

/// Reads the archive to its end; `workers` threads compute the digests.
pub fn scan<R: Read>(source: R, check: Check, workers: usize, progress: OnProgress) -> Result<Scan<R>> {
    let mut reader = ArchiveReader::new(source)?;
    let mut digests = DigestPool::new(workers, check);
    let mut seen = Progress::default();
    let mut next_report = PROGRESS_STEP_BYTES;
    while let Some(event) = reader.next_event()? {
        if let Event::Documents {
            namespace,
            documents,
            count,
        } = event
        {
            seen.documents += count;
            digests.push(namespace, documents)?;
        }
        if reader.offset() >= next_report {
            seen.bytes = reader.offset();
            next_report = seen.bytes + PROGRESS_STEP_BYTES;
            progress(seen);
        }
    }
    seen.bytes = reader.offset();
    progress(seen);
    let digests = digests
        .finish()
        .context("the archive's documents cannot be digested")?;
    let (inner, prelude, states) = reader.into_parts();
    let namespaces = prelude
        .namespaces
        .iter()
        .zip(states)
        .enumerate()
        .map(|(index, (entry, state))| NamespaceRecord {
            database: entry.database.clone(),
            collection: entry.collection.clone(),
            kind: entry.kind,
            documents: state.documents,
            bytes: state.bytes,
            crc: format!("{:016x}", state.crc.value()),
            content_digest: digests.get(&index).copied().unwrap_or_default(),
            options: entry.options.clone(),
            indexes: entry.indexes.clone(),
            uuid: entry.uuid.clone(),
        });
    let namespaces = namespaces.collect();
    Ok(Scan {
        inner,
        prelude,
        namespaces,
    })
}
