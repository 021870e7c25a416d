//! `bench restore`: our restore beside `mongorestore --drop` of the same backup, whole and in place, and how long readers see missing or
//! mixed data.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use mongodb::bson::{Document, doc};
use serde_json::Value;

use super::contest::{Run, Side};
use super::ground::Ground;
use super::live::{Server, keep, with_server};
use super::measure;
use super::report::Row;
use xtask::database::{Digests, Live};
use xtask::domain::inventory::Inventory;
use xtask::exec::Exec;

const COLLECTIONS: [&str; 3] = ["bookings", "properties", "users"];
/// Documents of each collection of the smallest run, of about 370 bytes.
const SMALLEST_DOCUMENTS: i32 = 1_000;
/// How much of the smallest data is changed, where most is not: so many documents at every size.
const CHANGED_PERCENT: i32 = 1;
const BATCH: i32 = 5_000;
/// What the backup holds, and what is live when it is restored.
const BACKED_UP: i32 = 1;
const LIVE: i32 = 2;

pub(super) fn run(ground: &Ground) -> Result<Vec<Row>> {
    ground.at_each_scale(|scale| at(ground, scale))
}

fn at(ground: &Ground, scale: u32) -> Result<Vec<Row>> {
    let documents = SMALLEST_DOCUMENTS * i32::try_from(scale)?;
    let (folder, repository) = (ground.new_folder()?, ground.repository("http://127.0.0.1:1")?);
    with_server(ground, |server| {
        let data = Data {
            live: server.live()?,
            documents,
            changed: SMALLEST_DOCUMENTS * i32::try_from(ground.smallest_scale())? * CHANGED_PERCENT / 100,
        };
        data.fill(BACKED_UP)?;
        let expected = data.live.inventory(Digests::Full)?;
        let archive = folder.path().join("archive");
        server.dump(&archive)?;
        let backup = keep(&repository, &archive)?;
        let restored = |exec: Exec| data.restored(server, &expected, exec);
        let sides = [
            Side::new("mongorestore --drop", || {
                Ok(restored(server.mongorestore(&archive, &["--drop"])?)?.0)
            }),
            Side::new("ours", || {
                let exec = repository.xtask(&["restore", &backup.to_string_lossy(), "--delta", "counts"])?;
                let (run, printed) = restored(server.reached_by(exec))?;
                Ok(run.with("renaming_s", renaming_s(&printed)?))
            }),
        ];
        let size = archive.metadata()?.len();
        let text = format!("{}, {} documents", xtask::report::bytes(size), 3 * documents);
        let mut rows = ground.grown("restore", text.clone(), scale).run(&sides)?;
        let changed = |exec: Exec, expected: &Inventory| {
            data.change_few()?;
            data.read_while_restored(server, expected, exec)
        };
        let in_place = |keeps_images: bool| {
            data.fill(BACKED_UP)?;
            let mut expected = expected.clone();
            if keeps_images {
                data.keep_images()?;
                expected = data.live.inventory(Digests::Full)?;
            }
            // One that was taken of this server: it knows from when on it must have been changed.
            let (created, _) = measure::run(server.reached_by(repository.xtask(&["backup"])?))?;
            let created: Value = serde_json::from_str(&created).context("the backup printed no JSON")?;
            let id = created["metadata"]["id"]
                .as_str()
                .context("a backup without id")?;
            let exec = repository.xtask(&["restore", id, "--method", "delta"])?;
            let (run, printed) = changed(server.reached_by(exec), &expected)?;
            let printed: Value = serde_json::from_str(&printed).context("the restore printed no JSON")?;
            let operation = printed["operation"].as_str().context("a restore without id")?;
            let (shown, _) = measure::run(server.reached_by(repository.xtask(&["ledger", operation])?))?;
            let [safety_s, data_s] = parts_s(&shown)?;
            Ok(run.with("safety_backup_s", safety_s).with("data_s", data_s))
        };
        let sides = [
            Side::new("mongorestore --drop", || {
                data.fill(BACKED_UP)?;
                Ok(changed(server.mongorestore(&archive, &["--drop"])?, &expected)?.0)
            }),
            Side::new("ours", || in_place(false)),
            Side::new("ours, pre-images kept", || in_place(true)),
        ];
        let few = format!("{text}, {} changed", 3 * data.changed);
        rows.extend(ground.grown("restore in place", few, scale).run(&sides)?);
        Ok(rows)
    })
}

/// How long the collections were being renamed, as the restore itself tells.
fn renaming_s(printed: &str) -> Result<f64> {
    let report: Value = serde_json::from_str(printed).context("the restore printed no JSON")?;
    let collections = report["collections"]
        .as_array()
        .context("the restore names no collections")?;
    let times_ms = collections.iter().filter_map(|c| c["unavailable_ms"].as_u64());
    Ok(times_ms.sum::<u64>() as f64 / 1e3)
}

