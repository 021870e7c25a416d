//! The readers of outside data, each with inputs that libFuzzer makes up.
//!
//! The stable toolchain does it: only the crates of this workspace are compiled with counters (`xtask/fuzz/rustc.sh`).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};
use xtask::exec::Exec;
use xtask::report;
use xtask_fuzz::{TARGET_VARIABLE, TARGETS, Target};

/// Building the program, and what a run may take beyond its time.
const BUILD_DEADLINE: Duration = Duration::from_mins(30);
/// Cargo's variable for the program that compiles the crates of this workspace, and only those.
const WRAPPER_VARIABLE: &str = "RUSTC_WORKSPACE_WRAPPER";
const WRAPPER: &str = "xtask/fuzz/rustc.sh";
/// An input that takes longer is a finding, on a busy machine too.
const INPUT_S: u64 = 20;
/// A process that needs more memory is a finding.
const MEMORY_MIB: u64 = 2048;
/// The longest input that is made up.
const INPUT_BYTES: u64 = 65_536;

/// Why this machine cannot fuzz.
pub(super) fn cannot_run() -> Option<String> {
    // cc takes it where `CXX` names no other one: https://docs.rs/cc#external-configuration-via-environment-variables
    which::which("c++")
        .is_err()
        .then(|| "libFuzzer is C++, and there is no `c++` here".to_owned())
}

/// Runs every target; stops at the first finding.
pub(super) fn run(sh: &Shell, root: &Path, minutes: u64) -> Result<()> {
    let time = Duration::from_mins(minutes);
    let build = cmd!(
        sh,
        "cargo build --package dev --package xtask-fuzz --features xtask-fuzz/libfuzzer --bin xtask-fuzz --locked"
    );
    let ticker = report::Ticker::start("fuzz: build…".to_owned());
    Exec::new(build)
        .env(WRAPPER_VARIABLE, root.join(WRAPPER).as_os_str())
        .inherit(super::CARGO_ENV)
        .deadline(BUILD_DEADLINE)
        .on_stderr(report::trace)
        .run()?;
    drop(ticker);
    TARGETS.iter().try_for_each(|target| one(sh, target, time))
}

fn one(sh: &Shell, target: &Target, time: Duration) -> Result<()> {
    let name = target.name;
    let program = program()?;
    let found = program.with_file_name("fuzz").join(name);
    let corpus = target.corpus();
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let prefix = format!("{}/", found.display());
    let options = [
        format!("-max_total_time={}", time.as_secs()),
        format!("-timeout={INPUT_S}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        format!("-max_len={INPUT_BYTES}"),
        "-print_final_stats=1".to_owned(),
        format!("-artifact_prefix={prefix}"),
    ];
    let _ticker = report::Ticker::start(format!("fuzz: {name}…"));
    // What libFuzzer finds goes to the first folder.
    let run = cmd!(sh, "{program} {options...} {found} {corpus}");
    let finished = Exec::new(run)
        .env(TARGET_VARIABLE, name)
        // The message of a panic is among the last lines then.
        .env("RUST_BACKTRACE", "0")
        .deadline(time + BUILD_DEADLINE)
        .on_stderr(report::trace)
        .output()?;
    if finished.code != Some(0) {
        let again = format!("{TARGET_VARIABLE}={name} {} FILE", program.display());
        return Err(finished.error().context(format!(
            "{name} has a finding: its input is in {prefix}, to run again with `{again}`"
        )));
    }
    let executions = finished
        .stderr_tail
        .iter()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map_or("no", str::trim);
    report::progress(&format!("fuzz: {name}: {executions} inputs, none with a finding"));
    Ok(())
}

/// Beside this program: both are binaries of one build folder.
fn program() -> Result<std::path::PathBuf> {
    let here = std::env::current_exe().context("cannot determine where this program is")?;
    Ok(here.with_file_name("xtask-fuzz"))
}
