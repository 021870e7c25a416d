//! Batches of changes that a restore keeps beside its plan, so that any machine can make or revert them. One document has the
//! state of a batch, others its bytes: a document has a limit of 16 MB.

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, deserialize_from_slice, doc};

use super::{Live, RawId};

const MIDWAY_ID: &str = "midway";
/// Bytes of one part.
const PART_BYTES: usize = 8 << 20;

/// A batch, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBatch {
    /// Grows with each amendment.
    pub generation: i32,
    pub state: String,
    pub bytes: Vec<u8>,
    /// Lines of text about it.
    pub notes: Vec<String>,
}

impl Live {
    /// Writes a batch. An amended one takes the place of the earlier generation at once, when all of it is there.
    pub fn keep_batch(&self, plan: &str, id: &str, batch: &KeptBatch) -> Result<()> {
        let writing = || format!("cannot write `{}.{plan}`", self.name());
        let parts = batch.bytes.chunks(PART_BYTES);
        let count = i32::try_from(parts.len()).with_context(writing)?;
        for (number, bytes) in parts.enumerate() {
            let data = Binary {
                subtype: BinarySubtype::Generic,
                bytes: bytes.to_vec(),
            };
            let part = part_id(id, batch.generation, number);
            self.keep_document(plan, &part, doc! { "_id": &part, "data": data })
                .with_context(writing)?;
        }
        let header = doc! {
            "_id": id, "generation": batch.generation, "state": &batch.state, "parts": count,
            "sha256": digest(&batch.bytes), "notes": &batch.notes,
        };
        self.keep_document(plan, id, header).with_context(writing)
    }

    /// Marks in a plan that documents of two moments are live, or takes the mark away.
    pub fn mark_midway(&self, plan: &str, is_midway: bool) -> Result<()> {
        if is_midway {
            return self.keep_document(plan, MIDWAY_ID, doc! { "_id": MIDWAY_ID });
        }
        let removed = doc! { "q": { "_id": MIDWAY_ID }, "limit": 1 };
        self.change(doc! { "delete": plan, "deletes": [removed] })
            .map(drop)
    }

    /// Whether the plan has that mark.
    pub fn is_marked_midway(&self, plan: &str) -> Result<bool> {
        Ok(self.kept_document(plan, MIDWAY_ID)?.is_some())
    }

    fn keep_document(&self, plan: &str, id: &str, document: Document) -> Result<()> {
        let replace = doc! { "q": { "_id": id }, "u": document, "upsert": true };
        let answer = self.change(doc! { "update": plan, "updates": [replace] })?;
        ensure!(
            !answer.contains_key("writeErrors"),
            "the server refused it: {answer}"
        );
        Ok(())
    }

    /// A batch that was kept.
    pub fn kept_batch(&self, plan: &str, id: &str) -> Result<KeptBatch> {
        let header = self.kept_document(plan, id)?;
        let header = header.with_context(|| format!("`{plan}` lacks the batch `{id}`"))?;
        let generation = header.get_i32("generation")?;
        let mut bytes = Vec::new();
        for number in 0..usize::try_from(header.get_i32("parts")?)? {
            let part = part_id(id, generation, number);
            let part = self
                .kept_document(plan, &part)?
                .with_context(|| format!("`{plan}` lacks `{part}`"))?;
            bytes.extend_from_slice(part.get_binary_generic("data")?);
        }
        ensure!(
            digest(&bytes) == header.get_str("sha256")?,
            "the batch `{id}` of `{plan}` is damaged"
        );
        let notes = header.get_array("notes")?.iter();
        Ok(KeptBatch {
            generation,
            state: header.get_str("state")?.to_owned(),
            bytes,
            notes: notes
                .filter_map(|note| note.as_str().map(str::to_owned))
                .collect(),
        })
    }

    fn kept_document(&self, plan: &str, id: &str) -> Result<Option<Document>> {
        let raw = self.raw_by_id(plan, &RawId::of_text(id))?;
        raw.map(|raw| Ok(deserialize_from_slice(&raw)?)).transpose()
    }
}

fn part_id(id: &str, generation: i32, number: usize) -> String {
    format!("{id} {generation} {number}")
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}
