//! `cargo xtask ci`: everything that must hold before a change lands. It installs what it needs.

mod fuzz;
mod lint;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde::Serialize;
use xshell::{Shell, cmd};

use rehearsal::scenarios::Scenario;
use rehearsal::test_env::programs::path_with;
use xtask::error::CliError;
use xtask::exec::Exec;
use xtask::report::{self, Format};
use xtask::sync::{join, lock};
use xtask::tools::toolchain::resolve;

use crate::tools::{self, ToolStage};

/// A stage that takes longer hangs.
const STAGE_DEADLINE: Duration = Duration::from_mins(40);
/// Every cell of every table of faults; a sample of them has the deadline of the others.
const ALL_FAULTS_DEADLINE: Duration = Duration::from_hours(6);
/// How the tables, the tests that stop an operation at lines of its journal, and the model are asked to run whole.
const ALL_FAULTS: [(&str, &str); 3] = [
    ("FAULTS", "all"),
    ("XTASK_LINES", "all"),
    ("XTASK_SEQUENCES", "2000"),
];
/// Tests wait for servers and platforms more than they compute.
const TEST_THREADS: &str = "4";
/// Documents of the short rehearsal.
const REHEARSAL_DOCUMENTS: &str = "2000";
const SCENARIO_DOCUMENTS: &str = "300";
/// Of the scenario of a large database: enough that little of a collection is put back in place.
const LARGE_SCENARIO_DOCUMENTS: &str = "6000";
// Tests, tables of faults and scenarios wait for servers and platforms more than they compute: one after the other they use
// half of two cores.
const SCENARIOS_AT_ONCE: usize = 3;
const STAGES_AT_ONCE: usize = 2;
const TESTS_AT_ONCE: usize = 2;
/// The halves of the tests. Together they are all packages.
const TESTS: [&[&str]; 2] = [
    &["--package", "rehearsal"],
    &["--workspace", "--exclude", "rehearsal"],
];
/// What cargo and rustup need of our environment.
const CARGO_ENV: &[&str] = &[
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_TARGET_DIR",
    "RUSTFLAGS",
];

/// Options of `ci`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these stages
    #[arg(value_enum)]
    stages: Vec<Stage>,
    /// Also run the real programs of the platforms against the simulator; building them takes half an hour once
    #[arg(long)]
    conformance: bool,
    /// Run every cell of the tables of `docs/FAULTS.md` and write them, and 2,000 sequences of the model, not a sample; it takes
    /// some hours
    #[arg(long)]
    all: bool,
    /// Fuzz each target for so many minutes, not for one
    #[arg(long, value_name = "MINUTES")]
    fuzz_minutes: Option<u64>,
}

impl Args {
    /// Those named, or all of them. What takes long is asked for: the real programs, and fuzzing, whose kept inputs are run by the
    /// tests of each time.
    fn wants(&self, stage: Stage) -> bool {
        let by_default = match stage {
            Stage::Conformance => self.conformance,
            Stage::Fuzz => self.fuzz_minutes.is_some(),
            _ => self.stages.is_empty(),
        };
        by_default || self.stages.contains(&stage)
    }
}

/// In the order in which they run; those that need the machine for themselves come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Tools,
    Format,
    Lint,
    Clippy,
    Build,
    Test,
    Dns,
    Faults,
    Fuzz,
    Pages,
    Rehearse,
    Scenarios,
    Conformance,
}

#[derive(Serialize)]
struct Report {
    stages: Vec<Ended>,
}

#[derive(Serialize)]
struct Ended {
    stage: Stage,
    passed: bool,
    /// Why it could not run at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<String>,
    duration_ms: u64,
}

/// Runs the stages to the first that fails; one line each.
pub fn run(args: &Args, format: Format) -> Result<()> {
    let root = xtask::context::repository_root()?;
    let wanted: Vec<Stage> = Stage::value_variants()
        .iter()
        .copied()
        .filter(|stage| args.wants(*stage))
        .collect();
    let (alone, waiting): (Vec<Stage>, Vec<Stage>) = wanted.into_iter().partition(|stage| stage.is_alone());
    let ended = Mutex::new(Vec::new());
    let play = |stage: &Stage| -> Result<()> {
        let (entry, outcome) = played(*stage, &root, args)?;
        lock(&ended).push(entry);
        outcome
    };
    let failure = at_once(&alone, 1, play)
        .and_then(|()| at_once(&waiting, STAGES_AT_ONCE, play))
        .err();
    let report = Report {
        stages: std::mem::take(&mut *lock(&ended)),
    };
    report::emit(format, "ci/1", &report, || report.text())?;
    failure.map_or(Ok(()), |error| {
        Err(CliError::failed(format!("{error:#}"))
            .next("mend it and run `cargo xtask ci` again")
            .into())
    })
}

