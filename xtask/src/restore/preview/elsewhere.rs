//! Whether every document that stands aside is in one of some files, byte by byte.

use std::collections::BTreeMap;

use anyhow::Result;

use super::super::backup_documents::each_document;
use super::key;
use super::sorter::{DIGEST_BYTES, Entry, Sorted, Sorter};
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::Live;

/// How many documents of these collections (their names, and the names they have in the files), and of these single ones by
/// collection, are in none of the files.
pub(in crate::restore) fn missing_elsewhere(
    ctx: &Context,
    live: &Live,
    files: &[BackupFile],
    aside: &[(String, String)],
    documents: &BTreeMap<String, Vec<Vec<u8>>>,
) -> Result<u64> {
    let mut names: Vec<String> = aside.iter().map(|(_, name)| name.clone()).collect();
    names.extend(documents.keys().cloned());
    names.sort();
    names.dedup();
    let folder = ctx.state_dir("tmp")?;
    let mut of_files = Sorter::new(&folder);
    for file in files {
        each_document(ctx, file, live.name(), &names, |number, document| {
            of_files.push(&key::entry(number, document)?).map(|()| true)
        })?;
    }
    let mut of_aside = Sorter::new(&folder);
    for (full, name) in aside {
        if let Ok(number) = names.binary_search(name) {
            live.scan(full, |document| of_aside.push(&key::entry(number, document)?))?;
        }
    }
    for (name, documents) in documents {
        if let Ok(number) = names.binary_search(name) {
            documents
                .iter()
                .try_for_each(|document| of_aside.push(&key::entry(number, document)?))?;
        }
    }
    count_missing(of_files.finish()?, of_aside.finish()?)
}

/// How many entries of `aside` have no equal one in `files`, where one key may have several documents.
fn count_missing(mut files: Sorted, mut aside: Sorted) -> Result<u64> {
    let mut head = files.next()?;
    let (mut key, mut digests): (Vec<u8>, Vec<[u8; DIGEST_BYTES]>) = (Vec::new(), Vec::new());
    let mut missing = 0;
    while let Some(wanted) = aside.next()? {
        if key != wanted.key {
            digests.clear();
            while let Some(entry) = head.take_if(|entry: &mut Entry| entry.key <= wanted.key) {
                if entry.key == wanted.key {
                    digests.push(entry.digest);
                }
                head = files.next()?;
            }
            key.clone_from(&wanted.key);
        }
        missing += u64::from(!digests.contains(&wanted.digest));
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(folder: &std::path::Path, entries: &[(u8, u8)]) -> Sorted {
        let mut sorter = Sorter::new(folder);
        for (key, digest) in entries {
            let entry = Entry {
                key: vec![*key],
                digest: [*digest; DIGEST_BYTES],
                bytes: 1,
            };
            sorter.push(&entry).unwrap();
        }
        sorter.finish().unwrap()
    }

    #[test]
    fn a_document_counts_as_elsewhere_only_where_a_file_has_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let files = [(1, 1), (2, 1), (2, 2), (4, 1)];
        let cases: [(&[(u8, u8)], u64); 6] = [
            (&[], 0),
            (&[(1, 1), (2, 1), (4, 1)], 0),
            (&[(2, 2), (2, 1)], 0),
            (&[(2, 3)], 1),
            (&[(0, 1), (3, 1), (5, 1)], 3),
            (&[(4, 1), (4, 2), (4, 1)], 1),
        ];
        for (aside, missing) in cases {
            let found = count_missing(sorted(folder.path(), &files), sorted(folder.path(), aside));
            assert_eq!(found.unwrap(), missing, "{aside:?}");
        }
    }
}
