//! Content digests computed on all cores, in flat memory.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};

use super::bson;

pub use crate::domain::content_digest::ContentDigest;
use crate::sync::lock;

/// A batch goes to a worker when it has this size: large enough that handing it over costs nothing beside
/// hashing it, small enough that the batches under way fit in a few megabytes.
const BATCH_BYTES: usize = 256 * 1024;

/// Hashes documents of many collections on worker threads.
///
/// Collections are named by a number that the caller chooses. [`DigestPool::push`] waits while the bounded
/// queue is full, so memory does not depend on the size of the data.
#[derive(Debug)]
pub struct DigestPool {
    batch: Batch,
    queue: Option<SyncSender<Batch>>,
    workers: Vec<JoinHandle<Result<Sums>>>,
    /// Documents too large for a batch are hashed where they are: copying them would cost memory.
    local: Sums,
    check: Check,
}

type Sums = HashMap<usize, ContentDigest>;

/// What is asked of each document besides its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Length and terminator, as the reader does anyway.
    Outline,
    /// Every element, to any depth, is valid BSON.
    Strict,
}

#[derive(Debug, Default)]
struct Batch {
    documents: Vec<u8>,
    /// Which collection the bytes belong to: (collection, bytes), in order.
    runs: Vec<(usize, usize)>,
}

impl DigestPool {
    /// Starts `workers` threads (at least one).
    pub fn new(workers: usize, check: Check) -> Self {
        let workers = workers.max(1);
        let (queue, batches) = sync_channel::<Batch>(workers);
        let batches = Arc::new(Mutex::new(batches));
        let workers = (0..workers).map(|_| {
            let batches = Arc::clone(&batches);
            std::thread::spawn(move || work(&batches, check))
        });
        Self {
            batch: Batch::default(),
            queue: Some(queue),
            workers: workers.collect(),
            local: Sums::new(),
            check,
        }
    }

    /// Adds whole documents, one after the other without gaps, to a collection.
    pub fn push(&mut self, collection: usize, documents: &[u8]) -> Result<()> {
        if documents.len() > BATCH_BYTES {
            return hash(collection, documents, self.check, &mut self.local);
        }
        if self.batch.documents.len() + documents.len() > BATCH_BYTES {
            self.flush()?;
        }
        self.batch.documents.extend_from_slice(documents);
        match self.batch.runs.last_mut() {
            Some((last, bytes)) if *last == collection => *bytes += documents.len(),
            _ => self.batch.runs.push((collection, documents.len())),
        }
        Ok(())
    }

    /// Waits for all workers and returns the digest of every collection that had documents.
    pub fn finish(mut self) -> Result<HashMap<usize, ContentDigest>> {
        self.flush()?;
        self.join()
    }

    fn flush(&mut self) -> Result<()> {
        let fresh = Batch {
            documents: Vec::with_capacity(BATCH_BYTES),
            runs: Vec::new(),
        };
        let batch = std::mem::replace(&mut self.batch, fresh);
        let queue = self.queue.as_ref().context("the digest workers were stopped")?;
        if queue.send(batch).is_ok() {
            return Ok(());
        }
        // All workers are gone: the reason is what one of them returned.
        self.join()?;
        Err(anyhow!("the digest workers stopped early"))
    }

    fn join(&mut self) -> Result<Sums> {
        self.queue = None;
        let mut total = std::mem::take(&mut self.local);
        let mut failure = None;
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(sums)) => sums
                    .iter()
                    .for_each(|(c, sum)| total.entry(*c).or_default().merge(sum)),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some(anyhow!("a digest worker panicked")),
            }
        }
        failure.map_or(Ok(total), Err)
    }
}

impl Drop for DigestPool {
    fn drop(&mut self) {
        // Workers end when the queue closes; waiting keeps them from outliving an operation that failed.
        drop(self.join());
    }
}

fn work(batches: &Mutex<Receiver<Batch>>, check: Check) -> Result<Sums> {
    let mut sums = Sums::new();
    loop {
        // The guard lives for this statement only: other workers wait for a batch, never for our hashing.
        let batch = lock(batches).recv();
        let Ok(batch) = batch else { return Ok(sums) };
        let mut rest = batch.documents.as_slice();
        for (collection, bytes) in batch.runs {
            let (documents, after) = rest.split_at(bytes);
            hash(collection, documents, check, &mut sums)?;
            rest = after;
        }
    }
}

fn hash(collection: usize, documents: &[u8], check: Check, sums: &mut Sums) -> Result<()> {
    let sum = sums.entry(collection).or_default();
    for document in bson::split_documents(documents) {
        let document = document.context("documents were cut into batches wrongly")?;
        if check == Check::Strict {
            bson::check_strict(document)?;
        }
        sum.add(document);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{doc, serialize_to_vec};

    use super::*;

    fn document(n: usize, padding: usize) -> Vec<u8> {
        serialize_to_vec(&doc! { "_id": n.to_string(), "padding": "x".repeat(padding) }).unwrap()
    }

    #[test]
    fn agrees_with_one_thread_over_many_collections_and_sizes() {
        let mut pool = DigestPool::new(3, Check::Strict);
        let mut expected = Sums::new();
        for n in 0..3000 {
            let padding = if n % 500 == 499 { BATCH_BYTES + n } else { n % 700 };
            let document = document(n, padding);
            expected.entry(n % 7).or_default().add(&document);
            pool.push(n % 7, &document).unwrap();
        }
        assert_eq!(pool.finish().unwrap(), expected);
    }

    #[test]
    fn nothing_in_nothing_out() {
        assert!(DigestPool::new(2, Check::Outline).finish().unwrap().is_empty());
    }

    #[test]
    fn invalid_documents_are_an_error_only_where_asked() {
        let mut bad = document(1, 10);
        bad[4] = 0x7a; // no such element type
        for (check, accepted) in [(Check::Outline, true), (Check::Strict, false)] {
            let mut pool = DigestPool::new(2, check);
            let mut outcome = Ok(());
            for _ in 0..20_000 {
                outcome = outcome.and_then(|()| pool.push(0, &bad));
            }
            let outcome = outcome.and_then(|()| pool.finish().map(drop));
            assert_eq!(outcome.is_ok(), accepted, "{outcome:?}");
        }
    }

    #[test]
    fn wrong_lengths_are_an_error_not_a_panic() {
        for bytes in [
            &[1u8, 0, 0, 0][..],
            &[200, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 9],
            &[255, 255, 255, 255, 0],
        ] {
            let mut pool = DigestPool::new(1, Check::Outline);
            pool.push(0, bytes).unwrap();
            assert!(pool.finish().is_err(), "{bytes:?}");
        }
    }
}
