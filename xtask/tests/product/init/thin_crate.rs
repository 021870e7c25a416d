//! The crate that builds the program from its sources.

use std::path::Path;
use std::process::Command;

use super::made;

#[test]
fn a_thin_crate_builds_the_program_from_its_sources_and_no_manifest_comes_into_the_root() {
    let folder = made("pnpm-folders");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // A build downloads what this kind of machine needs; a lock file has the crates of all kinds.
    let mut fetch = Command::new("cargo");
    fetch.args(["fetch", "--quiet", "--locked"]).current_dir(sources);
    assert!(fetch.status().unwrap().success());
    let init = |source: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(["init", "--offline", "--from-source", source])
            .env("CARGO_NET_OFFLINE", "true")
            .current_dir(folder.path());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), text.concat())
    };
    let (code, shown) = init("/nonexistent");
    assert!(
        code == Some(1)
            && !folder.path().join("xtask").exists()
            && !folder.path().join("infrastructure").exists(),
        "{shown}"
    );
    let (code, shown) = init(sources.to_str().unwrap());
    assert!(
        code == Some(0) && !folder.path().join("Cargo.toml").exists(),
        "{shown}"
    );
    let pipeline = std::fs::read_to_string(folder.path().join("infrastructure/pipeline.toml")).unwrap();
    assert!(
        pipeline.contains("setup = \"./.github/actions/xtask\""),
        "{pipeline}"
    );
    let action = std::fs::read_to_string(folder.path().join(".github/actions/xtask/action.yml")).unwrap();
    assert!(
        action.contains("cargo build --release --locked --manifest-path xtask/Cargo.toml")
            && action.matches("target/release").count() == action.matches("xtask/target/release").count()
            && !action.contains("'Cargo.lock'"),
        "{action}"
    );
    for name in ["package.json", "package-lock.json"] {
        let file = format!(".github/actions/xtask/{name}");
        assert!(
            action.contains(&file) && folder.path().join(&file).is_file(),
            "{action}"
        );
    }
    // The lock file is what the crate needs, with the versions of this repository.
    let mut resolve = Command::new("cargo");
    resolve.args([
        "tree",
        "--offline",
        "--locked",
        "--prefix",
        "none",
        "--manifest-path",
        "xtask/Cargo.toml",
    ]);
    let resolved = resolve.current_dir(folder.path()).output().unwrap();
    let tree = String::from_utf8_lossy(&resolved.stdout);
    assert!(
        resolved.status.success() && tree.starts_with("xtask-here v0.0.0") && tree.contains("\nmongodb v"),
        "{tree}{}",
        String::from_utf8_lossy(&resolved.stderr)
    );
    let ours = std::fs::read_to_string(sources.join("Cargo.lock")).unwrap();
    let theirs = std::fs::read_to_string(folder.path().join("xtask/Cargo.lock")).unwrap();
    let lines: std::collections::BTreeSet<&str> = ours.lines().collect();
    let others = theirs
        .lines()
        .filter(|line| line.starts_with("checksum") && !lines.contains(line));
    assert_eq!(others.count(), 0);
    assert!(theirs.len() < ours.len() && theirs.matches("checksum").count() > 100);
}
