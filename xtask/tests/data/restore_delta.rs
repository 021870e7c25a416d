//! Documents that are put back in place: what is live in the end, conflicts, kills and other machines.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mongodb::bson::{
    Binary, Bson, Document, deserialize_from_slice, doc, oid::ObjectId, spec::BinarySubtype,
};
use rehearsal::data::random::Random;
use rehearsal::test_env::process::{told, wait_until};
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::crash::CrashCase;
use rehearsal::test_env::restore::shapes;
use serde_json::Value;
use xtask::archive::{ArchiveReader, ContainerReader, Event, split_documents};

/// So many documents make a collection large enough for `auto`.
const MANY: i32 = 3_000;

fn restored(env: &RestoreEnv, backup: &Path, args: &[&str]) -> Value {
    env.ok(&[&["restore", backup.to_str().unwrap()], args].concat())
}

fn large(env: &RestoreEnv) {
    let text = "x".repeat(500);
    let users = (0..MANY).map(|n| doc! { "_id": n, "email": format!("{n}@x"), "text": &text });
    env.collection("users").insert_many(users).run().unwrap();
    let unique = doc! { "key": { "email": 1 }, "name": "email", "unique": true };
    env.command(doc! { "createIndexes": "users", "indexes": [unique] });
}

fn set(env: &RestoreEnv, id: impl Into<Bson>, field: &str, value: impl Into<Bson>) {
    let set = doc! { "$set": { field: value.into() } };
    let filter = doc! { "_id": { "$eq": id.into() } };
    assert_eq!(
        env.collection("users")
            .update_one(filter, set)
            .run()
            .unwrap()
            .matched_count,
        1
    );
}

fn beside(env: &RestoreEnv) -> Vec<String> {
    let mut names = env.database().list_collection_names().run().unwrap();
    names.retain(|name| name.starts_with("__"));
    names
}

#[test]
fn little_of_a_large_collection_is_put_back_in_place_and_taken_out_again() {
    let env = RestoreEnv::start();
    large(&env);
    let backed_up = env.inventory();
    let backup = env.backup();
    // Two exchange a unique key, one is changed, one deleted, one new.
    let users = env.collection("users");
    set(&env, 1, "email", "aside");
    set(&env, 2, "email", "1@x");
    set(&env, 1, "email", "2@x");
    set(&env, 7, "text", 7);
    users.delete_one(doc! { "_id": 8 }).run().unwrap();
    users
        .insert_one(doc! { "_id": "new", "email": "8@x" })
        .run()
        .unwrap();
    let changed = env.inventory();

    let plan = restored(&env, &backup, &["--plan"]);
    let method = &plan["methods"][0];
    assert_eq!(method["method"], "delta", "{plan}");
    assert_eq!(method["reason"], "5 of 3000 documents differ");
    let done = restored(&env, &backup, &[]);
    assert_eq!(backed_up.compare(&env.inventory()), []);
    assert_eq!(
        done["in_place"]["users"],
        serde_json::json!({ "created": 1, "changed": 3, "deleted": 1 })
    );
    assert_eq!(done["collections"], serde_json::json!([]));
    assert_eq!(done["written_since"], serde_json::json!([]));
    assert_eq!(done["rescue"]["documents"], 4);
    let operation = done["operation"].as_str().unwrap();
    assert_eq!(beside(&env), [format!("__plan_{operation}")]);

    let refused = env.fails(3, &["restore", "--resume", operation]);
    assert!(refused.contains("ended"), "{refused}");
    let undone = env.ok(&["restore", "--undo", operation]);
    assert_eq!(undone["written_since"], serde_json::json!([]));
    assert_eq!(changed.compare(&env.inventory()), []);
    env.ok(&["restore", "--forget", operation]);
    assert_eq!(beside(&env), [""; 0]);
}

