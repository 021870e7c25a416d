//! Restores against a real server, real mongodump and mongorestore.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mongodb::bson::{Bson, Document, deserialize_from_slice, doc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rehearsal::test_env::process::told;
use rehearsal::test_env::restore::{CERTIFICATES, RestoreEnv, change, seed};

#[test]
fn a_restore_gives_back_the_backup_and_an_undo_what_was_live() {
    let env = RestoreEnv::start();
    seed(&env);
    let backed_up = env.inventory();
    let backup = env.backup();
    change(&env);
    let changed = env.inventory();
    assert!(!backed_up.compare(&changed).is_empty());

    let plan = env.ok(&["restore", backup.to_str().unwrap(), "--plan"]);
    assert_eq!(plan["problems"], serde_json::json!([]), "{plan}");
    assert_eq!(env.inventory(), changed);

    let restored = env.ok(&["restore", backup.to_str().unwrap()]);
    assert_eq!(backed_up.compare(&env.inventory()), []);
    assert_eq!(restored["written_since"], serde_json::json!([]));
    let operation = restored["operation"].as_str().unwrap();

    let undone = env.ok(&["restore", "--undo", operation]);
    assert_eq!(undone["written_since"], serde_json::json!([]));
    assert_eq!(changed.compare(&env.inventory()), []);

    let young = env.fails(3, &["restore", "--resume", operation]);
    assert!(young.contains("undone"), "{young}");
}

/// Documents of every collection, by collection and `_id`, as raw bytes.
type Snapshot = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

fn snapshot(env: &RestoreEnv) -> Snapshot {
    let live = env.live();
    let names = env.inventory().collections.into_keys();
    let collections = names.map(|name| {
        let mut documents = BTreeMap::new();
        let keep = |raw: &[u8]| {
            let document: Document = deserialize_from_slice(raw)?;
            let id = document.get("_id").unwrap();
            let id = format!("{:?} {}", id.element_type(), serde_json::to_value(id)?);
            documents.insert(id, raw.to_vec());
            Ok(())
        };
        live.scan(&name, keep).unwrap();
        (name, documents)
    });
    collections.collect()
}

/// The same numbers from two maps in memory.
fn naive(before: &Snapshot, now: &Snapshot) -> BTreeMap<String, [(u64, u64); 3]> {
    let none = BTreeMap::new();
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let mut losses = BTreeMap::new();
    for name in names {
        let (then, now) = (before.get(name).unwrap_or(&none), now.get(name).unwrap_or(&none));
        let mut counts = [(0, 0); 3];
        let mut add = |fate: usize, raw: &[u8]| {
            counts[fate].0 += 1;
            counts[fate].1 += raw.len() as u64;
        };
        for (id, raw) in now {
            match then.get(id) {
                None => add(0, raw),
                Some(old) if old != raw => add(1, raw),
                Some(_) => {}
            }
        }
        then.iter()
            .filter(|(id, _)| !now.contains_key(*id))
            .for_each(|(_, raw)| add(2, raw));
        if counts != [(0, 0); 3] {
            losses.insert(name.clone(), counts);
        }
    }
    losses
}

fn previewed(env: &RestoreEnv, backup: &Path) -> BTreeMap<String, [(u64, u64); 3]> {
    let plan = env.ok(&["restore", backup.to_str().unwrap(), "--plan"]);
    let losses = plan["loss"]["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|loss| {
            let counts = ["created", "changed", "deleted"].map(|fate| {
                (
                    loss[fate]["documents"].as_u64().unwrap(),
                    loss[fate]["bytes"].as_u64().unwrap(),
                )
            });
            (loss["collection"].as_str().unwrap().to_owned(), counts)
        });
    losses.collect()
}

/// Random writes: ids of many types, documents that change, go and come back.
fn write_at_random(env: &RestoreEnv, random: &mut StdRng, rounds: usize) {
    for _ in 0..rounds {
        let name = ["a", "b", "c.d", "é e"][random.random_range(0..4)];
        let collection = env.collection(name);
        let n: i32 = random.random_range(0..40);
        let id = match random.random_range(0..4) {
            0 => Bson::Int32(n),
            1 => Bson::String(n.to_string()),
            2 => Bson::Document(doc! { "x": n, "y": [n] }),
            _ => Bson::DateTime(mongodb::bson::DateTime::from_millis(i64::from(n))),
        };
        let filter = mongodb::bson::doc! { "_id": { "$eq": id.clone() } };
        if random.random_bool(0.25) {
            collection.delete_one(filter).run().unwrap();
        } else {
            let size = random.random_range(0..60);
            let document = doc! { "_id": id, "v": random.random_range(0..3), "t": "x".repeat(size) };
            collection
                .replace_one(filter, document)
                .upsert(true)
                .run()
                .unwrap();
        }
    }
}

