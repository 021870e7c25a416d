//! The crate that `init --from-source` writes into a team's repository, built from this one at a commit as a team names it, and run.

use std::process::Command;
use std::time::Instant;

use rehearsal::test_env::layouts;
use rehearsal::test_env::programs::{PRODUCT, built, repository};

#[test]
#[ignore = "compiles all of the program for some minutes: cargo xtask ci --conformance"]
fn a_thin_crate_is_built_from_a_commit_and_runs_as_cargo_xtask() {
    let team = tempfile::tempdir().unwrap();
    layouts::named("pnpm-folders").clone_into(team.path());
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(team.path())
            .env_remove("CARGO_TARGET_DIR")
            // The build counts, not the speed of what is built.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        let output = command.output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {stdout}{stderr}"
        );
        stdout
    };
    let here = repository().to_str().unwrap();
    let commit = run("git", &["-C", here, "rev-parse", "HEAD"]);
    let source = format!("file://{here}#{}", commit.trim());
    let program = built(PRODUCT);
    run(
        program.to_str().unwrap(),
        &["init", "--offline", "--from-source", &source],
    );
    let began = Instant::now();
    let help = run("cargo", &["xtask", "--help"]);
    println!("built and run: {} s", began.elapsed().as_secs());
    assert!(help.contains("rollback") && help.contains("init"), "{help}");
    // Commands of this repository alone are not the program's.
    assert!(!help.contains("rehearse"), "{help}");
    let version = run("cargo", &["xtask", "--version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let plan = run("cargo", &["xtask", "upgrade", "--plan"]);
    assert!(plan.contains("infrastructure/pipeline.toml"), "{plan}");
}
