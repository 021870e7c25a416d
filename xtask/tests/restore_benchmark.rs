//! How long readers see missing or mixed data: our restore beside a plain `mongorestore --drop` of the same backup.
//!
//! `cargo test -p xtask --test restore_benchmark -- --ignored --nocapture`; `BENCHMARK_DOCUMENTS` sets the size.

mod common;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{World, program};
use mongodb::bson::{Document, doc};

const COLLECTIONS: [&str; 3] = ["bookings", "properties", "users"];
const BATCH: i32 = 5_000;

fn documents() -> i32 {
    let stated = std::env::var("BENCHMARK_DOCUMENTS").ok();
    stated.and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

fn fill(world: &World, version: i32) {
    for name in COLLECTIONS {
        let collection = world.collection(name);
        collection.drop().run().unwrap();
        for start in (0..documents()).step_by(BATCH as usize) {
            let batch = (start..documents().min(start + BATCH)).map(|n| {
                doc! { "_id": n, "version": version, "city": n % 97, "text": format!("{n} ").repeat(60) }
            });
            collection
                .insert_many(batch.collect::<Vec<Document>>())
                .run()
                .unwrap();
        }
        world.command(doc! { "createIndexes": name, "indexes": [{ "key": { "city": 1 }, "name": "city" }] });
    }
}

/// Runs `restore` while a reader asks each collection for its last document. Gives the whole time, and the time in which the
/// answers were neither all old nor all new.
fn with_reader(world: &World, restore: impl FnOnce()) -> (Duration, Duration) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collections = COLLECTIONS.map(|name| world.collection(name));
        let stop = &stop;
        let reader = scope.spawn(move || {
            let (mut bad, mut last) = (Duration::ZERO, Instant::now());
            while !stop.load(Ordering::SeqCst) {
                let seen = collections.each_ref().map(|collection| {
                    let found = collection
                        .find_one(doc! { "_id": documents() - 1 })
                        .run()
                        .ok()
                        .flatten();
                    found.and_then(|document| document.get_i32("version").ok())
                });
                let now = Instant::now();
                if seen[0].is_none() || seen.iter().any(|version| *version != seen[0]) {
                    bad += now - last;
                }
                last = now;
            }
            bad
        });
        let started = Instant::now();
        restore();
        let total = started.elapsed();
        stop.store(true, Ordering::SeqCst);
        (total, reader.join().unwrap())
    })
}

#[test]
#[ignore = "a measurement, which takes minutes"]
fn missing_or_mixed_data_beside_a_plain_mongorestore() {
    let world = World::new();
    fill(&world, 1);
    let mut dump = Command::new(program(&["mongodump"]));
    dump.args([
        "--uri",
        &world.server.uri(),
        "--db",
        common::DATABASE,
        "--archive",
    ]);
    let archive = dump.stderr(Stdio::null()).output().unwrap().stdout;
    let backup = world.store(&archive);

    fill(&world, 2);
    let (total, bad) = with_reader(&world, || {
        let mut plain = Command::new(program(&["mongorestore"]));
        plain.args(["--uri", &world.server.uri(), "--drop", "--archive"]);
        let mut plain = plain.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        plain.stdin.take().unwrap().write_all(&archive).unwrap();
        assert!(plain.wait().unwrap().success());
    });
    println!(
        "{} documents of {} bytes in 3 collections",
        3 * documents(),
        archive.len() / 3 / usize::try_from(documents()).unwrap()
    );
    println!("mongorestore --drop: {total:.1?}, missing or mixed {bad:.2?}");

    fill(&world, 2);
    let mut report = serde_json::Value::Null;
    let (total, bad) = with_reader(&world, || {
        report = world.ok(&["restore", backup.to_str().unwrap(), "--delta", "counts"]);
    });
    let version = world.command(doc! { "buildInfo": 1 });
    let absent_ms: u64 = report["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["unavailable_ms"].as_u64().unwrap())
        .sum();
    println!(
        "of which the two renamings of each collection by {}: {absent_ms} ms, {} µs a document and renaming",
        program(&["mongod", "secantusd-rs"]).display(),
        absent_ms * 1_000 / u64::try_from(6 * documents()).unwrap()
    );
    println!("server {}", version.get_str("version").unwrap());
    println!(
        "xtask restore: {total:.1?}, missing or mixed {bad:.2?}; as it says: {}",
        report["collections"]
    );
}