#[test]
fn documents_of_10_mb_ids_of_every_type_and_an_equal_collection() {
    let env = RestoreEnv::start();
    let megabytes = |byte: u8| Binary {
        subtype: BinarySubtype::Generic,
        bytes: vec![byte; 10 << 20],
    };
    let ids = [
        Bson::Null,
        Bson::Int32(1),
        Bson::String("ü".into()),
        Bson::ObjectId(ObjectId::from_bytes([7; 12])),
        Bson::Document(doc! { "a": { "b": 1 }, "c": [1] }),
        Bson::Boolean(true),
        Bson::MinKey,
        Bson::Double(2.5),
    ];
    let users = env.collection("users");
    for id in &ids {
        users
            .insert_one(doc! { "_id": id.clone(), "z": 1, "a": 1_i64 })
            .run()
            .unwrap();
    }
    users
        .insert_one(doc! { "_id": "large", "b": megabytes(1) })
        .run()
        .unwrap();
    env.collection("same")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    let backed_up = env.inventory();
    let backup = env.backup();
    for id in &ids {
        set(&env, id.clone(), "a", 1_i32);
    }
    set(&env, "large", "b", megabytes(2));
    users
        .insert_one(doc! { "_id": "second", "b": megabytes(3) })
        .run()
        .unwrap();
    // The same number of another type is another document, and the same key for the server.
    users.delete_one(doc! { "_id": 1 }).run().unwrap();
    users.insert_one(doc! { "_id": 1_i64 }).run().unwrap();
    let changed = env.inventory();
    let done = restored(&env, &backup, &["--method", "delta"]);
    assert_eq!(backed_up.compare(&env.inventory()), []);
    assert_eq!(done["in_place"]["same"]["changed"], 0, "{done}");
    assert_eq!(done["in_place"]["users"]["changed"], 8, "{done}");
    env.ok(&["restore", "--undo", done["operation"].as_str().unwrap()]);
    assert_eq!(changed.compare(&env.inventory()), []);
}

#[test]
fn what_cannot_be_put_back_in_place_is_swapped_in_the_same_operation() {
    let env = RestoreEnv::start();
    let made = shapes::generate(&env, &mut Random::new(5));
    let backed_up = env.inventory();
    let backup = env.backup();
    for name in backed_up.collections.keys() {
        let document = doc! { "_id": "since", "email": "since", "a": 1 };
        env.collection(name).insert_one(document).run().ok();
    }
    let changed = env.inventory();
    let done = restored(&env, &backup, &["--method", "delta"]);
    let metered = |found: &xtask::domain::inventory::Inventory,
                   expected: &xtask::domain::inventory::Inventory| {
        let mut differences = expected.compare(found);
        differences.retain(|difference| difference.collection != shapes::METERED);
        differences
    };
    assert_eq!(metered(&env.inventory(), &backed_up), [], "{made:?}");
    assert!(!done["in_place"].as_object().unwrap().is_empty(), "{done}");
    assert!(!done["collections"].as_array().unwrap().is_empty(), "{done}");
    env.ok(&["restore", "--undo", done["operation"].as_str().unwrap()]);
    assert_eq!(metered(&env.inventory(), &changed), [], "{made:?}");
}

#[test]
fn killed_at_every_line_of_the_journal_it_is_resumed_and_undone() {
    let mut case = CrashCase::in_place(RestoreEnv::start());
    assert!(case.restore_lines.iter().any(|line| line.contains("put-back")));
    case.stopped_at(0..case.restore_lines.len(), |case, operation, number| {
        case.killed_within(operation, number);
    });
    case.forget_all();
}

#[test]
fn an_undo_that_is_killed_at_every_line_goes_on() {
    let mut case = CrashCase::in_place(RestoreEnv::start());
    case.undo_stopped_at(0..case.undo_lines.len(), |case, operation, number| {
        case.undo_killed_within(operation, number);
    });
    case.forget_all();
}

#[test]
fn the_journal_is_lost_with_its_machine_and_another_one_undoes() {
    let mut case = CrashCase::in_place(RestoreEnv::start());
    let operation = case.begin();
    case.env.ok(&["restore", "--resume", &operation]);
    std::fs::remove_dir_all(case.env.root().join(".xtask")).unwrap();
    case.undo(&operation, "the journal was lost");
}

/// The hook before the swap waits until the other end of a pipe is closed: what `write` does comes after the changes were planned,
/// and before the first of them is made.
fn while_planned(env: &RestoreEnv, args: &[&str], write: impl FnOnce()) -> Output {
    let (pipe, begun) = (env.root().join("pipe"), env.root().join("begun"));
    let hook = "before = [\"sh\", \"-c\", \"touch begun writers-stopped; cat pipe\"]\ndeadline_s = 120\n#";
    env.configure(|pipeline| {
        pipeline
            .replacen("before = [", &format!("{hook} ["), 1)
            .replacen("deadline_s = 20\n", "", 1)
    });
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let args = [args, &["--quiesce", "--yes", "--format", "json"]].concat();
    let mut command = env.xtask(&args);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // For reading too: or it would wait for the hook.
    let pipe = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    wait_until("the hook", || {
        begun.exists() || child.try_wait().unwrap().is_some()
    });
    write();
    drop(pipe);
    child.wait_with_output().unwrap()
}

