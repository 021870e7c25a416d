//! Random sequences of what an operator, an application and a bad day do to a database with data of every shape, on two
//! machines: after each step every document that the application was told is stored, and did not delete, is somewhere.
//!
//! `XTASK_SEQUENCES=N` runs more of them, `XTASK_SEED=S` begins with another one; a failure prints the seed and the steps.

mod application;
mod places;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::doc;
use rehearsal::data::random::Random;
use rehearsal::test_env::git::git;
use rehearsal::test_env::process::{told, wait_until};
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::shapes::generate;
use serde_json::Value;
use xtask::domain::inventory::Inventory;

use places::{Documents, Files, documents_of, in_database, rescue_files};

/// Sequences of a run of all tests, and steps of each.
const SEQUENCES: u64 = 2;
const STEPS: usize = 12;
/// Following the advice of `restore --list` must end.
const MAX_ADVICE: usize = 30;

/// A backup that was taken, and what it must give back.
struct Taken {
    path: PathBuf,
    inventory: Inventory,
    /// Otherwise it was reported when it was taken that no restore takes a name in it.
    is_restorable: bool,
}

/// A restore whose undo must give back what was live before, while nobody wrote in between.
struct Made {
    operation: String,
    before: Option<Inventory>,
}

struct Sequence {
    env: RestoreEnv,
    random: Random,
    /// The clones of two people.
    machines: [PathBuf; 2],
    backups: Vec<Taken>,
    restores: Vec<Made>,
    /// What must be somewhere.
    acknowledged: Documents,
    files: Files,
    writes: u64,
    told: Steps,
}

/// What was done; printed where the test fails.
struct Steps {
    seed: u64,
    done: Vec<String>,
}

impl Drop for Steps {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("XTASK_SEED={}:\n  {}", self.seed, self.done.join("\n  "));
        }
    }
}

impl Sequence {
    fn new(seed: u64) -> Self {
        let env = RestoreEnv::start();
        let (first, second) = (env.root(), env.dir.path().join("second"));
        git(env.dir.path(), &["init", "--quiet", "second"]);
        git(&second, &["remote", "add", "origin", "../remote.git"]);
        std::fs::create_dir_all(second.join("infrastructure")).unwrap();
        let pipeline = "infrastructure/pipeline.toml";
        std::fs::copy(first.join(pipeline), second.join(pipeline)).unwrap();
        std::fs::create_dir_all(first.join("backups")).unwrap();
        std::os::unix::fs::symlink(first.join("backups"), second.join("backups")).unwrap();
        let mut random = Random::new(seed);
        let made = generate(&env, &mut random);
        let acknowledged = in_database(&env).0;
        Self {
            env,
            random,
            machines: [first, second],
            backups: Vec::new(),
            restores: Vec::new(),
            acknowledged,
            files: Files::default(),
            writes: 0,
            told: Steps { seed, done: made },
        }
    }

    fn step(&mut self) {
        match self.random.range(0, 100) {
            _ if self.backups.is_empty() => self.backup(),
            0..=24 => self.change(),
            25..=34 => self.backup(),
            35..=54 => self.restore(),
            55..=67 => self.verb("--undo"),
            68..=78 => self.verb("--resume"),
            79..=88 => self.verb("--forget"),
            89..=96 => self.reinsert(),
            _ => self.lose_machine(),
        }
        self.check();
    }

    /// The application and its migrations go on.
    fn change(&mut self) {
        // No migration runs while a restore stands midway.
        let midway = self.advised().iter().any(|next| !next.contains("--forget"));
        let done = self.by_intention(|env, random| application::change(env, random, midway));
        // Of a restore that is midway, nobody can tell what an undo gives back.
        for made in &mut self.restores {
            if self
                .env
                .live()
                .listed()
                .unwrap()
                .keys()
                .any(|name| name.contains(&made.operation))
            {
                made.before = None;
            }
        }
        self.told.done.push(format!("change: {done}"));
    }

    /// What the application deletes is gone by intention.
    fn by_intention<T>(&mut self, act: impl FnOnce(&RestoreEnv, &mut Random) -> T) -> T {
        let before = in_database(&self.env).0;
        let done = act(&self.env, &mut self.random);
        let after = in_database(&self.env).0;
        self.acknowledged
            .retain(|stored, _| after.contains_key(stored) || !before.contains_key(stored));
        done
    }

