//! The programs of this workspace that a test environment runs: the product, the simulator, the stand-ins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};
use xtask::exec::Exec;
use xtask::report;
use xtask::tools::toolchain::{Origin, Tool};

/// Name of the product's program.
pub const PRODUCT: &str = "xtask";
/// Name of the simulator's program.
pub const REHEARSAL: &str = "rehearsal";
const BUILD_DEADLINE: Duration = Duration::from_mins(30);

/// Root of this repository.
pub fn repository() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors()
            .nth(2)
            .expect("the crate is two folders deep")
            .to_path_buf()
    })
}

/// Builds them beside the running program, in its profile, and gives their folder; once in each process, so that a change of a
/// source does not reach what runs already. All in one command, because cargo would else choose other features for the dependencies
/// that they share, and build those twice.
pub fn build(root: &Path) -> Result<PathBuf> {
    static BUILT: Mutex<BTreeMap<PathBuf, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = built.get(root) {
        return Ok(folder.clone());
    }
    let folder = run_cargo(root)?;
    built.insert(root.to_owned(), folder.clone());
    Ok(folder)
}

fn run_cargo(root: &Path) -> Result<PathBuf> {
    let sh = Shell::new().context("cannot start a shell")?;
    sh.change_dir(root);
    let own = std::env::current_exe().context("cannot tell our own path")?;
    let beside = own.parent().context("our own path has no folder")?;
    // Tests are one folder further down.
    let beside = match beside.file_name() {
        Some(name) if name == "deps" => beside.parent().context("our own path has no folder")?,
        _ => beside,
    };
    let _ticker = report::Ticker::start("building the product, the simulator and the sample application");
    let mut build = cmd!(
        sh,
        "cargo build --quiet --package xtask --package rehearsal --bins"
    );
    if beside.ends_with("release") {
        build = build.arg("--release");
    }
    Exec::new(build)
        .inherit(&["CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR", "RUSTFLAGS"])
        .deadline(BUILD_DEADLINE)
        .run()?;
    Ok(beside.to_path_buf())
}

/// One of them, for a test.
pub fn built(name: &str) -> PathBuf {
    let folder = build(repository()).unwrap_or_else(|error| panic!("{error:#}"));
    folder.join(name)
}

/// The step of our action that takes a packed program, and the script that it runs.
pub fn prebuilt_step() -> (String, String) {
    let action = std::fs::read_to_string(repository().join(".github/actions/xtask/action.yml"));
    let action = action.expect("the action is in the repository");
    let step = action.split_once("      id: prebuilt\n").expect("the step").1;
    let step = step.split_once("\n    - name: ").expect("a step after it").0;
    let script = step.split_once("      run: |\n").expect("a script").1;
    (step.to_owned(), script.to_owned())
}

/// PATH with the folders of these tools in front.
pub fn path_with(tools: &[Tool]) -> Result<OsString> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    for tool in tools.iter().filter(|tool| tool.from != Origin::Path) {
        dirs.extend(tool.path.parent().map(Path::to_path_buf));
    }
    dirs.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    std::env::join_paths(dirs).context("a folder of PATH has a colon in its name")
}
