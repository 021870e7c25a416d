//! A reader of `mongodump --archive` streams that believes nothing.
//!
//! The format, as mongo-tools' `common/archive` writes it (its `spec.md` is wrong in places): magic, a header
//! document, one document per namespace, terminator; then blocks, each a header naming its namespace, documents, and a
//! terminator. Namespaces interleave, document by document in the worst case. A namespace ends with a block
//! that has `EOF: true` and the CRC of all its documents.
//!
//! A correct CRC does not make a dump complete: mongodump writes one also for the part it had read when it
//! failed. Only its exit status and its counts, compared with ours, tell.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

use super::bson::Fields;
use super::crc::Crc64;
use super::prelude::{self, Prelude, PreludeNamespace, TERMINATOR, check_length};
use super::source::Source;
use crate::domain::manifest::{NamespaceKind, OPLOG_COLLECTION};

/// Block headers recur by the million when collections interleave: so many are recognised without parsing.
const MAX_KNOWN_HEADERS: usize = 10_000;

/// Streams an archive and checks it on the way, in memory bounded by the largest document and the prelude.
#[derive(Debug)]
pub struct ArchiveReader<R> {
    source: Source<R>,
    prelude: Prelude,
    states: Vec<NamespaceState>,
    names: HashMap<(String, String), usize>,
    known_headers: HashMap<Vec<u8>, usize>,
    block: Option<usize>,
    finished: bool,
}

/// What was read of a namespace so far.
#[derive(Debug, Clone, Default)]
pub struct NamespaceState {
    pub documents: u64,
    pub bytes: u64,
    pub crc: Crc64,
    /// The closing block was read and its CRC agreed.
    pub ended: bool,
    /// The collection name its blocks use: time-series data may arrive as `system.buckets.X`.
    data_name: Option<String>,
}