    /// What `restore --list` advises.
    fn advised(&self) -> Vec<String> {
        let listed = self.env.ok(&["restore", "--list"]);
        let restores = listed["restores"].as_array().unwrap().iter();
        restores
            .filter_map(|known| known["next"].as_str().map(str::to_owned))
            .collect()
    }

    fn backup(&mut self) {
        let inventory = self.env.inventory();
        let Some(output) = self.run(&["backup", "--allow-empty"]) else {
            return;
        };
        if let Some(created) = json(&output) {
            let path = PathBuf::from(created["path"].as_str().unwrap());
            let live = in_database(&self.env).0;
            let stored: BTreeSet<_> = documents_of(&path).into_keys().collect();
            assert_eq!(
                live.into_keys().collect::<BTreeSet<_>>(),
                stored,
                "the backup is not what is live"
            );
            let warnings = created["metadata"]["warnings"].to_string();
            self.backups.push(Taken {
                path,
                inventory,
                is_restorable: !warnings.contains("cannot restore this backup"),
            });
        }
    }

    fn restore(&mut self) {
        let at = usize::try_from(self.random.range(0, i64::try_from(self.backups.len()).unwrap())).unwrap();
        let path = self.backups[at].path.display().to_string();
        let before = self.env.inventory();
        let writes = self.random.range(0, 3) == 0;
        let output = if writes {
            self.while_written(&["restore", &path])
        } else {
            self.run(&["restore", &path])
        };
        let operation = output
            .as_ref()
            .and_then(|output| json(output)?["operation"].as_str().map(str::to_owned));
        assert!(
            operation.is_none() || self.backups[at].is_restorable,
            "what was reported is restored all the same"
        );
        let is_whole = operation.is_some() && !writes;
        if is_whole {
            assert_eq!(self.backups[at].inventory.compare(&self.env.inventory()), []);
        }
        let known = |id: &String| self.restores.iter().any(|made| made.operation == *id);
        if let Some(operation) =
            operation.or_else(|| self.operations().into_iter().rev().find(|id| !known(id)))
        {
            let before = (!writes).then_some(before);
            self.restores.push(Made { operation, before });
        }
    }

    /// The restores that the journals here and the database have, oldest first.
    fn operations(&self) -> Vec<String> {
        let folders = self
            .machines
            .iter()
            .map(|machine| machine.join(".xtask/operations"));
        let entries = folders.flat_map(|folder| folder.read_dir().into_iter().flatten().flatten());
        let ids: BTreeSet<String> = entries
            .filter(|entry| {
                let journal = std::fs::read_to_string(entry.path().join("steps.jsonl"));
                journal.is_ok_and(|text| text.contains("\"event\":\"planned\""))
            })
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        ids.into_iter().collect()
    }

    fn verb(&mut self, verb: &str) {
        let count = i64::try_from(self.restores.len()).unwrap();
        if count == 0 {
            return;
        }
        // Mostly the newest one.
        let back = self
            .random
            .range(0, 3)
            .min(self.random.range(0, 3))
            .min(count - 1);
        let at = usize::try_from(count - 1 - back).unwrap();
        let operation = self.restores[at].operation.clone();
        let output = self.run(&["restore", verb, &operation]);
        let done = output.is_some_and(|output| output.status.success());
        if let Some(before) = self.restores[at].before.take_if(|_| verb == "--undo")
            && done
        {
            let found = self.env.inventory();
            let mut wrong = before.compare(&found);
            // What was made since has no name from before.
            wrong.retain(|difference| before.collections.contains_key(&difference.collection));
            assert_eq!(wrong, [], "undone");
        }
    }

    fn reinsert(&mut self) {
        let files: Vec<PathBuf> = self
            .machines
            .iter()
            .flat_map(|machine| rescue_files(machine))
            .collect();
        if files.is_empty() {
            return;
        }
        let file = self.random.pick(&files).display().to_string();
        self.run(&["restore", "--reinsert", &file]);
    }