/// How a stage ended, and why it failed. One line each for who reads the log.
fn played(stage: Stage, root: &Path, args: &Args) -> Result<(Ended, Result<()>)> {
    let mut entry = Ended {
        stage,
        passed: false,
        not_run: stage.cannot_run(root)?,
        duration_ms: 0,
    };
    if let Some(why) = &entry.not_run {
        report::progress(&format!("{:<9} NOT RUN: {why}", stage.name()));
        return Ok((entry, Ok(())));
    }
    let began = Instant::now();
    let outcome = stage.run(root, args);
    entry.passed = outcome.is_ok();
    entry.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let word = if entry.passed { "passed" } else { "FAILED" };
    report::progress(&format!(
        "{:<9} {word} in {}",
        stage.name(),
        report::duration_ms(entry.duration_ms)
    ));
    let outcome = outcome.with_context(|| format!("the stage `{}` failed", stage.name()));
    Ok((entry, outcome))
}

/// Runs something for each of these, some at once, in their order; after the first that fails, no other one begins.
fn at_once<T: Sync>(each: &[T], at_most: usize, run: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let open = Mutex::new(each.iter());
    let take = || lock(&open).next();
    let work = || -> Result<()> {
        while let Some(one) = take() {
            if let Err(error) = run(one) {
                *lock(&open) = [].iter();
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_most).map(|_| scope.spawn(work)).collect();
        let ended: Vec<Result<()>> = workers.into_iter().map(join).collect();
        ended.into_iter().collect()
    })
}

impl Report {
    fn text(&self) -> String {
        let passed = self.stages.iter().filter(|stage| stage.passed).count();
        let skipped = self.stages.iter().filter(|stage| stage.not_run.is_some()).count();
        let failed = self.stages.len() - passed - skipped;
        format!("{passed} stages passed, {failed} failed, {skipped} not run\n")
    }
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Format => "format",
            Self::Lint => "lint",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Test => "test",
            Self::Dns => "dns",
            Self::Faults => "faults",
            Self::Fuzz => "fuzz",
            Self::Pages => "pages",
            Self::Rehearse => "rehearse",
            Self::Scenarios => "scenarios",
            Self::Conformance => "conformance",
        }
    }

    /// Why this machine cannot run it: said aloud, never passed over.
    fn cannot_run(self, root: &Path) -> Result<Option<String>> {
        match self {
            Self::Pages => tools::unavailable(root, ToolStage::Pages),
            Self::Dns => Ok((!has_namespaces(root)?).then(|| {
                "no network namespace can be made here: it needs `unshare` and `ip`, and the right to use them".to_owned()
            })),
            Self::Fuzz => Ok(fuzz::cannot_run()),
            _ => Ok(None),
        }
    }

    /// Whether it runs before the others, or needs the machine for itself.
    fn is_alone(self) -> bool {
        match self {
            Self::Tools
            | Self::Format
            | Self::Lint
            | Self::Clippy
            | Self::Build
            | Self::Fuzz
            | Self::Conformance => true,
            Self::Test | Self::Faults | Self::Dns | Self::Pages | Self::Rehearse | Self::Scenarios => false,
        }
    }

    fn run(self, root: &Path, args: &Args) -> Result<()> {
        let sh = &shell(root)?;
        let command = match self {
            Self::Tools => return resolve(root, &[]).map(drop),
            Self::Lint => return lint::run(sh, root),
            Self::Format => cmd!(sh, "cargo fmt --all --check"),
            Self::Clippy => cmd!(
                sh,
                "cargo clippy --workspace --all-targets --locked -- --deny warnings"
            ),
            Self::Build => cmd!(sh, "cargo build --workspace --all-targets --locked"),
            Self::Test => {
                return at_once(&TESTS, TESTS_AT_ONCE, |packages| {
                    let (sh, packages) = (shell(root)?, *packages);
                    self.run_command(
                        cmd!(
                            sh,
                            "cargo test {packages...} --locked -- --test-threads {TEST_THREADS}"
                        ),
                        root,
                    )
                });
            }
            Self::Dns => cmd!(
                sh,
                "cargo test --package xtask --locked --test data backup::srv::strings -- --ignored"
            ),
            Self::Faults => return faults(sh, root, args.all),
            Self::Fuzz => return fuzz::run(sh, root, args.fuzz_minutes.unwrap_or(1)),
            Self::Pages => cmd!(
                sh,
                "cargo test --package dev --locked --test conformance pages:: -- --ignored"
            ),
            Self::Rehearse => cmd!(
                sh,
                "cargo xtask rehearse --documents {REHEARSAL_DOCUMENTS} --platform-s 0"
            ),
            Self::Scenarios => {
                return at_once(Scenario::value_variants(), SCENARIOS_AT_ONCE, |one| {
                    scenario(root, *one)
                });
            }
            Self::Conformance => cmd!(
                sh,
                "cargo test --package dev --locked --test conformance -- --ignored --skip pages::"
            ),
        };
        self.run_command(command, root)
    }

    fn run_command(self, command: xshell::Cmd<'_>, root: &Path) -> Result<()> {
        let mut found = resolve(root, &[])?;
        let more = match self {
            Self::Pages => Some(ToolStage::Pages),
            Self::Conformance => Some(ToolStage::Conformance),
            _ => None,
        };
        if let Some(stage) = more {
            found.extend(tools::resolve(root, stage)?);
        }
        let _ticker = report::Ticker::start(format!("{}…", self.name()));
        let finished = Exec::new(command)
            .env("PATH", path_with(&found)?)
            .inherit(CARGO_ENV)
            .deadline(STAGE_DEADLINE)
            .on_stderr(report::trace)
            .output()?;
        // The runners' closing lines are what a reader of a CI log looks for.
        for line in finished.stdout.lines().filter(|line| closing(line)) {
            report::progress(line);
        }
        if finished.code != Some(0) {
            report::progress(&finished.stdout);
        }
        finished.checked().map(drop)
    }
}

