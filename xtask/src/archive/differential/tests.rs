use std::path::{Path, PathBuf};

use mongodb::bson::doc;
use proptest::prelude::*;

use super::*;
use crate::archive::testing::*;
use crate::archive::{
    Check, ContainerOptions, ContainerReader, StoredBackup, VerifyReport, store_upon, verify,
};
use crate::domain::manifest::{BackupMetadata, Consistency, ConsistencyKind, METADATA_SCHEMA};

const FULL: &str = "20250131-235959";
const LATER: &str = "20250201-235959";

fn consistency() -> Consistency {
    Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: "test".into(),
    }
}

/// A committed backup.
#[derive(Debug)]
struct Stored {
    path: PathBuf,
    metadata: BackupMetadata,
}

impl Stored {
    fn of(stored: StoredBackup) -> Self {
        let metadata = stored.metadata(consistency());
        assert_eq!(metadata.schema, METADATA_SCHEMA);
        Self {
            path: stored.commit().unwrap(),
            metadata,
        }
    }

    fn full(folder: &Path, id: &str, archive: &[u8]) -> Self {
        let options = ContainerOptions::new(folder, id, None);
        Self::of(store_upon(None, archive, &options, chrono::DateTime::UNIX_EPOCH, &mut |_| {}).unwrap())
    }

    fn upon(base: &Self, folder: &Path, archive: &[u8]) -> Self {
        let options = ContainerOptions::new(folder, LATER, None);
        let base = Base {
            index: BaseIndex::read(base.open(), &base.metadata.namespaces, &base.metadata.hash).unwrap(),
            archive: base.archive(),
        };
        Self::of(
            store_upon(
                Some(base),
                archive,
                &options,
                chrono::DateTime::UNIX_EPOCH,
                &mut |_| {},
            )
            .unwrap(),
        )
    }

    fn open(&self) -> ContainerReader {
        ContainerReader::open(&self.path, None, 2).unwrap()
    }

    fn archive(&self) -> BaseArchive {
        BaseArchive::new(self.open(), self.metadata.reference())
    }

    fn verify(&self, base: BaseArchive) -> VerifyReport {
        let opened = Ok(self.open().with_base(base));
        verify(
            &self.path,
            opened,
            Some(&self.metadata),
            Check::Strict,
            &mut |_| {},
        )
        .unwrap()
    }

    fn bytes(&self, base: BaseArchive) -> Vec<u8> {
        let mut reader = self.open().with_base(base);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(reader.finish().unwrap().sha256, self.metadata.hash);
        bytes
    }
}

/// Text that does not pack.
fn noise(seed: u64, length: usize) -> String {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = Vec::with_capacity(length + 8);
    while text.len() < length {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        text.extend(((x & 0x3f3f_3f3f_3f3f_3f3f) | 0x4040_4040_4040_4040).to_le_bytes());
    }
    text.truncate(length);
    String::from_utf8(text).unwrap()
}

/// Documents of this collection by number; those whose version is not 0 have other text.
fn versions(collection: &str, versions: &[(i32, u64)], length: usize) -> Vec<Vec<u8>> {
    let seed = collection.len() as u64;
    let document = |(number, version): &(i32, u64)| {
        let seed = seed << 48 | u64::from(number.cast_unsigned()) << 8 | version;
        raw(&doc! { "_id": format!("{collection}-{number}"), "text": noise(seed, length), "n": number })
    };
    versions.iter().map(document).collect()
}

/// An archive of collections whose blocks have `block` documents.
fn archive_of(collections: &[(&str, Vec<Vec<u8>>)], block: usize) -> Vec<u8> {
    let blocks = |documents: &Vec<Vec<u8>>| documents.chunks(block).map(<[_]>::to_vec).collect();
    let namespaces: Vec<_> = collections
        .iter()
        .map(|(name, documents)| namespace(name, blocks(documents)))
        .collect();
    archive(&namespaces, &[0])
}