    /// A disk is lost with its journals and rescue files: what only they had is gone, and nothing else.
    fn lose_machine(&mut self) {
        let lost = self.random.pick(&self.machines).clone();
        std::fs::remove_dir_all(lost.join(".xtask")).ok();
        let places = self.places();
        self.acknowledged.retain(|stored, _| places.contains(stored));
        self.told.done.push(format!("lost {}", lost.display()));
    }

    /// Runs a command on one of the machines; sometimes it is killed, then there is no output.
    fn run(&mut self, args: &[&str]) -> Option<Output> {
        let lines =
            (self.random.range(0, 3) == 0).then(|| usize::try_from(self.random.range(0, 45)).unwrap());
        let machine = self.random.pick(&self.machines).clone();
        self.run_on(&machine, args, lines)
    }

    fn run_on(&mut self, machine: &Path, args: &[&str], lines: Option<usize>) -> Option<Output> {
        let before = in_database(&self.env);
        let (shown, output) = self.ended(machine, args, lines);
        match output.status.code() {
            Some(0) => Some(output),
            Some(3) => {
                assert!(
                    before == in_database(&self.env),
                    "refused, and something is changed: {}",
                    told(&output)
                );
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                self.told.done.push(format!("    {words}"));
                Some(output)
            }
            None => None,
            Some(_) => panic!("{shown}: {}", told(&output)),
        }
    }

    /// Runs a command to its end, or kills it after so many lines; with it comes how it is named.
    fn ended(&mut self, machine: &Path, args: &[&str], lines: Option<usize>) -> (String, Output) {
        let child = self.command(machine, args).spawn().unwrap();
        let output = end_of(child, machine, lines);
        let shown = format!("{} in {}, killed {lines:?}", args.join(" "), machine.display());
        self.told.done.push(format!("{shown}: {}", output.status));
        (shown, output)
    }

    fn command(&self, machine: &Path, args: &[&str]) -> Command {
        let mut command = self.env.xtask(&[args, &["--format", "json", "--yes"]].concat());
        command
            .current_dir(machine)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The same while the application inserts, into a collection that it may have to make anew.
    fn while_written(&mut self, args: &[&str]) -> Option<Output> {
        let collections = application::collections(&self.env);
        let name = collections.first().map_or("users", String::as_str).to_owned();
        let collection = self.env.collection(&name);
        let (stop, first) = (AtomicBool::new(false), self.writes);
        let (output, written) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut written = Vec::new();
                for number in first.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let document =
                        doc! { "_id": format!("w{number}"), "email": format!("w{number}"), "a": 5 };
                    if collection.insert_one(&document).run().is_ok() {
                        written.push(document);
                    }
                }
                written
            });
            // A panic must not leave the writer behind.
            let output = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run_writing(args)));
            stop.store(true, Ordering::SeqCst);
            (output, writer.join().unwrap())
        });
        self.writes += 100_000;
        self.told.done.push(format!(
            "    {} were written into {name:?} meanwhile",
            written.len()
        ));
        for document in written {
            let raw = mongodb::bson::serialize_to_vec(&document).unwrap();
            places::add(&mut self.acknowledged, &name, &raw);
        }
        output.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn run_writing(&mut self, args: &[&str]) -> Option<Output> {
        let machine = self.random.pick(&self.machines).clone();
        let lines =
            (self.random.range(0, 3) == 0).then(|| usize::try_from(self.random.range(0, 45)).unwrap());
        let (shown, output) = self.ended(&machine, args, lines);
        let code = output.status.code()?;
        // Whoever inserts without a pause may be faster than a hundred renames: the restore then stops midway, and is resumed.
        if code == 4 && told(&output).contains("faster than it can be replaced: stop them") {
            return None;
        }
        assert!([0, 3].contains(&code), "{shown}: {}", told(&output));
        Some(output)
    }

    /// All places but the safety backups: a restore promises more than that they are there.
    fn places(&mut self) -> BTreeSet<places::Stored> {
        let (live, beside) = in_database(&self.env);
        let mut found: BTreeSet<_> = live.into_keys().chain(beside.into_keys()).collect();
        let rescued = self.machines.iter().flat_map(|machine| rescue_files(machine));
        let backups = self.backups.iter().map(|taken| taken.path.clone());
        for path in rescued.chain(backups).collect::<Vec<_>>() {
            found.extend(self.files.read(&path).iter().cloned());
        }
        found
    }

    fn check(&mut self) {
        let live = in_database(&self.env).0;
        self.acknowledged.extend(live);
        let places = self.places();
        let lost: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|(stored, _)| !places.contains(*stored))
            .collect();
        assert!(
            lost.is_empty(),
            "{} documents are in no place: {:#?}",
            lost.len(),
            &lost[..lost.len().min(5)]
        );
    }

    /// Whatever happened: the advice of `restore --list` is never refused, and leads to where a backup can be restored.
    fn settle(&mut self) {
        let machine = self.random.pick(&self.machines).clone();
        for _ in 0..MAX_ADVICE {
            let listed = self
                .run_on(&machine, &["restore", "--list"], None)
                .and_then(|output| json(&output))
                .unwrap();
            let advised = listed["restores"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|known| known["next"].as_str());
            let advised: Vec<&str> = advised.collect();
            // What is under way comes first.
            let midway = advised
                .iter()
                .find(|next| !next.contains("--forget"))
                .or_else(|| advised.last());
            let Some(next) = midway.map(|next| (*next).to_owned()) else {
                break;
            };
            let words: Vec<&str> = next.split_whitespace().skip(2).take(3).collect();
            let output = self.run_on(&machine, &words, None).unwrap();
            assert!(output.status.success(), "{next}: {}", told(&output));
            self.check();
        }
        let names = self.env.database().list_collection_names().run().unwrap();
        let left: Vec<&String> = names
            .iter()
            .filter(|name| xtask::domain::inventory::is_reserved(name))
            .collect();
        assert!(left.is_empty(), "the advice leaves {left:?}");
        self.by_intention(|env, _| application::drop_not_restored(env));
        let Some(at) = self.backups.iter().rposition(|taken| taken.is_restorable) else {
            return;
        };
        let last = self.backups.remove(at);
        let output = self
            .run_on(&machine, &["restore", &last.path.display().to_string()], None)
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(last.inventory.compare(&self.env.inventory()), []);
        self.backups.push(last);
        self.check();
    }
}

