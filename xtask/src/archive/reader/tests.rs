//! Tests of the archive reader: tables of good and hostile archives, and properties.

use std::collections::HashMap;
use std::io::Read;

use mongodb::bson::doc;
use proptest::prelude::*;

use super::{ArchiveReader, Event};
use crate::archive::prelude::PreludeNamespace;
use crate::archive::testing::*;
use crate::domain::manifest::NamespaceKind;

/// Per namespace: documents and bytes, as the reader counted and as the events said.
fn read_all(bytes: impl Read) -> anyhow::Result<HashMap<String, (u64, Vec<u8>)>> {
    let mut reader = ArchiveReader::new(bytes)?;
    let mut seen: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut ends = 0;
    while let Some(event) = reader.next_event()? {
        match event {
            Event::Documents {
                namespace,
                documents,
                count,
                ..
            } => {
                seen.resize(seen.len().max(namespace + 1), (0, Vec::new()));
                seen[namespace].0 += count;
                seen[namespace].1.extend(documents);
            }
            Event::End { .. } => ends += 1,
        }
    }
    let count = reader.states().len();
    assert_eq!(ends, count);
    seen.resize(count, (0, Vec::new()));
    for ((documents, bytes), state) in seen.iter().zip(reader.states()) {
        assert_eq!((*documents, bytes.len() as u64), (state.documents, state.bytes));
    }
    Ok(reader
        .prelude()
        .namespaces
        .iter()
        .map(PreludeNamespace::name)
        .zip(seen)
        .collect())
}

fn error_of(bytes: &[u8]) -> String {
    format!("{:#}", read_all(bytes).expect_err("must be refused"))
}

#[test]
fn reads_interleaved_namespaces_and_their_metadata() {
    let (a, b) = (documents(5, 100), documents(3, 8));
    let namespaces = [
        namespace("users", vec![a[..2].to_vec(), a[2..].to_vec()]),
        namespace("empty", vec![]),
        TestNamespace {
            kind: "view",
            ..namespace("all users", vec![])
        },
        namespace("dotted.näme", vec![b.clone()]),
    ];
    let bytes = archive(&namespaces, &[0, 3, 0, 1, 2]);
    let read = read_all(&bytes[..]).unwrap();
    assert_eq!(read["app.users"], (5, a.concat()));
    assert_eq!(read["app.dotted.näme"], (3, b.concat()));
    assert_eq!(read["app.empty"], (0, vec![]));

    let reader = ArchiveReader::new(&bytes[..]).unwrap();
    let prelude = reader.prelude();
    assert_eq!(
        (prelude.server_version.as_str(), prelude.concurrent_collections),
        ("8.0.4", 4)
    );
    assert_eq!(prelude.namespaces[2].kind, NamespaceKind::View);
    assert_eq!(prelude.namespaces[0].indexes[0]["name"], "_id_");
    assert_eq!(prelude.namespaces[0].uuid.as_deref(), Some("c0ffee"));
}

#[test]
fn large_documents_and_small_reads() {
    let large = vec![raw(&doc! { "text": "x".repeat(16 * 1024 * 1024 - 100) })];
    let bytes = archive(&[namespace("large", vec![large.clone()])], &[]);
    assert_eq!(read_all(&bytes[..]).unwrap()["app.large"], (1, large.concat()));
    let small = archive(
        &[
            namespace("a", vec![documents(20, 10)]),
            namespace("b", vec![documents(2, 40)]),
        ],
        &[1, 0],
    );
    let one_byte_each = small
        .iter()
        .map(std::slice::from_ref)
        .fold(Box::new(std::io::empty()) as Box<dyn Read>, |before, byte| {
            Box::new(before.chain(byte)) as Box<dyn Read>
        });
    assert_eq!(read_all(one_byte_each).unwrap()["app.a"].0, 20);
}

