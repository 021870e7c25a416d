//! Data that compresses as business data does, recorded as mongodump would.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mongodb::bson::{doc, serialize_to_vec};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use xtask::archive::ContentDigest;
use xtask::archive::container::digest_file;
use xtask::archive::writer::ArchiveWriter;
use xtask::exec::check_interrupted;
use xtask::report;

pub(super) const DATABASE: &str = "shop";
/// As many as mongodump reads at once.
pub(super) const COLLECTIONS: usize = 4;
/// Documents that are made; the archive repeats them under other ids, outside of every compressor's window.
const DISTINCT: usize = 20_000;
const ID_CHARS: usize = 24;
/// Length of the document, then type and name of its first field, then the length of the text.
const ID_OFFSET: usize = 4 + 1 + "_id\0".len() + 4;
/// The last coordinate, before the ends of array, location and document.
const NUMBER_FROM_END: usize = 8 + 3;
const WORDS: [&str; 10] = [
    "garden",
    "terrace",
    "quiet",
    "central",
    "renovated",
    "balcony",
    "parking",
    "view",
    "metro",
    "light",
];

/// What was recorded, as the recorder knows it: whoever reads the archive must find the same.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) path: PathBuf,
    pub(super) documents: u64,
    pub(super) bytes: u64,
    /// Of the file.
    pub(super) sha256: String,
    /// Of each collection.
    pub(super) digests: Vec<ContentDigest>,
}

impl Recorded {
    /// The size, in words.
    pub(super) fn text(&self) -> String {
        format!("{}, {} documents", report::bytes(self.bytes), self.documents)
    }
}

/// Name of a collection by its number.
pub(super) fn collection(number: usize) -> String {
    format!("listings{number}")
}

/// The `_id` of a document by its number.
pub(super) fn id(number: u64) -> String {
    format!("{number:0ID_CHARS$}")
}

/// Writes an archive of about this size into the folder.
pub(super) fn record(folder: &Path, bytes: u64) -> Result<Recorded> {
    record_as(folder, "archive", bytes, None)
}

/// The same archive, where one of `one_of` documents has changed.
pub(super) fn record_changed(folder: &Path, bytes: u64, one_of: u64) -> Result<Recorded> {
    record_as(folder, "changed", bytes, Some(one_of))
}

fn record_as(folder: &Path, name: &str, bytes: u64, one_changed_of: Option<u64>) -> Result<Recorded> {
    report::progress(&format!("recording an archive of {}", report::bytes(bytes)));
    let path = folder.join(name);
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let names: Vec<String> = (0..COLLECTIONS).map(collection).collect();
    let mut writer = ArchiveWriter::new(BufWriter::with_capacity(1 << 20, file), "8.0", DATABASE, &names)?;
    let mut distinct = documents()?;
    let (mut written, mut documents) = (0_u64, 0_u64);
    let mut digests = vec![ContentDigest::default(); COLLECTIONS];
    for ((done, name), digest) in (1..).zip(&names).zip(&mut digests) {
        writer.collection(name)?;
        let mut next = 0;
        while written < bytes / COLLECTIONS as u64 * done {
            let document = &mut distinct[next % DISTINCT];
            // Every `_id` of the archive is another one.
            document[ID_OFFSET..ID_OFFSET + ID_CHARS].copy_from_slice(id(documents).as_bytes());
            let is_other = one_changed_of.is_some_and(|count| documents % count == 0);
            let last_number = document.len() - NUMBER_FROM_END;
            if is_other {
                document[last_number] ^= 0x5a;
            }
            writer.document(document)?;
            digest.add(document);
            if is_other {
                document[last_number] ^= 0x5a;
            }
            written += document.len() as u64;
            documents += 1;
            next += 1;
        }
        check_interrupted()?;
    }
    writer.finish()?;
    let file = digest_file(&path)?;
    Ok(Recorded {
        path,
        documents,
        bytes: file.size_bytes,
        sha256: file.sha256,
        digests,
    })
}

/// About 500 bytes each.
fn documents() -> Result<Vec<Vec<u8>>> {
    let mut random = StdRng::seed_from_u64(1);
    let document = |_| {
        let text: Vec<&str> = (0..25)
            .map(|_| WORDS[random.random_range(0..WORDS.len())])
            .collect();
        let document = doc! {
            "_id": "0".repeat(ID_CHARS), "price": random.random_range(500_i64..5_000_000),
            "text": text.join(" "), "owner": format!("{:024x}", random.random::<u64>()),
            "reference": format!("{:032x}", random.random::<u128>()), "area": random.random::<f64>(),
            "city": WORDS[random.random_range(0..WORDS.len())], "published": random.random::<bool>(),
            "location": { "type": "Point", "coordinates": [random.random::<f64>(), random.random::<f64>()] },
        };
        serialize_to_vec(&document).context("cannot make a document")
    };
    (0..DISTINCT).map(document).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::archive::{ArchiveReader, Event};

    #[test]
    fn the_recorded_archive_is_whole_and_every_id_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let recorded = record(folder.path(), 1_000_000).unwrap();
        let mut reader = ArchiveReader::new(File::open(&recorded.path).unwrap()).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        while let Some(event) = reader.next_event().unwrap() {
            let Event::Documents { documents, .. } = event else {
                continue;
            };
            for document in xtask::archive::split_documents(documents) {
                ids.insert(document.unwrap()[ID_OFFSET..ID_OFFSET + ID_CHARS].to_vec());
            }
        }
        assert_eq!(ids.len() as u64, recorded.documents);
        assert!(recorded.path.metadata().unwrap().len() > 1_000_000);
    }
}
