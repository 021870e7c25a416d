//! Writes an archive as mongodump does, for what we export ourselves: mongorestore reads it.

use std::collections::BTreeMap;
use std::io::{PipeWriter, Write};

use anyhow::{Context as _, Result, anyhow};
use chrono::{DateTime, Utc};
use mongodb::bson::{Document, doc, serialize_to_vec};
use serde::Serialize;

use super::crc::Crc64;
use super::prelude::MAGIC;
use super::{Base, ContainerOptions, StoredBackup, store_upon};
use crate::exec::is_broken_pipe;

const TERMINATOR: [u8; 4] = [0xff; 4];
const FORMAT_VERSION: &str = "0.1";

/// Stores the archive that `write` writes, of a base only what it has not; with it comes what `write` gives.
///
/// # Errors
/// Whichever failed first.
pub fn store_written<W: Send>(
    base: Option<Base>,
    options: &ContainerOptions,
    created: DateTime<Utc>,
    write: impl FnOnce(PipeWriter) -> Result<W> + Send,
) -> Result<(W, StoredBackup)> {
    let (reader, writer) = std::io::pipe().context("cannot create a pipe")?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(writer));
        let stored = store_upon(base, reader, options, created, &mut |_| ());
        let written = writing
            .join()
            .map_err(|_| anyhow!("the thread that writes the archive panicked"));
        outcome(written.flatten(), stored)
    })
}

/// Whichever failed first: a writer that failed ends its archive early, and a file that cannot be written breaks the pipe.
fn outcome<W, T>(written: Result<W>, stored: Result<T>) -> Result<(W, T)> {
    match (written, stored) {
        (Ok(written), Ok(stored)) => Ok((written, stored)),
        (Err(broken), Err(error)) if is_broken_pipe(&broken) => Err(error),
        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
    }
}

/// What a collection is made with, as the server lists it.
#[derive(Debug, Clone, Default)]
pub struct CollectionShape {
    pub options: Document,
    /// None stands for the index of `_id` alone.
    pub indexes: Vec<Document>,
}

/// A collection or view as mongodump describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedCollection {
    pub collection: String,
    /// `collection`, `view` or `timeseries`.
    pub kind: String,
    /// What mongodump writes into `NAME.metadata.json`.
    pub metadata: String,
}

impl DumpedCollection {
    /// Describes a collection as mongodump does; `kind` is as in [`Self::kind`].
    pub fn of(collection: &str, kind: &str, options: &impl Serialize, indexes: &impl Serialize) -> Self {
        let metadata = serde_json::json!({
            "options": options, "indexes": indexes, "uuid": "", "collectionName": collection, "type": kind,
        });
        Self {
            collection: collection.to_owned(),
            kind: kind.to_owned(),
            metadata: metadata.to_string(),
        }
    }
}

/// An archive under way: namespaces come one after the other, in the order they were announced.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    out: W,
    database: String,
    open: Option<(String, Crc64)>,
    /// Of what is written by `append` and not closed.
    interleaved: BTreeMap<String, Crc64>,
}

impl<W: Write> ArchiveWriter<W> {
    /// Writes the beginning, which names every collection that follows. They get no options and no index but that of `_id`.
    pub fn new(out: W, server_version: &str, database: &str, collections: &[String]) -> Result<Self> {
        let plain = |name: &String| (name.clone(), CollectionShape::default());
        let collections: Vec<_> = collections.iter().map(plain).collect();
        Self::with_shapes(out, server_version, database, &collections)
    }

    /// The same, where each collection has its options and indexes.
    pub fn with_shapes(
        out: W,
        server_version: &str,
        database: &str,
        collections: &[(String, CollectionShape)],
    ) -> Result<Self> {
        let dumped = collections.iter().map(|(collection, shape)| {
            let by_id = doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" };
            let indexes = if shape.indexes.is_empty() {
                &vec![by_id]
            } else {
                &shape.indexes
            };
            DumpedCollection::of(collection, "collection", &shape.options, indexes)
        });
        Self::of_dump(out, server_version, database, &dumped.collect::<Vec<_>>())
    }

    /// The same, where mongodump wrote the metadata.
    pub fn of_dump(
        mut out: W,
        server_version: &str,
        database: &str,
        collections: &[DumpedCollection],
    ) -> Result<Self> {
        let header = doc! {
            "concurrent_collections": 1_i32,
            "version": FORMAT_VERSION,
            "server_version": server_version,
            "tool_version": concat!("cargo-xtask ", env!("CARGO_PKG_VERSION")),
        };
        out.write_all(&MAGIC)?;
        write(&mut out, &header)?;
        for dumped in collections {
            let entry = doc! {
                "db": database, "collection": &dumped.collection, "metadata": &dumped.metadata, "size": 0_i32,
                "type": &dumped.kind,
            };
            write(&mut out, &entry)?;
        }
        out.write_all(&TERMINATOR)?;
        Ok(Self {
            out,
            database: database.to_owned(),
            open: None,
            interleaved: BTreeMap::new(),
        })
    }

