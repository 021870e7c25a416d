//! Reading a backup: all documents of some collections, or those that may differ from what is live.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use super::backup_file::require_undamaged;
use super::scope::CompareScope;
use crate::archive::{self, ArchiveReader, Event, Prelude, PreludeNamespace, Visitor};
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::database::{PreImage, RawId};
use crate::domain::inventory::is_application;
use crate::error::catalogue::restore as errors;
use crate::exec::check_interrupted;

/// What a pass over the backup proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackupPass {
    /// That the file is the one that its metadata name, and that its key and its base are here; nothing is unpacked where nothing of it
    /// has to be read.
    Own,
    /// Everything that is recorded of it: what was visited holds only where the pass ends without an error.
    Undamaged,
}

/// Gives the documents of the backup that may differ to `visit`, with the number of their collection.
pub(super) fn in_scope(
    ctx: &Context,
    backup: &BackupFile,
    database: &str,
    names: &[String],
    scope: &CompareScope,
    pass: BackupPass,
    mut visit: impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<()> {
    let left = known(names, scope, &mut visit)?;
    let is_all_known = left.is_empty();
    let mut visit = |number: usize, document: &[u8]| {
        if left.has(number, document)? {
            visit(number, document)?;
        }
        Ok(())
    };
    match pass {
        BackupPass::Undamaged => {
            let mut visitor = OfCollections {
                database,
                names,
                numbers: Vec::new(),
                visit,
            };
            require_undamaged(ctx, backup, &mut visitor)
        }
        BackupPass::Own if is_all_known => {
            require_own_digest(backup)?;
            backup::open_archive(ctx, backup).map(drop)
        }
        BackupPass::Own => each_document(ctx, backup, database, names, |number, document| {
            visit(number, document).map(|()| true)
        }),
    }
}

/// What has to be read of the backup: by the number of its collection all of it, or what may differ; nothing of those that are known.
struct Left<'a>(Vec<LeftOf<'a>>);

enum LeftOf<'a> {
    Nothing,
    All,
    Those(&'a HashMap<RawId, PreImage>),
}

impl Left<'_> {
    fn is_empty(&self) -> bool {
        self.0.iter().all(|left| matches!(left, LeftOf::Nothing))
    }

    fn has(&self, number: usize, document: &[u8]) -> Result<bool> {
        Ok(match self.0[number] {
            LeftOf::Nothing => false,
            LeftOf::All => true,
            LeftOf::Those(ids) => ids.contains_key(&RawId::of_document(document)?),
        })
    }
}

/// Visits what the server has kept of the backup.
fn known<'a>(
    names: &[String],
    scope: &'a CompareScope,
    visit: &mut impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<Left<'a>> {
    let mut left = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let Some(documents) = scope.of_backup(name) else {
            left.push(scope.ids(name).map_or(LeftOf::All, LeftOf::Those));
            continue;
        };
        left.push(LeftOf::Nothing);
        for document in documents {
            visit(number, document)?;
        }
    }
    Ok(Left(left))
}

/// Visits the documents of these collections of a database, with the number of their collection.
struct OfCollections<'a, F> {
    database: &'a str,
    names: &'a [String],
    /// By the number of the namespace in the archive.
    numbers: Vec<Option<usize>>,
    visit: F,
}

impl<F: FnMut(usize, &[u8]) -> Result<()>> Visitor for OfCollections<'_, F> {
    fn prelude(&mut self, prelude: &Prelude) {
        self.numbers = numbers(prelude, self.database, self.names);
    }

    fn documents(&mut self, namespace: usize, documents: &[u8], _: u64) -> Result<()> {
        let Some(number) = self.numbers.get(namespace).copied().flatten() else {
            return Ok(());
        };
        for document in archive::split_documents(documents) {
            (self.visit)(number, document?)?;
        }
        Ok(())
    }
}

/// The number of the collection, for each namespace of the archive that is one of these.
fn numbers(prelude: &Prelude, database: &str, names: &[String]) -> Vec<Option<usize>> {
    let of = |namespace: &PreludeNamespace| {
        let own = namespace.database == database && is_application(&namespace.collection);
        own.then(|| names.binary_search(&namespace.collection).ok())
            .flatten()
    };
    prelude.namespaces.iter().map(of).collect()
}

pub(super) fn require_own_digest(backup: &BackupFile) -> Result<()> {
    let is_own = backup.check_digest();
    is_own.map_err(|error| errors::backup_damaged(backup.path.display(), format!("{error:#}")).into())
}

/// Gives every document of the backup with the number of its collection to `visit`, until it says `false`. Where it never does,
/// the whole file is read, and is the one that its metadata name.
pub(super) fn each_document(
    ctx: &Context,
    backup: &BackupFile,
    database: &str,
    names: &[String],
    mut visit: impl FnMut(usize, &[u8]) -> Result<bool>,
) -> Result<()> {
    let mut reader = ArchiveReader::new(backup::open_archive(ctx, backup)?)?;
    let numbers = numbers(reader.prelude(), database, names);
    while let Some(event) = reader.next_event()? {
        let Event::Documents {
            namespace, documents, ..
        } = event
        else {
            continue;
        };
        let Some(number) = numbers.get(namespace).copied().flatten() else {
            continue;
        };
        for document in archive::split_documents(documents) {
            if !visit(number, document?)? {
                return Ok(());
            }
        }
        check_interrupted()?;
    }
    let (file, _, _) = reader.into_parts();
    ensure!(
        file.finish()?.sha256 == backup.metadata.hash,
        errors::backup_damaged(
            backup.path.display(),
            "its SHA-256 is not the one in its metadata"
        )
    );
    Ok(())
}
