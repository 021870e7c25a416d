//! `cargo xtask ci`: everything that must hold before a change lands. It installs what it needs.

mod lint;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde::Serialize;
use xshell::{Shell, cmd};

use super::Common;
use super::rehearse::Scenario;
use crate::error::Stop;
use crate::exec::Exec;
use crate::report;
use crate::tools::resolve::{Purpose, path_with, resolve, resolve_for};

/// A stage that takes longer hangs.
const STAGE_DEADLINE: Duration = Duration::from_secs(40 * 60);
/// Documents of the short rehearsal.
const REHEARSAL_DOCUMENTS: &str = "2000";
const SCENARIO_DOCUMENTS: &str = "300";
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
}

impl Args {
    /// Those named, or all of them; what takes half an hour only where it is asked for.
    fn wants(&self, stage: Stage) -> bool {
        let by_default = match stage {
            Stage::Conformance => self.conformance,
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
    duration_ms: u64,
}

/// Runs the stages to the first that fails; one line each.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let root = crate::context::repository_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    let mut report = Report { stages: Vec::new() };
    let wanted = Stage::value_variants().iter().filter(|stage| args.wants(**stage));
    let mut failure = None;
    for &stage in wanted {
        let began = Instant::now();
        let outcome = stage.run(&sh, &root);
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
            duration_ms,
        });
        if let Err(error) = outcome {
            failure = Some(error.context(format!("the stage `{}` failed", stage.name())));
            break;
        }
    }
    report::emit(common.format, "ci/1", &report, || {
        let passed = report.stages.iter().filter(|stage| stage.passed).count();
        format!(
            "{passed} stages passed, {} failed\n",
            report.stages.len() - passed
        )
    })?;
    failure.map_or(Ok(()), |error| {
        Err(Stop::failed(format!("{error:#}"))
            .next("mend it and run `cargo xtask ci` again")
            .into())
    })
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
            Self::Rehearse => "rehearse",
            Self::Scenarios => "scenarios",
            Self::Conformance => "conformance",
        }
    }

    fn run(self, sh: &Shell, root: &Path) -> Result<()> {
        let command = match self {
            Self::Tools => return resolve(root, &[]).map(drop),
            Self::Lint => return lint::run(sh, root),
            Self::Format => cmd!(sh, "cargo fmt --all --check"),
            Self::Clippy => cmd!(
                sh,
                "cargo clippy --workspace --all-targets --locked -- --deny warnings"
            ),
            Self::Build => cmd!(sh, "cargo build --workspace --all-targets --locked"),
            Self::Test => cmd!(sh, "cargo test --workspace --locked"),
            Self::Rehearse => cmd!(
                sh,
                "cargo xtask rehearse --documents {REHEARSAL_DOCUMENTS} --platform-s 0"
            ),
            Self::Scenarios => return scenarios(sh, root),
            Self::Conformance => {
                resolve_for(root, Purpose::Conformance)?;
                cmd!(
                    sh,
                    "cargo test --package xtask --locked --test conformance_* -- --ignored"
                )
            }
        };
        self.run_command(command, root)
    }

    fn run_command(self, command: xshell::Cmd<'_>, root: &Path) -> Result<()> {
        let tools = resolve(root, &[])?;
        let _ticker = report::Ticker::start(format!("{}…", self.name()));
        let finished = Exec::new(command)
            .env("PATH", path_with(&tools)?)
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

/// Every story beside the whole one.
fn scenarios(sh: &Shell, root: &Path) -> Result<()> {
    for scenario in Scenario::value_variants() {
        let name = scenario.to_possible_value().context("a scenario has a name")?;
        let name = name.get_name();
        let command = cmd!(
            sh,
            "cargo xtask rehearse --scenario {name} --documents {SCENARIO_DOCUMENTS}"
        );
        Stage::Scenarios
            .run_command(command, root)
            .with_context(|| format!("the story `{name}`"))?;
    }
    Ok(())
}

fn closing(line: &str) -> bool {
    line.starts_with("test result:") || line.contains(" FAILED")
}