#[test]
fn random_databases_the_preview_is_exact_and_restore_and_undo_are_complete() {
    let env = RestoreEnv::start();
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        write_at_random(&env, &mut random, 150);
        let (then, backed_up) = (snapshot(&env), env.inventory());
        let backup = env.backup();
        write_at_random(&env, &mut random, 120);
        let (now, changed) = (snapshot(&env), env.inventory());

        assert_eq!(previewed(&env, &backup), naive(&then, &now), "seed {seed}");
        let restored = env.ok(&["restore", backup.to_str().unwrap()]);
        assert_eq!(backed_up.compare(&env.inventory()), [], "seed {seed}");
        assert_eq!(snapshot(&env), then, "seed {seed}");
        env.ok(&["restore", "--undo", restored["operation"].as_str().unwrap()]);
        assert_eq!(changed.compare(&env.inventory()), [], "seed {seed}");
        assert_eq!(snapshot(&env), now, "seed {seed}");
    }
}

#[test]
fn examples_name_ids_and_fields_and_values_only_when_asked() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    change(&env);
    let backup = backup.to_str().unwrap();
    let plan = env.ok(&["restore", backup, "--plan"]);
    let text = plan["loss"].to_string();
    assert!(
        text.contains(r#""fields":["visits"]"#) && text.contains(r#""id":"new""#),
        "{text}"
    );
    assert!(!text.contains("@example.com"), "{text}");
    let shown = env.ok(&["restore", backup, "--plan", "--show-values"])["loss"].to_string();
    assert!(
        shown.contains("new@example.com") && shown.contains("user0@example.com"),
        "{shown}"
    );
}

#[test]
fn what_only_live_had_is_in_the_rescue_file_and_can_be_put_back() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    change(&env);
    // A command after it fails: what was restored stays, the other one runs, and a resume runs the missing one.
    std::fs::write(env.root().join("cache-is-down"), "").unwrap();
    let stopped = env.fails(4, &["restore", backup.to_str().unwrap(), "--quiesce"]);
    assert!(
        stopped.contains("commands after it failed: flush:") && stopped.contains("--resume"),
        "{stopped}"
    );
    assert!(env.root().join("writers-go-on").is_file());
    let passed_on = std::fs::read_to_string(env.root().join("certificates")).unwrap();
    assert_eq!(passed_on.trim(), CERTIFICATES);
    std::fs::remove_file(env.root().join("cache-is-down")).unwrap();
    let id = stopped
        .split("--resume ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let restored = env.ok(&["restore", "--resume", id]);
    let ran = |file: &str| std::fs::read_to_string(env.root().join(file)).unwrap_or_default();
    assert_eq!(
        (ran("flushed"), ran("noticed")),
        ("flushed\n".into(), "restored\n".into())
    );
    // 66 or 67 of 200 users changed and one was created, one payment was made; deleted ones are in the backup.
    let changed_users = (7..200).filter(|n| n % 3 == 0).count() as u64;
    assert_eq!(restored["rescue"]["documents"], changed_users + 2, "{restored}");
    let rescue = restored["rescue"]["path"].as_str().unwrap();

    // In the way of the created user's unique key.
    let taken = doc! { "_id": "other", "email": "new@example.com" };
    env.collection("users").insert_one(taken).run().unwrap();
    let before = env.collection("users").count_documents(doc! {}).run().unwrap();
    let done = env.ok(&["restore", "--reinsert", rescue]);
    assert_eq!(
        done["inserted"],
        serde_json::json!({ "payments": 1, "users": 0 }),
        "{done}"
    );
    assert_eq!(done["conflicts"], changed_users + 1, "{done}");
    let by_email = done["listed"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["id"] == "new")
        .unwrap();
    assert!(by_email["why"].as_str().unwrap().contains("email"), "{by_email}");
    assert_eq!(
        env.collection("users").count_documents(doc! {}).run().unwrap(),
        before
    );
    assert!(
        env.collection("payments")
            .find_one(doc! { "_id": 1 })
            .run()
            .unwrap()
            .is_some()
    );
}

