use std::cell::RefCell;
use std::collections::BTreeMap;

use chrono::DateTime;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::domain::manifest::{Consistency, ConsistencyKind, Manifest, StoredFile};

const ID: &str = "20260102-030405";

/// Files in memory, in the order of the calls.
#[derive(Debug, Default)]
struct Memory {
    files: RefCell<BTreeMap<String, Vec<u8>>>,
    deleted: RefCell<Vec<String>>,
    /// A service that keeps something else than it was given.
    is_damaging: bool,
}

impl Objects for Memory {
    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let files = self.files.borrow();
        let names = files.keys().filter_map(|name| name.strip_prefix(folder));
        Ok(names.map(str::to_owned).collect())
    }

    fn upload_new(&self, file: &Path, name: &str) -> Result<()> {
        ensure!(!self.files.borrow().contains_key(name), "{name} is there");
        self.replace(file, name)
    }

    fn replace(&self, file: &Path, name: &str) -> Result<()> {
        let mut bytes = std::fs::read(file)?;
        if self.is_damaging {
            bytes.pop();
        }
        self.files.borrow_mut().insert(name.to_owned(), bytes);
        Ok(())
    }

    fn read(&self, name: &str, offset_bytes: u64, consume: Consume) -> Result<()> {
        let files = self.files.borrow();
        let bytes = files.get(name).map(Vec::as_slice).unwrap_or_default();
        consume(&mut &bytes[usize::try_from(offset_bytes)?.min(bytes.len())..])
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.deleted.borrow_mut().push(name.to_owned());
        self.files.borrow_mut().remove(name);
        Ok(())
    }
}

fn store(objects: Memory) -> ObjectStore<Memory> {
    ObjectStore::new(
        objects,
        Naming::new("s3", "bucket", "/prod/db/"),
        Unencrypted::LetOthersReadThem,
    )
}

fn backup(folder: &TempDir, bytes: &[u8]) -> BackupFile {
    let manifest = Manifest {
        schema: String::new(),
        id: ID.into(),
        created: DateTime::UNIX_EPOCH,
        server_version: String::new(),
        tool_version: String::new(),
        archive_bytes: 0,
        chunk_bytes: 0,
        chunks: 0,
        base: None,
        namespaces: Vec::new(),
    };
    let stored = StoredFile {
        size_bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
        encrypted: false,
        recipients: Vec::new(),
    };
    let consistency = Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: String::new(),
    };
    let metadata = BackupMetadata::new(&manifest, stored, consistency);
    let path = folder.path().join(&metadata.file);
    std::fs::write(&path, bytes).unwrap();
    BackupFile { path, metadata }
}

#[test]
fn an_upload_that_ended_before_its_metadata_is_gone_on_with_and_another_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let backup = backup(&folder, b"the backup");
    let name = format!("prod/db/{ID}/{}", backup.metadata.file);
    for (there, is_ours) in [(&b"the backup"[..], true), (b"half of a ", false), (b"", false)] {
        let store = store(Memory::default());
        store
            .objects
            .files
            .borrow_mut()
            .insert(name.clone(), there.to_vec());
        assert_eq!(store.put(&backup).is_ok(), is_ours, "{there:?}");
        assert_eq!(store.metadata(ID).unwrap().is_some(), is_ours);
        assert_eq!(
            store.objects.files.borrow()[&name],
            there,
            "what is there is left alone"
        );
    }
}

#[test]
fn two_backups_of_one_id_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(Memory::default());
    store.put(&backup(&folder, b"the first")).unwrap();
    let error = store.put(&backup(&folder, b"the second")).unwrap_err();
    assert!(format!("{error:#}").contains("keeps another backup"), "{error:#}");
    assert_eq!(store.ids().unwrap(), [ID]);
    store.prove(&store.metadata(ID).unwrap().unwrap()).unwrap();
}

#[test]
fn what_was_not_read_back_as_it_was_is_deleted_and_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(Memory {
        is_damaging: true,
        ..Memory::default()
    });
    store.put(&backup(&folder, b"the backup")).unwrap_err();
    assert_eq!(store.ids().unwrap(), Vec::<String>::new());
    assert!(store.objects.files.borrow().is_empty());
}

#[test]
fn a_backup_is_removed_whole_its_metadata_first_and_once_more_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(Memory::default());
    let backup = backup(&folder, b"the backup");
    store.put(&backup).unwrap();
    store.remove(ID).unwrap();
    store.remove(ID).unwrap();
    let expected = [METADATA_FILE, &backup.metadata.file].map(|file| format!("prod/db/{ID}/{file}"));
    assert_eq!(*store.objects.deleted.borrow(), expected);
    assert!(store.objects.files.borrow().is_empty());
}
