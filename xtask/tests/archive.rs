//! The archive reader on what the real mongodump wrote.

use xtask::archive::{ArchiveReader, Check, DigestPool, Event};
use xtask::domain::manifest::NamespaceKind;

/// `mongodump --oplog --archive`, 100.12.2, of a small database with every kind of collection and value.
const REAL: &[u8] = include_bytes!("fixtures/mongodump-100.12.2-oplog.archive");

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

#[test]
fn counts_and_digests_are_those_of_the_plain_dump() {
    let mut reader = ArchiveReader::new(REAL).unwrap();
    let mut pool = DigestPool::new(2, Check::Strict);
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Documents {
            namespace, documents, ..
        } = event
        {
            pool.push(namespace, documents).unwrap();
        }
    }
    let digests = pool.finish().unwrap();
    assert_eq!(reader.offset(), REAL.len() as u64);
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
    assert!(reader.prelude().namespaces.iter().any(|n| n.name() == "oplog"));
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
