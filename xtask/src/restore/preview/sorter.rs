//! A sort in flat memory: documents come in any order from both sides, and are compared in the order of their keys.
//!
//! Sorted runs go to files that have no name, so that a killed process leaves nothing behind. They hold ids and digests of
//! documents, no values.

use std::cmp::Reverse;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Memory for entries before they are written as a sorted run.
const RUN_BYTES: usize = 32 << 20;
/// Read and write buffer of one run; there may be some hundred.
const BUFFER_BYTES: usize = 64 << 10;
pub(super) const DIGEST_BYTES: usize = 16;
/// Digest and length, behind the key.
const TAIL_BYTES: usize = DIGEST_BYTES + 4;

/// What is known of one document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Collection and `_id`.
    pub(super) key: Vec<u8>,
    pub(super) digest: [u8; DIGEST_BYTES],
    pub(super) bytes: u32,
}

/// Takes entries in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    folder: PathBuf,
    run_bytes: usize,
    /// Entries as they are written: length of the key, key, digest, length of the document.
    arena: Vec<u8>,
    /// Where each entry begins, and the length of its key.
    places: Vec<(usize, usize)>,
    runs: Vec<File>,
}

impl Sorter {
    pub(super) fn new(folder: &Path) -> Self {
        Self::with_run_bytes(folder, RUN_BYTES)
    }

    fn with_run_bytes(folder: &Path, run_bytes: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            run_bytes,
            arena: Vec::new(),
            places: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, entry: &Entry) -> Result<()> {
        let length = u32::try_from(entry.key.len()).context("a key of 4 GiB")?;
        self.places.push((self.arena.len(), entry.key.len()));
        // Whole slices: byte by byte would be a call each in the dev profile.
        self.arena.extend_from_slice(&length.to_le_bytes());
        self.arena.extend_from_slice(&entry.key);
        self.arena.extend_from_slice(&entry.digest);
        self.arena.extend_from_slice(&entry.bytes.to_le_bytes());
        if self.arena.len() >= self.run_bytes {
            self.spill()?;
        }
        Ok(())
    }

    /// All entries, by key.
    pub(super) fn finish(mut self) -> Result<Sorted> {
        self.spill()?;
        let mut sorted = Sorted {
            runs: Vec::new(),
            heads: BinaryHeap::new(),
        };
        for mut file in std::mem::take(&mut self.runs) {
            file.seek(SeekFrom::Start(0))
                .context("cannot read a sorted run")?;
            let mut run = BufReader::with_capacity(BUFFER_BYTES, file);
            if let Some(first) = read_entry(&mut run)? {
                sorted.heads.push(Reverse((first, sorted.runs.len())));
            }
            sorted.runs.push(run);
        }
        Ok(sorted)
    }

    fn spill(&mut self) -> Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        let arena = &self.arena;
        let key = |place: &(usize, usize)| &arena[place.0 + 4..place.0 + 4 + place.1];
        self.places.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        let file = tempfile::tempfile_in(&self.folder)
            .with_context(|| format!("cannot make a temporary file in {}", self.folder.display()))?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        for (start, key_bytes) in &self.places {
            writer
                .write_all(&arena[*start..start + 4 + key_bytes + TAIL_BYTES])
                .context("cannot write a sorted run")?;
        }
        let file = writer.into_inner().context("cannot write a sorted run")?;
        self.runs.push(file);
        self.arena.clear();
        self.places.clear();
        Ok(())
    }
}

/// Gives entries by key; equal keys one after the other.
#[derive(Debug)]
pub(super) struct Sorted {
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Sorted {
    /// The next entry; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(None);
        };
        let Reverse((entry, run)) = &mut *head;
        // The next entry of the same run takes its place: the heap puts itself in order once, not for a pop and a push.
        let entry = match read_entry(&mut self.runs[*run])? {
            Some(next) => std::mem::replace(entry, next),
            None => PeekMut::pop(head).0.0,
        };
        Ok(Some(entry))
    }
}

fn read_entry(run: &mut impl Read) -> Result<Option<Entry>> {
    let mut length = [0; 4];
    // Our own file: a cut entry is an error of the disk, the end between two is the end.
    let first = run.read(&mut length[..1]).context("cannot read a sorted run")?;
    if first == 0 {
        return Ok(None);
    }
    run.read_exact(&mut length[1..]).context("a sorted run is cut")?;
    let length = u32::from_le_bytes(length) as usize;
    ensure!(length <= 1 << 26, "a sorted run is damaged");
    let mut key = vec![0; length + TAIL_BYTES];
    run.read_exact(&mut key).context("a sorted run is cut")?;
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&key[length..length + DIGEST_BYTES]);
    let bytes = key
        .last_chunk::<4>()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    key.truncate(length);
    Ok(Some(Entry { key, digest, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_runs_come_out_in_order_and_complete() {
        let folder = tempfile::tempdir().unwrap();
        for run_bytes in [1, 100, 10_000, 1 << 20] {
            let mut sorter = Sorter::with_run_bytes(folder.path(), run_bytes);
            let mut expected = Vec::new();
            for n in 0..500_u32 {
                let scattered = n.wrapping_mul(2_654_435_761) % 300;
                let entry = Entry {
                    key: vec![b'k'; (scattered % 7) as usize + 1]
                        .into_iter()
                        .chain(scattered.to_be_bytes())
                        .collect(),
                    digest: [n.to_le_bytes()[0]; DIGEST_BYTES],
                    bytes: n,
                };
                sorter.push(&entry).unwrap();
                expected.push(entry);
            }
            let mut entries = sorter.finish().unwrap();
            let mut found = Vec::new();
            while let Some(entry) = entries.next().unwrap() {
                found.push(entry);
            }
            assert!(found.is_sorted_by(|a, b| a.key <= b.key));
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "runs of {run_bytes}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_in_nothing_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorted = Sorter::new(folder.path()).finish().unwrap();
        assert_eq!(sorted.next().unwrap(), None);
    }
}
