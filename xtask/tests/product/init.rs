//! `init`: what it finds in repositories of many forms, what it refuses, and that it writes over nothing.

mod layouts;
mod marks;
mod thin_crate;
mod version;
mod written;

use std::collections::BTreeMap;
use std::path::Path;

use layouts::Layout;
use rehearsal::test_env::git::{git, write_files};
use serde_json::Value;

use crate::installed::xtask;

/// What git always has.
const OF_GIT: [(&str, &str); 3] = [
    ("git.remote", "origin"),
    ("git.branch", "main"),
    ("github.repository", "orchard/shop"),
];

const ACTION: &str = "x/y/setup-action@0000000000000000000000000000000000000000";
const A_UUID: &str = "11111111-2222-3333-4444-55555555abcd";

/// The layout as a clone with one commit; links of platforms are ignored there, as the platforms' programs do it.
fn clone_of(layout: &Layout) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = layout.files.iter();
    write_files(
        folder.path(),
        files.map(|(path, text)| (path.as_str(), text.as_str())),
    );
    git(folder.path(), &["init", "--quiet", "--initial-branch=main"]);
    git(
        folder.path(),
        &["remote", "add", "origin", "git@github.com:orchard/shop.git"],
    );
    std::fs::write(folder.path().join(".git/info/exclude"), ".vercel\n").unwrap();
    let paths: Vec<&str> = layout
        .files
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|path| !path.contains(".vercel/"))
        .collect();
    git(folder.path(), &[&["add", "--force"][..], &paths].concat());
    git(folder.path(), &["commit", "--quiet", "--message=all"]);
    folder
}

fn made(layout: &str) -> tempfile::TempDir {
    clone_of(&layouts::named(layout))
}

fn planned(folder: &Path) -> Value {
    let (_, stdout, stderr) = xtask(folder, &["init", "--offline", "--plan", "--format", "json"]);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
}

/// The file with something valid in the place of each mark.
fn filled(text: &str) -> String {
    let mut is_of_vercel = false;
    let line = |line: &str| {
        if line.starts_with('[') {
            is_of_vercel = line.ends_with(".vercel]");
        }
        let Some((key, _)) = line.split_once("\"<fill in:") else {
            return format!("{line}\n");
        };
        let value = match key.trim_end_matches([' ', '=']) {
            "org" => "team_x",
            "project" if is_of_vercel => "prj_x",
            "project" | "environment" | "service" => A_UUID,
            "url" => "https://x.example.com",
            "domain" => "x.example.com",
            "uri" => "PROD_X",
            "repository" => "x/y",
            "setup" => ACTION,
            _ => "x",
        };
        format!("{key}\"{value}\"\n")
    };
    text.lines().map(line).collect()
}

#[test]
fn what_the_files_of_a_repository_hold_is_found_and_nothing_wrong_is_proposed() {
    let (mut needed, mut found, mut questions, mut problems) = (0, 0, Vec::new(), Vec::new());
    let layouts = layouts::all();
    for layout in &layouts {
        let folder = clone_of(layout);
        let plan = planned(folder.path());
        let keys = plan["keys"].as_array().unwrap().iter();
        questions.push(keys.clone().filter(|key| key["value"].is_null()).count());
        let mut proposed: BTreeMap<&str, &str> = keys
            .filter_map(|key| Some((key["key"].as_str()?, key["value"].as_str()?)))
            .collect();
        let keys = layout
            .keys
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in OF_GIT.into_iter().chain(keys) {
            needed += 1;
            match proposed.remove(key) {
                Some(is) if is == value => found += 1,
                is => problems.push(format!("{}: {key} is {is:?}, not {value}", layout.name)),
            }
        }
        problems.extend(
            proposed
                .iter()
                .map(|(key, value)| format!("{}: {key} = {value} is wrong", layout.name)),
        );
        let mut names: Vec<&str> = plan["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        names.dedup();
        if names != layout.findings {
            problems.push(format!("{}: {}", layout.name, plan["findings"]));
        }
    }
    println!(
        "keys that files hold: {found} of {needed} found in {} layouts; marks to fill in: {questions:?}",
        layouts.len()
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
