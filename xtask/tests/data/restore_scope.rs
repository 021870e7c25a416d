//! Which documents are read for a comparison of a backup with the live database: those that were written since, where a change
//! stream is proved to have all of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{Binary, Document, doc, spec::BinarySubtype};
use rehearsal::data::random::Random;
use rehearsal::test_env::restore::RestoreEnv;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use xtask::domain::manifest::{BackupMetadata, METADATA_FILE};

/// More entries than the local server keeps of its past.
const KEPT_ENTRIES: i32 = 100_000;
const BATCH: usize = 10_000;

/// The same backup without a mark in the server's change stream: every document is compared.
pub fn without_mark(env: &RestoreEnv, backup: &Path) -> PathBuf {
    with_metadata(env, backup, |metadata| metadata.change_start = None)
}

/// A copy of the backup that states something else of itself.
fn with_metadata(env: &RestoreEnv, backup: &Path, change: impl FnOnce(&mut BackupMetadata)) -> PathBuf {
    let folder = if backup.is_dir() {
        backup
    } else {
        backup.parent().unwrap()
    };
    let other = env.dir.path().join("without mark");
    std::fs::remove_dir_all(&other).ok();
    std::fs::create_dir(&other).unwrap();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, other.join(path.file_name().unwrap())).unwrap();
    }
    rewrite(&other, change);
    other
}

fn metadata_of(backup: &Path) -> BackupMetadata {
    BackupMetadata::from_text(&std::fs::read_to_string(backup.join(METADATA_FILE)).unwrap()).unwrap()
}

fn rewrite(backup: &Path, change: impl FnOnce(&mut BackupMetadata)) {
    let mut metadata = metadata_of(backup);
    change(&mut metadata);
    std::fs::write(backup.join(METADATA_FILE), metadata.to_text().unwrap()).unwrap();
}

fn plan(env: &RestoreEnv, backup: &Path) -> Value {
    env.ok(&["restore", backup.to_str().unwrap(), "--plan"])
}

/// How a collection is compared, how many documents of it, and the reason.
fn scope<'a>(plan: &'a Value, collection: &str) -> (&'a str, u64, &'a str) {
    let all = plan["loss"]["scope"].as_array().unwrap();
    let own = all.iter().find(|own| own["collection"] == collection);
    let own = own.unwrap_or_else(|| panic!("{collection}: {plan}"));
    (
        own["compared"].as_str().unwrap(),
        own["documents"].as_u64().unwrap(),
        own["reason"].as_str().unwrap_or_default(),
    )
}

fn insert(env: &RestoreEnv, collection: &str, numbers: std::ops::Range<i32>) {
    let documents: Vec<Document> = numbers.map(|n| doc! { "_id": n, "n": n }).collect();
    for batch in documents.chunks(BATCH) {
        env.collection(collection).insert_many(batch).run().unwrap();
    }
}

fn update(env: &RestoreEnv, collection: &str, id: i32) {
    let changed = doc! { "$set": { "n": "changed" } };
    let users = env.collection(collection);
    let done = users.update_one(doc! { "_id": id }, changed).run().unwrap();
    assert_eq!(done.modified_count, 1);
}