/// A backup, after which three users were changed.
fn three_changed(env: &RestoreEnv) -> PathBuf {
    let users = (0..9).map(|n| doc! { "_id": n, "n": n });
    env.collection("users").insert_many(users).run().unwrap();
    let backup = env.backup();
    for id in [1, 2, 3] {
        set(env, id, "n", "changed");
    }
    backup
}

fn user(env: &RestoreEnv, id: impl Into<Bson>) -> Bson {
    let found = env
        .collection("users")
        .find_one(doc! { "_id": id.into() })
        .run()
        .unwrap();
    found.unwrap().get("n").cloned().unwrap()
}

/// The field `n` of the documents in a rescue file.
fn in_rescue(rescue: &Value) -> Vec<Bson> {
    let path = Path::new(rescue["path"].as_str().unwrap());
    let container = ContainerReader::open(path, None, 1).unwrap();
    let mut archive = ArchiveReader::new(container).unwrap();
    let mut found = Vec::new();
    while let Some(event) = archive.next_event().unwrap() {
        if let Event::Documents { documents, .. } = event {
            for raw in split_documents(documents) {
                let document: Document = deserialize_from_slice(raw.unwrap()).unwrap();
                found.push(document.get("n").cloned().unwrap());
            }
        }
    }
    assert_eq!(found.len() as u64, rescue["documents"].as_u64().unwrap());
    found
}

#[test]
fn a_document_that_is_changed_after_the_plan_stops_the_restore_before_anything_is_changed() {
    let env = RestoreEnv::start();
    let backup = three_changed(&env);
    let args = ["restore", backup.to_str().unwrap(), "--method", "delta"];
    let output = while_planned(&env, &args, || set(&env, 2, "n", "newest"));
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    let text = told(&output);
    assert!(
        text.contains("error[changed-since-planned]") && text.contains("_id 2"),
        "{text}"
    );
    assert!(!text.contains("_id 1\n"), "{text}");
    assert_eq!(
        [1, 2, 3].map(|id| user(&env, id)),
        ["changed", "newest", "changed"].map(Bson::from)
    );
    assert_eq!(beside(&env), [""; 0]);
    // Nothing is under way.
    restored(&env, &backup, &["--method", "delta"]);
    assert_eq!([1, 2, 3].map(|id| user(&env, id)), [1, 2, 3].map(Bson::from));
}

#[test]
fn a_document_that_is_changed_after_the_plan_is_kept_or_restored_as_it_is_chosen() {
    for (choice, expected) in [("keep", Bson::from("newest")), ("restore", Bson::from(2))] {
        let env = RestoreEnv::start();
        let backup = three_changed(&env);
        let args = [
            "restore",
            backup.to_str().unwrap(),
            "--method",
            "delta",
            "--conflicts",
            choice,
        ];
        let output = while_planned(&env, &args, || set(&env, 2, "n", "newest"));
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let done: Value = serde_json::from_slice(&output.stdout).unwrap();
        let outcome = if choice == "keep" { "kept" } else { "restored" };
        let conflict = serde_json::json!({ "collection": "users", "id": "2", "outcome": outcome });
        assert_eq!(done["conflicts"], serde_json::json!([conflict]));
        assert_eq!(
            [1, 2, 3].map(|id| user(&env, id)),
            [Bson::from(1), expected, Bson::from(3)]
        );
        let rescued = in_rescue(&done["rescue"]);
        assert_eq!(
            rescued.contains(&Bson::from("newest")),
            choice == "restore",
            "{rescued:?}"
        );
        // A kept one is written since, for the proof.
        let written = done["written_since"].as_array().unwrap().len();
        assert_eq!(written, usize::from(choice == "keep"), "{done}");
        env.ok(&["restore", "--undo", done["operation"].as_str().unwrap()]);
        assert_eq!(
            [1, 2, 3].map(|id| user(&env, id)),
            ["changed", "newest", "changed"].map(Bson::from)
        );
    }
}