/// Its end, or that of being killed after so many lines. What it prints is read all the time: a full pipe would stop it.
fn end_of(mut child: Child, machine: &Path, lines: Option<usize>) -> Output {
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(|| all_of(stdout));
        let stderr = scope.spawn(|| all_of(stderr));
        if let Some(lines) = lines {
            kill_after(&mut child, machine, lines);
        }
        Output {
            status: child.wait().unwrap(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    })
}

fn all_of(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    bytes
}

/// SIGKILL as soon as the journals of the machine have so many more lines; it may have ended before.
fn kill_after(child: &mut Child, machine: &Path, more: usize) {
    let lines = || -> usize {
        let folders = machine
            .join(".xtask/operations")
            .read_dir()
            .into_iter()
            .flatten()
            .flatten();
        let journals = folders.filter_map(|entry| std::fs::read(entry.path().join("steps.jsonl")).ok());
        journals
            .map(|text| text.split(|byte| *byte == b'\n').count() - 1)
            .sum()
    };
    let enough = lines() + more;
    wait_until("enough lines", || {
        child.try_wait().unwrap().is_some() || lines() >= enough
    });
    child.kill().ok();
}

fn json(output: &Output) -> Option<Value> {
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// Documents of 95 levels are read here too.
const STACK_BYTES: usize = 64 << 20;

#[test]
fn no_acknowledged_document_is_lost_whatever_is_run_killed_and_changed_on_two_machines() {
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().unwrap())
    };
    let first = number("XTASK_SEED").unwrap_or(1);
    let count = number("XTASK_SEQUENCES").unwrap_or(SEQUENCES);
    let sequences = move || {
        for seed in first..first + count {
            let mut sequence = Sequence::new(seed);
            for _ in 0..STEPS {
                sequence.step();
            }
            sequence.settle();
            println!("seed {seed}: nothing is lost");
        }
    };
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(sequences);
    let ended = thread.unwrap().join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
