//! Random sequences of deploys, rollbacks, undos, resumes, kills, writes, deleted, moved and forged tags, by two people. After each step
//! backend, frontend, data, ledger and records agree with one release, or the program reports which do not; what was refused or
//! failed has changed nothing; no document that was written is lost. At the end the program's own commands repair what is left.
//!
//! `XTASK_SEQUENCES=N` runs so many in place of 50. A sequence that fails prints its seed and its steps;
//! `XTASK_SEED=S XTASK_SEQUENCES=1` runs it again.

mod observed;
mod people;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use observed::Observed;
use rehearsal::data::random::Random;

use super::case::Case;
use super::fault::Library;
use people::Person;

const SEQUENCES: u64 = 50;
/// Environments in which sequences run side by side: an operation mostly waits for one of the programs that it starts.
const SIDE_BY_SIDE: u64 = 3;
/// With the ledger grows the time of each step.
const SEQUENCES_OF_AN_ENVIRONMENT: u64 = 25;
/// Releases that are made: most are healthy.
const SAMPLES: [&str; 8] = ["v1", "v1", "v3", "v3", "v3", "v1", "v3", "v2-code-only"];
/// Longer than the journal of each operation: some kills come too late.
const LINES: i64 = 60;

/// What happens next.
#[derive(Debug, Clone)]
enum Act {
    Deploy {
        sample: &'static str,
    },
    RollBack {
        tag: String,
    },
    Undo {
        kind: String,
        operation: String,
    },
    Resume {
        kind: String,
        operation: String,
    },
    Recover {
        is_undo: bool,
    },
    Write,
    DeleteTag {
        tag: String,
    },
    DeleteRecord {
        tag: String,
    },
    /// To the commit of the branch; an annotated tag becomes a plain one.
    MoveTag {
        tag: String,
    },
    /// A tag of the future, which claims to be a release of this environment.
    Forge {
        environment: &'static str,
    },
}

impl Act {
    /// The command, where it is one.
    fn args(&self) -> Option<Vec<String>> {
        let words: Vec<&str> = match self {
            Self::Deploy { .. } => vec!["deploy", "--allow-rolled-back"],
            Self::RollBack { tag } => vec!["rollback", tag, "--reason", "model"],
            Self::Undo { kind, operation } => vec![kind, "--undo", operation],
            Self::Resume { kind, operation } => vec![kind, "--resume", operation],
            Self::Recover { is_undo: true } => vec!["recover", "--undo"],
            Self::Recover { is_undo: false } => vec!["recover", "--resume"],
            _ => return None,
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }
}

/// An environment in which sequences run.
struct Model {
    case: Case,
    library: Library,
    people: [Person; 2],
    /// What was written so far; each is somewhere in the database.
    written: std::cell::RefCell<Vec<i32>>,
    /// Tags that were moved, and what they were.
    moved: std::cell::RefCell<Vec<(String, String)>>,
    steps: std::cell::RefCell<String>,
}

impl Model {
    fn start() -> Self {
        let case = Case::new();
        let library = Library::compile(&case.env.folder);
        let people = [
            Person::at(case.env.clone_dir()),
            Person::at(case.env.clone_of("bob").unwrap()),
        ];
        Self {
            case,
            library,
            people,
            written: std::cell::RefCell::default(),
            moved: std::cell::RefCell::default(),
            steps: std::cell::RefCell::default(),
        }
    }

    /// One sequence, and what puts everything right after it.
    fn sequence(&self, seed: u64) {
        self.steps.borrow_mut().clear();
        let mut random = Random::new(seed);
        let mut before = self.observe();
        for _ in 0..random.range(3, 6) {
            let act = next(&before, &mut random);
            let person = random.range(0, 2);
            let kill = (random.range(0, 3) == 0).then(|| random.range(1, LINES));
            let both = kill.is_none() && random.range(0, 6) == 0;
            writeln!(
                self.steps.borrow_mut(),
                "person {person}, kill at {kill:?}, both {both}: {act:?}"
            )
            .unwrap();
            before = if both {
                let other = next(&before, &mut random);
                writeln!(self.steps.borrow_mut(), "  the other person: {other:?}").unwrap();
                self.both(&act, &other);
                self.observe()
            } else {
                self.one(&act, person, kill, &before)
            };
            self.assert_told(&before);
        }
        self.put_right(&mut random, before);
    }

    /// One person acts, and may be killed at a line of the journal.
    fn one(&self, act: &Act, person: i64, kill: Option<i64>, before: &Observed) -> Observed {
        let person = &self.people[usize::try_from(person).unwrap()];
        self.prepare(act, &[person]);
        let Some(args) = act.args() else {
            self.outside(act, before);
            return self.observe();
        };
        let env = kill.map_or_else(Vec::new, |line| {
            let how = if line % 2 == 0 { "torn" } else { "after" };
            self.library.env("/steps.jsonl", &format!("line:{line}"), how)
        });
        let ended = person.run(&self.case, &args, &env);
        self.note(&ended);
        let after = self.observe();
        if matches!(ended.code, Some(1..=3)) && before.unfinished.is_none() {
            assert_eq!(after.live, before.live, "it changed something: {}", ended.error());
            assert_eq!(after.releases.last(), before.releases.last(), "{}", ended.error());
        }
        if ended.code == Some(0) {
            assert_eq!(after.unfinished, None, "it succeeded and is unfinished");
        }
        after
    }

