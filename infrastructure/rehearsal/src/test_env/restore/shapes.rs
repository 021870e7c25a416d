//! Databases with every shape that a restore must keep: names, values, options and kinds of indexes that were met in the
//! wild. Made from a seed.

mod values;

use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc, serialize_to_vec};

pub use self::values::{document, id};
use super::RestoreEnv;
use crate::data::random::Random;
use crate::test_env::proxy::before::{IN_PLACE_OF_NOT_UTF8, indexes_of_before};

/// Names of collections that a restore must take; the longest fits its own names by one byte.
pub const NAMES: [&str; 24] = [
    "users",
    "trailing ",
    " leading",
    "Käse 名前",
    "with*star",
    "a.b.c",
    "percent%41",
    "a:b?c<d>e|f",
    "quote\"s'`",
    "__old_orders_2024",
    "__new_arrivals",
    "__late_fees",
    "__plan_b",
    "__late_20260102-030405-ab12_x_fees",
    "é e",
    "back\\slash",
    "semi;colon",
    "100",
    "null",
    "-rf",
    "--drop",
    "🦀",
    "trailing.dots..x",
    LONGEST,
];
/// The longest name of the database `shop` that can be kept beside itself.
const LONGEST: &str = "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\
                       ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\
                       cccccccccccccccccccccccccccc";
/// Long enough that so many of them are more than a command may have, were they asked for at once.
const LONG_ID_BYTES: usize = 110_000;
const TOO_MANY_LONG_IDS: i64 = 160;

/// A name with all that Linux allows in one and Windows does not, as long as `shop`.
pub const ODD_DATABASE: &str = "?*|:";

/// One collection of some shape.
type Shape = fn(&RestoreEnv, &str, &mut Random);

/// Names that no restore takes: the server's own tools refuse them, or there is no room for the name of a restore beside them.
pub const NOT_RESTORED: [&str; 6] = [
    "tab\there",
    "new\nline",
    "del\u{7f}",
    "/slash first",
    "escape\u{1b}[2J",
    TOO_LONG,
];
/// 240 bytes.
const TOO_LONG: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
                        dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
                        dddddddddddddddddddddddddddddddddddddddddddddddd";

/// Every shape by its name.
pub const SHAPES: [(&str, Shape); 19] = [
    ("ids of every type", ids),
    ("values of every type", values),
    ("documents that look like extended JSON", lookalikes),
    ("raw documents that no driver makes", raw_documents),
    ("long ids", long_ids),
    ("capped", capped),
    ("collation", collation),
    ("clustered", clustered),
    ("clustered with expiry", clustered_with_expiry),
    ("validator", validator),
    ("index of a time", expiry),
    ("indexes of every kind", indexes),
    ("places", places),
    ("empty", empty),
    ("views", views),
    ("stored functions", stored_functions),
    ("indexes of servers of before", old_indexes),
    ("strings that are not UTF-8", not_utf8),
    ("a time series", time_series),
];

/// The name of the time-series collection: where a collection of a backup had it, no restore could make room for that.
pub const METERED: &str = "metered";

/// Fills the database with some collections of random shapes and names; gives what was made.
pub fn generate(env: &RestoreEnv, random: &mut Random) -> Vec<String> {
    let mut names = NAMES.to_vec();
    let count = random.range(3, 7);
    let mut made = Vec::new();
    for _ in 0..count {
        let name = *random.pick(&names);
        names.retain(|other| *other != name);
        let (shape, fill) = random.pick(&SHAPES);
        fill(env, name, random);
        made.push(format!("{name:?}: {shape}"));
    }
    made
}

/// What the server stored of these: two may have the same id.
fn insert(env: &RestoreEnv, name: &str, documents: impl IntoIterator<Item = Document>) {
    for document in documents {
        env.collection(name).insert_one(document).run().ok();
    }
}

/// Makes each index that the server takes: a local one takes not all kinds.
fn index(env: &RestoreEnv, name: &str, indexes: impl IntoIterator<Item = Document>) {
    for index in indexes {
        let made = doc! { "createIndexes": name, "indexes": [index] };
        env.database().run_command(made).run().ok();
    }
}

fn numbered(random: &mut Random, count: i32) -> Vec<Document> {
    (0..count).map(|n| document(random, n)).collect()
}

fn ids(env: &RestoreEnv, name: &str, random: &mut Random) {
    for _ in 0..30 {
        let id = id(random);
        insert(env, name, [document(random, id)]);
    }
}

fn values(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(env, name, crate::data::documents::all_types());
    insert(env, name, numbered(random, 20));
}

