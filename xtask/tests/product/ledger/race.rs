//! Processes that race for the lock, and are killed.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng as _;
use serde_json::{Value, json};
use xtask::domain::ledger::{Body, OperationOutcome};
use xtask::error::ExitKind;
use xtask::operation::ledger::{Ledger, LockTiming, OperationLock, Start};

use super::{DEADLINE, ending, ledger, start, world};

const RACERS: usize = 8;
/// Some share a clone, as terminals of one machine do; some do not.
const CLONES: usize = 3;
const ROUNDS: usize = 100;
/// Every how many rounds a racer is killed.
const ROUNDS_PER_KILL: usize = 3;
const WORLD: &str = "LEDGER_RACE_WORLD";

/// A lease that never runs out during the race: only death frees the lock.
const RACE: LockTiming = LockTiming {
    lease: Duration::from_mins(10),
    heartbeat: Duration::from_millis(500),
    skew: Duration::from_secs(30),
    remote_deadline: Duration::from_mins(1),
};

/// Kills and starts racers until the rounds are done, then judges their logs against the ledger and the witness.
#[test]
fn eight_processes_race_and_are_killed_and_never_two_hold_the_lock() {
    let world = world();
    for n in 0..CLONES {
        ledger(world.path(), &format!("clone{n}"), RACE);
    }
    let mut racers: Vec<Racer> = (0..RACERS).map(|n| Racer::start(world.path(), n)).collect();
    let mut random = rand::rng();
    let (since, mut kills, mut killed_at) = (Instant::now(), 0, 0);
    loop {
        let rounds = lines(world.path())
            .iter()
            .filter(|l| l["did"] == "entered")
            .count();
        if rounds >= ROUNDS {
            break;
        }
        assert!(since.elapsed() < DEADLINE, "only {rounds} rounds");
        for racer in &mut racers {
            assert_eq!(racer.0.try_wait().unwrap(), None, "a racer ended by itself");
        }
        if rounds >= killed_at + ROUNDS_PER_KILL {
            killed_at = rounds;
            // At any moment of what it does, not only when it has just logged something.
            std::thread::sleep(Duration::from_millis(random.random_range(0..150)));
            let n = random.random_range(0..RACERS);
            racers[n] = Racer::start(world.path(), n);
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(racers);
    judge(world.path());
    println!("{ROUNDS} rounds, {kills} kills, {:?}", since.elapsed());
}

fn judge(world: &Path) {
    let mut reader = ledger(world, "reader", RACE);
    let events = reader.events().unwrap();
    let state = reader.state().unwrap();
    assert!(state.void.is_empty(), "{:?}", state.void);
    for line in lines(world) {
        let did = line["did"].as_str().unwrap();
        assert_ne!(did, "met", "two held the lock: {line}");
        let fence = line["fence"].as_u64().unwrap();
        let there = events.iter().any(|event| {
            let same = match (&event.body, did) {
                (Body::Started(_) | Body::TakenOver { .. }, "entered") => event.seq == fence,
                (Body::Step { facts, .. }, "stepped") | (Body::Finished { facts, .. }, "finished") => {
                    facts["mark"] == line["mark"]
                }
                _ => false,
            };
            same && event.fence == fence
        });
        assert!(there, "an event was acknowledged and is lost: {line}");
    }
}

fn lines(world: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(world.join("log")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// A process of the race; dropped, it is killed with SIGKILL.
struct Racer(Child);

impl Racer {
    fn start(world: &Path, n: usize) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "ledger::race::one_racer",
                "--ignored",
                "--nocapture",
                "--quiet",
            ])
            .env(WORLD, world.join(format!("clone{}", n % CLONES)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
#[ignore = "one process of the race, which starts it"]
fn one_racer() {
    let clone = PathBuf::from(std::env::var_os(WORLD).unwrap());
    let world = clone.parent().unwrap();
    let name = clone.file_name().unwrap().to_str().unwrap();
    let mut ledger = ledger(world, name, RACE);
    loop {
        match take(&mut ledger) {
            Ok(held) => hold(world, held),
            Err(error) => {
                assert_eq!(ending(&error), Some(ExitKind::Refused), "{error:#}");
                std::thread::sleep(Duration::from_millis(rand::rng().random_range(200..1_500)));
            }
        }
    }
}

/// Begins, over what a killed racer left, or goes on with that.
fn take(ledger: &mut Ledger) -> anyhow::Result<OperationLock> {
    let left = ledger.state()?.unfinished().map(|operation| operation.id.clone());
    match left {
        Some(id) if rand::random() => ledger.resume(&id, "its holder was killed"),
        left => ledger.begin(Start {
            over: left,
            ..start("deploy")
        }),
    }
}

/// Holds the lock for a while; the witness is a file lock, which the kernel takes from a killed process.
fn hold(world: &Path, held: OperationLock) {
    let fence = held.fence();
    let log = |did: &str, mark: u32| {
        let line = format!("{}\n", json!({"did": did, "fence": fence, "mark": mark}));
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(world.join("log"))
            .unwrap();
        log.write_all(line.as_bytes()).unwrap();
    };
    let witness = File::create(world.join("witness")).unwrap();
    log(
        if witness.try_lock().is_ok() {
            "entered"
        } else {
            "met"
        },
        0,
    );
    held.check().unwrap();
    let mark = rand::random();
    held.step("change", json!({"mark": mark})).unwrap();
    log("stepped", mark);
    drop(witness);
    let outcome = if rand::random() {
        OperationOutcome::Done
    } else {
        OperationOutcome::Stopped
    };
    held.finish(outcome, json!({"mark": mark})).unwrap();
    log("finished", mark);
}