#[test]
fn oplog_and_time_series_have_their_own_names() {
    let entries = documents(3, 20);
    let unannounced = [
        archive(&[namespace("a", vec![])], &[]),
        block("", "oplog", &entries),
        eof("", "oplog", &entries),
    ]
    .concat();
    assert_eq!(read_all(&unannounced[..]).unwrap()["oplog"].0, 3);
    let announced = [
        header(),
        entry("", "oplog", "", ""),
        TERMINATOR.to_vec(),
        eof("", "oplog", &[]),
    ]
    .concat();
    assert_eq!(read_all(&announced[..]).unwrap()["oplog"].0, 0);

    let prelude = [
        header(),
        entry("app", "t", "{}", "timeseries"),
        TERMINATOR.to_vec(),
    ]
    .concat();
    for name in ["system.buckets.t", "t"] {
        let bytes = [
            prelude.clone(),
            block("app", name, &entries),
            eof("app", name, &entries),
        ]
        .concat();
        assert_eq!(read_all(&bytes[..]).unwrap()["app.t"].0, 3);
    }
    let mixed = [
        prelude,
        block("app", "t", &entries),
        eof("app", "system.buckets.t", &entries),
    ]
    .concat();
    assert!(error_of(&mixed).contains("mixes"), "{}", error_of(&mixed));
}