    /// Two people act at the same time.
    fn both(&self, one: &Act, other: &Act) {
        let people = [&self.people[0], &self.people[1]];
        self.prepare(one, &people);
        self.prepare(other, &people);
        let commands: Vec<_> = [one, other]
            .into_iter()
            .zip(people)
            .filter_map(|(act, person)| Some((person, act.args()?)))
            .collect();
        let ended: Vec<_> = std::thread::scope(|scope| {
            let case = &self.case;
            let running = commands.iter();
            let running: Vec<_> = running
                .map(|(person, args)| scope.spawn(move || person.run(case, args, &[])))
                .collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for one in &ended {
            self.note(one);
        }
    }

    fn prepare(&self, act: &Act, people: &[&Person]) {
        if let Act::Deploy { sample } = act {
            self.commit(sample);
            for person in people {
                person.pull(&self.case);
            }
        }
    }

    /// Exit code and what was said last.
    fn note(&self, ended: &xtask::exec::Finished) {
        let said = ended.stderr_tail.join("\n");
        writeln!(self.steps.borrow_mut(), "  exit {:?}", ended.code).unwrap();
        match ended.code {
            Some(0) | None => {}
            Some(1..=4) => assert!(
                said.contains("live:") && said.contains("next:"),
                "the message lacks the live state or the next command: {said}"
            ),
            code => panic!("ended with {code:?}: {said}"),
        }
        if ended.code != Some(0) {
            let last: Vec<&str> = said.lines().rev().take(4).collect();
            let last = last.into_iter().rev();
            last.for_each(|line| writeln!(self.steps.borrow_mut(), "    {line}").unwrap());
        }
    }

    /// What the program offers for what was left: finish or undo the operation, push what is gone again.
    fn put_right(&self, random: &mut Random, mut observed: Observed) {
        // As the message of `ledger --repair` has it: no command changes a tag.
        self.move_back();
        for _ in 0..4 {
            if observed.unfinished.is_none() {
                break;
            }
            let verb = *random.pick(&["--resume", "--undo"]);
            let ended = self.people[0].run(&self.case, &["recover".to_owned(), verb.to_owned()], &[]);
            writeln!(self.steps.borrow_mut(), "recover {verb}").unwrap();
            self.note(&ended);
            observed = self.observe();
            if ended.code == Some(3) && observed.unfinished.is_some() {
                self.repair();
            }
        }
        self.remove_forged();
        if !observed.problems.is_empty() {
            self.repair();
            observed = self.observe();
        }
        assert_eq!(observed.unfinished, None, "an operation cannot be finished");
        assert_eq!(observed.problems, [] as [String; 0], "records cannot be repaired");
        self.assert_told(&observed);
        self.forget();
    }

    fn repair(&self) {
        let ended = self.people[1].run(&self.case, &["ledger".to_owned(), "--repair".to_owned()], &[]);
        writeln!(self.steps.borrow_mut(), "ledger --repair").unwrap();
        self.note(&ended);
    }
}

fn next(observed: &Observed, random: &mut Random) -> Act {
    let operation = random.pick(&observed.operations).clone();
    let (kind, id) = operation;
    let tag = random.pick(&observed.releases).clone();
    match random.range(0, 16) {
        0..=3 => {
            let sample: &&str = random.pick(&SAMPLES);
            Act::Deploy { sample }
        }
        4..=6 => Act::RollBack { tag },
        7 | 8 => Act::Undo { kind, operation: id },
        9 => Act::Resume { kind, operation: id },
        10 | 11 => Act::Recover {
            is_undo: random.range(0, 2) == 0,
        },
        12 | 13 => Act::Write,
        14 => match random.range(0, 3) {
            0 => Act::DeleteTag { tag },
            1 => Act::DeleteRecord { tag },
            _ => Act::MoveTag { tag },
        },
        _ => Act::Forge {
            environment: ["production", "staging"][usize::from(random.range(0, 2) == 0)],
        },
    }
}

/// Which sequences are run, by all environments together.
struct Plan {
    seed: u64,
    count: u64,
    begun: AtomicU64,
}

impl Plan {
    fn of_this_run() -> Self {
        let asked = std::env::var("XTASK_SEQUENCES").ok();
        let seed = std::env::var("XTASK_SEED").ok();
        Self {
            seed: seed.map_or_else(rand::random, |seed| seed.parse().unwrap()),
            count: asked.map_or(SEQUENCES, |count| count.parse().unwrap()),
            begun: AtomicU64::new(0),
        }
    }

    /// The seed of the next sequence, where one is left.
    fn next(&self) -> Option<u64> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        (number < self.count).then(|| self.seed.wrapping_add(number))
    }

    /// Runs sequences until none is left; gives the seeds of those that failed.
    fn run(&self) -> Vec<u64> {
        let (mut model, mut done, mut failed) = (None, 0, Vec::new());
        while let Some(seed) = self.next() {
            let now = model.get_or_insert_with(Model::start);
            let run = catch_unwind(AssertUnwindSafe(|| now.sequence(seed)));
            done += 1;
            if run.is_err() {
                eprintln!("XTASK_SEED={seed} XTASK_SEQUENCES=1:\n{}", now.steps.borrow());
                failed.push(seed);
            }
            if run.is_err() || done % SEQUENCES_OF_AN_ENVIRONMENT == 0 {
                model = None;
            }
        }
        failed
    }
}

#[test]
fn whatever_people_do_one_release_is_whole_or_the_program_reports_what_is_not() {
    let (plan, began) = (Plan::of_this_run(), Instant::now());
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..SIDE_BY_SIDE.min(plan.count))
            .map(|_| scope.spawn(|| plan.run()))
            .collect();
        running.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    eprintln!(
        "{} sequences in {} s from seed {}",
        plan.count,
        began.elapsed().as_secs(),
        plan.seed
    );
    assert!(failed.is_empty(), "sequences that failed: {failed:?}");
}
