//! Random sequences of what an operator, an application and a bad day do to a database with data of every shape, on two
//! machines: after each step every document that the application was told is stored, and did not delete, is somewhere.
//!
//! `XTASK_SEQUENCES=N` runs more of them, `XTASK_SEED=S` begins with another one; a failure prints the seed and the steps.

mod application;
mod checks;
mod commands;
mod places;

use std::collections::BTreeSet;
use std::path::PathBuf;

use rehearsal::data::random::Random;
use rehearsal::test_env::git::git;
use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::shapes::{ODD_DATABASE, generate};
use xtask::database::Digests;
use xtask::domain::inventory::Inventory;

use checks::differences;
use commands::json;
use places::{Documents, Files, documents_of, in_database, measurements, rescue_files};

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
    /// What was measured: a time-series collection has it, and nothing takes it away.
    measured: u64,
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

/// As the program sees it.
fn inventory(env: &RestoreEnv) -> Inventory {
    env.seen().inventory(Digests::Full).unwrap()
}

impl Sequence {
    /// A third of them is on a small tier of Atlas, a third on a server with what was stored before, and each fourth has a database
    /// with an odd name.
    fn new(seed: u64) -> Self {
        let mut env = RestoreEnv::behind_proxy();
        let proxy = env.proxy.as_ref().unwrap();
        match seed % 3 {
            0 => proxy.become_small_tier(),
            1 => proxy.become_old(),
            _ => {}
        }
        if seed.is_multiple_of(4) {
            env = env.with_database(ODD_DATABASE);
        }
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
            measured: measurements(&env),
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
        self.expect_no_undo();
        self.told.done.push(format!("change: {done}"));
    }

    /// The application wrote: of a restore that has something in the database, nobody can tell what an undo gives back.
    fn expect_no_undo(&mut self) {
        let listed = self.env.live().listed().unwrap();
        for made in &mut self.restores {
            if listed.keys().any(|name| name.contains(&made.operation)) {
                made.before = None;
            }
        }
    }

    /// What the application deletes is gone by intention.
    fn by_intention<T>(&mut self, act: impl FnOnce(&RestoreEnv, &mut Random) -> T) -> T {
        let before = in_database(&self.env).0;
        let measured = measurements(&self.env);
        let done = act(&self.env, &mut self.random);
        let after = in_database(&self.env).0;
        self.acknowledged
            .retain(|stored, _| after.contains_key(stored) || !before.contains_key(stored));
        self.measured += measurements(&self.env) - measured;
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
        let inventory = inventory(&self.env);
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
        self.plans_agree(&self.backups[at].path);
        let before = inventory(&self.env);
        let writes = self.random.range(0, 3) == 0;
        let method = *self.random.pick(&["auto", "delta", "delta", "swap"]);
        let conflicts = *self.random.pick(&["keep", "restore", "stop"]);
        let args = ["restore", &path, "--method", method, "--conflicts", conflicts];
        let output = if writes {
            self.while_written(&args)
        } else {
            self.run(&args)
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
            assert_eq!(
                differences(&self.backups[at].inventory, &inventory(&self.env)),
                []
            );
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
            let found = inventory(&self.env);
            let mut wrong = differences(&before, &found);
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
