//! The archive reader on what the real mongodump wrote.

use std::collections::HashMap;

use xtask::archive::{ArchiveReader, Check, ContentDigest, DigestPool, Event};
use xtask::domain::manifest::NamespaceKind;

/// `mongodump --oplog --archive`, 100.12.2, of a small database with every kind of collection and value.
const REAL: &[u8] = include_bytes!("fixtures/mongodump-100.12.2-oplog.archive");

/// The same data by other versions and in other ways.
const OTHERS: [(&str, &[u8]); 2] = [
    // `--oplog`, four collections at once.
    (
        "100.10.0",
        include_bytes!("fixtures/mongodump-100.10.0-oplog.archive"),
    ),
    // `--db fixture -j 1`, one collection after the other.
    (
        "100.6.1",
        include_bytes!("fixtures/mongodump-100.6.1-serial.archive"),
    ),
];
/// `--collection users --query '{"age": {"$lt": 30}}'`: 60 of 150 documents.
const QUERY: &[u8] = include_bytes!("fixtures/mongodump-100.10.0-query.archive");
/// `--gzip`.
const COMPRESSED: &[u8] = include_bytes!("fixtures/mongodump-100.6.1-gzip.archive");

/// Documents and content digest of each collection, computed by a separate program from the same server's
/// `mongodump --out`: the sum, modulo 2^256, of the SHA-256 of each document of the `.bson` file.
const EXPECTED: [(&str, u64, &str); 7] = [
    (
        "capped",
        3,
        "af71fe726ef2a650cb030c9d8d9ae12bfe06af1ec2473a7150f19970843fb233",
    ),
    (
        "empty",
        0,
        "0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "places",
        10,
        "422ba72e760c48bdf6892cccbbeb9028d6a87e9d2cdbfe2c41b081e8fc89a882",
    ),
    (
        "sessions",
        20,
        "80defc1ecf8011b37c344f66431432e3e156740f6feb0c0092c3b841d8dc0d05",
    ),
    (
        "types.every kind ünïcode",
        1,
        "884d25ebd742f16a66053a57f317821f0748281988fe69a928418637de0c7ccc",
    ),
    (
        "users",
        150,
        "1a297b390ecabd3f1d57a631d7447e8e7d634f2a500599cc6e34e2ac54d95d23",
    ),
    (
        "validated",
        1,
        "ae68e275465df16b0d9dbb95748d3b3bdda046940810362d1b0883843401998f",
    ),
];

/// Reads all of it: the reader with its counts, and the digests.
fn read(archive: &[u8]) -> (ArchiveReader<&[u8]>, HashMap<usize, ContentDigest>) {
    let mut reader = ArchiveReader::new(archive).unwrap();
    let mut pool = DigestPool::new(2, Check::Strict);
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Documents {
            namespace, documents, ..
        } = event
        {
            pool.push(namespace, documents).unwrap();
        }
    }
    assert_eq!(reader.offset(), archive.len() as u64);
    (reader, pool.finish().unwrap())
}

fn assert_expected(archive: &[u8]) {
    let (reader, digests) = read(archive);
    for (name, documents, digest) in EXPECTED {
        let found = |n: &xtask::archive::PreludeNamespace| n.database == "fixture" && n.collection == name;
        let at = reader.prelude().namespaces.iter().position(found).expect(name);
        assert_eq!(reader.states()[at].documents, documents, "{name}");
        assert_eq!(
            digests.get(&at).copied().unwrap_or_default().to_string(),
            digest,
            "{name}"
        );
    }
}

#[test]
fn counts_and_digests_are_those_of_the_plain_dump() {
    assert_expected(REAL);
    let (reader, _) = read(REAL);
    assert!(reader.prelude().namespaces.iter().any(|n| n.name() == "oplog"));
}

#[test]
fn other_versions_of_mongodump_are_read_with_the_same_result() {
    for (version, archive) in OTHERS {
        assert_eq!(
            ArchiveReader::new(archive).unwrap().prelude().tool_version,
            version
        );
        assert_expected(archive);
    }
    let (reader, _) = read(QUERY);
    let counts: Vec<u64> = reader.states().iter().map(|state| state.documents).collect();
    assert_eq!(counts, [60], "only what was asked for");
    let error = ArchiveReader::new(COMPRESSED).map(drop).unwrap_err().to_string();
    assert!(error.contains("unpack it with gunzip"), "{error}");
}

#[test]
fn metadata_are_read_as_mongodump_wrote_them() {
    let reader = ArchiveReader::new(REAL).unwrap();
    assert_eq!(reader.prelude().tool_version, "100.12.2");
    let namespace = |name: &str| {
        let namespaces = &reader.prelude().namespaces;
        namespaces
            .iter()
            .find(|n| n.database == "fixture" && n.collection == name)
            .expect(name)
    };
    assert_eq!(namespace("adults").kind, NamespaceKind::View);
    assert_eq!(namespace("adults").options["viewOn"], "users");
    assert_eq!(namespace("capped").options["capped"], true);
    assert_eq!(namespace("validated").options["collation"]["locale"], "en");
    let users = &namespace("users").indexes;
    let names: Vec<&str> = users
        .iter()
        .map(|index| index["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["_id_", "age and created", "email_1"]);
    let keys: Vec<&String> = users[1]["key"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["age", "created"], "the order of a key is its meaning");
}

#[test]
fn every_cut_and_every_flip_of_the_data_is_refused() {
    let read = |bytes: &[u8]| -> anyhow::Result<()> {
        let mut reader = ArchiveReader::new(bytes)?;
        while reader.next_event()?.is_some() {}
        Ok(())
    };
    read(REAL).unwrap();
    let prelude = usize::try_from(ArchiveReader::new(REAL).unwrap().offset()).unwrap();
    for length in (0..REAL.len()).step_by(97) {
        assert!(read(&REAL[..length]).is_err(), "cut to {length}");
    }
    for at in (prelude..REAL.len()).step_by(31) {
        let mut damaged = REAL.to_vec();
        damaged[at] ^= 1 << (at % 8);
        assert!(read(&damaged).is_err(), "byte {at}");
    }
}
