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
        let shown = without_values(message);
        let mistake = format!("{}:{line}:{column}: {shown}{hint}", path.display());
        errors::file_invalid(mistake, path.display()).into()
    })?;
    let blanks = blanks(text);
    if blanks.is_empty() {
        return Ok(parsed);
    }
    Err(mistakes(path, text, blanks))
}

/// The message without what stands in the file in the place of a value, which may be a secret; line and column tell where it is.
/// Serde writes: invalid type: string "x", expected u32; unknown variant `x`, expected `a` or `b`; unknown field `x`, expected `a`.
fn without_values(message: &str) -> String {
    let expected = message.rfind(", expected ").map_or("", |at| &message[at..]);
    let (what, given) = match message.find(['"', '`']) {
        Some(at) if message.starts_with("unknown field") => (
            &message[..at],
            message[at + 1..].split('`').next().unwrap_or_default(),
        ),
        Some(at) if message.starts_with("invalid ") || message.starts_with("unknown ") => {
            (&message[..at], "")
        }
        _ => return message.to_owned(),
    };
    if is_likely_a_key(given) {
        return message.to_owned();
    }
    // The last "expected" may stand in what was given.
    let is_of_the_parser = message.ends_with(expected) && !expected.contains('"');
    let expected = if is_of_the_parser { expected } else { "" };
    format!("{}{expected}", what.trim_end())
}

/// In backticks where it looks like a mistyped key; nothing where it may be a secret.
pub fn quoted_key(given: &str) -> String {
    if is_likely_a_key(given) {
        format!(" `{given}`")
    } else {
        String::new()
    }
}

/// Few letters and no digits: what people type as a name, and nobody takes for a token.
fn is_likely_a_key(given: &str) -> bool {
    const LONGEST: usize = 24;
    let is_inside = |c: char| c.is_alphabetic() || matches!(c, '_' | '-' | '.');
    !given.is_empty() && given.chars().count() <= LONGEST && given.chars().all(is_inside)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_place_of_a_value_is_not_shown() {
        const SECRET: &str = "sk_live_51H8, expected x";
        for (message, shown) in [
            (
                format!("invalid type: string {SECRET:?}, expected u32"),
                "invalid type: string, expected u32",
            ),
            (
                format!("unknown variant `{SECRET}`, expected `a` or `b`"),
                "unknown variant, expected `a` or `b`",
            ),
            (
                format!("unknown field `{SECRET}`, expected one of `a`, `b`"),
                "unknown field, expected one of `a`, `b`",
            ),
            (format!("unknown field `{SECRET}`"), "unknown field"),
            (
                "invalid value: integer `1234`, expected u8".into(),
                "invalid value: integer, expected u8",
            ),
        ] {
            let found = without_values(&message);
            assert!(!found.contains("51H8"), "{found}");
            assert!(found == shown || message.ends_with('`'), "{found}");
        }
        let typo = "unknown field `retention_dais`, expected `retention_days`";
        assert_eq!(without_values(typo), typo);
        assert_eq!(quoted_key("tokn"), " `tokn`");
        assert_eq!(quoted_key("hunter2"), "");
    }
}