fn shell(root: &Path) -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(root);
    Ok(sh)
}

/// Whether the test of connection strings may have a name server of its own, as its user or as the administrator.
fn has_namespaces(root: &Path) -> Result<bool> {
    let sh = shell(root)?;
    let ways = [
        cmd!(sh, "unshare -rmn ip link set lo up"),
        cmd!(sh, "sudo --non-interactive unshare -mn ip link set lo up"),
    ];
    Ok(ways.into_iter().any(|way| {
        let tried = Exec::new(way).deadline(Duration::from_secs(10)).output();
        tried.is_ok_and(|ended| ended.code == Some(0))
    }))
}

/// The tables of what can go wrong: a sample of their cells; or all of them, one by one, and every line of the journals.
fn faults(sh: &Shell, root: &Path, all: bool) -> Result<()> {
    if !all {
        let tables = cmd!(
            sh,
            "cargo test --package rehearsal --locked --test release operation:: -- --ignored --test-threads {TEST_THREADS}"
        );
        return Stage::Faults.run_command(tables, root);
    }
    let tables = cmd!(
        sh,
        "cargo test --package rehearsal --locked --test release -- operation:: layouts:: adopted:: --include-ignored --nocapture --test-threads {TEST_THREADS}"
    );
    every_fault(tables, root)?;
    every_fault(
        cmd!(
            sh,
            "cargo test --package xtask --locked --test data -- restore_crash restore_delta restore_states --nocapture --test-threads {TEST_THREADS}"
        ),
        root,
    )
}

fn every_fault(tests: xshell::Cmd<'_>, root: &Path) -> Result<()> {
    let tools = resolve(root, &[])?;
    let exec = Exec::new(tests).env("PATH", path_with(&tools)?);
    ALL_FAULTS
        .into_iter()
        .fold(exec, |exec, (name, value)| exec.env(name, value))
        .inherit(CARGO_ENV)
        .deadline(ALL_FAULTS_DEADLINE)
        .on_stderr(report::progress)
        .run()
}

/// One scenario beside the whole release and its rollback.
fn scenario(root: &Path, scenario: Scenario) -> Result<()> {
    let sh = shell(root)?;
    let name = scenario.to_possible_value().context("a scenario has a name")?;
    let name = name.get_name();
    let documents = match scenario {
        Scenario::Large => LARGE_SCENARIO_DOCUMENTS,
        _ => SCENARIO_DOCUMENTS,
    };
    let command = cmd!(
        sh,
        "cargo xtask rehearse --scenario {name} --documents {documents}"
    );
    Stage::Scenarios
        .run_command(command, root)
        .with_context(|| format!("the scenario `{name}`"))
}

fn closing(line: &str) -> bool {
    line.starts_with("test result:") || line.contains(" FAILED")
}