/// Ends the writers where the test fails too: a scope waits for its threads.
struct StopsAtEnd<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for StopsAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Every document that a writer was told is stored must be somewhere afterwards.
#[test]
fn writers_go_on_throughout_and_no_acknowledged_write_is_lost() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (restored, was_stopped, acknowledged): (serde_json::Value, _, Vec<String>) =
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    let stop = &stop;
                    let users = env.collection("users");
                    scope.spawn(move || {
                        let mut stored = Vec::new();
                        for n in 0.. {
                            if stop.load(std::sync::atomic::Ordering::SeqCst) {
                                break;
                            }
                            let id = format!("w{writer}-{n}");
                            let document = doc! { "_id": &id, "email": &id };
                            if users.insert_one(document).run().is_ok() {
                                stored.push(id);
                            }
                        }
                        stored
                    })
                })
                .collect();
            let writing = StopsAtEnd(&stop);
            let ended = env.run(&["restore", backup.to_str().unwrap()]);
            drop(writing);
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            // Whoever inserts without a pause may be faster than a hundred renames: the restore then stops midway, and is resumed.
            let stopped = told.split_once("faster than it can be replaced: stop them");
            let stopped = stopped.and_then(|(_, next)| next.split_once("restore --resume "));
            let restored = match stopped {
                Some((_, next)) => env.ok(&["restore", "--resume", next.split_whitespace().next().unwrap()]),
                None => {
                    assert!(ended.status.success(), "{told}");
                    serde_json::from_slice(&ended.stdout).unwrap()
                }
            };
            let stored = writers.into_iter().flat_map(|writer| writer.join().unwrap());
            (restored, stopped.is_some(), stored.collect())
        });
    // The old collections and the late ones are looked at by what the rescue file has of them: they will be forgotten.
    let rescue = restored["rescue"]["path"].as_str().unwrap();
    let rescued = ids_of_archive(rescue);
    let mut kept = rescued.clone();
    let live = env.live();
    let mut after_swap = 0;
    let mut keep = |raw: &[u8]| {
        let document: Document = deserialize_from_slice(raw)?;
        if let Ok(id) = document.get_str("_id") {
            after_swap += u64::from(kept.insert(id.to_owned()));
        }
        Ok(())
    };
    live.scan("users", &mut keep).unwrap();
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !kept.contains(*id)).collect();
    assert!(acknowledged.len() > 10, "the writers did not write");
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    println!(
        "{} acknowledged: {} in the rescue file, {after_swap} live",
        acknowledged.len(),
        rescued.len()
    );
    if was_stopped {
        assert!(!rescued.is_empty());
        return;
    }
    assert!(
        !rescued.is_empty() && after_swap > 0,
        "{} {after_swap}",
        rescued.len()
    );
    // What was counted when the swap was compared is a part of what came after it, and nothing else.
    let written = &restored["written_since"];
    let counts = written
        .as_array()
        .unwrap()
        .iter()
        .find(|w| w["collection"] == "users");
    let counts = counts.unwrap_or_else(|| panic!("{restored}"));
    assert!(
        counts["created"].as_u64().unwrap() <= after_swap,
        "{counts} {after_swap}"
    );
    assert_eq!(
        (&counts["changed"], &counts["deleted"]),
        (&0.into(), &0.into()),
        "{counts}"
    );

    // Taken back: what was written after the swap is in a file of its own.
    let undone = env.ok(&["restore", "--undo", restored["operation"].as_str().unwrap()]);
    let after = ids_of_archive(undone["rescue"]["path"].as_str().unwrap());
    // What came between two renamings is in both files.
    assert_eq!(after.difference(&rescued).count() as u64, after_swap);
}

/// The textual ids of a backup's documents.
fn ids_of_archive(path: &str) -> BTreeSet<String> {
    let container = xtask::archive::ContainerReader::open(Path::new(path), None, 1).unwrap();
    let mut archive = xtask::archive::ArchiveReader::new(container).unwrap();
    let mut ids = BTreeSet::new();
    while let Some(event) = archive.next_event().unwrap() {
        let xtask::archive::Event::Documents { mut documents, .. } = event else {
            continue;
        };
        while let Some(length) = documents.first_chunk::<4>() {
            let (raw, rest) = documents.split_at(u32::from_le_bytes(*length) as usize);
            let document: Document = deserialize_from_slice(raw).unwrap();
            ids.extend(document.get_str("_id").ok().map(str::to_owned));
            documents = rest;
        }
    }
    ids
}

#[test]
fn without_a_confirmation_nothing_happens() {
    let env = RestoreEnv::start();
    seed(&env);
    let backup = env.backup();
    change(&env);
    let before = env.inventory();
    let output = env
        .xtask(&["restore", backup.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert_eq!(before.compare(&env.inventory()), []);
}
