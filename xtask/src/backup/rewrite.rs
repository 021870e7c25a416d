//! Writes the archive of a backup a second time in one pass, with documents left out, changed or added: nothing of it lies on the disk in
//! between.

use std::collections::BTreeSet;
use std::io::{BufWriter, PipeWriter};

use anyhow::{Result, ensure};

use super::BackupFile;
use crate::archive::writer::{ArchiveWriter, DumpedCollection};
use crate::archive::{ArchiveReader, ContainerReader, Event};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::exec::check_interrupted;

/// What becomes of the documents of a collection.
pub(super) trait Edit {
    /// Appends to `out` what becomes of these documents, which stand one after the other.
    fn documents(&mut self, collection: &str, documents: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// Gives `add` the documents that come after them.
    fn more(&mut self, _collection: &str, _add: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

/// Writes these namespaces of one database of the backup to `pipe`, as those of `database`.
///
/// # Errors
/// The backup is damaged, or no longer the file that its metadata name.
pub(super) fn rewrite(
    backup: &BackupFile,
    opened: ContainerReader,
    records: &[&NamespaceRecord],
    database: &str,
    edit: &mut impl Edit,
    pipe: PipeWriter,
) -> Result<()> {
    let mut reader = ArchiveReader::new(opened)?;
    let wanted: BTreeSet<(&str, &str)> = records
        .iter()
        .map(|record| (record.database.as_str(), record.collection.as_str()))
        .collect();
    // By their numbers in the archive; `None` is not copied.
    let names: Vec<Option<String>> = reader
        .prelude()
        .namespaces
        .iter()
        .map(|n| {
            let copied = wanted.contains(&(n.database.as_str(), n.collection.as_str()));
            copied.then(|| n.collection.clone())
        })
        .collect();
    let dumped: Vec<DumpedCollection> = records.iter().map(|record| dumped(record)).collect();
    let version = &backup.metadata.server_version;
    let mut archive = ArchiveWriter::of_dump(BufWriter::new(pipe), version, database, &dumped)?;
    let mut out = Vec::new();
    while let Some(event) = reader.next_event()? {
        let (Event::Documents { namespace, .. } | Event::End { namespace, .. }) = event;
        let Some(name) = names.get(namespace).and_then(Option::as_ref) else {
            continue;
        };
        if let Event::Documents { documents, .. } = event {
            out.clear();
            edit.documents(name, documents, &mut out)?;
            archive.append(name, &out)?;
        } else {
            edit.more(name, &mut |documents| archive.append(name, documents))?;
            archive.end(name)?;
        }
        check_interrupted()?;
    }
    let (file, _, _) = reader.into_parts();
    let read = file.finish()?.sha256;
    ensure!(
        read == backup.metadata.hash,
        "the backup file is not the one that its metadata name"
    );
    archive.finish().map(drop)
}

/// As mongodump describes the collection, for its namesake in another database.
fn dumped(record: &NamespaceRecord) -> DumpedCollection {
    let kind = match record.kind {
        NamespaceKind::Collection => "collection",
        NamespaceKind::View => "view",
        NamespaceKind::Timeseries => "timeseries",
    };
    DumpedCollection::of(&record.collection, kind, &record.options, &record.indexes)
}
