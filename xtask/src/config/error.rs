//! Errors in configuration files: file, line, column, and the key that was probably meant.

use std::path::Path;

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::error::catalogue::configuration as errors;

/// Keys less alike than this are not suggested.
const LEAST_LIKENESS: f64 = 0.75;

/// How a value begins that is still to be filled in.
pub const BLANK: &str = "<fill in:";

/// Parses a strict TOML file without blanks; an error is a usage error that names file, line and column.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    parse_with(path, text, |text| toml::from_str(text))
}

/// The same for a file whose form depends on what is in it.
pub(super) fn parse_with<T>(
    path: &Path,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, toml::de::Error>,
) -> Result<T> {
    let parsed = read(text).map_err(|error| -> anyhow::Error {
        let (line, column) = error.span().map_or((1, 1), |span| position(text, span.start));
        let message = error.message().trim();
        let hint = did_you_mean(message)
            .map(|key| format!(" (did you mean `{key}`?)"))
            .unwrap_or_default();
        let mistake = format!("{}:{line}:{column}: {message}{hint}", path.display());
        errors::file_invalid(mistake, path.display()).into()
    })?;
    let blanks = blanks(text);
    if blanks.is_empty() {
        return Ok(parsed);
    }
    Err(mistakes(path, text, blanks))
}

/// Values that are still to be filled in, each with the byte where it begins. Comments do not count.
fn blanks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(at) = line.find(BLANK).filter(|at| !line[..*at].contains('#')) {
            let key = line.split('=').next().unwrap_or_default().trim();
            let what = line[at + BLANK.len()..]
                .split('>')
                .next()
                .unwrap_or_default()
                .trim();
            found.push((start + at, format!("`{key}` is not filled in: {what}")));
        }
        start += line.len();
    }
    found
}

/// The error of mistakes that only show once the file is parsed: each with the byte offset where it is.
pub fn mistakes(path: &Path, text: &str, mut found: Vec<(usize, String)>) -> anyhow::Error {
    found.sort();
    let lines: Vec<String> = found
        .iter()
        .map(|(offset, message)| {
            let (line, column) = position(text, *offset);
            format!("{}:{line}:{column}: {message}", path.display())
        })
        .collect();
    errors::file_invalid(lines.join("\n"), path.display()).into()
}

/// The known word most like the one given, as a hint at the end of a message.
pub fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known.into_iter())
        .map(|word| format!(" (did you mean `{word}`?)"))
        .unwrap_or_default()
}

/// Line and column of a byte offset, both from 1; columns count characters, as editors do.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// Serde lists what it expected in backticks: "unknown field `x`, expected one of `a`, `b`".
fn did_you_mean(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let given = message.starts_with("unknown").then(|| quoted.next()).flatten()?;
    nearest(given, quoted)
}

fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|key| (strsim::jaro_winkler(given, key), key))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}
