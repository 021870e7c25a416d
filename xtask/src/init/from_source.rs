//! For teams that run no binary of others, or want their own commands: a thin crate in `xtask/`, with its own workspace and lock
//! file, and the action that builds it in workflows. Never a manifest in the root: Railway would build a Rust program.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::exec::{Exec, OF_CARGO, shell_in};

/// The folder of the crate.
pub const FOLDER: &str = "xtask";
/// The action, as pipeline.toml names it.
pub const ACTION: &str = "./.github/actions/xtask";
const MAIN: &str = "//! `cargo xtask` of this repository: the program of the crate `xtask`. Commands of your own belong here.\n\nuse std::process::ExitCode;\n\nfn main() -> ExitCode {\n    xtask::commands::run_program(std::env::args_os())\n}\n";
const ALIAS: &str =
    "[alias]\nxtask = \"run --quiet --locked --release --manifest-path xtask/Cargo.toml --\"\n";
/// The versions that this program was built and tested with: cargo takes out what the crate does not need.
const TESTED: &str = include_str!("../../../Cargo.lock");
/// How our own workflows build the program, and what is different where it is in a folder.
const OWN_ACTION: &str = include_str!("../../../.github/actions/xtask/action.yml");
const IN_FOLDER: [(&str, &str); 4] = [
    (
        "hashFiles('Cargo.lock', 'Cargo.toml', 'xtask/Cargo.toml', 'xtask/src/**', 'infrastructure/tools/**')",
        "hashFiles('xtask/Cargo.lock', 'xtask/Cargo.toml', 'xtask/src/**')",
    ),
    ("target/release", "xtask/target/release"),
    (
        "--locked --package xtask\n",
        "--locked --manifest-path xtask/Cargo.toml\n",
    ),
    ("infrastructure/tools/vercel/", ".github/actions/xtask/"),
];
/// What the action installs Vercel's program from.
const VERCEL: [(&str, &str); 2] = [
    (
        "package.json",
        include_str!("../../../infrastructure/tools/vercel/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../../infrastructure/tools/vercel/package-lock.json"),
    ),
];
/// Cargo may have to fetch the sources.
const DEADLINE: Duration = Duration::from_mins(5);

/// Path and text of each file. `source` is `URL#REVISION` of a git repository, or a folder that has one.
pub fn files(source: &str) -> Vec<(String, String)> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let is_address = source.contains("://") || source.contains('@');
    let dependency = match source.split_once('#') {
        Some((address, revision)) if is_address => {
            format!("git = {}, rev = {}", quoted(address), quoted(revision))
        }
        None if is_address => format!("git = {}", quoted(source)),
        _ if Path::new(source).is_absolute() => format!("path = {}", quoted(&format!("{source}/xtask"))),
        _ => format!("path = {}", quoted(&format!("../{source}/xtask"))),
    };
    let manifest = format!(
        "# Written by `cargo xtask init --from-source`. Its own workspace: nothing of it concerns the rest of the repository.\n\
         [workspace]\n\n[package]\nname = \"xtask-here\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n[[bin]]\nname = \
         \"xtask\"\npath = \"src/main.rs\"\n\n[dependencies]\nxtask = {{ {dependency} }}\n"
    );
    let action = IN_FOLDER
        .iter()
        .fold(OWN_ACTION.to_owned(), |text, (from, to)| text.replace(from, to));
    let of_action = |(name, text): (&str, &str)| (format!(".github/actions/xtask/{name}"), text.to_owned());
    let mut files = vec![
        (format!("{FOLDER}/Cargo.toml"), manifest),
        (format!("{FOLDER}/Cargo.lock"), TESTED.to_owned()),
        (format!("{FOLDER}/src/main.rs"), MAIN.to_owned()),
        (format!("{FOLDER}/.gitignore"), "/target/\n".to_owned()),
        (".cargo/config.toml".to_owned(), ALIAS.to_owned()),
        of_action(("action.yml", &action)),
    ];
    files.extend(VERCEL.map(of_action));
    files
}

/// Lets cargo bring the lock file to what the crate needs, from the tested versions.
pub fn lock(root: &Path) -> Result<()> {
    let sh = shell_in(root)?;
    let manifest = format!("{FOLDER}/Cargo.toml");
    Exec::new(cmd!(sh, "cargo fetch --quiet --manifest-path {manifest}"))
        .inherit(OF_CARGO)
        .deadline(DEADLINE)
        .run()
        .context("cargo cannot read the sources of the program")
}
