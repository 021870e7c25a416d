//! `bench rollback`: a rehearsed rollback of code and data, beside what of it nobody can avoid: mongorestore and the platforms.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xshell::cmd;

use super::contest::{Contest, Run, Side};
use super::ground::Ground;
use super::measure::{self, Cost};
use super::report::Row;
use rehearsal::test_env::{Served, TestEnv};
use xtask::exec::shell_in;
use xtask::report;

/// Documents of the smallest run, about.
const SMALLEST_DOCUMENTS: u32 = 2_000;
const SEED: u64 = 1;
/// What users write through the second release: what the rollback must keep aside.
const WRITES: u32 = 25;
/// The step that renames collections: as long as the server takes to do so.
const SWAP: &str = "swap database";

pub(super) fn run(ground: &Ground) -> Result<Vec<Row>> {
    ground.at_each_scale(|scale| at(ground, scale))
}

fn at(ground: &Ground, scale: u32) -> Result<Vec<Row>> {
    let documents = SMALLEST_DOCUMENTS * scale;
    let played = rolled_back(ground, documents)?;
    let seconds = |name: &str| -> Result<f64> {
        let ms = played.report[name].as_u64();
        let ms = ms.with_context(|| format!("the rollback does not say its {name}"))?;
        Ok(ms as f64 / 1e3)
    };
    let steps = played.report["timeline"].as_array().into_iter().flatten();
    let swap_ms: u64 = steps
        .filter(|step| step["step"] == SWAP)
        .filter_map(|step| step["duration_ms"].as_u64())
        .sum();
    let (recovery_s, unavoidable_s) = (seconds("recovery_ms")?, seconds("unavoidable_ms")?);
    let peer = Cost {
        elapsed_s: unavoidable_s,
        // Nobody measured them apart.
        ..Cost::default()
    };
    let ours = Cost {
        elapsed_s: recovery_s,
        ..played.cost
    };
    let sides = [
        Side::new("mongorestore and platforms", || {
            Ok(Run::new(peer, "first release"))
        }),
        Side::new("ours", || {
            let overhead_s = recovery_s - unavoidable_s;
            let run = Run::new(ours, "first release").with("overhead_s", overhead_s);
            Ok(run.with("renaming_s", swap_ms as f64 / 1e3))
        }),
    ];
    let contest = Contest {
        rounds: 1,
        ..ground.grown("rollback", format!("{documents} documents"), scale)
    };
    contest.run(&sides)
}

/// A run of the rollback, and what it said of itself.
struct Played {
    report: Value,
    cost: Cost,
}

/// Deploys a release and a faulty one, and takes it back.
fn rolled_back(ground: &Ground, documents: u32) -> Result<Played> {
    report::progress(&format!("rehearsing a rollback with {documents} documents"));
    // A short path: the simulator's socket lies below it.
    let folder = tempfile::Builder::new().prefix("xtask-bench-").tempdir()?;
    let env = TestEnv::start(&ground.ctx.root, folder.path())?;
    env.seed(documents, SEED)?;
    env.commit_release("v1")?;
    let first = env.xtask_json("deploy-v1", &["deploy", "--yes"])?;
    let tag = first["release"]["tag"]
        .as_str()
        .context("the deploy names no release")?;
    env.commit_release("v2")?;
    let bad = env.xtask("deploy-v2", &["deploy", "--yes", "--format", "json"])?;
    ensure!(
        bad.code == Some(4),
        "the faulty release was not found unhealthy: {}",
        bad.error()
    );
    env.users_write(WRITES, SEED)?;
    let (sh, product) = (shell_in(&env.clone_dir())?, &ground.product);
    let exec = env.in_env(cmd!(
        sh,
        "{product} rollback {tag} --reason 'prices are missing' --yes --format json"
    ));
    let (printed, cost) = measure::run(exec)?;
    ensure!(
        env.served()? == Served::both("1.0.0"),
        "the first release is not what users see"
    );
    let report = serde_json::from_str(&printed).context("the rollback printed no JSON")?;
    Ok(Played { report, cost })
}
