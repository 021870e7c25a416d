//! What the databases of the tests hold, and what databases hold as it can be compared.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, RawDocumentBuf, Regex, Timestamp,
    doc,
};
use mongodb::sync::Database;
use serde_json::json;
use xtask::archive::ContentDigest;

/// Every kind of collection, index and value that the local server knows.
pub fn fill(database: &Database) {
    let run = |command: Document| {
        database
            .run_command(command.clone())
            .run()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
    };
    let insert = |name: &str, documents: Vec<Document>| {
        database
            .collection::<Document>(name)
            .insert_many(documents)
            .run()
            .unwrap();
    };
    insert(
        "kinds",
        vec![
            every_bson_type(),
            doc! { "_id": {"a": 1, "b": [1, 2]}, "nested": {"x": [{"y": Bson::Null}]} },
        ],
    );
    run(doc! { "create": "empty" });
    run(doc! { "create": "capped", "capped": true, "size": 65536, "max": 10 });
    insert("capped", vec![doc! { "_id": 1 }, doc! { "_id": 2 }]);
    run(doc! { "create": "collated", "collation": { "locale": "de", "strength": 2 } });
    insert("collated", vec![doc! { "_id": "Ä" }]);
    run(doc! { "create": "validated", "validator": { "$jsonSchema": { "required": ["a"] } } });
    insert("validated", vec![doc! { "_id": 1, "a": 1 }]);
    run(doc! { "create": "view", "viewOn": "kinds", "pipeline": [{ "$match": { "a": 1 } }] });
    insert("dotted.name.with.parts", vec![doc! { "_id": 1 }]);
    insert("Käse 名前", vec![doc! { "_id": 1 }]);
    // No server takes a dollar in the name of a collection; the reader and the container are tested with such names.
    insert(
        "large",
        vec![
            doc! { "_id": 1, "text": "x".repeat(15 * 1024 * 1024 + 900_000) },
            doc! { "_id": 2 },
        ],
    );
    insert("indexed", (0..500).map(|n| doc! { "_id": n, "a": n, "at": Bson::DateTime(DateTime::now()), "place": { "type": "Point", "coordinates": [f64::from(n % 90), 1.0] } }).collect());
    run(doc! { "createIndexes": "indexed", "indexes": [
        { "key": { "a": 1 }, "name": "unique", "unique": true },
        { "key": { "b": -1, "a": 1 }, "name": "partial", "partialFilterExpression": { "a": { "$gt": 5 } } },
        { "key": { "at": 1 }, "name": "expiring", "expireAfterSeconds": 1_000_000 },
        { "key": { "c": 1 }, "name": "sparse", "sparse": true },
        { "key": { "$**": 1 }, "name": "wildcard" },
        { "key": { "place": "2dsphere" }, "name": "geo" },
    ] });
}

fn every_bson_type() -> Document {
    // The driver makes none of these, but reads them: they are in old databases.
    let pointer = json!({ "$dbPointer": { "$ref": "shop.users", "$id": { "$oid": "07".repeat(12) } } });
    let pointer: Bson = serde_json::from_value(pointer).unwrap();
    doc! {
        "_id": ObjectId::from_bytes([7; 12]),
        "double": 1.5, "nan": f64::NAN, "negative_zero": -0.0,
        "string": "text\0with zero", "i32": 1, "i64": 1_i64 << 40, "bool": true, "null": Bson::Null,
        "date": DateTime::from_millis(-1), "timestamp": Timestamp { time: 1, increment: 2 },
        "decimal": "1.50".parse::<Decimal128>().unwrap(),
        "binary": Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255] },
        "uuid": Binary { subtype: BinarySubtype::Uuid, bytes: vec![1; 16] },
        "regex": Bson::RegularExpression(Regex { pattern: "^a".try_into().unwrap(), options: "i".try_into().unwrap() }),
        "code": Bson::JavaScriptCode("f()".into()),
        "scoped": Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "g()".into(), scope: doc! { "x": 1 } }),
        "symbol": Bson::Symbol("s".into()), "undefined": Bson::Undefined, "pointer": pointer, "min": Bson::MinKey, "max": Bson::MaxKey,
        "array": [1, "two", { "three": 3.0 }], "": "an empty key", "a.b": "a dot", "$c": "a dollar",
    }
}

/// Documents (order-independent), options and indexes of every collection.
pub fn contents(database: &Database) -> Vec<(String, String, u64, String, Vec<String>)> {
    let mut found: Vec<_> = database
        .run_cursor_command(doc! { "listCollections": 1 })
        .run()
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| !entry.get_str("name").unwrap().starts_with("system."))
        .map(|entry| {
            let name = entry.get_str("name").unwrap().to_owned();
            let options = entry.get_document("options").unwrap().to_string();
            if entry.get_str("type").is_ok_and(|kind| kind == "view") {
                return (name, options, 0, String::new(), Vec::new());
            }
            let mut digest = ContentDigest::default();
            let mut count = 0;
            for document in database
                .collection::<RawDocumentBuf>(&name)
                .find(doc! {})
                .run()
                .unwrap()
            {
                digest.add(document.unwrap().as_bytes());
                count += 1;
            }
            let mut indexes: Vec<String> = database
                .run_cursor_command(doc! { "listIndexes": &name })
                .run()
                .unwrap()
                .map(|index| {
                    let mut index = index.unwrap();
                    // mongorestore says it, mongod leaves it out.
                    index.remove("ns");
                    index.to_string()
                })
                .collect();
            indexes.sort();
            (name, options, count, digest.to_string(), indexes)
        })
        .collect();
    found.sort();
    found
}

/// Some megabytes that do not compress, so that nothing of it hides in a buffer.
pub fn fill_with_noise(database: &Database, megabytes: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || -> Vec<u8> {
        let words = (0..12_500).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.flatten().collect()
    };
    for _ in 0..megabytes {
        let documents =
            (0..10).map(|_| doc! { "noise": Binary { subtype: BinarySubtype::Generic, bytes: noise() } });
        database
            .collection::<Document>("noise")
            .insert_many(documents)
            .run()
            .unwrap();
    }
}