#[test]
fn only_what_was_written_since_the_backup_is_compared_and_the_plan_has_the_reason_otherwise() {
    let env = RestoreEnv::start();
    env.command(doc! { "create": "capped", "capped": true, "size": 100_000 });
    for name in ["capped", "changed", "dropped", "indexed", "quiet", "renamed"] {
        insert(&env, name, 0..9);
    }
    let backup = env.backup();
    update(&env, "changed", 1);
    env.collection("changed")
        .delete_one(doc! { "_id": 2 })
        .run()
        .unwrap();
    // Written and removed again; written as it was, which makes no event.
    insert(&env, "changed", 10..13);
    env.collection("changed")
        .delete_one(doc! { "_id": 12 })
        .run()
        .unwrap();
    let same = doc! { "_id": 3, "n": 3 };
    env.collection("changed")
        .replace_one(doc! { "_id": 3 }, same)
        .run()
        .unwrap();
    env.command(doc! { "drop": "dropped" });
    insert(&env, "dropped", 1..9);
    let index = doc! { "key": { "n": 1 }, "name": "n" };
    env.command(doc! { "createIndexes": "indexed", "indexes": [index] });
    let rename = doc! { "renameCollection": "shop.renamed", "to": "shop.other" };
    let admin = env.server.client().database("admin");
    admin.run_command(rename).run().unwrap();
    insert(&env, "new", 0..2);

    let planned = plan(&env, &backup);
    assert_eq!(scope(&planned, "changed"), ("changed", 5, ""));
    assert_eq!(scope(&planned, "quiet"), ("counted", 0, ""));
    for (name, reason) in [
        ("capped", "capped"),
        ("dropped", "`drop`"),
        ("indexed", "`createIndexes`"),
        ("renamed", "`rename`"),
        ("other", "`rename`"),
        ("new", "`create`"),
    ] {
        let (compared, _, found) = scope(&planned, name);
        assert!(compared == "all" && found.contains(reason), "{name}: {found}");
    }
    let naive = plan(&env, &without_mark(&env, &backup));
    assert!(scope(&naive, "quiet").2.contains("no mark"), "{naive}");
    for part in ["collections", "structure"] {
        assert_eq!(planned["loss"][part], naive["loss"][part], "{part}");
    }
    // A document is missing, and no event shows it.
    let more = with_metadata(&env, &backup, |metadata| {
        let mut records = metadata.namespaces.iter_mut();
        records
            .find(|record| record.collection == "quiet")
            .unwrap()
            .documents += 1;
    });
    let planned_of_more = plan(&env, &more);
    let (compared, _, reason) = scope(&planned_of_more, "quiet");
    assert!(
        compared == "all" && reason.contains("9 documents instead of 10"),
        "{reason}"
    );
    let changed = &planned["loss"]["collections"][0];
    assert_eq!(changed["collection"], "changed");
    for (kind, count) in [("created", 2), ("changed", 1), ("deleted", 1)] {
        assert_eq!(changed[kind]["documents"], count, "{kind}: {planned}");
    }
    let shown = env
        .xtask(&["restore", backup.to_str().unwrap(), "--plan"])
        .output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    assert!(
        shown.contains("compared: 5 documents of 2 collections that were written since"),
        "{shown}"
    );
    assert!(
        shown.contains("compared whole: `dropped`: `drop` came since"),
        "{shown}"
    );
}

/// The local server answers with its oldest entry and no error.
#[test]
fn a_change_stream_that_begins_too_late_is_not_believed() {
    let env = RestoreEnv::start();
    insert(&env, "users", 0..9);
    let backup = env.backup();
    update(&env, "users", 1);
    insert(&env, "noise", 0..KEPT_ENTRIES + 1);
    let planned = plan(&env, &backup);
    let (compared, _, reason) = scope(&planned, "users");
    assert!(compared == "all" && reason.contains("history"), "{reason}");
    let losses = planned["loss"]["collections"].as_array().unwrap();
    let users = losses.iter().find(|loss| loss["collection"] == "users").unwrap();
    assert_eq!(users["changed"]["documents"], 1);
}

#[test]
fn what_is_put_back_in_place_is_what_was_written_since_and_the_rest_is_left_alone() {
    let env = RestoreEnv::start();
    for name in ["orders", "quiet", "users"] {
        insert(&env, name, 0..9);
    }
    let backed_up = env.inventory();
    let backup = env.backup();
    update(&env, "users", 1);
    insert(&env, "orders", 20..22);
    let changed = env.inventory();
    let path = backup.to_str().unwrap();
    let done = env.ok(&["restore", path, "--method", "delta"]);
    assert_eq!(backed_up.compare(&env.inventory()), []);
    assert_eq!(done["written_since"], serde_json::json!([]));
    assert_eq!(done["in_place"]["users"]["changed"], 1, "{done}");
    assert_eq!(done["in_place"]["orders"]["created"], 2, "{done}");
    // A restore is written too: the next plan reads these documents again, and finds the backup.
    let again = plan(&env, &backup);
    assert_eq!(scope(&again, "orders"), ("changed", 2, ""));
    assert_eq!(again["loss"]["collections"], serde_json::json!([]));
    env.ok(&["restore", "--undo", done["operation"].as_str().unwrap()]);
    assert_eq!(changed.compare(&env.inventory()), []);
    let undone = plan(&env, &backup);
    assert_eq!(
        undone["loss"]["collections"],
        plan(&env, &without_mark(&env, &backup))["loss"]["collections"]
    );
}

/// A collection of which the server keeps what each document was before a write.
fn with_images(env: &RestoreEnv, collection: &str) {
    let options = doc! { "enabled": true };
    env.command(doc! { "create": collection, "changeStreamPreAndPostImages": options });
    let mut random = Random::new(7);
    let documents = (0..900).map(|n| {
        // No compression makes little of it.
        let text = Binary {
            subtype: BinarySubtype::Generic,
            bytes: random.bytes(2_000),
        };
        doc! { "_id": n, "n": n, "text": text }
    });
    env.collection(collection).insert_many(documents).run().unwrap();
}