fn lookalikes(env: &RestoreEnv, name: &str, _: &mut Random) {
    let values = [
        doc! { "$oid": "short" },
        doc! { "$date": { "$numberLong": 5 } },
        doc! { "$numberInt": 7, "more": true },
        doc! { "$binary": "no base64" },
        doc! { "$uuid": 1 },
        doc! { "$regularExpression": {} },
        doc! { "$timestamp": { "t": -1 } },
    ];
    let numbered = values.into_iter().zip(0_i32..);
    insert(
        env,
        name,
        numbered.map(|(value, n)| doc! { "_id": n, "value": value.clone(), "deep": [{ "inner": value }] }),
    );
}

/// A document that no driver writes. The server may refuse it.
fn insert_raw(env: &RestoreEnv, name: &str, bytes: Vec<u8>) {
    let raw = RawDocumentBuf::from_bytes(bytes).expect("a document");
    env.database()
        .collection::<RawDocumentBuf>(name)
        .insert_one(raw)
        .run()
        .ok();
}

/// Keys that stand twice.
fn raw_documents(env: &RestoreEnv, name: &str, random: &mut Random) {
    for n in 0..5_i32 {
        let mut bytes =
            serialize_to_vec(&doc! { "_id": n, "aa": 1, "bb": random.words(2), "cc": { "dd": 1, "ee": 2 } })
                .expect("a document");
        for key in [b"bb", b"ee"] {
            let at = bytes
                .windows(3)
                .position(|found| found == [key[0], key[1], 0])
                .expect("the key");
            let twice = if key == b"bb" { b"aa" } else { b"dd" };
            bytes[at..at + 2].copy_from_slice(twice);
        }
        insert_raw(env, name, bytes);
    }
    insert(env, name, [doc! { "_id": "plain" }]);
}

fn long_ids(env: &RestoreEnv, name: &str, random: &mut Random) {
    let count = *random.pick(&[1, 2, 3, TOO_MANY_LONG_IDS]);
    let documents: Vec<Document> = (0..count)
        .map(|n| doc! { "_id": format!("{n}-{}", "x".repeat(LONG_ID_BYTES)) })
        .collect();
    env.collection(name).insert_many(documents).run().ok();
}

fn capped(env: &RestoreEnv, name: &str, random: &mut Random) {
    env.command(doc! { "create": name, "capped": true, "size": 10_000_000, "max": 5000 });
    let mut documents = numbered(random, 60);
    documents.reverse();
    insert(env, name, documents);
}

fn collation(env: &RestoreEnv, name: &str, random: &mut Random) {
    env.command(doc! { "create": name, "collation": { "locale": "fr", "strength": 2 } });
    env.command(doc! { "createIndexes": name, "indexes": [
        { "key": { "n": 1 }, "name": "simple", "collation": { "locale": "simple" } },
        { "key": { "words": 1 }, "name": "inherited" },
        { "key": { "value": 1 }, "name": "other", "collation": { "locale": "de", "numericOrdering": true } },
    ] });
    insert(env, name, numbered(random, 10));
    insert(env, name, [doc! { "_id": "été" }, doc! { "_id": "ete" }]);
}

fn clustered(env: &RestoreEnv, name: &str, random: &mut Random) {
    let index = doc! { "key": { "_id": 1 }, "unique": true, "name": "by id" };
    env.command(doc! { "create": name, "clusteredIndex": index });
    insert(env, name, numbered(random, 10));
}

fn clustered_with_expiry(env: &RestoreEnv, name: &str, random: &mut Random) {
    let index = doc! { "key": { "_id": 1 }, "unique": true, "name": "by time" };
    env.command(doc! { "create": name, "clusteredIndex": index, "expireAfterSeconds": 2_000_000_000_i64 });
    let at = (0..5).map(|n| DateTime::from_millis(1_700_000_000_000 + n));
    let documents: Vec<Document> = at.map(|at| document(random, at)).collect();
    insert(env, name, documents);
}

/// Documents that the collection's own validator refuses.
fn validator(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(env, name, numbered(random, 10));
    let refuses = doc! { "total": { "$type": "number" }, "mail": { "$regex": "^a", "$options": "i" } };
    let (level, action) = *random.pick(&[("moderate", "error"), ("strict", "warn"), ("strict", "error")]);
    env.command(
        doc! { "collMod": name, "validator": refuses, "validationLevel": level, "validationAction": action },
    );
}

fn expiry(env: &RestoreEnv, name: &str, random: &mut Random) {
    let old = DateTime::from_millis(0);
    insert(env, name, (0..10).map(|n| doc! { "_id": n, "seen": old }));
    let seconds = random
        .pick(&[
            Bson::Int64(2_000_000_000),
            Bson::Int32(i32::MAX),
            Bson::Double(2_000_000_000.0),
        ])
        .clone();
    let index = doc! { "key": { "seen": 1 }, "name": "seen", "expireAfterSeconds": seconds };
    env.command(doc! { "createIndexes": name, "indexes": [index] });
}

