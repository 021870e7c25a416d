//! What `backup create` accepts, `restore` can restore; where it cannot, the backup reports it at once.

use mongodb::bson::{Bson, Document, doc, serialize_to_vec};
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::{DATABASE, RestoreEnv, seed};
use serde_json::Value;
use xtask::archive::writer::{ArchiveWriter, CollectionShape};
use xtask::domain::manifest::METADATA_FILE;

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
    // It refuses commands of more than 16 MB, as a `mongod` does.
    let env = RestoreEnv::behind_proxy();
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

/// A capped collection is read in the order of its documents, so that another order is another content.
#[test]
fn a_capped_collection_comes_back_in_its_order() {
    let env = RestoreEnv::start();
    env.command(doc! { "create": "log", "capped": true, "size": 10_000_000 });
    // Many batches: several inserting threads would mix them.
    for batch in 0..30 {
        let lines = (0..500).map(|n| doc! { "_id": batch * 500 + n, "line": "x".repeat(100) });
        env.collection("log").insert_many(lines).run().unwrap();
    }
    let order = env.inventory().collections["log"].order.clone();
    assert!(order.is_some());
    there_and_back(&env, || {
        env.collection("log")
            .insert_one(doc! { "_id": -1 })
            .run()
            .unwrap();
    });
    let mut other = env.inventory();
    other.collections.get_mut("log").unwrap().order = order;
    let found: Vec<String> = env
        .inventory()
        .compare(&other)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["`log`: the same documents in another order"]);
}

#[test]
fn what_no_restore_can_restore_is_reported_when_the_backup_is_taken() {
    let long = "c".repeat(240);
    for (name, why) in [
        ("/etc/passwd", "has the form of a path"),
        ("a\tb", "a control character"),
        ("a\u{7f}b", "a control character"),
        ("shop.new\nline", "a control character"),
        ("a\u{1b}[2Jb", "a control character"),
        (long.as_str(), "too long to be kept beside"),
    ] {
        let env = RestoreEnv::start();
        env.collection("users")
            .insert_one(doc! { "_id": 1 })
            .run()
            .unwrap();
        env.collection(name).insert_one(doc! { "_id": 1 }).run().unwrap();
        let created: Value = env.ok(&["backup"]);
        let file = std::path::Path::new(created["path"].as_str().unwrap()).with_file_name(METADATA_FILE);
        let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(created["metadata"], recorded, "the checksum too");
        let warnings = created["metadata"]["warnings"].to_string();
        assert!(
            warnings.contains("cannot restore this backup") && warnings.contains(why),
            "{warnings}"
        );
        let said = env.fails(3, &["restore", created["path"].as_str().unwrap()]);
        assert!(said.contains(why) && !said.contains('\u{1b}'), "{said}");
        let doctor = told(&env.run(&["doctor"]));
        assert!(doctor.contains("restorable") && doctor.contains(why), "{doctor}");
    }
}

/// What servers of before made and servers of today list: the local one makes none of it, so that the dump is edited.
fn indexes_of_before() -> Vec<(Document, Option<Document>)> {
    let by_id = doc! { "v": 1, "key": { "_id": 1 }, "name": "_id_", "ns": "shop.old", "unique": true };
    let never = i32::MAX;
    vec![
        (by_id, None),
        (
            doc! { "v": 1, "key": { "nan": 1 }, "name": "nan", "expireAfterSeconds": f64::NAN },
            Some(doc! { "key": { "nan": 1 }, "name": "nan", "expireAfterSeconds": never }),
        ),
        (
            doc! { "v": 1, "key": { "below": 1 }, "name": "below", "expireAfterSeconds": -1 },
            Some(doc! { "key": { "below": 1 }, "name": "below", "expireAfterSeconds": never }),
        ),
        (
            doc! { "v": 1, "key": { "above": 1 }, "name": "above", "expireAfterSeconds": 3_000_000_000_i64 },
            Some(doc! { "key": { "above": 1 }, "name": "above", "expireAfterSeconds": never }),
        ),
        (
            doc! { "v": 1, "key": { "part": 1 }, "name": "part", "expireAfterSeconds": 2_000_000_000.5 },
            Some(doc! { "key": { "part": 1 }, "name": "part", "expireAfterSeconds": 2_000_000_000 }),
        ),
        (
            doc! { "v": 1, "key": { "a": 1, "b": 1 }, "name": "two", "expireAfterSeconds": 0 },
            Some(doc! { "key": { "a": 1, "b": 1 }, "name": "two" }),
        ),
        (
            doc! { "v": 0, "key": { "w": 1 }, "name": "w", "w": 1, "safe": null, "unique": 1, "background": true },
            Some(doc! { "key": { "w": 1 }, "name": "w", "unique": true }),
        ),
        (
            doc! { "v": 1, "key": { "t": true, "zero": 0, "minus": -0.0, "none": "", "down": -1 }, "name": "k" },
            Some(doc! { "key": { "t": 1, "zero": 1, "minus": 1, "none": 1, "down": -1_i64 }, "name": "k" }),
        ),
        (
            doc! { "v": 1, "key": { "at": "2dsphere" }, "name": "at" },
            Some(doc! { "key": { "at": "2dsphere" }, "name": "at", "2dsphereIndexVersion": 1 }),
        ),
    ]
}

