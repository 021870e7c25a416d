//! The rule about words, in texts, names and documents.

use std::sync::LazyLock;

use regex::Regex;

use super::table;
use super::tree::Tree;

/// What stands for itself: code, values that are filled in, addresses, options.
static VERBATIM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"`[^`\n]*`|\{[^}\n]*\}|https?://\S+|\]\([^)]*\)|--[a-z-]+").unwrap());

/// One row of the table of words.
#[derive(Debug)]
pub struct Word {
    pattern: Regex,
    instead: String,
    in_texts: bool,
    in_names: bool,
}

/// The table of words.
pub fn words(contributing: &str) -> Vec<Word> {
    let rows = table(contributing, "Words");
    let word = |row: &Vec<&str>| {
        let alternatives: Vec<String> = row[0]
            .split(',')
            .map(|phrase| phrase.split_whitespace().collect::<Vec<_>>().join(r"\s+"))
            .collect();
        Word {
            pattern: Regex::new(&format!(r"(?i)\b(?:{})\b", alternatives.join("|"))).unwrap(),
            instead: row[1].to_owned(),
            in_texts: row[2].contains("texts"),
            in_names: row[2].contains("names"),
        }
    };
    rows.iter().map(word).collect()
}

/// The persisted name of a step: ledgers that exist have it, so it cannot change (`domain/step.rs`).
const PERSISTED: &str = "going back";

impl Tree {
    /// Words of the table in texts and names.
    pub fn wrong_words(&self, words: &[Word]) -> Vec<String> {
        let mut found = Vec::new();
        for source in self.sources.values() {
            for (text, line) in source
                .texts
                .iter()
                .filter(|(text, _)| text.trim().contains(' ') && text != PERSISTED)
            {
                for (word, _) in wrong_words_of(text, words) {
                    found.push(format!("{}:{line}: {word} (in \"{}\")", source.file, start(text)));
                }
            }
            for (name, line) in &source.names {
                let spaced = spaced(name);
                for word in words
                    .iter()
                    .filter(|word| word.in_names && word.pattern.is_match(&spaced))
                {
                    found.push(format!(
                        "{}:{line}: the name `{name}`: {}",
                        source.file, word.instead
                    ));
                }
            }
        }
        found
    }
}

/// The beginning of a text, for a message.
fn start(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(60).collect()
}

/// The words of a name: `ReleaseRecord` and `release_record` are `release record`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            words.push(' ');
        }
        words.push(if c == '_' { ' ' } else { c.to_ascii_lowercase() });
    }
    words
}

/// The words of the table in a text, each with the byte where it begins. What stands for itself does not count: `code`,
/// values to be filled in, addresses.
fn wrong_words_of(text: &str, words: &[Word]) -> Vec<(String, usize)> {
    let text = VERBATIM.replace_all(text, |found: &regex::Captures| " ".repeat(found[0].len()));
    let mut found = Vec::new();
    for word in words.iter().filter(|word| word.in_texts) {
        for hit in word.pattern.find_iter(&text) {
            let said = hit.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
            found.push((format!("`{said}`: {}", word.instead), hit.start()));
        }
    }
    found
}

/// The wrong words of a document. Code blocks count by their comments; the table of words is not checked by itself.
pub fn wrong_words_of_document(file: &str, text: &str, words: &[Word]) -> Vec<String> {
    let mut prose = String::new();
    let (mut in_code, mut in_words) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            prose.push_str(line.split_once("# ").map_or("", |(_, comment)| comment));
        } else {
            if line.starts_with('#') {
                in_words = line == "## Words";
            }
            if !(in_words && line.starts_with('|')) {
                prose.push_str(line);
            }
        }
        prose.push('\n');
    }
    let hits = wrong_words_of(&prose, words);
    let line = |at: usize| prose[..at].matches('\n').count() + 1;
    hits.iter()
        .map(|(word, at)| format!("{file}:{}: {word}", line(*at)))
        .collect()
}
