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
pub struct Scan {
    pub(super) prelude: Prelude,
    pub namespaces: Vec<NamespaceRecord>,
}

/// What a pass shows its documents to.
pub trait Visitor {
    /// What is in the archive.
    fn prelude(&mut self, prelude: &Prelude);

    /// Whole documents of one namespace, and where in the archive they begin.
    fn documents(&mut self, namespace: usize, documents: &[u8], offset: u64) -> Result<()>;
}

/// Shows them to nobody.
#[derive(Debug)]
pub struct Nobody;

impl Visitor for Nobody {
    fn prelude(&mut self, _: &Prelude) {}

    fn documents(&mut self, _: usize, _: &[u8], _: u64) -> Result<()> {
        Ok(())
    }
}

/// Reads the archive to its end; `workers` threads compute the digests.
pub fn scan(source: impl Read, check: Check, workers: usize, progress: OnProgress) -> Result<Scan> {
    scan_with(source, check, workers, progress, &mut Nobody)
}

/// The same with a visitor.
pub(super) fn scan_with(
    source: impl Read,
    check: Check,
    workers: usize,
    progress: OnProgress,
    visitor: &mut impl Visitor,
) -> Result<Scan> {
    let mut reader = ArchiveReader::new(source)?;
    visitor.prelude(reader.prelude());
    let mut digests = DigestPool::new(workers, check);
    let mut seen = Progress::default();
    let mut next_report = PROGRESS_STEP_BYTES;
    while let Some(event) = reader.next_event()? {
        if let Event::Documents {
            namespace,
            documents,
            count,
            offset,
        } = event
        {
            seen.documents += count;
            visitor.documents(namespace, documents, offset)?;
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
    let (_, prelude, states) = reader.into_parts();
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
    Ok(Scan { prelude, namespaces })
}
