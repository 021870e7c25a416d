//! The program as `cargo install` leaves it: without this repository around it.

use std::path::Path;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cargo-xtask");

/// Exit code and both outputs together.
fn run(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), text.concat())
}

/// What the program does in a folder, as a user calls it: exit code, stdout, stderr.
pub fn xtask(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.args(args).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn cargo_finds_the_program_in_any_folder_and_it_reports_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let programs = Path::new(PROGRAM).parent().unwrap().display();
    let mut cargo = Command::new("cargo");
    cargo.args(["xtask", "--version"]).current_dir(folder.path());
    let (code, text) = run(cargo.env("PATH", format!("{programs}:{path}")));
    let mut git = Command::new("git");
    let (_, commit) = run(git.args([
        "-C",
        env!("CARGO_MANIFEST_DIR"),
        "rev-parse",
        "--short=12",
        "HEAD",
    ]));
    let wanted = format!("cargo xtask {} ({})\n", env!("CARGO_PKG_VERSION"), commit.trim());
    assert_eq!((code, text), (0, wanted));
    // A folder may have the name of the subcommand.
    let (code, text) = run(Command::new(PROGRAM)
        .args(["xtask", "init", "xtask"])
        .current_dir(folder.path()));
    assert!(code == 2 && text.contains("/xtask is no folder"), "{text}");
}

#[test]
fn the_pins_of_the_tools_come_with_it_and_a_repository_may_have_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let tools = |names: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command
            .args(["xtask", "tools"])
            .args(names)
            .current_dir(folder.path());
        run(command.env("XDG_CACHE_HOME", cache.path()))
    };
    std::fs::create_dir_all(folder.path().join("infrastructure/tools")).unwrap();
    std::fs::write(folder.path().join("infrastructure/pipeline.toml"), "").unwrap();
    for _ in 0..2 {
        let (code, text) = tools(&["git"]);
        assert!(code == 0 && text.contains("git"), "{text}");
    }
    let (code, text) = tools(&["no-such"]);
    assert!(
        code == 2 && text.contains("choose from: mongodump, mongorestore"),
        "{text}"
    );
    let own =
        "[[tool]]\nname = \"ours\"\nprograms = [\"git\"]\nversion = [\"--version\"]\npackage = \"git\"\n";
    std::fs::write(folder.path().join("infrastructure/tools/tools.toml"), own).unwrap();
    let (code, text) = tools(&["mongodump"]);
    assert!(code == 2 && text.contains("choose from: ours"), "{text}");
}
