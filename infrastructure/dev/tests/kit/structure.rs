//! The structure of the product stays as the documents describe it. Four reasons to fail: a room uses one of its own layer
//! or above it (the table of layers in `docs/ARCHITECTURE.md`); files use each other in a circle; two public types have one
//! name; a text or a name has a word that the table in `CONTRIBUTING.md` replaces.
//!
//! Code under `#[cfg(test)]` does not count. Violations are printed as `file:line: what`.

mod made_up;
mod source;
mod tree;
mod words;

use std::collections::BTreeSet;
use std::path::Path;

use source::Source;
use tree::{Tree, layers};
use words::{words, wrong_words_of_document};

/// Documents whose words are checked, beside `docs/*.md`.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "infrastructure/rehearsal/README.md",
    "infrastructure/rehearsal/sample/README.md",
];

/// The rows of the table below a heading, without its head.
fn table<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = document
        .split_once(&format!("\n## {heading}\n"))
        .map_or("", |(_, section)| section);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below a folder, relative to it, without those of tests.
fn files(folder: &Path, below: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.join(below)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        if folder.join(&path).is_dir() {
            found.extend(files(folder, &path, extension));
        } else if name.ends_with(extension) && !["tests.rs", "testing.rs", "main.rs"].contains(&name.as_str())
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_product_has_the_structure_that_the_documents_describe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let sources = files(&root.join("xtask/src"), "", ".rs");
    let sources = sources
        .iter()
        .map(|file| Source::read(file, &read(&root.join("xtask/src").join(file))));
    let tree = Tree::new(sources.collect());
    let words = words(&read(&root.join("CONTRIBUTING.md")));
    let layers = layers(&read(&root.join("docs/ARCHITECTURE.md")));
    assert!(words.len() > 10 && layers.len() > 20, "the tables are there");

    let mut violations = tree.arrows_up(&layers);
    violations.extend(tree.circles());
    violations.extend(tree.double_names());
    violations.extend(tree.wrong_words(&words));
    let documents = files(&root.join("docs"), "", ".md")
        .into_iter()
        .map(|file| format!("docs/{file}"));
    for file in documents.chain(DOCUMENTS.iter().map(|file| (*file).to_owned())) {
        violations.extend(wrong_words_of_document(&file, &read(&root.join(&file)), &words));
    }
    violations.sort_by_key(|violation| {
        let mut parts = violation.splitn(3, ':');
        let file = parts.next().unwrap_or_default().to_owned();
        (
            file,
            parts.next().and_then(|line| line.parse::<usize>().ok()),
            violation.clone(),
        )
    });
    violations.dedup();
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

/// The list of "Follow a rollback through the code": file and function, in the order of the calls.
fn followed(architecture: &str) -> Vec<(String, String)> {
    let section = architecture.split_once("\n## Follow a rollback through the code\n");
    let list = section.map_or("", |(_, section)| section).split("\n\n").nth(1);
    let list = list.unwrap_or_default().split('`').skip(1).step_by(2);
    let mut file = "";
    let mut calls = Vec::new();
    for name in list {
        if name.contains('/') {
            file = name;
        } else {
            calls.push((file.to_owned(), name.to_owned()));
        }
    }
    calls
}

#[test]
fn a_reader_follows_a_rollback_to_the_first_rename_through_five_files_at_most() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let calls = followed(&read(&root.join("docs/ARCHITECTURE.md")));
    let text = |file: &str| read(&root.join("xtask/src").join(file));
    let files: BTreeSet<&String> = calls.iter().map(|(file, _)| file).collect();
    assert!(calls.len() > 5 && files.len() <= 5, "{calls:?}");
    for (file, function) in &calls {
        let defined = format!("fn {function}(");
        assert!(text(file).contains(&defined), "{file} has no {function}");
    }
    for pair in calls.windows(2) {
        let ((file, caller), (_, next)) = (&pair[0], &pair[1]);
        let body = text(file)
            .split_once(&format!("fn {caller}("))
            .unwrap()
            .1
            .to_owned();
        assert!(
            body.contains(&format!("{next}(")),
            "{caller} of {file} does not call {next}"
        );
    }
}
