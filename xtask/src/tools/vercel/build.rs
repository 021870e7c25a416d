//! Building the frontend here, and what may be wrong with a build that ended well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::error::catalogue::tools as errors;
use crate::report;
use crate::secret::Secret;

/// The variables that `vercel pull` writes and `vercel build` reads.
const PULLED: &str = ".vercel/.env.production.local";
/// What `pull` writes in the place of a value that cannot be read back; it may also be nothing.
const UNREADABLE: &str = "[SENSITIVE]";
const OUTPUT: &str = ".vercel/output";
/// What an output consists of; one that has none of them serves nothing.
const PARTS: [&str; 3] = ["static", "functions", "services"];
/// What an upload by the command line program may be, before compression (vercel.com/docs/limits, "Static file uploads"); other plans
/// have no limit.
const LIMITS: [(u64, &str); 2] = [(100_000_000, "Hobby"), (1_000_000_000, "Pro")];
/// Variables whose names begin so are written into the pages at the build.
const PUBLIC: [&str; 9] = [
    "NEXT_PUBLIC_",
    "VITE_",
    "REACT_APP_",
    "NUXT_PUBLIC_",
    "NUXT_ENV_",
    "PUBLIC_",
    "GATSBY_",
    "VUE_APP_",
    "EXPO_PUBLIC_",
];

/// Puts the values that are known here in the place of those that cannot be read back.
///
/// # Errors
/// Refused where a page would get a variable without its value.
pub(super) fn fill_in(folder: &Path, known: &BTreeMap<String, Secret>) -> Result<()> {
    let file = folder.join(PULLED);
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Ok(());
    };
    let mut unknown = BTreeSet::new();
    let mut filled = String::new();
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.trim().trim_matches('"');
        let unreadable = !name.starts_with('#') && (value.is_empty() || value == UNREADABLE);
        match known.get(name) {
            Some(secret) => filled.extend([name, "=", &quoted(secret.expose())]),
            None => {
                if unreadable && PUBLIC.iter().any(|prefix| name.starts_with(prefix)) {
                    unknown.insert(name);
                }
                filled.push_str(line);
            }
        }
        filled.push('\n');
    }
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
        return Err(errors::vercel_unreadable_variables(names).into());
    }
    std::fs::write(&file, filled).context("cannot write the variables of the build")
}

/// As dotenv files have it.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\n', "\\n");
    if escaped.contains('"') {
        format!("'{escaped}'")
    } else {
        format!("\"{escaped}\"")
    }
}

/// Refuses an output that serves nothing, or pages in which the placeholder of a value stands.
pub(super) fn check_output(folder: &Path) -> Result<()> {
    let output = folder.join(OUTPUT);
    let filled = |part: &&str| {
        let entries = std::fs::read_dir(output.join(part));
        entries.is_ok_and(|mut entries| entries.next().is_some())
    };
    if !PARTS.iter().any(filled) {
        return Err(errors::vercel_output_empty().into());
    }
    match placeholder_in(&output.join(PARTS[0]))? {
        Some(file) => Err(errors::vercel_placeholder(file).into()),
        None => Ok(()),
    }
}

/// How much is uploaded, where the platform may refuse it by its plan. The number of files does not count: they go as one archive.
pub(super) fn size_note(folder: &Path) -> Result<Option<String>> {
    let bytes = bytes_below(&folder.join(OUTPUT))?;
    let limit = LIMITS.iter().rev().find(|(limit, _)| bytes > *limit);
    Ok(limit.map(|(limit, plan)| {
        let (bytes, limit) = (report::bytes(bytes), report::bytes(*limit));
        format!("the built frontend is {bytes}, and Vercel takes {limit} on its plan {plan}: nothing is live yet if it refuses the upload")
    }))
}

