//! From `pipeline/1` to `pipeline/2`: the one backend and the one frontend become the first of their lists. They keep the
//! names that records of earlier releases have.

use anyhow::{Context as _, Result};
use toml_edit::{ArrayOfTables, Item, Key, Table, value};

use super::{Stepping, set};
use crate::context::PIPELINE_FILE;
use crate::domain::parts::{BACKEND, FRONTEND};

const SCHEMA: &str = "pipeline/2";
/// Table of the platform, list, name of its one part, and what the platform's table keeps.
const PARTS: &[(&str, &str, &str, &[&str])] = &[
    (
        "railway",
        "backends",
        BACKEND,
        &["project", "environment", "token"],
    ),
    ("vercel", "frontends", FRONTEND, &["org", "token"]),
];

/// Moves the keys with their comments; none is dropped.
pub(super) fn into_lists(stepping: &mut Stepping<'_>) -> Result<()> {
    let document = &mut stepping.document;
    let environments = document.get_mut("environments").and_then(Item::as_table_mut);
    let environments = environments.with_context(|| format!("{PIPELINE_FILE} has no [environments.NAME]"))?;
    for (name, environment) in environments.iter_mut() {
        let environment = environment.as_table_mut().with_context(|| {
            format!(
                "the environment {} of {PIPELINE_FILE} is written as one line",
                name.get()
            )
        })?;
        for part in PARTS {
            to_list(environment, part)
                .with_context(|| format!("the environment {} of {PIPELINE_FILE}", name.get()))?;
        }
    }
    set(document, "schema", SCHEMA);
    stepping.changes.push(format!(
        "schema = \"{SCHEMA}\": the backend and the frontend are the first of their lists; add others there"
    ));
    Ok(())
}

fn to_list(
    environment: &mut Table,
    (platform, list, name, kept): &(&str, &str, &str, &[&str]),
) -> Result<()> {
    let table = environment.get_mut(platform).and_then(Item::as_table_mut);
    let table = table.with_context(|| format!("`{platform}` is missing, or written as one line"))?;
    let mut part = Table::new();
    part["name"] = value(*name);
    part["platform"] = value(*platform);
    let moved: Vec<String> = table
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| !kept.contains(&key.as_str()))
        .collect();
    for key in moved {
        let (old, item) = table.remove_entry(&key).context("a key that was there")?;
        let new = if key == "source" { "folder" } else { &key };
        let new = Key::new(new).with_leaf_decor(old.leaf_decor().clone());
        part.insert_formatted(&new, item);
    }
    // In the file it stands behind the platform's table, whatever follows.
    let position = table.position();
    part.set_position(position);
    let mut parts = ArrayOfTables::new();
    parts.push(part);
    environment.insert(list, Item::ArrayOfTables(parts));
    Ok(())
}