#[test]
fn hostile_archives_are_refused_for_the_right_reason() {
    let prelude = |entries: &[Vec<u8>]| [header(), entries.concat(), TERMINATOR.to_vec()].concat();
    let users = entry("app", "users", "{}", "collection");
    let one = prelude(std::slice::from_ref(&users));
    let d = documents(2, 20);
    let good_end = eof("app", "users", &d);
    let with = |parts: &[&[u8]]| [&one, parts.concat().as_slice()].concat();
    let data = block("app", "users", &d);
    let mut unterminated = d[0].clone();
    *unterminated.last_mut().unwrap() = 1;
    let header_with =
        |document: &mongodb::bson::Document| [&[0x6d, 0xe2, 0x99, 0x81][..], &raw(document)].concat();
    let eof_with_body = {
        let end = eof("app", "users", &d);
        [&end[..end.len() - 4], &d[0], &TERMINATOR].concat()
    };
    let open_block = block("app", "users", &d);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "empty"),
        (vec![0x6d, 0xe2], "magic"),
        (b"PK\x03\x04 not an archive".to_vec(), "magic"),
        (header()[..4].to_vec(), "ends at byte 4"),
        ([&header()[..4], &TERMINATOR].concat(), "no header"),
        (
            header_with(&doc! { "concurrent_collections": 4, "version": "0.1", "server_version": "8" }),
            "tool_version",
        ),
        (
            header_with(
                &doc! { "concurrent_collections": 4, "version": "9", "server_version": "8", "tool_version": "1" },
            ),
            "format",
        ),
        (
            header_with(
                &doc! { "concurrent_collections": "4", "version": "0.1", "server_version": "8", "tool_version": "1" },
            ),
            "integer",
        ),
        (prelude(&[users.clone(), users.clone()]), "twice"),
        (prelude(&[entry("app", "x", "{", "collection")]), "metadata"),
        (
            prelude(&[entry("app", "x", r#"{"options":3}"#, "collection")]),
            "options",
        ),
        (prelude(&[entry("app", "x", "{}", "sharded")]), "unknown type"),
        (prelude(&[raw(&doc! { "db": "app" })]), "missing"),
        (one.clone(), "before 1 of its 1 namespaces"),
        (with(&[&data]), "before 1 of its 1 namespaces"),
        (with(&[&open_block[..open_block.len() - 4]]), "inside a block"),
        (with(&[&open_block[..open_block.len() - 20]]), "inside a block"),
        (with(&[&TERMINATOR]), "terminator without a block"),
        (with(&[&block("app", "other", &d)]), "does not name"),
        (with(&[&eof("app", "other", &d)]), "does not name"),
        (with(&[&data, &eof("app", "users", &d[..1])]), "CRC"),
        (with(&[&data, &good_end, &good_end]), "after its end"),
        (with(&[&data, &good_end, &data]), "after its end"),
        (with(&[&data, &good_end, b"x"]), "ends at byte"),
        (with(&[&data, &eof_with_body]), "closing block"),
        (with(&[&block("app", "users", &[unterminated])]), "zero byte"),
        (with(&[&block("app", "users", &[vec![4, 0, 0, 0]])]), "neither"),
        (with(&[&block("app", "users", &[vec![0; 64]])]), "neither"),
        (
            with(&[&block("app", "users", &[0x0101_0000_u32.to_le_bytes().to_vec()])]),
            "neither",
        ),
        (
            with(&[&raw(
                &doc! { "db": "app", "collection": "users", "EOF": 1, "CRC": 0_i64 },
            )]),
            "boolean",
        ),
        (
            with(&[&raw(&doc! { "db": "app", "collection": "users", "EOF": false })]),
            "missing",
        ),
        (
            [&header()[..4], &0x00ff_ffff_u32.to_le_bytes()].concat(),
            "ends inside",
        ),
    ];
    for (number, (bytes, expected)) in cases.into_iter().enumerate() {
        let error = error_of(&bytes);
        assert!(
            error.contains(expected),
            "case {number}: {error:?} lacks {expected:?}"
        );
    }
}

#[test]
fn every_flipped_bit_of_the_data_is_found() {
    let namespaces = [
        namespace("users", vec![documents(4, 40)]),
        namespace("b", vec![documents(2, 40)]),
    ];
    let bytes = archive(&namespaces, &[0, 1]);
    let prelude_bytes = usize::try_from(ArchiveReader::new(&bytes[..]).unwrap().offset()).unwrap();
    for at in prelude_bytes..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(read_all(&damaged[..]).is_err(), "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(read_all(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

/// A reader that never ends, to see that bounds hold before memory does.
struct Endless {
    start: Vec<u8>,
    again: Vec<u8>,
    at: usize,
    given: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for slot in &mut *buffer {
            let repeat = |at: usize| self.again[(at - self.start.len()) % self.again.len()];
            *slot = self
                .start
                .get(self.at)
                .copied()
                .unwrap_or_else(|| repeat(self.at));
            self.at += 1;
        }
        self.given += buffer.len();
        Ok(buffer.len())
    }
}

#[test]
fn an_endless_prelude_is_stopped() {
    // The same entry again and again is "twice"; so entries differ only where a name is: one large entry.
    let metadata = format!("{{\"options\":{{}},\"x\":\"{}\"}}", "y".repeat(15 * 1024 * 1024));
    let mut start = header();
    for name in ["a", "b", "c", "d", "e"] {
        start.extend(entry("app", name, &metadata, "collection"));
    }
    let mut endless = Endless {
        start,
        again: entry("app", "f", "{}", "collection"),
        at: 0,
        given: 0,
    };
    let error = ArchiveReader::new(&mut endless).err().unwrap().to_string();
    assert!(error.contains("prelude is larger"), "{error}");
    assert!(endless.given < 128 * 1024 * 1024);
}

fn any_namespaces() -> impl Strategy<Value = (Vec<TestNamespace>, Vec<usize>)> {
    let document = (0..40usize).prop_map(|n| documents(1, n * 4).remove(0));
    let blocks = prop::collection::vec(prop::collection::vec(document, 0..6), 0..5);
    let namespaces = prop::collection::vec(blocks, 0..6).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(n, blocks)| namespace(&format!("c{n}"), blocks))
            .collect()
    });
    (namespaces, prop::collection::vec(0..6usize, 0..40))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_gives_the_same_documents((namespaces, order) in any_namespaces()) {
        let read = read_all(&archive(&namespaces, &order)[..]).unwrap();
        for namespace in &namespaces {
            let all = namespace.blocks.concat();
            prop_assert_eq!(&read[&format!("app.{}", namespace.name)], &(all.len() as u64, all.concat()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read_all(&bytes[..]).is_err());
        let _ = read_all(&[&header(), bytes.as_slice()].concat()[..]);
        let one = [header(), entry("app", "c", "{}", "collection"), TERMINATOR.to_vec()].concat();
        let _ = read_all(&[&one, bytes.as_slice()].concat()[..]);
    }

    #[test]
    fn damaged_archives_never_panic((namespaces, order) in any_namespaces(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = archive(&namespaces, &order);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read_all(&bytes[..]);
    }
}
