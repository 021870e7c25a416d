//! The version of the program that a pipeline.toml is meant for. Another one releases nothing, but it can roll back and
//! restore: the emergency depends on no version.

use toml::de::{DeTable, DeValue};

use super::Config;

/// Version of this program.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");
/// Keys that are passed over at most: a file with more is not of another version.
const MOST_UNKNOWN: usize = 50;

/// Whether a file for this version is meant for that program: `0.1` is meant for 0.1.0 and 0.1.7.
pub fn is_meant_for(wanted: &str, program: &str) -> bool {
    let mut program = program.split('.');
    wanted.split('.').all(|part| program.next() == Some(part))
}

/// The version that `init` writes: without the last number, which changes no format.
pub fn wanted() -> &'static str {
    PROGRAM.rsplit_once('.').map_or(PROGRAM, |(start, _)| start)
}

/// One to three numbers.
pub(super) fn is_version(text: &str) -> bool {
    let is_number =
        |part: &str| !part.is_empty() && part.len() < 6 && part.chars().all(|c| c.is_ascii_digit());
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() <= 3 && parts.into_iter().all(is_number)
}

/// A file of another version without the keys that this program does not know: its text and those keys. `None` where the
/// file is of this version, or has other mistakes.
pub(super) fn without_unknown_keys(text: &str) -> Option<(String, Vec<String>)> {
    let mut table: toml::Value = toml::from_str(text).ok()?;
    let wanted = table.get("version")?.as_str()?;
    if is_meant_for(wanted, PROGRAM) {
        return None;
    }
    let mut ignored = Vec::new();
    for _ in 0..MOST_UNKNOWN {
        let text = toml::to_string(&table).ok()?;
        let Err(error) = Config::from_toml(&text) else {
            return Some((text, ignored));
        };
        let unknown = error.message().trim().strip_prefix("unknown field `")?;
        let unknown = unknown.split('`').next()?;
        let at = error.span().map_or(0, |span| span.start);
        let mut found = Vec::new();
        let document = DeTable::parse(&text).ok()?.into_inner();
        find_in_table(&document, unknown, &mut Vec::new(), &mut found);
        let (_, path) = found.into_iter().min_by_key(|(start, _)| start.abs_diff(at))?;
        remove(&mut table, &path)?;
        ignored.push(path.join("."));
    }
    None
}

/// Every key of this name: the byte where it begins, and its path; an index for a member of an array.
fn find_in_table(
    table: &DeTable<'_>,
    name: &str,
    path: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        if key.get_ref() == name {
            found.push((key.span().start, path.clone()));
        }
        find_in_value(value.get_ref(), name, path, found);
        path.pop();
    }
}

fn find_in_value(
    value: &DeValue<'_>,
    name: &str,
    path: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) {
    match value {
        DeValue::Table(table) => find_in_table(table, name, path, found),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                find_in_value(item.get_ref(), name, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn remove(document: &mut toml::Value, path: &[String]) -> Option<()> {
    let (last, above) = path.split_last()?;
    let mut at = document;
    for part in above {
        at = match at {
            toml::Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?)?,
            other => other.get_mut(part.as_str())?,
        };
    }
    at.as_table_mut()?.remove(last).map(|_| ())
}