#[test]
fn indexes_of_servers_of_before_are_named_built_as_servers_of_today_take_them_and_proved() {
    let env = RestoreEnv::start();
    env.collection("old").insert_one(doc! { "_id": 0 }).run().unwrap();
    let indexes = indexes_of_before();
    let shape = CollectionShape {
        options: doc! {},
        indexes: indexes.iter().map(|(recorded, _)| recorded.clone()).collect(),
    };
    let mut archive =
        ArchiveWriter::with_shapes(Vec::new(), "8.0.4", DATABASE, &[("old".to_owned(), shape)]).unwrap();
    archive.collection("old").unwrap();
    let long_ago = mongodb::bson::DateTime::from_millis(0);
    let document = doc! { "_id": 1, "nan": long_ago, "below": long_ago, "above": long_ago };
    archive.document(&serialize_to_vec(&document).unwrap()).unwrap();
    let backup = env.store(&archive.finish().unwrap());
    let backup = backup.to_str().unwrap();
    let plan = env.ok(&["restore", backup, "--plan"]);
    assert_eq!(plan["problems"].to_string(), "[]");
    let warnings = plan["warnings"].to_string();
    for named in [
        "`nan` of",
        "`below` of",
        "`above` of",
        "`two` of",
        "option `w`",
        "option `safe`",
        "key `zero`",
    ] {
        assert!(warnings.contains(named), "{named}: {warnings}");
    }
    let restored = env.ok(&["restore", backup]);
    let found = env.live().indexes("old").unwrap();
    for (recorded, expected) in indexes.iter().filter_map(|(r, e)| Some((r, e.as_ref()?))) {
        let name = recorded.get_str("name").unwrap();
        let mut built = found
            .iter()
            .find(|index| index.get_str("name").ok() == Some(name))
            .unwrap()
            .clone();
        built.remove("v");
        built.remove("background");
        assert_eq!(built, *expected);
    }
    env.ok(&["restore", "--undo", restored["operation"].as_str().unwrap()]);
    assert_eq!(env.live().indexes("old").unwrap().len(), 1);
}

