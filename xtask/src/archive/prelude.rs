//! The beginning of a mongodump archive: its header and the list of what follows.

use std::collections::HashSet;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::bson::{Fields, MAX_DOCUMENT_BYTES, MIN_DOCUMENT_BYTES};
use super::source::Source;
use crate::domain::manifest::{NamespaceKind, OPLOG_COLLECTION, namespace_name};

/// What a mongodump archive begins with.
pub const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
/// What gzip begins with: `mongodump --archive --gzip` packs the whole stream.
pub const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Ends the prelude and every block.
pub(super) const TERMINATOR: u32 = u32::MAX;
const FORMAT_VERSION: &str = "0.1";
/// Far above what a server can hold in practice; every namespace costs memory until the end of the archive.
const MAX_NAMESPACES: usize = 100_000;
/// All of the prelude: it is kept in memory.
const MAX_PRELUDE_BYTES: u64 = 64 * 1024 * 1024;

/// What an archive says about itself before the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Prelude {
    pub concurrent_collections: i64,
    pub server_version: String,
    pub tool_version: String,
    pub namespaces: Vec<PreludeNamespace>,
}

/// One namespace of the prelude, its metadata parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct PreludeNamespace {
    pub database: String,
    pub collection: String,
    pub kind: NamespaceKind,
    /// Collection options, canonical extended JSON.
    pub options: Value,
    /// Indexes, canonical extended JSON.
    pub indexes: Vec<Value>,
    pub uuid: Option<String>,
}

impl PreludeNamespace {
    pub fn name(&self) -> String {
        namespace_name(&self.database, &self.collection)
    }

    /// The oplog, which mongodump lists in no prelude or in one without metadata.
    pub(super) fn oplog() -> Self {
        Self {
            database: String::new(),
            collection: OPLOG_COLLECTION.to_owned(),
            kind: NamespaceKind::Collection,
            options: Value::Object(serde_json::Map::new()),
            indexes: Vec::new(),
            uuid: None,
        }
    }
}

/// The JSON text inside a namespace's entry.
#[derive(Deserialize)]
struct MetadataText {
    #[serde(default)]
    options: Option<Value>,
    #[serde(default)]
    indexes: Option<Vec<Value>>,
    #[serde(default)]
    uuid: Option<String>,
}

pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Prelude> {
    let arrived = source.ensure(4)?;
    ensure!(
        arrived || !source.available().is_empty(),
        "the archive is empty: not one byte arrived"
    );
    ensure!(
        !source.available().starts_with(&GZIP),
        "this archive is compressed (mongodump --gzip): unpack it with gunzip first"
    );
    ensure!(
        arrived && source.take(4) == MAGIC,
        "this is not a mongodump archive: it does not begin with the magic bytes"
    );
    let Some(header) = read_document(source)? else {
        bail!("the archive has no header")
    };
    let mut prelude = read_header(header).context("the archive's header is damaged")?;
    let mut seen = HashSet::new();
    loop {
        let offset = source.offset();
        let Some(entry) = read_document(source)? else {
            return Ok(prelude);
        };
        let entry =
            read_namespace(entry).with_context(|| format!("the prelude is damaged at byte {offset}"))?;
        ensure!(
            seen.insert((entry.database.clone(), entry.collection.clone())),
            "the prelude names `{}` twice (byte {offset})",
            entry.name()
        );
        prelude.namespaces.push(entry);
        ensure!(
            prelude.namespaces.len() <= MAX_NAMESPACES,
            "the prelude names more than {MAX_NAMESPACES} namespaces"
        );
        ensure!(
            source.offset() <= MAX_PRELUDE_BYTES,
            "the prelude is larger than {MAX_PRELUDE_BYTES} bytes"
        );
    }
}

/// The next document, or `None` for a terminator.
pub(super) fn read_document<R: Read>(source: &mut Source<R>) -> Result<Option<&[u8]>> {
    let offset = source.offset();
    ensure!(
        source.ensure(4)?,
        "the archive ends at byte {offset} where a document or terminator should be"
    );
    let Some(length) = source.available().first_chunk::<4>() else {
        bail!("no length at byte {offset}")
    };
    let length = u32::from_le_bytes(*length);
    if length == TERMINATOR {
        source.take(4);
        return Ok(None);
    }
    let length = check_length(length, offset)?;
    ensure!(
        source.ensure(length)?,
        "the archive ends inside the document that begins at byte {offset}"
    );
    let document = source.take(length);
    ensure!(
        document.last() == Some(&0),
        "the document at byte {offset} does not end in a zero byte"
    );
    Ok(Some(document))
}

pub(super) fn check_length(length: u32, offset: u64) -> Result<usize> {
    let length = length as usize;
    ensure!(
        (MIN_DOCUMENT_BYTES..=MAX_DOCUMENT_BYTES).contains(&length),
        "{length} at byte {offset} is neither the length of a document nor a terminator"
    );
    Ok(length)
}

fn read_header(bytes: &[u8]) -> Result<Prelude> {
    let fields = Fields::read(
        bytes,
        [
            "concurrent_collections",
            "version",
            "server_version",
            "tool_version",
        ],
    )?;
    let version = fields.text("version")?;
    ensure!(
        version == FORMAT_VERSION,
        "archive format {version:?} is unknown: expected {FORMAT_VERSION:?}"
    );
    Ok(Prelude {
        concurrent_collections: fields.integer("concurrent_collections")?,
        server_version: fields.text("server_version")?.to_owned(),
        tool_version: fields.text("tool_version")?.to_owned(),
        namespaces: Vec::new(),
    })
}

fn read_namespace(bytes: &[u8]) -> Result<PreludeNamespace> {
    let fields = Fields::read(bytes, ["db", "collection", "metadata", "size", "type"])?;
    let (database, collection) = (fields.text("db")?, fields.text("collection")?);
    let name = namespace_name(database, collection);
    fields.integer("size")?;
    let kind = match fields.text("type")? {
        // The oplog and the users of a database are listed without a type.
        "collection" | "" => NamespaceKind::Collection,
        "view" => NamespaceKind::View,
        "timeseries" => NamespaceKind::Timeseries,
        other => bail!("`{name}` has the unknown type {other:?}"),
    };
    let text = fields.text("metadata")?;
    let text = if text.is_empty() { "{}" } else { text };
    let metadata: MetadataText =
        serde_json::from_str(text).with_context(|| format!("the metadata of `{name}` is not readable"))?;
    let options = metadata
        .options
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    ensure!(options.is_object(), "the options of `{name}` are not an object");
    Ok(PreludeNamespace {
        database: database.to_owned(),
        collection: collection.to_owned(),
        kind,
        options,
        indexes: metadata.indexes.unwrap_or_default(),
        uuid: metadata.uuid.filter(|uuid| !uuid.is_empty()),
    })
}
