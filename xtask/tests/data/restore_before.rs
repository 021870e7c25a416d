//! A server that has what drivers and servers of before stored, and what the local one does not take, read by the real mongodump and
//! written by the real mongorestore.

use mongodb::bson::{Document, doc};
use rehearsal::test_env::process::told;
use rehearsal::test_env::proxy::before::{IN_PLACE_OF_NOT_UTF8, index_that_is_not_dumped, indexes_of_before};
use rehearsal::test_env::restore::RestoreEnv;
use xtask::database::Digests;
use xtask::domain::inventory::Inventory;

const NAMED: [&str; 6] = [
    "option `w`",
    "option `safe`",
    "key `words` is 1 instead of true",
    "key `value` is 1 instead of",
    "its expiry of NaN means never",
    "its expiry of -1 means never",
];

/// With the texts in values, in names of fields and in ids.
fn documents() -> Vec<Document> {
    let text = |n: i32| format!("caf{IN_PLACE_OF_NOT_UTF8}{n}");
    let long_ago = mongodb::bson::DateTime::from_millis(0);
    let with_id = |n: i32| doc! { "_id": text(n), "text": text(n), "deep": [{ text(n): 1 }], "at": long_ago };
    let mut documents: Vec<Document> = (0..6).map(with_id).collect();
    documents.push(doc! { "_id": 1, "n": 1, "words": "x", "value": text(1) });
    documents
}

fn seen(env: &RestoreEnv) -> Inventory {
    env.seen().inventory(Digests::Full).unwrap()
}

#[test]
fn what_was_stored_before_is_dumped_named_previewed_restored_put_back_in_place_reinserted_and_undone() {
    let env = RestoreEnv::behind_proxy();
    let texts = env.collection("texts");
    texts.insert_many(documents()).run().unwrap();
    let (built, listed): (Vec<Document>, Vec<Document>) = indexes_of_before().into_iter().unzip();
    env.command(doc! { "createIndexes": "texts", "indexes": built });
    env.proxy.as_ref().unwrap().become_old();
    let found = env.seen().indexes("texts").unwrap();
    for expected in &listed {
        let found = found
            .iter()
            .find(|found| found.get("name") == expected.get("name"))
            .unwrap();
        // As text: no NaN equals another.
        for (option, value) in expected {
            let found = found.get(option).map(ToString::to_string);
            assert_eq!(found, Some(value.to_string()), "{expected}");
        }
    }

    let before = seen(&env);
    let created = env.ok(&["backup"]);
    let warnings = created["metadata"]["warnings"].to_string();
    let doctor = told(&env.run(&["doctor"]));
    for named in NAMED {
        assert!(warnings.contains(named), "{named}: {warnings}");
        assert!(doctor.contains(named), "{named}: {doctor}");
    }
    let backup = created["metadata"]["id"].as_str().unwrap();
    env.ok(&["backup", "verify", backup]);
    for method in ["swap", "delta"] {
        let first = doc! { "_id": documents()[0].get("_id") };
        texts.delete_one(first).run().unwrap();
        let second = doc! { "_id": documents()[1].get("_id") };
        let changed = doc! { "$set": { "text": format!("{IN_PLACE_OF_NOT_UTF8} since") } };
        texts.update_one(second, changed).run().unwrap();
        let new = doc! { "_id": format!("new {IN_PLACE_OF_NOT_UTF8}") };
        texts.insert_one(&new).run().unwrap();
        let changed = seen(&env);

        let plan = env.ok(&["restore", backup, "--plan", "--show-values"]);
        assert_eq!(plan["problems"].to_string(), "[]");
        let examples = plan["loss"]["collections"][0]["examples"].to_string();
        assert!(
            examples.contains("new \u{fffd}") && examples.contains("caf\u{fffd}"),
            "{examples}"
        );
        let restored = env.ok(&["restore", backup, "--method", method]);
        assert_eq!(before.compare(&seen(&env)), [], "{method}");
        let reinserted = env.ok(&[
            "restore",
            "--reinsert",
            restored["rescue"]["id"].as_str().unwrap(),
        ]);
        assert_eq!(reinserted["inserted"]["texts"], 1, "{reinserted}");
        assert_eq!(texts.count_documents(new.clone()).run().unwrap(), 1);
        // What is there is not inserted again.
        let again = env.ok(&[
            "restore",
            "--reinsert",
            restored["rescue"]["id"].as_str().unwrap(),
        ]);
        assert_eq!(
            (&again["inserted"]["texts"], &again["conflicts"]),
            (&0.into(), &2.into()),
            "{again}"
        );
        texts.delete_one(new.clone()).run().unwrap();
        let operation = restored["operation"].as_str().unwrap();
        env.ok(&["restore", "--undo", operation]);
        assert_eq!(changed.compare(&seen(&env)), [], "{method}");
        env.ok(&["restore", "--forget", operation]);
        texts.delete_one(new).run().unwrap();
    }
}

#[test]
fn an_expiry_that_mongodump_does_not_write_is_named_with_what_corrects_it() {
    let env = RestoreEnv::behind_proxy();
    env.collection("texts")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    env.command(doc! { "createIndexes": "texts", "indexes": [index_that_is_not_dumped().0] });
    env.proxy.as_ref().unwrap().become_old();
    let refused = env.fails(1, &["backup"]);
    for part in [
        "`shop.texts`",
        "an expiry of NaN",
        "collMod",
        "cargo xtask doctor",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let doctor = told(&env.run(&["doctor"]));
    assert!(
        doctor.contains("index `of before: not dumped` of `texts`"),
        "{doctor}"
    );
}

/// A `mongod` sets the expiry of a clustered collection, and the local server only says so.
#[test]
fn a_clustered_collection_expires_neither_before_it_is_compared_nor_never() {
    let env = RestoreEnv::behind_proxy();
    env.proxy.as_ref().unwrap().become_clustering();
    env.command(doc! { "create": "visits", "clusteredIndex": { "key": { "_id": 1 }, "unique": true, "name": "by time" },
        "expireAfterSeconds": 2_000_000_000_i64 });
    let visits = env.collection("visits");
    let at = mongodb::bson::DateTime::from_millis(1_700_000_000_000);
    visits.insert_one(doc! { "_id": at }).run().unwrap();
    let before = seen(&env);
    let backup = env.backup();
    visits.insert_one(doc! { "_id": 5 }).run().unwrap();
    let changed = seen(&env);
    let prepared = env.ok(&["restore", backup.to_str().unwrap(), "--prepare"]);
    let operation = prepared["operation"].as_str().unwrap();
    let expiry = |name: &str| {
        let listed = env.seen().listed().unwrap();
        let expiry = listed[name].options.get("expireAfterSeconds").cloned();
        expiry.map(|expiry| expiry.to_string())
    };
    assert_eq!(expiry(&format!("__new_{operation}_visits")), None);
    env.ok(&["restore", "--resume", operation]);
    assert_eq!(before.compare(&seen(&env)), []);
    assert_eq!(expiry("visits").as_deref(), Some("2000000000"));
    env.ok(&["restore", "--undo", operation]);
    assert_eq!(changed.compare(&seen(&env)), []);
    env.ok(&["restore", "--forget", operation]);
}
