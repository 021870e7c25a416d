//! Makes a verified backup of what mongodump wrote by itself: an archive, a compressed one, or a folder.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, PipeWriter, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::create::{Keys, not_restorable, seal};
use super::find::first_directory;
use super::room::require_room;
use super::{BackupFile, copies, encryption};
use crate::archive::writer::{ArchiveWriter, DumpedCollection, store_written};
use crate::archive::{ContainerOptions, GZIP, StoredBackup, store};
use crate::context::Context;
use crate::domain::manifest::{Consistency, ConsistencyKind};
use crate::error::catalogue::backup as errors;
use crate::exec::read_bounded;
use crate::report;
use crate::storage::plain_name;

/// Compressed documents are rarely smaller than this part of themselves.
const RATIO: u64 = 10;
/// Larger than every document that a server stores.
const DOCUMENT_LIMIT_BYTES: usize = 48 << 20;
const METADATA_LIMIT_BYTES: usize = 16 << 20;

/// Makes a backup of a dump of the environment's database. It is read back whole, as every backup is. Its metadata name no host:
/// nothing in a dump does.
///
/// # Errors
/// Usage (exit 2) where it is no dump, or one of other databases only.
pub fn import(ctx: &Context, dump: &Path, purpose: &str) -> Result<BackupFile> {
    let database = &ctx.mongodb()?.database;
    let first = first_directory(ctx)?;
    encryption::check(ctx)?;
    let folder = dump.is_dir().then(|| folder_of(dump, database)).transpose()?;
    require_room(first.path(), size_bytes(folder.as_deref().unwrap_or(dump))?)?;
    let partial = first.reserve(chrono::Utc::now())?;
    let keys = Keys::of(ctx)?;
    let options = ContainerOptions::new(partial.path(), partial.id.as_str(), keys.recipients);
    let ticker = report::Ticker::start(format!("reading {}", dump.display()));
    let stored = match &folder {
        Some(folder) => store_folder(folder, database, &options, partial.created),
        None => store(archive(dump)?, &options, partial.created, &mut |_| ()),
    };
    drop(ticker);
    let stored = stored.map_err(|error| errors::not_a_dump(dump.display(), format!("{error:#}")))?;
    let namespaces = &stored.manifest.namespaces;
    let names: std::collections::BTreeSet<&str> = namespaces.iter().map(|n| n.database.as_str()).collect();
    ensure!(
        names.contains(database.as_str()),
        errors::dump_of_others(dump.display(), listed(&names), database)
    );
    let warnings = not_restorable(namespaces, database);
    let mut metadata = stored.metadata(Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: "a dump that mongodump made by itself: nothing is recorded of the moment it belongs to"
            .into(),
    });
    metadata.environment.clone_from(&ctx.env_name);
    purpose.clone_into(&mut metadata.purpose);
    metadata.recipients = keys.configured;
    metadata.warnings.extend(warnings);
    let mut backup = seal(ctx, &first, partial, stored, metadata, &keys.identities)?;
    copies::copy_to_other_storages(ctx, &first, &mut backup)?;
    Ok(backup)
}