/// The size of all files below a folder; links are not followed, as they are not by the upload.
fn bytes_below(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).context("cannot list the output of the build")? {
        let entry = entry.context("cannot list the output of the build")?;
        let metadata = entry.metadata().context("cannot list the output of the build")?;
        sum += if metadata.is_dir() {
            bytes_below(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(sum)
}

/// The first file below the folder that has the placeholder.
fn placeholder_in(folder: &Path) -> Result<Option<String>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(None);
    };
    for entry in entries {
        let entry = entry.context("cannot list the output of the build")?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if let Some(found) = placeholder_in(&path)? {
                return Ok(Some(found));
            }
        } else if std::fs::read(&path).is_ok_and(|bytes| contains(&bytes, UNREADABLE.as_bytes())) {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<()>) -> Option<&'static str> {
        let error = result.err()?;
        error
            .downcast_ref::<crate::error::CliError>()
            .and_then(|error| error.code)
    }

    #[test]
    fn variables_that_cannot_be_read_back_get_our_value_or_stop_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(PULLED);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let known = BTreeMap::from([("NEXT_PUBLIC_KEY".to_owned(), Secret::new("a \"b\""))]);
        for (pulled, expected) in [
            ("# Created\nA=\"1\"\n", Ok("# Created\nA=\"1\"\n")),
            (
                "NEXT_PUBLIC_KEY=\"[SENSITIVE]\"\n",
                Ok("NEXT_PUBLIC_KEY='a \"b\"'\n"),
            ),
            ("NEXT_PUBLIC_KEY=\"\"\n", Ok("NEXT_PUBLIC_KEY='a \"b\"'\n")),
            (
                "SERVER_SIDE=\"[SENSITIVE]\"\n",
                Ok("SERVER_SIDE=\"[SENSITIVE]\"\n"),
            ),
            ("VITE_OTHER=\"[SENSITIVE]\"\n", Err("vercel_unreadable_variables")),
            ("NEXT_PUBLIC_OTHER=\n", Err("vercel_unreadable_variables")),
        ] {
            std::fs::write(&file, pulled).unwrap();
            match (fill_in(folder.path(), &known), expected) {
                (Ok(()), Ok(expected)) => assert_eq!(std::fs::read_to_string(&file).unwrap(), expected),
                (result, expected) => assert_eq!(code(result), expected.err(), "{pulled}"),
            }
        }
    }

    #[test]
    fn an_output_that_serves_nothing_or_a_placeholder_is_refused_and_a_large_one_named() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join(OUTPUT);
        std::fs::create_dir_all(output.join("static/assets")).unwrap();
        std::fs::write(output.join("config.json"), "{}").unwrap();
        std::fs::remove_dir_all(output.join("static")).unwrap();
        assert_eq!(code(check_output(folder.path())), Some("vercel_output_empty"));
        for part in PARTS {
            std::fs::create_dir_all(output.join(part)).unwrap();
            assert_eq!(
                code(check_output(folder.path())),
                Some("vercel_output_empty"),
                "{part}"
            );
            std::fs::write(output.join(part).join("x"), "page").unwrap();
            assert_eq!(code(check_output(folder.path())), None, "{part}");
            std::fs::remove_dir_all(output.join(part)).unwrap();
        }
        std::fs::create_dir_all(output.join("static/assets")).unwrap();
        for (bytes, plan) in [
            (99_000_000, None),
            (101_000_000, Some("Hobby")),
            (1_100_000_000, Some("Pro")),
        ] {
            // Without its blocks on the disk.
            let film = std::fs::File::create(output.join("static/assets/film")).unwrap();
            film.set_len(bytes).unwrap();
            let note = size_note(folder.path()).unwrap();
            let named = note
                .as_ref()
                .map(|note| plan.is_some_and(|plan| note.contains(plan)));
            assert_eq!(named, plan.map(|_| true), "{note:?}");
        }
        std::fs::remove_file(output.join("static/assets/film")).unwrap();
        std::fs::write(output.join("static/assets/app.js"), "key:\"[SENSITIVE]\"").unwrap();
        assert_eq!(code(check_output(folder.path())), Some("vercel_placeholder"));
    }
}
