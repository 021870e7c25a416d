//! Reads a backup file once, as stored, and compares everything that is known about it.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::container::{ContainerReader, FileDigest, default_workers};
use super::digest::Check;
use super::scan::{Nobody, OnProgress, Scan, Visitor, scan_with};
use crate::domain::manifest::{BackupMetadata, Manifest, NamespaceRecord};
use crate::domain::release::BackupRef;

/// What was checked, and everything that was wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    #[serde(rename = "size")]
    pub size_bytes: u64,
    pub sha256: String,
    /// Empty for a good backup.
    pub problems: Vec<String>,
    /// What was compared and found equal.
    pub checked: Vec<String>,
    /// What the file holds, if it could be read to the end.
    pub manifest: Option<Manifest>,
}

impl VerifyReport {
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks the whole file, `opened` or not: encryption, every gzip member and tar member, every block and document of the archive, CRCs,
/// counts and content digests against the manifest, and all of it, size and SHA-256 included, against the metadata. Of a
/// differential backup, the same of its base.
///
/// Damage is in the report; an error is returned only where the file could not be examined at all.
pub fn verify(
    path: &Path,
    opened: Result<ContainerReader>,
    metadata: Option<&BackupMetadata>,
    check: Check,
    progress: OnProgress,
) -> Result<VerifyReport> {
    verify_with(path, opened, metadata, check, progress, &mut Nobody)
}

/// The same, with a visitor of the documents; an error of the visitor is in the report, too.
pub fn verify_with(
    path: &Path,
    opened: Result<ContainerReader>,
    metadata: Option<&BackupMetadata>,
    check: Check,
    progress: OnProgress,
    visitor: &mut impl Visitor,
) -> Result<VerifyReport> {
    let mut report = Findings::default();
    let workers = default_workers();
    let (digest, manifest) = match opened {
        Ok(mut reader) => {
            let outcome = scan_with(&mut reader, check, workers.div_ceil(2), progress, visitor);
            let manifest = reader.manifest().cloned();
            report.archive(outcome, manifest.as_ref());
            let digest = match reader.finish() {
                Ok(digest) => digest,
                Err(error) => {
                    report.problems.push(format!("{error:#}"));
                    super::container::digest_file(path)?
                }
            };
            (digest, manifest)
        }
        Err(error) => {
            report.problems.push(format!("{error:#}"));
            (super::container::digest_file(path)?, None)
        }
    };
    match metadata {
        Some(metadata) => report.metadata(path, metadata, &digest, manifest.as_ref()),
        None => report
            .problems
            .push("there is no metadata to compare the file with".to_owned()),
    }
    let Findings { problems, checked } = report;
    Ok(VerifyReport {
        size_bytes: digest.size_bytes,
        sha256: digest.sha256,
        problems,
        checked,
        manifest,
    })
}

#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    checked: Vec<String>,
}

impl Findings {
    fn archive(&mut self, outcome: Result<Scan>, manifest: Option<&Manifest>) {
        let Scan { prelude, namespaces } = match outcome {
            Ok(found) => found,
            Err(error) => return self.problems.push(format!("{error:#}")),
        };
        let documents: u64 = namespaces.iter().map(|namespace| namespace.documents).sum();
        self.checked.push(format!(
            "archive: {documents} documents of {} namespaces, each block, length and CRC",
            namespaces.len()
        ));
        let Some(manifest) = manifest else {
            return self.problems.push("the file has no manifest".to_owned());
        };
        self.checked.push(format!(
            "container: {} chunks, {} bytes",
            manifest.chunks, manifest.archive_bytes
        ));
        self.equal(
            "manifest: server version",
            &manifest.server_version,
            &prelude.server_version,
        );
        self.equal(
            "manifest: tool version",
            &manifest.tool_version,
            &prelude.tool_version,
        );
        self.namespaces("manifest", &manifest.namespaces, &namespaces);
    }

    fn metadata(
        &mut self,
        path: &Path,
        metadata: &BackupMetadata,
        file: &FileDigest,
        manifest: Option<&Manifest>,
    ) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.equal("metadata: file name", metadata.file.as_str(), &name);
        self.equal("metadata: size", &metadata.size_bytes, &file.size_bytes);
        self.equal("metadata: SHA-256", &metadata.hash, &file.sha256);
        let Some(manifest) = manifest else { return };
        self.equal("metadata: id", &metadata.id, &manifest.id);
        let base = |base: &Option<BackupRef>| {
            base.as_ref()
                .map_or("none".to_owned(), |base| format!("{} ({})", base.id, base.hash))
        };
        self.equal("metadata: base", &base(&metadata.base), &base(&manifest.base));
        self.equal("metadata: timestamp", &metadata.timestamp, &manifest.created);
        self.equal(
            "metadata: server version",
            &metadata.server_version,
            &manifest.server_version,
        );
        self.equal(
            "metadata: tool version",
            &metadata.tool_version,
            &manifest.tool_version,
        );
        self.equal(
            "metadata: archive bytes",
            &metadata.archive_bytes,
            &manifest.archive_bytes,
        );
        let documents: u64 = manifest
            .namespaces
            .iter()
            .map(|namespace| namespace.documents)
            .sum();
        self.equal("metadata: documents", &metadata.documents, &documents);
        self.namespaces("metadata", &metadata.namespaces, &manifest.namespaces);
    }

    fn namespaces(&mut self, what: &str, stated: &[NamespaceRecord], found: &[NamespaceRecord]) {
        self.equal(
            &format!("{what}: number of namespaces"),
            &stated.len(),
            &found.len(),
        );
        let wrong: Vec<String> = stated
            .iter()
            .zip(found)
            .filter(|(stated, found)| stated != found)
            .map(|(stated, found)| {
                format!(
                    "{what}: `{}` differs in {}",
                    found.name(),
                    differences(stated, found)
                )
            })
            .collect();
        if wrong.is_empty() && stated.len() == found.len() {
            self.checked.push(format!(
                "{what}: counts, CRCs, content digests, indexes and options of every namespace"
            ));
        }
        self.problems.extend(wrong);
    }

    fn equal<T: PartialEq + std::fmt::Display + ?Sized>(&mut self, what: &str, stated: &T, found: &T) {
        if stated == found {
            self.checked.push(what.to_owned());
        } else {
            self.problems
                .push(format!("{what} is {found}, but {stated} was recorded"));
        }
    }
}

fn differences(stated: &NamespaceRecord, found: &NamespaceRecord) -> String {
    let fields = [
        ("name", stated.name() != found.name()),
        ("type", stated.kind != found.kind),
        ("documents", stated.documents != found.documents),
        ("bytes", stated.bytes != found.bytes),
        ("CRC", stated.crc != found.crc),
        ("content digest", stated.content_digest != found.content_digest),
        ("options", stated.options != found.options),
        ("indexes", stated.indexes != found.indexes),
        ("uuid", stated.uuid != found.uuid),
    ];
    let differing: Vec<&str> = fields
        .iter()
        .filter(|(_, differs)| *differs)
        .map(|(field, _)| *field)
        .collect();
    differing.join(", ")
}
