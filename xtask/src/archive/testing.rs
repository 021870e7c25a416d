//! Small archives for tests, written as mongodump writes them.

use mongodb::bson::{Document, doc, serialize_to_vec};

use super::crc::Crc64;

pub(super) fn raw(document: &Document) -> Vec<u8> {
    serialize_to_vec(document).unwrap()
}

/// Magic and header.
pub(super) fn header() -> Vec<u8> {
    let header = doc! {
        "concurrent_collections": 4, "version": "0.1", "server_version": "8.0.4", "tool_version": "100.12.2",
    };
    [&[0x6d, 0xe2, 0x99, 0x81][..], &raw(&header)].concat()
}

/// One entry of the prelude.
pub(super) fn entry(database: &str, collection: &str, metadata: &str, kind: &str) -> Vec<u8> {
    raw(&doc! { "db": database, "collection": collection, "metadata": metadata, "size": 0, "type": kind })
}

pub(super) const TERMINATOR: [u8; 4] = [0xff; 4];

/// A block with its header and terminator.
pub(super) fn block(database: &str, collection: &str, documents: &[Vec<u8>]) -> Vec<u8> {
    let header = raw(&doc! { "db": database, "collection": collection, "EOF": false, "CRC": 0_i64 });
    [header, documents.concat(), TERMINATOR.to_vec()].concat()
}

/// A closing block with the CRC of `documents`.
pub(super) fn eof(database: &str, collection: &str, documents: &[Vec<u8>]) -> Vec<u8> {
    let mut crc = Crc64::new();
    for document in documents {
        crc.update(document);
    }
    let crc = crc.value().cast_signed();
    let header = raw(&doc! { "db": database, "collection": collection, "EOF": true, "CRC": crc });
    [header, TERMINATOR.to_vec()].concat()
}

/// A namespace of database `app`: name, type, blocks of documents.
#[derive(Debug, Clone)]
pub(super) struct TestNamespace {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) blocks: Vec<Vec<Vec<u8>>>,
}

pub(super) fn namespace(name: &str, blocks: Vec<Vec<Vec<u8>>>) -> TestNamespace {
    TestNamespace {
        name: name.to_owned(),
        kind: "collection",
        blocks,
    }
}

/// A whole archive; `order` picks, at each step, the namespace whose next block follows (modulo those left).
pub(super) fn archive(namespaces: &[TestNamespace], order: &[usize]) -> Vec<u8> {
    let mut bytes = header();
    for namespace in namespaces {
        let metadata = format!(
            r#"{{"options":{{}},"indexes":[{{"v":{{"$numberInt":"2"}},"key":{{"_id":{{"$numberInt":"1"}}}},"name":"_id_"}}],"uuid":"c0ffee","collectionName":{:?},"type":{:?}}}"#,
            namespace.name, namespace.kind
        );
        bytes.extend(entry("app", &namespace.name, &metadata, namespace.kind));
    }
    bytes.extend(TERMINATOR);
    let mut open: Vec<(&TestNamespace, usize)> = namespaces.iter().map(|n| (n, 0)).collect();
    let mut order = order.iter().chain(std::iter::repeat(&0));
    while !open.is_empty() {
        let at = order.next().unwrap_or(&0) % open.len();
        let (namespace, next) = &mut open[at];
        if let Some(documents) = namespace.blocks.get(*next) {
            bytes.extend(block("app", &namespace.name, documents));
            *next += 1;
        } else {
            bytes.extend(eof("app", &namespace.name, &namespace.blocks.concat()));
            open.remove(at);
        }
    }
    bytes
}

/// `count` documents with `padding` bytes of text each.
pub(super) fn documents(count: usize, padding: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| raw(&doc! { "_id": n.to_string(), "text": "abc ".repeat(padding / 4) }))
        .collect()
}