/// What [`ArchiveReader::next_event`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Whole documents of one namespace (an index into [`Prelude::namespaces`]), one after the other.
    Documents {
        namespace: usize,
        documents: &'a [u8],
        count: u64,
        /// Where in the archive they begin.
        offset: u64,
    },
    /// A namespace is complete and its CRC agrees.
    End { namespace: usize, crc: u64 },
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the prelude.
    pub fn new(inner: R) -> Result<Self> {
        let mut source = Source::new(inner);
        let prelude = prelude::read(&mut source)?;
        let mut names = HashMap::new();
        for (index, namespace) in prelude.namespaces.iter().enumerate() {
            names.insert((namespace.database.clone(), namespace.collection.clone()), index);
        }
        for (index, namespace) in prelude.namespaces.iter().enumerate() {
            if namespace.kind == NamespaceKind::Timeseries {
                let buckets = format!("system.buckets.{}", namespace.collection);
                names
                    .entry((namespace.database.clone(), buckets))
                    .or_insert(index);
            }
        }
        let states = vec![NamespaceState::default(); prelude.namespaces.len()];
        let known_headers = HashMap::new();
        Ok(Self {
            source,
            prelude,
            states,
            names,
            known_headers,
            block: None,
            finished: false,
        })
    }

    /// What the archive says of itself; the oplog is added at the end when its data arrives unannounced.
    pub fn prelude(&self) -> &Prelude {
        &self.prelude
    }

    /// What was read of each namespace, in the order of the prelude.
    pub fn states(&self) -> &[NamespaceState] {
        &self.states
    }

    /// Bytes of the archive read and checked.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// The stream below and all that was learned; to be called at the end.
    pub fn into_parts(self) -> (R, Prelude, Vec<NamespaceState>) {
        (self.source.into_inner(), self.prelude, self.states)
    }

    /// The next part of the archive; `None` once all of it was read and every rule held.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>> {
        loop {
            let Some(namespace) = self.block else {
                match self.next_block()? {
                    Some(Block::Data(namespace)) => self.block = Some(namespace),
                    Some(Block::End { namespace, crc }) => return Ok(Some(Event::End { namespace, crc })),
                    None => return Ok(None),
                }
                continue;
            };
            let (length, count) = self.arrived_documents()?;
            if length > 0 {
                return Ok(Some(self.documents(namespace, length, count)));
            }
            self.block = None;
        }
    }

    fn documents(&mut self, namespace: usize, length: usize, count: u64) -> Event<'_> {
        let offset = self.source.offset();
        let documents = self.source.take(length);
        let state = &mut self.states[namespace];
        state.documents += count;
        state.bytes += length as u64;
        state.crc.update(documents);
        Event::Documents {
            namespace,
            documents,
            count,
            offset,
        }
    }

    /// Length and number of the whole documents that arrived, at least one; (0, 0) for the block's terminator,
    /// which is taken.
    fn arrived_documents(&mut self) -> Result<(usize, u64)> {
        loop {
            let (length, count, wanted) = scan(self.source.available(), self.source.offset())
                .with_context(|| self.place("the archive is damaged"))?;
            if count > 0 {
                return Ok((length, count));
            }
            let Some(wanted) = wanted else {
                self.source.take(4);
                return Ok((0, 0));
            };
            if !self.source.ensure(wanted)? {
                bail!("{}", self.place("the archive ends inside a block"));
            }
        }
    }

    fn next_block(&mut self) -> Result<Option<Block>> {
        if self.finished || !self.source.ensure(1)? {
            self.finished = true;
            return self.check_end().map(|()| None);
        }
        let offset = self.source.offset();
        let Some(header) = prelude::read_document(&mut self.source)? else {
            bail!("the archive has a terminator without a block at byte {offset}");
        };
        if let Some(namespace) = self.known_headers.get(header) {
            let namespace = *namespace;
            self.check_open(namespace, offset)?;
            return Ok(Some(Block::Data(namespace)));
        }
        let header = header.to_vec();
        let damaged = || format!("the block header at byte {offset} is damaged");
        let fields = Fields::read(&header, ["db", "collection", "EOF", "CRC"]).with_context(damaged)?;
        let (database, collection) = (
            fields.text("db").with_context(damaged)?,
            fields.text("collection").with_context(damaged)?,
        );
        let ends = fields.flag("EOF").with_context(damaged)?;
        let crc = fields.integer("CRC").with_context(damaged)?.cast_unsigned();
        let namespace = self.resolve(database, collection, offset)?;
        self.check_open(namespace, offset)?;
        if ends {
            return self.end_namespace(namespace, crc).map(Some);
        }
        // Only closing blocks carry a CRC: mongodump writes 0 into the others.
        ensure!(
            crc == 0,
            "the block header at byte {offset} is damaged: it has a CRC before the end"
        );
        if self.known_headers.len() < MAX_KNOWN_HEADERS {
            self.known_headers.insert(header, namespace);
        }
        Ok(Some(Block::Data(namespace)))
    }

    fn resolve(&mut self, database: &str, collection: &str, offset: u64) -> Result<usize> {
        let key = (database.to_owned(), collection.to_owned());
        let namespace = if let Some(namespace) = self.names.get(&key) {
            *namespace
        } else {
            let known = database.is_empty() && collection == OPLOG_COLLECTION;
            ensure!(
                known,
                "the block at byte {offset} is of {key:?}, which the prelude does not name"
            );
            self.prelude.namespaces.push(PreludeNamespace::oplog());
            self.states.push(NamespaceState::default());
            self.names.insert(key, self.states.len() - 1);
            self.states.len() - 1
        };
        let data_name = self.states[namespace]
            .data_name
            .get_or_insert_with(|| collection.to_owned());
        ensure!(
            data_name == collection,
            "the block at byte {offset} mixes {data_name:?} and {collection:?}"
        );
        Ok(namespace)
    }

    fn check_open(&self, namespace: usize, offset: u64) -> Result<()> {
        let name = || self.prelude.namespaces[namespace].name();
        ensure!(
            !self.states[namespace].ended,
            "`{}` has data at byte {offset} after its end",
            name()
        );
        Ok(())
    }

    fn end_namespace(&mut self, namespace: usize, crc: u64) -> Result<Block> {
        let offset = self.source.offset();
        let name = self.prelude.namespaces[namespace].name();
        let body = prelude::read_document(&mut self.source)?.is_some();
        ensure!(
            !body,
            "`{name}` has documents in its closing block (byte {offset})"
        );
        let state = &mut self.states[namespace];
        let computed = state.crc.value();
        ensure!(
            computed == crc,
            "the documents of `{name}` are damaged: their CRC is {computed:016x}, the archive records {crc:016x} (byte {offset})"
        );
        state.ended = true;
        Ok(Block::End { namespace, crc })
    }

    fn check_end(&self) -> Result<()> {
        let open = self
            .states
            .iter()
            .zip(&self.prelude.namespaces)
            .filter(|(state, _)| !state.ended);
        let open: Vec<String> = open
            .map(|(_, namespace)| format!("`{}`", namespace.name()))
            .collect();
        let shown = open.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
        ensure!(
            open.is_empty(),
            "the archive ends at byte {} before {} of its {} namespaces did: {shown}",
            self.offset(),
            open.len(),
            self.states.len()
        );
        Ok(())
    }

    fn place(&self, what: &str) -> String {
        let name = self
            .block
            .map(|namespace| self.prelude.namespaces[namespace].name());
        format!(
            "{what} (byte {}, namespace `{}`)",
            self.offset(),
            name.unwrap_or_default()
        )
    }
}

enum Block {
    Data(usize),
    End { namespace: usize, crc: u64 },
}

/// Finds the whole documents at the start of `bytes`: (their length, their number, what to wait for when there is
/// none: `None` if a terminator is next).
fn scan(bytes: &[u8], offset: u64) -> Result<(usize, u64, Option<usize>)> {
    let (mut end, mut count) = (0, 0);
    loop {
        let rest = &bytes[end..];
        let Some(length) = rest.first_chunk::<4>() else {
            return Ok((end, count, Some(4)));
        };
        let length = u32::from_le_bytes(*length);
        if length == TERMINATOR {
            return Ok((end, count, None));
        }
        let place = offset + end as u64;
        let length = check_length(length, place)?;
        if rest.len() < length {
            return Ok((end, count, Some(length)));
        }
        ensure!(
            rest[length - 1] == 0,
            "the document at byte {place} does not end in a zero byte"
        );
        end += length;
        count += 1;
    }
}

#[cfg(test)]
mod tests;