/// A temporary collection of an aggregation with `$out` that ran during the dump, and options of servers before 4.0: no server
/// lets anybody else set them.
#[test]
fn options_that_only_a_server_sets_stop_no_restore_and_all_others_come_back() {
    let env = RestoreEnv::start();
    seed(&env);
    let options = [
        ("tmp.agg_out.0b5a", doc! { "temp": true }),
        ("before 4.0", doc! { "autoIndexId": false, "flags": 1 }),
        (
            "images",
            doc! { "changeStreamPreAndPostImages": { "enabled": true } },
        ),
        (
            "engine",
            doc! { "storageEngine": { "wiredTiger": { "configString": "block_compressor=zlib" } },
            "indexOptionDefaults": { "storageEngine": { "wiredTiger": { "configString": "" } } } },
        ),
        (
            "checked",
            doc! { "validator": { "a": 1 }, "validationLevel": "moderate", "validationAction": "errorAndLog" },
        ),
    ];
    let shapes = options.clone().map(|(name, options)| {
        let indexes = vec![doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" }];
        (name.to_owned(), CollectionShape { options, indexes })
    });
    let mut archive = ArchiveWriter::with_shapes(Vec::new(), "8.0.4", DATABASE, &shapes).unwrap();
    for (name, _) in &options {
        archive.collection(name).unwrap();
        archive
            .document(&serialize_to_vec(&doc! { "_id": *name }).unwrap())
            .unwrap();
    }
    let before = env.inventory();
    let backup = env.store(&archive.finish().unwrap());
    let restored = env.ok(&["restore", backup.to_str().unwrap()]);
    let live = env.live().listed().unwrap();
    for (name, options) in options {
        let kept = live[name].options.keys().cloned().collect::<Vec<_>>();
        let of_server = ["temp", "autoIndexId", "flags"];
        let expected = options
            .keys()
            .filter(|option| !of_server.contains(&option.as_str()));
        assert_eq!(kept, expected.cloned().collect::<Vec<_>>(), "{name}");
        assert_eq!(env.collection(name).count_documents(doc! {}).run().unwrap(), 1);
    }
    env.ok(&["restore", "--undo", restored["operation"].as_str().unwrap()]);
    assert_eq!(before.compare(&env.inventory()), []);
}

/// A dump by the real mongodump, with an expiry that servers before 5.0 accepted.
#[test]
fn an_expiry_of_nan_is_reported_when_the_backup_is_taken_and_deletes_nothing() {
    use std::os::unix::fs::PermissionsExt as _;

    let env = RestoreEnv::start();
    let index = doc! { "key": { "at": 1 }, "name": "at_ttl", "expireAfterSeconds": 3_600_000 };
    env.command(doc! { "createIndexes": "seen", "indexes": [index] });
    let long_ago = mongodb::bson::DateTime::from_millis(0);
    env.collection("seen")
        .insert_one(doc! { "_id": 1, "at": long_ago })
        .run()
        .unwrap();
    let wrapper = env.dir.path().join("mongodump");
    let real = rehearsal::test_env::process::program(&["mongodump"]);
    let script = format!(
        "#!/usr/bin/env bash\nset -o pipefail\n'{}' \"$@\" | LC_ALL=C sed 's/{{\"$numberInt\":\"3600000\"}}/{{\"$numberDouble\":\"NaN\"}} /'\n",
        real.display()
    );
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", env.dir.path().display(), std::env::var("PATH").unwrap());
    let created = env.finished(&["backup"], &[("PATH", path)]);
    assert_eq!(created.code, Some(0), "{:?}", created.stderr_tail);
    let created: Value = serde_json::from_str(&created.stdout).unwrap();
    let warnings = created["metadata"]["warnings"].to_string();
    assert!(
        warnings.contains("index `at_ttl` of `seen`") && warnings.contains("means never"),
        "{warnings}"
    );
    env.ok(&["restore", created["path"].as_str().unwrap()]);
    let indexes = env.live().indexes("seen").unwrap();
    let ttl = indexes
        .iter()
        .find(|index| index.get_str("name").ok() == Some("at_ttl"))
        .unwrap();
    assert_eq!(ttl.get_i32("expireAfterSeconds").ok(), Some(i32::MAX));
}

/// Atlas's small tiers refuse a cursor without a timeout, `dbStats`, and the version and unknown options of an index.
#[test]
fn a_small_tier_that_refuses_options_is_backed_up_restored_and_undone() {
    let env = RestoreEnv::behind_proxy();
    env.collection("users")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    let indexes = [
        doc! { "key": { "a": 1 }, "name": "a", "v": 1 },
        doc! { "key": { "b": 1 }, "name": "b", "dropDups": true },
    ];
    env.command(doc! { "createIndexes": "users", "indexes": indexes.to_vec() });
    env.proxy.as_ref().unwrap().become_small_tier();
    let backup = env.backup();
    let backup = backup.to_str().unwrap();
    env.ok(&["backup", "verify", backup]);
    let plan = env.ok(&["restore", backup, "--plan", "--method", "swap"]);
    assert_eq!(plan["problems"], serde_json::json!([]), "{plan}");
    let unknown = plan["warnings"].to_string();
    assert!(
        unknown.contains("free space") && unknown.contains("index is being built"),
        "{unknown}"
    );
    there_and_back(&env, || {
        env.collection("users")
            .insert_one(doc! { "_id": 2 })
            .run()
            .unwrap();
    });
}

/// A local server has no search.
#[test]
fn search_indexes_are_recorded_and_made_on_the_restored_collection_before_it_is_live() {
    let env = RestoreEnv::behind_proxy();
    let insert = |id: i32| {
        env.collection("users")
            .insert_one(doc! { "_id": id })
            .run()
            .unwrap()
    };
    insert(1);
    let proxy = env.proxy.as_ref().unwrap();
    let definition = doc! { "mappings": { "dynamic": true } };
    proxy.become_searchable(
        "users",
        doc! { "name": "by text", "type": "search", "definition": definition },
    );
    let created = env.ok(&["backup"]);
    let recorded = &created["metadata"]["search_indexes"]["users"][0];
    assert_eq!(recorded["definition"]["mappings"]["dynamic"], true, "{created}");
    let backup = created["metadata"]["id"].as_str().unwrap();
    insert(2);
    let plan = env.ok(&["restore", backup, "--plan"]);
    assert!(
        plan["warnings"]
            .to_string()
            .contains("search indexes of `users` (by text)"),
        "{plan}"
    );
    assert!(
        plan["change_streams"].as_str().unwrap().starts_with("end where"),
        "{plan}"
    );

    let restored = env.ok(&["restore", backup]);
    let operation = restored["operation"].as_str().unwrap();
    let kept = format!("__old_{operation}_users");
    let both = std::collections::BTreeMap::from(
        ["users".to_owned(), kept].map(|name| (name, vec!["by text".to_owned()])),
    );
    assert_eq!(proxy.searchable(), both);
    env.ok(&["restore", "--undo", operation]);
    assert_eq!(proxy.searchable()["users"], ["by text"]);
}
