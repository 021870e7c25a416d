//! What `backup create` accepts, `restore` can restore; where it cannot, the backup reports it at once.

use mongodb::bson::{Bson, Document, doc, serialize_to_vec};
use rehearsal::test_env::restore::{DATABASE, RestoreEnv};
use serde_json::Value;
use xtask::archive::writer::ArchiveWriter;

/// A document whose texts are not UTF-8, as drivers send it that do not check.
fn not_utf8(id: impl Into<Bson>) -> Vec<u8> {
    let mut bytes =
        serialize_to_vec(&doc! { "_id": id.into(), "text": "caf?", "deep": [{ "a?": "?" }] }).unwrap();
    for byte in bytes.iter_mut().filter(|byte| **byte == b'?') {
        *byte = 0xe9;
    }
    bytes
}

/// Documents that look like extended JSON, and are not.
fn lookalikes() -> Vec<Document> {
    let values = [
        doc! { "$oid": "short" },
        doc! { "$date": { "$numberLong": 5 } },
        doc! { "$numberInt": 7, "more": true },
        doc! { "$binary": "no base64" },
    ];
    let numbered = values.into_iter().zip(0_i32..);
    numbered
        .map(|(value, number)| doc! { "_id": number, "value": value.clone(), "deep": [{ "inner": value }] })
        .collect()
}

/// Backup, plan, restore and undo: everything is as it was each time.
fn there_and_back(env: &RestoreEnv, change: impl FnOnce()) {
    let before = env.inventory();
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    change();
    let changed = env.inventory();
    assert_ne!(before.compare(&changed), [], "the change changed something");
    let plan = env.ok(&["restore", backup, "--plan", "--show-values"]);
    assert_eq!(plan["problems"].to_string(), "[]");
    let restored = env.ok(&["restore", backup]);
    assert_eq!(before.compare(&env.inventory()), []);
    env.ok(&["restore", "--undo", restored["operation"].as_str().unwrap()]);
    assert_eq!(changed.compare(&env.inventory()), []);
}

#[test]
fn documents_of_every_shape_are_backed_up_previewed_restored_rescued_and_undone() {
    let env = RestoreEnv::start();
    env.collection("alike").insert_many(lookalikes()).run().unwrap();
    // 160 of them are more than a command may have.
    let long = |n: i32| doc! { "_id": format!("{n}-{}", "x".repeat(110_000)) };
    env.collection("long").insert_one(long(-1)).run().unwrap();
    for name in ["trailing ", "Käse 名前", "with*star", "a.b.c", "percent%41"] {
        env.collection(name).insert_one(doc! { "_id": 1 }).run().unwrap();
    }
    there_and_back(&env, || {
        let alike = env.collection("alike");
        alike
            .update_many(doc! {}, doc! { "$set": { "n": 9 } })
            .run()
            .unwrap();
        env.collection("alike")
            .delete_one(doc! { "_id": 0 })
            .run()
            .unwrap();
        for batch in 0..2 {
            let documents = (0..80).map(|n| long(batch * 80 + n));
            env.collection("long").insert_many(documents).run().unwrap();
        }
        env.command(doc! { "drop": "trailing " });
    });
}

/// The local server takes no text that is not UTF-8; a `mongod` stores it as it comes.
#[test]
fn texts_that_are_not_utf8_are_no_damage_and_can_be_previewed() {
    let env = RestoreEnv::start();
    env.collection("texts")
        .insert_one(doc! { "_id": 1, "text": "other" })
        .run()
        .unwrap();
    let names = ["texts".to_owned()];
    let mut archive = ArchiveWriter::new(Vec::new(), "8.0.4", DATABASE, &names).unwrap();
    archive.collection("texts").unwrap();
    for document in [not_utf8(1), not_utf8("id?")] {
        archive.document(&document).unwrap();
    }
    let backup = env.store(&archive.finish().unwrap());
    let backup = backup.to_str().unwrap();
    env.ok(&["backup", "verify", backup]);
    let plan = env.ok(&["restore", backup, "--plan", "--show-values"]);
    assert_eq!(plan["problems"].to_string(), "[]");
    let loss = &plan["loss"]["collections"][0];
    assert_eq!(
        (&loss["changed"]["documents"], &loss["deleted"]["documents"]),
        (&1.into(), &1.into())
    );
    let examples = loss["examples"].to_string();
    assert!(
        examples.contains("id\u{fffd}") && examples.contains("caf\u{fffd}"),
        "{examples}"
    );
}

#[test]
fn indexes_with_the_simple_collation_and_clustered_collections_that_expire_come_back() {
    let env = RestoreEnv::start();
    env.command(doc! { "create": "words", "collation": { "locale": "fr", "strength": 2 } });
    env.command(doc! { "createIndexes": "words", "indexes": [
        { "key": { "a": 1 }, "name": "simple", "collation": { "locale": "simple" } },
        { "key": { "b": 1 }, "name": "inherited" },
    ] });
    env.collection("words")
        .insert_one(doc! { "_id": "é", "a": "x" })
        .run()
        .unwrap();
    env.command(doc! { "create": "visits", "clusteredIndex": { "key": { "_id": 1 }, "unique": true, "name": "by time" },
        "expireAfterSeconds": 2_000_000_000_i64 });
    let at = mongodb::bson::DateTime::from_millis(1_700_000_000_000);
    env.collection("visits")
        .insert_one(doc! { "_id": at })
        .run()
        .unwrap();
    there_and_back(&env, || {
        env.collection("visits")
            .insert_one(doc! { "_id": 5 })
            .run()
            .unwrap();
        env.collection("words")
            .insert_one(doc! { "_id": "è" })
            .run()
            .unwrap();
    });
}

#[test]
fn what_no_restore_can_restore_is_reported_when_the_backup_is_taken() {
    let long = "c".repeat(240);
    for (name, why) in [
        ("/etc/passwd", "looks like a path"),
        ("a\tb", "a control character"),
        ("a\u{7f}b", "a control character"),
        (long.as_str(), "too long to be kept beside"),
    ] {
        let env = RestoreEnv::start();
        env.collection("users")
            .insert_one(doc! { "_id": 1 })
            .run()
            .unwrap();
        env.collection(name).insert_one(doc! { "_id": 1 }).run().unwrap();
        let created: Value = env.ok(&["backup"]);
        let warnings = created["metadata"]["warnings"].to_string();
        assert!(
            warnings.contains("cannot restore this backup") && warnings.contains(why),
            "{warnings}"
        );
        let said = env.fails(3, &["restore", created["path"].as_str().unwrap()]);
        assert!(said.contains("problem"), "{said}");
    }
}