/// What became of a document between two backups.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Same,
    Changed,
    Deleted,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever changes, comes and goes, in whatever blocks and order.
    #[test]
    fn every_archive_comes_back_from_its_base(
        fates in prop::collection::vec(prop_oneof![8 => Just(Fate::Same), 1 => Just(Fate::Changed), 1 => Just(Fate::Deleted)], 0..120),
        added in 0..40_i32,
        length in prop_oneof![Just(10_usize), Just(2_000), Just(8_000)],
        blocks in (1..50_usize, 1..50_usize),
        turned in any::<bool>(),
        other_gone in any::<bool>(),
    ) {
        let then: Vec<(i32, u64)> = (0..).zip(&fates).map(|(number, _)| (number, 0)).collect();
        let mut now: Vec<(i32, u64)> = (0..).zip(&fates)
            .filter(|(_, fate)| **fate != Fate::Deleted)
            .map(|(number, fate)| (number, u64::from(*fate == Fate::Changed)))
            .collect();
        now.extend((0..added).map(|number| (1_000 + number, 0)));
        if turned {
            now.reverse();
        }
        let other = || ("other", versions("other", &[(1, 0), (2, 0)], length));
        let then = archive_of(&[("a", versions("a", &then, length)), other()], blocks.0);
        let mut collections = vec![("new", versions("new", &[(7, 0)], 100)), ("a", versions("a", &now, length))];
        if !other_gone {
            collections.insert(0, other());
        }
        let now = archive_of(&collections, blocks.1);

        let folder = tempfile::tempdir().unwrap();
        let base = Stored::full(folder.path(), FULL, &then);
        let later = Stored::upon(&base, folder.path(), &now);
        prop_assert!(later.bytes(base.archive()) == now);
        prop_assert_eq!(later.verify(base.archive()).problems, Vec::<String>::new());
    }
}

/// The sizes are of archives of many segments, so that each has to find its place.
#[test]
fn a_differential_backup_holds_what_changed_whatever_was_deleted_before_it() {
    const LENGTH: usize = 12_000;
    let folder = tempfile::tempdir().unwrap();
    let all = |count: i32| (0..count).map(|number| (number, 0)).collect::<Vec<(i32, u64)>>();
    let then = [
        ("gone", versions("gone", &all(450), LENGTH)),
        ("kept", versions("kept", &all(1_250), LENGTH)),
    ];
    let base = Stored::full(folder.path(), FULL, &archive_of(&then, 100));
    // A collection is gone, the first third of the other too, and of the rest each hundredth document is another one.
    let now: Vec<(i32, u64)> = (450..1_250)
        .map(|number| (number, u64::from(number % 100 == 0)))
        .collect();
    let now = archive_of(&[("kept", versions("kept", &now, LENGTH))], 77);
    let later = Stored::upon(&base, folder.path(), &now);
    let changed = 8 * LENGTH as u64;
    let stored = later.metadata.size_bytes;
    assert!(
        stored < 4 * changed,
        "{stored} bytes for {changed} that changed, of {}",
        now.len()
    );
    assert!(later.bytes(base.archive()) == now);
}

#[test]
fn a_base_that_is_another_one_cut_short_or_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let documents = |version| {
        versions(
            "a",
            &(0..50).map(|number| (number, version)).collect::<Vec<_>>(),
            500,
        )
    };
    let base = Stored::full(folder.path(), FULL, &archive_of(&[("a", documents(0))], 10));
    let later = Stored::upon(&base, folder.path(), &archive_of(&[("a", documents(0))], 10));
    assert!(later.verify(base.archive()).is_good());

    let problems = |base: BaseArchive| later.verify(base).problems.join("; ");
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let other = Stored::full(&elsewhere, FULL, &archive_of(&[("a", documents(1))], 10));
    // Taken for the right one by its name, and not.
    let posing = BaseArchive::new(other.open(), base.metadata.reference());
    let of_other_id = Stored::full(
        &elsewhere,
        "20250130-000000",
        &archive_of(&[("a", documents(0))], 10),
    );
    for (wrong, id, expected) in [
        (posing, FULL, "damaged or another one"),
        (other.archive(), FULL, "damaged or another one"),
        (of_other_id.archive(), "20250130-000000", "states the base"),
    ] {
        let problems = problems(wrong);
        assert!(problems.contains(id) && problems.contains(expected), "{problems}");
    }

    let bytes = std::fs::read(&base.path).unwrap();
    let damaged = folder.path().join("damaged");
    for at in (0..bytes.len()).step_by(1_501) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        std::fs::write(&damaged, &bytes).unwrap();
        let Ok(reader) = ContainerReader::open(&damaged, None, 2) else {
            continue;
        };
        let problems = problems(BaseArchive::new(reader, base.metadata.reference()));
        assert!(problems.contains(FULL), "byte {at}: {problems}");
    }
    for length in [100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&damaged, &bytes[..length]).unwrap();
        let reader = ContainerReader::open(&damaged, None, 2).unwrap();
        let problems = problems(BaseArchive::new(reader, base.metadata.reference()));
        assert!(problems.contains(FULL), "{length} bytes: {problems}");
    }

    let mut bytes = Vec::new();
    let error = later.open().read_to_end(&mut bytes).unwrap_err().to_string();
    assert!(error.contains("was not given"), "{error}");
}