/// How long the safety backup took, and from then on the data, as the ledger has it.
fn parts_s(shown: &str) -> Result<[f64; 2]> {
    let shown: Value = serde_json::from_str(shown).context("the ledger printed no JSON")?;
    let operation = &shown["operations"][0];
    let time = |value: &Value| -> Result<DateTime<Utc>> {
        Ok(value.as_str().context("a step without a time")?.parse()?)
    };
    let end_of = |name: &str| -> Result<DateTime<Utc>> {
        let mut steps = operation["steps"].as_array().into_iter().flatten();
        let step = steps.find(|step| step["name"] == name);
        time(&step.with_context(|| format!("the ledger has no {name}"))?["at"])
    };
    let (safety, data) = (end_of("safety backup")?, end_of("swap database")?);
    let seconds = |span: TimeDelta| span.num_milliseconds() as f64 / 1e3;
    Ok([
        seconds(safety - time(&operation["started_at"])?),
        seconds(data - safety),
    ])
}

struct Data {
    live: Live,
    documents: i32,
    /// Documents of each collection that are changed after a backup.
    changed: i32,
}

impl Data {
    /// Everything anew, with this version in every document.
    fn fill(&self, version: i32) -> Result<()> {
        self.live
            .database()
            .drop()
            .run()
            .context("cannot empty the scratch server")?;
        for name in COLLECTIONS {
            let collection = self.live.database().collection(name);
            for start in (0..self.documents).step_by(BATCH as usize) {
                let batch = (start..self.documents.min(start + BATCH)).map(|n| {
                    doc! { "_id": n, "version": version, "city": n % 97, "text": format!("{n} ").repeat(60) }
                });
                collection.insert_many(batch.collect::<Vec<Document>>()).run()?;
            }
            let index = doc! { "key": { "city": 1 }, "name": "city" };
            self.live.create_indexes(name, &[index])?;
        }
        Ok(())
    }

    /// The server keeps what each document was before a write.
    fn keep_images(&self) -> Result<()> {
        for name in COLLECTIONS {
            let keep = doc! { "collMod": name, "changeStreamPreAndPostImages": { "enabled": true } };
            self.live.database().run_command(keep).run()?;
        }
        Ok(())
    }

    /// Runs a restore over other data.
    fn restored(&self, server: &Server, expected: &Inventory, exec: Exec) -> Result<(Run, String)> {
        self.fill(LIVE)?;
        self.read_while_restored(server, expected, exec)
    }

    /// Changes few documents.
    fn change_few(&self) -> Result<()> {
        for name in COLLECTIONS {
            let collection = self.live.database().collection::<Document>(name);
            let few = doc! { "_id": { "$lt": self.changed } };
            collection
                .update_many(few, doc! { "$set": { "version": LIVE } })
                .run()?;
        }
        Ok(())
    }

    /// Somebody reads while a restore runs; the backup must be live afterwards.
    fn read_while_restored(
        &self,
        server: &Server,
        expected: &Inventory,
        exec: Exec,
    ) -> Result<(Run, String)> {
        let reader = server.live()?;
        let stop = AtomicBool::new(false);
        let (outcome, unusable) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| self.unusable_time(&reader, &stop));
            let outcome = measure::run(exec);
            stop.store(true, Ordering::SeqCst);
            (outcome, reading.join())
        });
        let (printed, cost) = outcome?;
        let unusable = unusable.map_err(|_| anyhow!("the reader panicked"))?;
        let differences = expected.compare(&self.live.inventory(Digests::Full)?);
        ensure!(
            differences.is_empty(),
            "another database than the backup is live: {differences:?}"
        );
        let run = Run::new(cost, "every collection is as in the backup");
        Ok((run.with("missing_or_mixed_s", unusable.as_secs_f64()), printed))
    }

    /// Asks each collection for its last document until told to stop. Gives the time in which the answers were neither all old
    /// nor all new.
    fn unusable_time(&self, live: &Live, stop: &AtomicBool) -> Duration {
        let (mut unusable, mut last) = (Duration::ZERO, Instant::now());
        while !stop.load(Ordering::SeqCst) {
            let seen = COLLECTIONS.map(|name| {
                let collection = live.database().collection::<Document>(name);
                let found = collection
                    .find_one(doc! { "_id": self.documents - 1 })
                    .run()
                    .ok()
                    .flatten();
                found.and_then(|document| document.get_i32("version").ok())
            });
            let now = Instant::now();
            if seen[0].is_none() || seen.iter().any(|version| *version != seen[0]) {
                unusable += now - last;
            }
            last = now;
        }
        unusable
    }
}
