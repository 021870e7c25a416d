//! Differential backups: an archive, packed against the archive of an earlier, full backup.
//!
//! The archive is cut into segments, and each is packed with zstd against the range of the base where the same documents
//! are. Which range that is, follows from documents that both have: of about every megabyte the one whose `_id` has a certain
//! hash. So it depends on no document's content, and documents that changed, came or went move nothing. Where two archives have
//! their documents in another order, the differential backup is as large as a full one, and as right.

mod common;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::ops::Range;

use anyhow::Result;

use super::container::{BaseArchive, ContainerWriter, MAX_PREFIX_BYTES, SEGMENT_BYTES};
use super::prelude::Prelude;
use super::scan::Visitor;
pub use common::BaseIndex;
use common::CommonDocuments;

/// So much of the base around a segment is taken too: what lies before its first common document and after its last.
const MARGIN_BYTES: i64 = 1 << 20;
/// Common documents that lie so much further apart than in the base are a jump: much was deleted, or another collection begins.
const JUMP_BYTES: i64 = 4 << 20;

/// A base ready to be packed against: what is common, and the archive itself.
#[derive(Debug)]
pub struct Base {
    pub index: BaseIndex,
    pub archive: BaseArchive,
}

/// Cuts the archive that is written to it into segments.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    writer: ContainerWriter,
    base: Base,
    common: CommonDocuments,
    /// What is not in a segment yet, and where in the archive that begins.
    pending: Vec<u8>,
    start: u64,
    /// The first common document of what is pending, and the last of all.
    first: Option<Common>,
    last: Common,
    /// The namespace of the latest documents, and where in the archive they began.
    namespace: usize,
    begun: u64,
    /// A common document after a jump; the next one confirms it or not.
    jumped: Option<Common>,
}

/// Where a document is in both archives.
#[derive(Debug, Clone, Copy, Default)]
struct Common {
    here: u64,
    base: u64,
}

impl Common {
    /// How much further from this one the other is here than in the base.
    fn drift(self, other: Self) -> i64 {
        distance(self.here, other.here) - distance(self.base, other.base)
    }

    /// Where in the base this place of the archive would be.
    fn base_of(self, here: u64) -> i64 {
        self.base.cast_signed() + distance(self.here, here)
    }
}

fn distance(from: u64, to: u64) -> i64 {
    to.cast_signed() - from.cast_signed()
}

impl SegmentWriter {
    pub(super) fn new(writer: ContainerWriter, base: Base) -> Self {
        Self {
            writer,
            base,
            common: CommonDocuments::default(),
            pending: Vec::new(),
            start: 0,
            first: None,
            last: Common::default(),
            namespace: 0,
            begun: 0,
            jumped: None,
        }
    }

    /// Packs what is left; the writer can be finished then.
    pub(super) fn finish(mut self) -> Result<ContainerWriter> {
        self.cut(self.pending.len())?;
        Ok(self.writer)
    }

    fn meet(&mut self, met: Common) -> Result<()> {
        if met.base < self.base.archive.start() {
            // It lies before what can still be read.
            return Ok(());
        }
        if self.last.drift(met).abs() > JUMP_BYTES {
            let Some(jumped) = self.jumped.filter(|jumped| jumped.drift(met).abs() <= JUMP_BYTES) else {
                self.jumped = Some(met);
                return Ok(());
            };
            // What was deleted lay somewhere between, or the collection begins there: from there on, this is the place.
            let from = self.last.here.max(self.begun);
            self.cut(usize::try_from(from.saturating_sub(self.start))?)?;
            self.first = Some(jumped);
        }
        self.jumped = None;
        self.first.get_or_insert(met);
        self.last = met;
        Ok(())
    }

    /// Packs the first `length` bytes of what is pending.
    fn cut(&mut self, length: usize) -> Result<()> {
        let mut left = length;
        while left > 0 {
            let length = left.min(SEGMENT_BYTES);
            let prefix = self.prefix(length as u64);
            self.writer
                .segment(&mut self.base.archive, &prefix, &self.pending[..length])?;
            self.pending.drain(..length);
            self.start += length as u64;
            self.first = None;
            left -= length;
        }
        Ok(())
    }

    /// The range of the base that has most of the next `length` bytes.
    fn prefix(&self, length: u64) -> Range<u64> {
        let known = self.base.archive.start();
        let place = |at: i64| {
            u64::try_from(at)
                .unwrap_or_default()
                .clamp(known, self.base.index.archive_bytes.max(known))
        };
        let from = place(self.first.unwrap_or(self.last).base_of(self.start) - MARGIN_BYTES);
        let to = place(self.last.base_of(self.start + length) + MARGIN_BYTES);
        from..to.clamp(from, from + MAX_PREFIX_BYTES)
    }
}

impl Visitor for SegmentWriter {
    fn prelude(&mut self, prelude: &Prelude) {
        self.common = self.base.index.common_documents(prelude);
    }

    fn documents(&mut self, namespace: usize, documents: &[u8], offset: u64) -> Result<()> {
        if self.namespace != namespace {
            (self.namespace, self.begun) = (namespace, offset);
        }
        let mut met = Vec::new();
        self.common.each(namespace, documents, offset, |key, here| {
            let base = self.base.index.find(key);
            met.extend(base.map(|base| Common { here, base }));
        })?;
        for met in met {
            self.meet(met)?;
        }
        while self.pending.len() > SEGMENT_BYTES
            && self.start + SEGMENT_BYTES as u64 <= offset + documents.len() as u64
        {
            self.cut(SEGMENT_BYTES)?;
        }
        Ok(())
    }
}

/// Where an archive goes as it arrives.
#[derive(Debug)]
pub(super) enum Sink {
    Full(ContainerWriter),
    Differential(Box<SegmentWriter>),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Full(writer) => writer.write_all(bytes),
            Self::Differential(segments) => {
                segments.pending.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// The pass that feeds a sink shows it the documents too.
impl Visitor for &RefCell<Sink> {
    fn prelude(&mut self, prelude: &Prelude) {
        if let Sink::Differential(segments) = &mut *self.borrow_mut() {
            segments.prelude(prelude);
        }
    }

    fn documents(&mut self, namespace: usize, documents: &[u8], offset: u64) -> Result<()> {
        match &mut *self.borrow_mut() {
            Sink::Full(_) => Ok(()),
            Sink::Differential(segments) => segments.documents(namespace, documents, offset),
        }
    }
}

/// Gives everything that is read to the sink too.
pub(super) struct Tee<'a, R> {
    pub(super) source: R,
    pub(super) sink: &'a RefCell<Sink>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.sink.borrow_mut().write(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