/// The same backup with another file: it can be opened, not unpacked.
fn not_unpackable(env: &RestoreEnv, backup: &Path, change: impl FnOnce(&mut BackupMetadata)) -> PathBuf {
    let other = with_metadata(env, backup, |_| ());
    let mut files = other.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| !path.ends_with(METADATA_FILE)).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle..middle + 64].fill(0);
    std::fs::write(file, &bytes).unwrap();
    rewrite(&other, |metadata| {
        metadata.hash = hex::encode(Sha256::digest(&bytes));
        change(metadata);
    });
    other
}

#[test]
fn what_the_server_keeps_of_before_a_write_is_put_back_and_the_file_is_not_read() {
    let env = RestoreEnv::start();
    with_images(&env, "users");
    let backed_up = env.inventory();
    let backup = env.backup();
    update(&env, "users", 1);
    env.collection("users")
        .update_one(doc! { "_id": 1 }, doc! { "$set": { "n": "again" } })
        .run()
        .unwrap();
    env.collection("users")
        .delete_one(doc! { "_id": 2 })
        .run()
        .unwrap();
    insert(&env, "users", 1000..1002);
    let changed = env.inventory();

    let naive = plan(&env, &without_mark(&env, &backup));
    let unreadable = not_unpackable(&env, &backup, |metadata| {
        metadata
            .change_start
            .as_mut()
            .unwrap()
            .as_of
            .take()
            .expect("a moment");
    });
    let path = unreadable.to_str().unwrap().to_owned();
    let refused = env.fails(1, &["restore", &path, "--method", "delta"]);
    assert!(refused.contains("damaged"), "{refused}");
    assert_eq!(changed.compare(&env.inventory()), []);

    not_unpackable(&env, &backup, |_| ());
    assert_eq!(
        plan(&env, &unreadable)["loss"]["collections"],
        naive["loss"]["collections"]
    );
    let done = env.ok(&["restore", &path, "--method", "delta"]);
    let counts = serde_json::json!({ "created": 2, "changed": 1, "deleted": 1 });
    assert_eq!(done["in_place"]["users"], counts, "{done}");
    assert_eq!(backed_up.compare(&env.inventory()), []);
    env.ok(&["restore", "--undo", done["operation"].as_str().unwrap()]);
    assert_eq!(changed.compare(&env.inventory()), []);
}

/// The pass that finds the documents compares everything that is recorded, of every collection.
#[test]
fn what_the_metadata_have_otherwise_than_the_file_is_found_before_a_document_is_put_back() {
    let env = RestoreEnv::start();
    insert(&env, "users", 0..20);
    insert(&env, "orders", 0..20);
    let backup = env.backup();
    update(&env, "users", 1);
    let changed = env.inventory();
    let other = with_metadata(&env, &backup, |metadata| {
        let mut records = metadata.namespaces.iter_mut();
        let orders = records.find(|record| record.collection == "orders");
        orders.unwrap().crc = "0".repeat(16);
    });
    let other = other.to_str().unwrap();
    let refused = env.fails(1, &["restore", other, "--method", "delta"]);
    assert!(
        refused.contains("damaged") && refused.contains("orders"),
        "{refused}"
    );
    assert_eq!(changed.compare(&env.inventory()), []);
    env.ok(&["restore", backup.to_str().unwrap(), "--method", "delta"]);
}

#[test]
fn what_was_written_during_the_dump_is_as_of_the_moment_of_the_backup() {
    let env = RestoreEnv::start();
    with_images(&env, "users");
    let users = env.collection("users");
    let stop = AtomicBool::new(false);
    let backup = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut random = Random::new(3);
            let mut written = 0;
            while !stop.load(Ordering::SeqCst) {
                let id = i32::try_from(random.range(0, 899)).unwrap();
                users
                    .update_one(doc! { "_id": id }, doc! { "$inc": { "n": 1 } })
                    .run()
                    .unwrap();
                written += 1;
            }
            written
        });
        let backup = env.backup();
        stop.store(true, Ordering::SeqCst);
        assert!(writer.join().unwrap() > 0);
        backup
    });
    let consistency = metadata_of(&backup).consistency.reason;
    assert!(
        consistency.contains("that changed during the dump are as of then"),
        "{consistency}"
    );
    let path = match metadata_of(&backup).change_start.unwrap().as_of {
        Some(_) => not_unpackable(&env, &backup, |_| ()),
        // The snapshot of the local server is some writes later than it states.
        None => backup.clone(),
    };
    env.ok(&["restore", path.to_str().unwrap(), "--method", "delta"]);
    let naive = plan(&env, &without_mark(&env, &backup));
    assert_eq!(naive["loss"]["collections"], serde_json::json!([]));
}