fn listed(names: &std::collections::BTreeSet<&str>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The stream of an archive, decompressed.
fn archive(path: &Path) -> Result<Box<dyn Read>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(cannot)?);
    let is_compressed = file.fill_buf().with_context(cannot)?.starts_with(&GZIP);
    Ok(if is_compressed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

/// The folder of the database in a dump: the one given, or one within it.
fn folder_of(dump: &Path, database: &str) -> Result<PathBuf> {
    let within = dump.join(database);
    if within.is_dir() {
        return Ok(within);
    }
    let absolute = std::path::absolute(dump).context("cannot determine the current folder")?;
    if absolute.file_name().is_some_and(|name| name == database) {
        return Ok(absolute);
    }
    let folders = entries(dump)?.into_iter().filter(|path| path.is_dir());
    let names: Vec<String> = folders
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let names = names.iter().map(String::as_str).collect();
    Err(errors::dump_of_others(dump.display(), listed(&names), database).into())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot list {}", folder.display());
    let mut paths = Vec::new();
    for entry in folder.read_dir().with_context(cannot)? {
        paths.push(entry.with_context(cannot)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// About as many bytes of documents as there are.
fn size_bytes(dump: &Path) -> Result<u64> {
    let files = if dump.is_dir() {
        entries(dump)?
    } else {
        vec![dump.to_owned()]
    };
    let mut bytes = 0;
    for file in files {
        let length = file
            .metadata()
            .with_context(|| format!("cannot read {}", file.display()))?
            .len();
        let compressed = file.extension().is_some_and(|end| end == "gz");
        bytes += if compressed { length * RATIO } else { length };
    }
    Ok(bytes)
}

/// A collection of a folder, with the file of its documents; views have none.
struct InFolder {
    dumped: DumpedCollection,
    documents: Option<PathBuf>,
}

/// Writes the archive that mongodump would have written of the same collections, and stores it.
fn store_folder(
    folder: &Path,
    database: &str,
    options: &ContainerOptions,
    created: chrono::DateTime<chrono::Utc>,
) -> Result<StoredBackup> {
    let collections = collections(folder)?;
    ensure!(!collections.is_empty(), "{} has no collection", folder.display());
    let version = server_version(folder)?;
    let written = store_written(None, options, created, |writer| {
        write_archive(&collections, database, &version, writer)
    });
    written.map(|((), stored)| stored)
}

fn collections(folder: &Path) -> Result<Vec<InFolder>> {
    let files = entries(folder)?;
    let mut found = Vec::new();
    for file in &files {
        let plain = plain_name(file);
        let Some(stem) = plain.strip_suffix(".metadata.json") else {
            // Every collection that mongodump writes has metadata; without them its indexes would be lost in silence.
            let stem = plain
                .strip_suffix(".bson")
                .map(|stem| stem.strip_prefix("system.buckets.").unwrap_or(stem));
            if let Some(stem) = stem {
                let beside = |end: &str| files.contains(&folder.join(format!("{stem}.metadata.json{end}")));
                ensure!(
                    beside("") || beside(".gz"),
                    "{stem}.metadata.json is missing in {}",
                    folder.display()
                );
            }
            continue;
        };
        found.push(collection(folder, file, stem)?);
    }
    Ok(found)
}

fn collection(folder: &Path, file: &Path, stem: &str) -> Result<InFolder> {
    let cannot = || format!("cannot read {}", file.display());
    let text = read_bounded(open(file)?, METADATA_LIMIT_BYTES).with_context(cannot)?;
    let metadata: Value = serde_json::from_slice(&text).with_context(cannot)?;
    let kind = metadata["type"].as_str().unwrap_or("collection").to_owned();
    // Older versions did not write the name; in the file's it is escaped.
    let collection = match metadata["collectionName"].as_str() {
        Some(name) => name.to_owned(),
        None => unescaped(stem)?,
    };
    let prefix = if kind == "timeseries" {
        "system.buckets."
    } else {
        ""
    };
    let documents = ["bson", "bson.gz"].map(|end| folder.join(format!("{prefix}{stem}.{end}")));
    let documents = documents.into_iter().find(|path| path.is_file());
    ensure!(
        documents.is_some() || kind == "view",
        "{prefix}{stem}.bson is missing in {}",
        folder.display()
    );
    let metadata = String::from_utf8(text).with_context(cannot)?;
    let dumped = DumpedCollection {
        collection,
        kind,
        metadata,
    };
    Ok(InFolder { dumped, documents })
}

/// `a%2Fb` is `a/b`.
fn unescaped(name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).with_context(|| format!("the name {name} is not UTF-8"))
}

/// From `prelude.json`, which newer versions write; empty where there is none.
fn server_version(folder: &Path) -> Result<String> {
    let beside = [Some(folder), folder.parent()].into_iter().flatten();
    let files = beside.flat_map(|folder| ["prelude.json", "prelude.json.gz"].map(|name| folder.join(name)));
    let Some(file) = files.into_iter().find(|file| file.is_file()) else {
        return Ok(String::new());
    };
    let text = read_bounded(open(&file)?, METADATA_LIMIT_BYTES)?;
    let prelude: Value =
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(prelude["ServerVersion"].as_str().unwrap_or_default().to_owned())
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let file = BufReader::new(file);
    Ok(if path.extension().is_some_and(|end| end == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

fn write_archive(collections: &[InFolder], database: &str, version: &str, pipe: PipeWriter) -> Result<()> {
    let dumped: Vec<DumpedCollection> = collections.iter().map(|one| one.dumped.clone()).collect();
    let mut archive = ArchiveWriter::of_dump(BufWriter::new(pipe), version, database, &dumped)?;
    for one in collections {
        let name = &one.dumped.collection;
        if one.dumped.kind == "timeseries" {
            archive.collection(&format!("system.buckets.{name}"))?;
        } else {
            archive.collection(name)?;
        }
        let Some(path) = &one.documents else { continue };
        let mut file = open(path)?;
        while let Some(document) =
            next_document(&mut file).with_context(|| format!("cannot read {}", path.display()))?
        {
            archive.document(&document)?;
        }
    }
    archive.finish().map(drop)
}

/// The next document of a `.bson` file; `None` at its end.
fn next_document(file: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start)?;
    if start.is_empty() {
        return Ok(None);
    }
    let Some(length) = start
        .first_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes) as usize)
    else {
        bail!("it ends within a document");
    };
    ensure!(
        (5..=DOCUMENT_LIMIT_BYTES).contains(&length),
        "a document of {length} bytes is none"
    );
    file.by_ref().take(length as u64 - 4).read_to_end(&mut start)?;
    ensure!(start.len() == length, "it ends within a document");
    Ok(Some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_and_documents_that_end_early() {
        assert_eq!(unescaped("a%2Fb%24 é%zz%").unwrap(), "a/b$ é%zz%");
        assert!(unescaped("%ff").is_err());
        let whole = [5, 0, 0, 0, 0];
        assert_eq!(next_document(&mut &whole[..]).unwrap(), Some(whole.to_vec()));
        assert_eq!(next_document(&mut &[][..]).unwrap(), None);
        for cut in [1, 3, 4] {
            assert!(next_document(&mut &whole[..cut]).is_err());
        }
        assert!(next_document(&mut &[255, 255, 255, 255][..]).is_err());
    }
}