#[test]
fn a_document_that_is_changed_while_a_restore_stands_midway_is_never_lost() {
    for choice in ["stop", "keep", "restore"] {
        let mut case = CrashCase::in_place_with(RestoreEnv::start(), choice);
        let put_back = |event: &str| format!(r#"{{"event":"{event}","step":{{"do":"put-back""#);
        let number_of = |event: &str| {
            let mut lines = case.restore_lines.iter();
            lines.position(|line| line.starts_with(&put_back(event))).unwrap()
        };
        // Planned, and not made yet.
        let number = number_of("before");
        assert_eq!(number_of("after"), number + 1);
        let operation = case.begin();
        case.killed_within(&operation, number);
        let new = doc! { "$set": { "n": "newest" } };
        case.env
            .collection("users")
            .update_one(doc! { "_id": "new" }, new)
            .run()
            .unwrap();
        // Documents of two moments may be live.
        let refused = case.env.fails(3, &["backup"]);
        assert!(refused.contains("error[restore-midway]"), "{refused}");
        let done = case.env.ok(&["restore", "--resume", &operation]);
        case.env.ok(&["backup"]);
        let outcome = if choice == "restore" { "restored" } else { "kept" };
        assert_eq!(done["conflicts"][0]["outcome"], outcome, "{done}");
        let live = case
            .env
            .collection("users")
            .find_one(doc! { "_id": "new" })
            .run()
            .unwrap();
        assert_eq!(live.is_some(), choice != "restore");
        if choice == "restore" {
            assert_eq!(in_rescue(&done["newer"][0]), [Bson::from("newest")]);
        }
        case.env.ok(&["restore", "--undo", &operation]);
        assert_eq!(user(&case.env, "new"), "newest".into());
    }
}

#[test]
fn an_undo_gives_back_what_was_live_and_what_was_written_since_is_in_a_file() {
    let env = RestoreEnv::start();
    let backup = three_changed(&env);
    let changed = env.inventory();
    let done = restored(&env, &backup, &["--method", "delta"]);
    set(&env, 2, "n", "after it");
    env.collection("users")
        .delete_one(doc! { "_id": 3 })
        .run()
        .unwrap();
    let undone = env.ok(&["restore", "--undo", done["operation"].as_str().unwrap()]);
    assert_eq!(changed.compare(&env.inventory()), []);
    assert_eq!(in_rescue(&undone["newer"][0]), [Bson::from("after it")]);
    // The rest that is written since stays.
    let listed = env.ok(&["restore", "--list"]);
    assert_eq!(
        listed["restores"][0]["rescues"].as_array().unwrap().len(),
        2,
        "{listed}"
    );
}

/// A restore in place that takes a document out of `users` and leaves `orders` as it is; then one of the two is dropped. Gives the
/// operation.
fn dropped_after_restore_in_place(env: &RestoreEnv, dropped: &str) -> String {
    let insert = |name: &str, id: i32| env.collection(name).insert_one(doc! { "_id": id }).run().unwrap();
    insert("users", 1);
    insert("orders", 1);
    let backup = env.backup();
    insert("users", 2);
    let restored = env.ok(&["restore", backup.to_str().unwrap(), "--method", "delta"]);
    env.command(doc! { "drop": dropped });
    restored["operation"].as_str().unwrap().to_owned()
}

/// Nothing was put back in it: an undo has nothing to revert there.
#[test]
fn an_undo_leaves_alone_what_was_not_changed_in_place_and_was_dropped_since() {
    let env = RestoreEnv::start();
    let operation = dropped_after_restore_in_place(&env, "orders");
    env.ok(&["restore", "--undo", &operation]);
    let users = env.collection("users").count_documents(doc! {}).run();
    assert_eq!(users.unwrap(), 2);
    let names = env.database().list_collection_names().run().unwrap();
    assert!(!names.contains(&"orders".to_owned()), "{names:?}");
}

/// All but the documents that were put back is gone with it.
#[test]
fn an_undo_is_refused_where_what_was_changed_in_place_was_dropped_since() {
    let env = RestoreEnv::start();
    let operation = dropped_after_restore_in_place(&env, "users");
    let refused = env.run(&["restore", "--undo", &operation]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(
        told(&refused).contains("`users` is no collection any more"),
        "{refused:?}"
    );
    let names = env.database().list_collection_names().run().unwrap();
    assert!(!names.contains(&"users".to_owned()), "{names:?}");
    env.ok(&["restore", "--forget", &operation]);
}
