//! `init`: what it finds in repositories of many forms, what it refuses, and that it writes over nothing.

mod marks;
mod thin_crate;
mod version;
mod written;

use std::collections::BTreeMap;
use std::path::Path;

use rehearsal::test_env::layouts::{self, Layout};
use serde_json::Value;

use crate::installed::xtask;

/// What git always has.
const OF_GIT: [(&str, &str); 3] = [
    ("git.remote", "origin"),
    ("git.branch", "main"),
    ("github.repository", "orchard/shop"),
];

fn clone_of(layout: &Layout) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    layout.clone_into(folder.path());
    folder
}

fn made(layout: &str) -> tempfile::TempDir {
    clone_of(&layouts::named(layout))
}

fn planned(folder: &Path) -> Value {
    let (_, stdout, stderr) = xtask(folder, &["init", "--offline", "--plan", "--format", "json"]);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
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
