//! `cargo xtask ci`: everything that must hold before a change lands. It installs what it needs.

mod fuzz;
mod lint;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde::Serialize;
use xshell::{Shell, cmd};

use rehearsal::scenarios::Scenario;
use xtask::error::CliError;
use xtask::exec::Exec;
use xtask::release::platforms::join;
use xtask::report::{self, Format};
use xtask::tools::toolchain::{path_with, resolve};

use crate::tools::{self, ToolStage};

/// A stage that takes longer hangs.
const STAGE_DEADLINE: Duration = Duration::from_mins(40);
/// Every cell of every table of faults; a sample of them has the deadline of the others.
const ALL_FAULTS_DEADLINE: Duration = Duration::from_hours(6);
/// How the tables, and the tests that stop an operation at lines of its journal, are asked to run whole.
const ALL_FAULTS: [(&str, &str); 2] = [("FAULTS", "all"), ("XTASK_LINES", "all")];
/// Tests wait for servers and platforms more than they compute.
const TEST_THREADS: &str = "4";
/// Documents of the short rehearsal.
const REHEARSAL_DOCUMENTS: &str = "2000";
const SCENARIO_DOCUMENTS: &str = "300";
const SCENARIOS_AT_ONCE: usize = 3;
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
    /// Run every cell of the tables of `docs/FAULTS.md` and write them, not a sample; it takes some hours
    #[arg(long)]
    all: bool,
    /// Fuzz each target for so many minutes, not for some seconds
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

/// In the order in which they run.
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
    let sh = Shell::new()?;
    sh.change_dir(&root);
    let mut report = Report { stages: Vec::new() };
    let wanted = Stage::value_variants().iter().filter(|stage| args.wants(**stage));
    let mut failure = None;
    for &stage in wanted {
        let began = Instant::now();
        if let Some(why) = stage.cannot_run(&root)? {
            report::progress(&format!("{:<9} NOT RUN: {why}", stage.name()));
            report.stages.push(Ended {
                stage,
                passed: false,
                not_run: Some(why),
                duration_ms: 0,
            });
            continue;
        }
        let outcome = stage.run(&sh, &root, args);
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let word = if outcome.is_ok() { "passed" } else { "FAILED" };
        report::progress(&format!(
            "{:<9} {word} in {}",
            stage.name(),
            report::duration_ms(duration_ms)
        ));
        report.stages.push(Ended {
            stage,
            passed: outcome.is_ok(),
            not_run: None,
            duration_ms,
        });
        if let Err(error) = outcome {
            failure = Some(error.context(format!("the stage `{}` failed", stage.name())));
            break;
        }
    }
    report::emit(format, "ci/1", &report, || report.text())?;
    failure.map_or(Ok(()), |error| {
        Err(CliError::failed(format!("{error:#}"))
            .next("mend it and run `cargo xtask ci` again")
            .into())
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
            _ => Ok(None),
        }
    }

    fn run(self, sh: &Shell, root: &Path, args: &Args) -> Result<()> {
        let command = match self {
            Self::Tools => return resolve(root, &[]).map(drop),
            Self::Lint => return lint::run(sh, root),
            Self::Format => cmd!(sh, "cargo fmt --all --check"),
            Self::Clippy => cmd!(
                sh,
                "cargo clippy --workspace --all-targets --locked -- --deny warnings"
            ),
            Self::Build => cmd!(sh, "cargo build --workspace --all-targets --locked"),
            Self::Test => cmd!(
                sh,
                "cargo test --workspace --locked -- --test-threads {TEST_THREADS}"
            ),
            Self::Dns => cmd!(
                sh,
                "cargo test --package xtask --locked --test data backup::srv::strings -- --ignored"
            ),
            Self::Faults => return faults(sh, root, args.all),
            Self::Fuzz => return fuzz::run(sh, root, args.fuzz_minutes),
            Self::Pages => cmd!(
                sh,
                "cargo test --package dev --locked --test conformance pages:: -- --ignored"
            ),
            Self::Rehearse => cmd!(
                sh,
                "cargo xtask rehearse --documents {REHEARSAL_DOCUMENTS} --platform-s 0"
            ),
            Self::Scenarios => return scenarios(root),
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

/// Whether the test of connection strings may have a name server of its own, as its user or as the administrator.
fn has_namespaces(root: &Path) -> Result<bool> {
    let sh = Shell::new()?;
    sh.change_dir(root);
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
        "cargo test --package rehearsal --locked --test release operation:: -- --include-ignored --nocapture"
    );
    every_fault(tables, root)?;
    every_fault(
        cmd!(
            sh,
            "cargo test --package xtask --locked --test data restore_crash -- --nocapture"
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

/// Every story beside the whole one. They mostly wait for servers and platforms, so some run at once.
fn scenarios(root: &Path) -> Result<()> {
    let open = Mutex::new(Scenario::value_variants().iter());
    let take = || {
        open.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
            .copied()
    };
    let play = || -> Result<()> {
        while let Some(scenario) = take() {
            self::scenario(root, scenario)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..SCENARIOS_AT_ONCE).map(|_| scope.spawn(play)).collect();
        let played: Vec<Result<()>> = players.into_iter().map(join).collect();
        played.into_iter().collect()
    })
}

fn scenario(root: &Path, scenario: Scenario) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(root);
    let name = scenario.to_possible_value().context("a scenario has a name")?;
    let name = name.get_name();
    let command = cmd!(
        sh,
        "cargo xtask rehearse --scenario {name} --documents {SCENARIO_DOCUMENTS}"
    );
    Stage::Scenarios
        .run_command(command, root)
        .with_context(|| format!("the story `{name}`"))
}

fn closing(line: &str) -> bool {
    line.starts_with("test result:") || line.contains(" FAILED")
}
