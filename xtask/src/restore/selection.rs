//! Which collections of a backup a restore takes: all of them, or those that the operator names.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::backup::BackupFile;
use crate::domain::inventory::is_application;
use crate::domain::manifest::NamespaceRecord;
use crate::error::catalogue::restore as errors;

/// All collections and views, or the named ones. Journal, ledger and database keep it: whoever resumes takes the same ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selection(Option<BTreeSet<String>>);

impl Selection {
    /// The named ones. Each text is a name, or several with commas between them: names may have commas. No text is all of them.
    ///
    /// # Errors
    /// Usage (exit 2) for a name that the file has not in this database; the error lists those that it has.
    pub fn named(file: &BackupFile, database: &str, texts: &[String]) -> Result<Self> {
        let all = Self::default();
        if texts.is_empty() {
            return Ok(all);
        }
        let own = all.of(&file.metadata.namespaces, database);
        let has: BTreeSet<&str> = own.map(|n| n.collection.as_str()).collect();
        let mut names = BTreeSet::new();
        for text in texts {
            if has.contains(text.as_str()) {
                names.insert(text.clone());
                continue;
            }
            for name in text.split(',').map(str::trim) {
                ensure!(
                    has.contains(name),
                    errors::no_such_collection(name, file.path.display(), quoted(has.iter().copied()))
                );
                names.insert(name.to_owned());
            }
        }
        Ok(Self(Some(names)))
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the collection or view of this name is taken.
    pub fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }

    /// The names, where not all are taken.
    pub fn names(&self) -> Option<Vec<String>> {
        self.0.as_ref().map(|names| names.iter().cloned().collect())
    }

    /// For people: `` `a`, `b` of ``, or nothing where all are taken.
    pub fn text(&self) -> String {
        let names = self
            .0
            .iter()
            .map(|names| quoted(names.iter().map(String::as_str)));
        names.map(|names| format!("{names} of ")).collect()
    }

    /// Bytes of what is taken.
    pub(super) fn bytes(&self, backup: &BackupFile, database: &str) -> u64 {
        if self.is_all() {
            return backup.metadata.archive_bytes;
        }
        let taken = self.of(&backup.metadata.namespaces, database);
        taken.map(|record| record.bytes).sum()
    }

    /// Bytes of the documents that get a second copy: all that is taken but what is put back in place.
    pub(super) fn copied_bytes(
        &self,
        backup: &BackupFile,
        database: &str,
        in_place: &BTreeSet<String>,
    ) -> u64 {
        let taken = self.of(&backup.metadata.namespaces, database);
        let copied = taken.filter(|record| !in_place.contains(&record.collection));
        copied.map(|record| record.bytes).sum()
    }

    /// What of these is taken: the application's own of this database.
    pub(super) fn of<'a>(
        &'a self,
        records: &'a [NamespaceRecord],
        database: &'a str,
    ) -> impl Iterator<Item = &'a NamespaceRecord> {
        records.iter().filter(move |n| {
            n.database == database && is_application(&n.collection) && self.has(&n.collection)
        })
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{}`", name.escape_debug())).collect();
    names.join(", ")
}
