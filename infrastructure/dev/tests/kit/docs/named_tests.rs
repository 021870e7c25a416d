//! The tests that the documents name are there, and each threat names one.

use std::collections::BTreeSet;

use super::{files, read, root};

/// Names of tests are sentences: shorter names are those of fields and functions.
const WORDS: usize = 5;

/// The names of tests in a text; one that is cut short ends with `…`.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| is_a_sentence(name)).collect()
}

fn is_a_sentence(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_…".contains(c);
    let words = name.split('_').filter(|word| !word.is_empty());
    words.count() >= WORDS && name.chars().all(letters)
}

/// Every function of every source file.
fn functions() -> BTreeSet<String> {
    let sources = ["xtask", "infrastructure"].map(|folder| files(&root().join(folder), "rs"));
    let texts: Vec<String> = sources.iter().flatten().map(|file| read(file)).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .filter_map(|line| {
            Some(
                line.trim_start()
                    .strip_prefix("fn ")?
                    .split_once('(')?
                    .0
                    .to_owned(),
            )
        })
        .collect()
}

fn exists(functions: &BTreeSet<String>, name: &str) -> bool {
    match name.strip_suffix('…') {
        Some(start) => functions.iter().any(|function| function.starts_with(start)),
        None => functions.contains(name),
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    let functions = functions();
    let mut count = 0;
    let mut missing = Vec::new();
    for document in files(&root().join("docs"), "md") {
        let text = read(&document);
        let names = named(&text);
        count += names.len();
        let absent = names.into_iter().filter(|name| !exists(&functions, name));
        missing.extend(absent.map(|name| format!("{}: {name}", document.display())));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(count > 80, "only {count} names were found");
}

#[test]
fn every_threat_names_a_test() {
    let text = read(&root().join("docs/SECURITY.md"));
    let (_, threats) = text.split_once("## Threats").unwrap();
    let (threats, _) = threats.split_once("## ").unwrap();
    let rows: Vec<&str> = threats
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    assert!(rows.len() > 20, "only {} threats were found", rows.len());
    for row in rows {
        let tests = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        assert!(!named(tests).is_empty(), "{row}");
    }
}
