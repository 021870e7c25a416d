//! Documents that two archives have in common: a few of all, chosen by the hash of their `_id` alone.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use anyhow::{Result, ensure};

use crate::archive::prelude::Prelude;
use crate::archive::{ArchiveReader, ContainerReader, Event, elements, split_documents};
use crate::domain::manifest::NamespaceRecord;

/// One of about so many bytes of documents is chosen.
const SPACING_BYTES: u64 = 1 << 20;

/// Where in the base's archive the chosen documents are.
#[derive(Debug, Default)]
pub struct BaseIndex {
    /// Length of the base's archive.
    pub(super) archive_bytes: u64,
    /// Key and place, by key.
    places: Vec<(u64, u64)>,
    /// One of so many documents is chosen, by namespace.
    of: HashMap<(String, String), u64>,
}

impl BaseIndex {
    /// Reads the whole base, and proves that it is the file with this SHA-256.
    ///
    /// # Errors
    /// It is damaged, or another file.
    pub fn read(base: ContainerReader, namespaces: &[NamespaceRecord], sha256: &str) -> Result<Self> {
        let of = namespaces.iter().map(|n| {
            let size = n.bytes / n.documents.max(1);
            let name = (n.database.clone(), n.collection.clone());
            (name, (SPACING_BYTES / size.max(1)).max(1))
        });
        let mut index = Self {
            of: of.collect(),
            ..Self::default()
        };
        let mut reader = ArchiveReader::new(base)?;
        let common = index.common_documents(reader.prelude());
        while let Some(event) = reader.next_event()? {
            if let Event::Documents {
                namespace,
                documents,
                offset,
                ..
            } = event
            {
                common.each(namespace, documents, offset, |key, at| {
                    index.places.push((key, at));
                })?;
            }
        }
        index.archive_bytes = reader.offset();
        let (file, _, _) = reader.into_parts();
        let digest = file.finish()?;
        ensure!(
            digest.sha256 == sha256,
            "its SHA-256 is {}, not {sha256}: it was changed or damaged",
            digest.sha256
        );
        index.places.sort_unstable();
        Ok(index)
    }

    /// Where the base has the document with this key.
    pub(super) fn find(&self, key: u64) -> Option<u64> {
        let found = self.places.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.places[found].1)
    }

    /// Which documents of an archive are chosen: those of the base's namespaces.
    pub(super) fn common_documents(&self, prelude: &Prelude) -> CommonDocuments {
        let namespaces = prelude.namespaces.iter().map(|n| {
            let of = self.of.get(&(n.database.clone(), n.collection.clone()))?;
            let mut hasher = DefaultHasher::new();
            hasher.write(n.name().as_bytes());
            Some((*of, hasher))
        });
        CommonDocuments {
            namespaces: namespaces.collect(),
        }
    }
}

/// Chooses documents of one archive, by the numbers that its namespaces have there.
#[derive(Debug, Default)]
pub(super) struct CommonDocuments {
    namespaces: Vec<Option<(u64, DefaultHasher)>>,
}

impl CommonDocuments {
    /// Gives key and place of each chosen one among whole documents that begin at `offset`.
    pub(super) fn each(
        &self,
        namespace: usize,
        documents: &[u8],
        offset: u64,
        mut chosen: impl FnMut(u64, u64),
    ) -> Result<()> {
        let Some(Some((of, hasher))) = self.namespaces.get(namespace) else {
            return Ok(());
        };
        let mut at = offset;
        for document in split_documents(documents) {
            let document = document?;
            // mongodump writes documents as servers store them: with `_id` first.
            if let Some(Ok(id)) = elements(document)?.next() {
                let mut hasher = hasher.clone();
                hasher.write_u8(id.kind);
                hasher.write(id.value);
                let key = hasher.finish();
                if key.is_multiple_of(*of) {
                    chosen(key, at);
                }
            }
            at += document.len() as u64;
        }
        Ok(())
    }
}
