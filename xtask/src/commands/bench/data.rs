//! Data that compresses as business data does, recorded as mongodump would.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context as _, Result};
use mongodb::bson::{doc, serialize_to_vec};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::archive::writer::ArchiveWriter;
use crate::exec::check_interrupted;

pub(super) const DATABASE: &str = "shop";
/// As many as mongodump reads at once.
const COLLECTIONS: usize = 4;
/// Documents that are made; the archive repeats them under other ids, outside of every compressor's window.
const DISTINCT: usize = 20_000;
const ID_CHARS: usize = 24;
/// Length of the document, then type and name of its first field, then the length of the text.
const ID_OFFSET: usize = 4 + 1 + "_id\0".len() + 4;
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

/// Writes an archive of about this size; gives the number of documents.
pub(super) fn record(path: &Path, bytes: u64) -> Result<u64> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let names: Vec<String> = (0..COLLECTIONS).map(|n| format!("listings{n}")).collect();
    let mut writer = ArchiveWriter::new(BufWriter::with_capacity(1 << 20, file), "8.0", DATABASE, &names)?;
    let mut documents = documents()?;
    let (mut written, mut count) = (0_u64, 0_u64);
    for (done, name) in (1..).zip(&names) {
        writer.collection(name)?;
        while written < bytes / COLLECTIONS as u64 * done {
            check_interrupted()?;
            for document in &mut documents {
                // Every `_id` of the archive is another one.
                let id = format!("{count:0ID_CHARS$}");
                document[ID_OFFSET..ID_OFFSET + ID_CHARS].copy_from_slice(id.as_bytes());
                writer.document(document)?;
                written += document.len() as u64;
                count += 1;
            }
        }
    }
    writer.finish()?;
    Ok(count)
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
    use crate::archive::{ArchiveReader, Event};

    #[test]
    fn the_recorded_archive_is_whole_and_every_id_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        let count = record(&path, 10_000_000).unwrap();
        let mut reader = ArchiveReader::new(File::open(&path).unwrap()).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        while let Some(event) = reader.next_event().unwrap() {
            let Event::Documents { mut documents, .. } = event else {
                continue;
            };
            while !documents.is_empty() {
                let length = u32::from_le_bytes(documents[..4].try_into().unwrap()) as usize;
                ids.insert(documents[ID_OFFSET..ID_OFFSET + ID_CHARS].to_vec());
                documents = &documents[length..];
            }
        }
        assert_eq!(ids.len() as u64, count);
        assert!(path.metadata().unwrap().len() > 10_000_000);
    }
}