    /// Begins a collection; the one before it is closed.
    pub fn collection(&mut self, name: &str) -> Result<()> {
        self.close()?;
        self.open = Some((name.to_owned(), Crc64::new()));
        self.block(name, false, 0)
    }

    /// Adds a document to the collection that was begun.
    pub fn document(&mut self, raw: &[u8]) -> Result<()> {
        let (_, crc) = self.open.as_mut().context("a document before its collection")?;
        crc.update(raw);
        self.out.write_all(raw).context("cannot write the archive")
    }

    /// Adds documents, one after the other, to a collection that others may interleave with: none is closed by that.
    pub fn append(&mut self, name: &str, documents: &[u8]) -> Result<()> {
        let crc = self.interleaved.entry(name.to_owned()).or_default();
        crc.update(documents);
        self.block(name, false, 0)?;
        self.out.write_all(documents)?;
        self.out
            .write_all(&TERMINATOR)
            .context("cannot write the archive")
    }

    /// Closes a collection that [`ArchiveWriter::append`] has written to, or that has no document.
    pub fn end(&mut self, name: &str) -> Result<()> {
        let crc = self.interleaved.remove(name).unwrap_or_default();
        self.block(name, true, crc.value().cast_signed())?;
        self.out
            .write_all(&TERMINATOR)
            .context("cannot write the archive")
    }

    /// Closes the last collection.
    pub fn finish(mut self) -> Result<W> {
        self.close()?;
        self.out.flush().context("cannot write the archive")?;
        Ok(self.out)
    }

    fn close(&mut self) -> Result<()> {
        let Some((name, crc)) = self.open.take() else {
            return Ok(());
        };
        self.out.write_all(&TERMINATOR)?;
        self.block(&name, true, crc.value().cast_signed())?;
        self.out
            .write_all(&TERMINATOR)
            .context("cannot write the archive")
    }

    fn block(&mut self, name: &str, ends: bool, crc: i64) -> Result<()> {
        let header = doc! { "db": &self.database, "collection": name, "EOF": ends, "CRC": crc };
        write(&mut self.out, &header)
    }
}

fn write(out: &mut impl Write, document: &Document) -> Result<()> {
    out.write_all(&serialize_to_vec(document)?)
        .context("cannot write the archive")
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;
    use crate::archive::{ArchiveReader, Event};

    #[test]
    fn what_is_written_is_read_back() {
        let names = ["a".to_owned(), "empty".to_owned(), "ü b".to_owned()];
        let mut writer = ArchiveWriter::new(Vec::new(), "8.0.4", "app", &names).unwrap();
        let document = |n: i32| serialize_to_vec(&doc! { "_id": n }).unwrap();
        for (name, count) in names.iter().zip([3, 0, 1]) {
            writer.collection(name).unwrap();
            (0..count).for_each(|n| writer.document(&document(n)).unwrap());
        }
        let bytes = writer.finish().unwrap();
        let mut reader = ArchiveReader::new(bytes.as_slice()).unwrap();
        let mut counts = [0; 3];
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Documents { namespace, count, .. } = event {
                counts[namespace] += count;
            }
        }
        assert_eq!(counts, [3, 0, 1]);
        assert_eq!(reader.prelude().namespaces[2].collection, "ü b");
    }

    #[test]
    fn a_full_disk_is_the_error_and_not_the_pipe_that_it_breaks() {
        let broken = || {
            Err::<u64, _>(anyhow::Error::from(Error::from(ErrorKind::BrokenPipe)).context("cannot export"))
        };
        let full = || Err::<(), _>(Error::from(ErrorKind::StorageFull).into());
        let error = outcome(broken(), full()).unwrap_err();
        assert_eq!(error.to_string(), Error::from(ErrorKind::StorageFull).to_string());
        let ended_early = Err::<(), _>(anyhow!("the archive ends early"));
        let error = outcome(Err::<u64, _>(anyhow!("no server")), ended_early).unwrap_err();
        assert_eq!(error.to_string(), "no server");
        assert_eq!(outcome(Ok(7), Ok(())).unwrap(), (7, ()));
    }
}
