//! Every place where a document may be: live, beside the live collections, in a rescue file, in a backup.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use mongodb::bson::{Document, deserialize_from_slice, doc};
use rehearsal::test_env::restore::shapes::{METERED, ODD_DATABASE};
use rehearsal::test_env::restore::{DATABASE, RestoreEnv};
use xtask::archive::{ArchiveReader, ContainerReader, Event, split_documents};
use xtask::backup::read_metadata;
use xtask::domain::inventory::is_system_collection;
use xtask::domain::manifest::{METADATA_FILE, NamespaceKind};
use xtask::domain::restore_name::{self, Role};

/// A document of a collection, as bytes.
pub type Stored = (String, u64);
/// Documents, with what a failed test shows of each.
pub type Documents = BTreeMap<Stored, String>;

/// Adds a document of a collection.
pub fn add(documents: &mut Documents, collection: &str, raw: &[u8]) {
    let mut hasher = DefaultHasher::new();
    raw.hash(&mut hasher);
    let shown = || {
        let document = deserialize_from_slice::<Document>(raw).unwrap_or_default();
        document.to_string().chars().take(160).collect()
    };
    documents
        .entry((collection.to_owned(), hasher.finish()))
        .or_insert_with(shown);
}

/// What the application reads, and what a restore keeps beside it, by the names of the live collections.
pub fn in_database(env: &RestoreEnv) -> (Documents, Documents) {
    let (mut live, mut beside) = (Documents::new(), Documents::new());
    let database = env.seen();
    for (name, listed) in database.listed().unwrap() {
        // The server's own, as the definitions of views; stored functions are data.
        let is_own = is_system_collection(&name) && name != "system.js";
        if listed.kind != NamespaceKind::Collection || is_own {
            continue;
        }
        let (to, collection) = match restore_name::parse(&name) {
            None => (&mut live, name.as_str()),
            Some((_, Role::Plan, _)) => continue,
            Some((_, _, collection)) => (&mut beside, collection),
        };
        let keep = |raw: &[u8]| {
            add(to, collection, raw);
            Ok(())
        };
        database.scan(&name, keep).unwrap();
    }
    (live, beside)
}

/// How many measurements the time-series collection has.
pub fn measurements(env: &RestoreEnv) -> u64 {
    let found = env.collection(METERED).find(doc! {}).run().unwrap();
    found.map(Result::unwrap).count() as u64
}

/// The file of the backup in a folder.
pub fn archive_in(folder: &Path) -> Option<PathBuf> {
    let mut entries = folder.read_dir().ok()?.flatten().map(|entry| entry.path());
    entries.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("mongodb-backup-") && name.ends_with(".tar.gz")
    })
}

/// The complete rescue files of a machine, and those in the storage, which counts as a place for as long as it has them.
pub fn rescue_files(machine: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let operations = list(&machine.join(".xtask/operations"));
    let folders = operations.iter().flat_map(|operation| list(operation));
    let folders = folders.filter(|folder| folder.join(METADATA_FILE).is_file());
    let is_rescue = |folder: &PathBuf| {
        let metadata = read_metadata(&folder.join(METADATA_FILE));
        metadata.is_ok_and(|metadata| {
            metadata
                .consistency
                .reason
                .starts_with("documents that were not in the backup")
        })
    };
    let stored = list(&machine.join("backups")).into_iter().filter(is_rescue);
    folders
        .chain(stored)
        .filter_map(|folder| archive_in(&folder))
        .collect()
}

/// What files have; each is read once.
#[derive(Debug, Default)]
pub struct Files(BTreeMap<PathBuf, BTreeSet<Stored>>);

impl Files {
    pub fn read(&mut self, path: &Path) -> &BTreeSet<Stored> {
        self.0
            .entry(path.to_owned())
            .or_insert_with(|| documents_of(path).into_keys().collect())
    }
}

/// The documents of an archive.
pub fn documents_of(path: &Path) -> Documents {
    let container = ContainerReader::open(path, None, 1).unwrap();
    let mut archive = ArchiveReader::new(container).unwrap();
    let names: Vec<(String, String)> = archive
        .prelude()
        .namespaces
        .iter()
        .map(|n| (n.database.clone(), n.collection.clone()))
        .collect();
    let mut found = Documents::new();
    while let Some(event) = archive.next_event().unwrap() {
        let Event::Documents {
            namespace, documents, ..
        } = event
        else {
            continue;
        };
        let (database, collection) = &names[namespace];
        assert!([DATABASE, ODD_DATABASE].contains(&database.as_str()));
        // The buckets of the time-series collection, of which no restore puts anything live.
        if collection.strip_prefix("system.buckets.").unwrap_or(collection) == METERED {
            continue;
        }
        for raw in split_documents(documents) {
            add(&mut found, collection, raw.unwrap());
        }
    }
    found
}