fn indexes(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(
        env,
        name,
        (0..15).map(|n| doc! { "_id": n, "email": format!("u{n}@example.com"), "a": n, "text": random.words(4), "in": { "x": n } }),
    );
    index(
        env,
        name,
        [
            doc! { "key": { "email": 1 }, "name": "email", "unique": true },
            doc! { "key": { "a": -1, "email": 1 }, "name": "partial", "partialFilterExpression": { "a": { "$gt": 3 } } },
            doc! { "key": { "a": 1.0, "in.x": -1.0 }, "name": "doubles", "sparse": true },
            doc! { "key": { "in.x": 1_i64 }, "name": "long", "hidden": true },
            doc! { "key": { "email": "hashed" }, "name": "hashed" },
            doc! { "key": { "$**": 1 }, "name": "wild", "wildcardProjection": { "text": 0 } },
            doc! { "key": { "text": "text", "a": 1 }, "name": "odd näme.$x", "weights": { "text": 3 }, "default_language": "none" },
        ],
    );
}

/// Options and kinds of values that servers of today keep, and take no more. What the local server does not take is seen through the
/// proxy only.
fn old_indexes(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(env, name, numbered(random, 12));
    index(
        env,
        name,
        [
            doc! { "key": { "value": 1 }, "name": "version 1", "v": 1 },
            doc! { "key": { "at": "2dsphere" }, "name": "sphere", "2dsphereIndexVersion": 2 },
        ],
    );
    index(env, name, indexes_of_before().into_iter().map(|(built, _)| built));
}

/// What a broken client wrote, seen through the proxy: in values, names of fields and ids.
fn not_utf8(env: &RestoreEnv, name: &str, random: &mut Random) {
    let text = |n: i32| format!("caf{IN_PLACE_OF_NOT_UTF8}{n}");
    for n in 0..4_i32 {
        let id = if n % 2 == 0 {
            Bson::from(n)
        } else {
            Bson::from(text(n))
        };
        let document =
            doc! { "_id": id, "text": text(n), "words": random.words(2), "deep": [{ text(n): 1 }] };
        insert(env, name, [document]);
    }
}

fn places(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(
        env,
        name,
        (0..6).map(|n| doc! { "_id": n, "at": { "type": "Point", "coordinates": [random.unit(), random.unit()] }, "flat": [1, n] }),
    );
    index(
        env,
        name,
        [
            doc! { "key": { "at": "2dsphere" }, "name": "sphere" },
            doc! { "key": { "flat": "2d" }, "name": "flat", "bits": 20, "min": -500.0, "max": 500.0 },
        ],
    );
}

/// Beside an ordinary collection. Where it is there already, it stays.
fn time_series(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(env, name, numbered(random, 3));
    let options = doc! { "timeField": "at", "metaField": "from", "granularity": "seconds" };
    let made = doc! { "create": METERED, "timeseries": options };
    if env.database().run_command(made).run().is_ok() {
        let measured = |n: i64| doc! { "at": DateTime::from_millis(n * 1_000), "from": "a", "value": n };
        insert(env, METERED, (0..20).map(measured));
    }
}

fn empty(env: &RestoreEnv, name: &str, _: &mut Random) {
    env.command(doc! { "create": name });
}

/// Where a view of that name is there already, it stays.
fn views(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(env, name, numbered(random, 5));
    let filter = doc! { "$match": { "words": { "$regex": "^a", "$options": "i" } } };
    let collation = doc! { "locale": "de", "strength": 1 };
    for (view, on, pipeline) in [
        ("a view", name, vec![filter]),
        ("view of a view", "a view", Vec::new()),
    ] {
        let made =
            doc! { "create": view, "viewOn": on, "pipeline": pipeline, "collation": collation.clone() };
        env.database().run_command(made).run().ok();
    }
}

fn stored_functions(env: &RestoreEnv, name: &str, random: &mut Random) {
    insert(env, name, numbered(random, 3));
    insert(
        env,
        "system.js",
        [doc! { "_id": "f", "value": Bson::JavaScriptCode("function(){return 1}".into()) }],
    );
}

#[cfg(test)]
mod tests {
    use xtask::domain::restore_name::fits;

    use super::*;
    use crate::test_env::restore::DATABASE;

    #[test]
    fn the_longest_name_is_the_longest_that_a_restore_takes() {
        assert!(fits(DATABASE, LONGEST) && !fits(DATABASE, &format!("{LONGEST}c")));
        assert!(NAMES.iter().all(|name| fits(DATABASE, name)));
        assert_eq!(TOO_LONG.len(), 240);
    }
}
