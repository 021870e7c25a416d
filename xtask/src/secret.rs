//! Secrets: a type that cannot be printed, and the scrubber that every text from a tool goes through.
//!
//! Child programs print what they were given: mongodump, on a failed connection, writes the whole connection
//! string with its password to stderr. So every value that becomes a [`Secret`] is remembered here, and
//! [`scrub`] takes it out of every line before it is shown. What programs read (journals, kept plans, output that is
//! parsed) is never scrubbed: a name or a path may have the same letters as a secret.

use std::fmt;
use std::sync::{LazyLock, Mutex};

use percent_encoding::percent_decode_str;
use regex::Regex;

use crate::sync;

/// What stands in the place of a secret.
const HIDDEN: &str = "[secret]";

/// Shorter values are not searched for in texts: they would blank out ordinary words.
const SHORTEST_SCRUBBED_BYTES: usize = 4;

static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// `scheme://user:password@host`: the password of any URL, known to us or not.
static URL_PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?P<head>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*:)[^\s@]+@").expect("the pattern is a constant")
});

/// A value that is never printed, compared in logs or put in an argument list.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the value, and teaches the scrubber every form of it that tools print.
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        remember(&value);
        for part in connection_string_passwords(&value) {
            remember(&part);
        }
        Self(value)
    }

    /// The value, for handing to a child's environment or standard input, or to the driver.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Takes every known secret, and the password of every URL, out of a text.
pub fn scrub(text: &str) -> String {
    let mut text = text.to_owned();
    for known in sync::lock(&KNOWN).iter() {
        if text.contains(known.as_str()) {
            text = text.replace(known.as_str(), HIDDEN);
        }
    }
    URL_PASSWORD
        .replace_all(&text, format!("${{head}}{HIDDEN}@").as_str())
        .into_owned()
}

/// The same for every text in a JSON value that people read.
pub fn scrub_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = scrub(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(scrub_json),
        serde_json::Value::Object(entries) => entries.values_mut().for_each(scrub_json),
        _ => {}
    }
}

fn remember(value: &str) {
    if value.trim().len() < SHORTEST_SCRUBBED_BYTES {
        return;
    }
    let mut known = sync::lock(&KNOWN);
    if !known.iter().any(|k| k == value) {
        known.push(value.to_owned());
        // Longest first: a secret that contains another is then blanked out whole.
        known.sort_by_key(|k| std::cmp::Reverse(k.len()));
    }
}

/// The password of a connection string, as written and percent-decoded: tools print either form.
fn connection_string_passwords(value: &str) -> Vec<String> {
    let Some((_, rest)) = value.split_once("://") else {
        return Vec::new();
    };
    let Some((userinfo, _)) = rest.rsplit_once('@') else {
        return Vec::new();
    };
    let Some((_, password)) = userinfo.split_once(':') else {
        return Vec::new();
    };
    let decoded = percent_decode_str(password).decode_utf8_lossy().into_owned();
    vec![password.to_owned(), decoded]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_and_both_forms_of_its_password_are_blanked_out() {
        let uri = Secret::new("mongodb+srv://app:p%40ss-word@cluster.example.net/app");
        assert_eq!(format!("{uri:?}"), "[secret]");
        assert_eq!(
            scrub("failed: mongodb+srv://app:p%40ss-word@cluster.example.net/app"),
            "failed: [secret]"
        );
        assert_eq!(
            scrub("password p@ss-word or p%40ss-word"),
            "password [secret] or [secret]"
        );
    }

    #[test]
    fn a_url_with_an_unknown_password_is_blanked_out_too() {
        assert_eq!(
            scrub("at https://me:hunter2@example.org/x"),
            "at https://me:[secret]@example.org/x"
        );
        assert_eq!(
            scrub("see https://example.org:8443/x"),
            "see https://example.org:8443/x"
        );
    }
}
