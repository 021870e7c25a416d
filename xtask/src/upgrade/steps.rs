//! pipeline.toml from one version's form to the next: a function for each step. Comments and order of the file are kept.

mod lists;

use std::path::Path;

use anyhow::{Context as _, Result};
use toml_edit::{DocumentMut, Item, Table, Value};

use crate::config::version::{self, PROGRAM};
use crate::context::PIPELINE_FILE;
use crate::error::catalogue::configuration as errors;

/// The form of a file that names no version.
const FIRST: &str = "0.0";
/// The schema with one backend and one frontend; the file's own number, whatever version it is meant for.
const ONE_OF_EACH: &str = "pipeline/1";
/// The action that builds the program from the repository's own copy of its sources.
const SOURCE_ACTION: &str = "./.github/actions/xtask";
/// What the first version had copied into repositories.
const COPIED: &[&str] = &[
    "xtask",
    "infrastructure/rehearsal",
    "infrastructure/tools",
    ".cargo/config.toml",
    ".github/actions/xtask",
    ".ci/run",
    "fuzz",
];
/// What the first version's file had behind `recipients`.
const RECIPIENTS_BEFORE: &str = "# age or ssh public keys; empty: not encrypted";
const RECIPIENTS_NOW: &str = "# age or ssh public keys; empty: the public side of `identity`";

/// pipeline.toml in its new form.
#[derive(Debug)]
pub struct SteppedConfig {
    pub from: String,
    pub text: String,
    pub changes: Vec<String>,
    pub by_hand: Vec<String>,
}

/// What a step works on.
struct Stepping<'a> {
    document: DocumentMut,
    root: &'a Path,
    setup: Option<&'a str>,
    changes: Vec<String>,
    by_hand: Vec<String>,
}

/// The version whose form a step makes, and the step. In their order; one that a file has taken is not taken again.
type Step = (&'static str, fn(&mut Stepping<'_>) -> Result<()>);

const STEPS: &[Step] = &[("0.1", backups_are_encrypted), ("0.1", the_program_is_installed)];

/// The text after all steps that its version lacks. An error where the file is meant for a later program.
pub fn apply(text: &str, root: &Path, setup: Option<&str>) -> Result<SteppedConfig> {
    apply_to((STEPS, version::wanted(), PROGRAM), text, root, setup)
}

/// The same for these steps, the version that a file gets, and the program's own.
fn apply_to(
    (steps, wanted, program): (&[Step], &str, &str),
    text: &str,
    root: &Path,
    setup: Option<&str>,
) -> Result<SteppedConfig> {
    let document: DocumentMut = text
        .parse()
        .with_context(|| format!("{PIPELINE_FILE} is no TOML"))?;
    let from = document
        .get("version")
        .and_then(Item::as_str)
        .unwrap_or(FIRST)
        .to_owned();
    if numbers(&from) > numbers(wanted) && !version::is_meant_for(&from, program) {
        return Err(errors::version_other(PIPELINE_FILE, from, program).into());
    }
    let mut stepping = Stepping {
        document,
        root,
        setup,
        changes: Vec::new(),
        by_hand: Vec::new(),
    };
    for (to, step) in steps {
        if numbers(&from) < numbers(to) {
            step(&mut stepping)?;
        }
    }
    if stepping.document.get("schema").and_then(Item::as_str) == Some(ONE_OF_EACH) {
        lists::into_lists(&mut stepping)?;
    }
    stepping.setup_action()?;
    if numbers(&from) < numbers(wanted) {
        set(&mut stepping.document, "version", wanted);
        stepping.changes.push(format!("version = \"{wanted}\""));
    }
    Ok(SteppedConfig {
        from,
        text: stepping.document.to_string(),
        changes: stepping.changes,
        by_hand: stepping.by_hand,
    })
}

/// Major and minor number: the last one changes no format.
fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(u32::MAX));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Gives the key this value. What stands behind the value of before, a comment, stays.
fn set(table: &mut Table, key: &str, text: &str) {
    let mut new = Value::from(text);
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *new.decor_mut() = old.decor().clone();
    }
    table[key] = Item::Value(new);
}

impl Stepping<'_> {
    /// The table of this name; where there is none, a new one before the environments.
    fn table(&mut self, name: &str) -> Result<&mut Table> {
        let environments = self.document.get("environments").and_then(Item::as_table);
        let tables = environments
            .into_iter()
            .flatten()
            .filter_map(|(_, item)| item.as_table());
        let before = tables.filter_map(Table::position).min().map(|first| first - 1);
        let item = self.document.entry(name).or_insert_with(|| {
            let mut table = Table::new();
            table.set_position(before);
            Item::Table(table)
        });
        item.as_table_mut().with_context(|| {
            format!("`{name}` of {PIPELINE_FILE} is written as one line: write it as [{name}]")
        })
    }

    /// `[workflows] setup`, where another action is asked for.
    fn setup_action(&mut self) -> Result<()> {
        let Some(setup) = self.setup else { return Ok(()) };
        let workflows = self.table("workflows")?;
        if workflows.get("setup").and_then(Item::as_str) != Some(setup) {
            set(workflows, "setup", setup);
            self.changes.push(format!("[workflows] setup = \"{setup}\""));
        }
        Ok(())
    }
}

/// Backups in the clear are refused by workflows and by storages elsewhere.
fn backups_are_encrypted(stepping: &mut Stepping<'_>) -> Result<()> {
    let backup = stepping.table("backup")?;
    if let Some(suffix) = backup
        .get_mut("recipients")
        .and_then(Item::as_value_mut)
        .map(Value::decor_mut)
    {
        let text = suffix.suffix().and_then(|raw| raw.as_str()).unwrap_or_default();
        if text.trim() == RECIPIENTS_BEFORE {
            suffix.set_suffix(text.replace(RECIPIENTS_BEFORE, RECIPIENTS_NOW));
        }
    }
    let has_recipients = backup
        .get("recipients")
        .and_then(Item::as_array)
        .is_some_and(|list| !list.is_empty());
    if has_recipients || backup.contains_key("identity") {
        return Ok(());
    }
    set(backup, "identity", "BACKUP_AGE_IDENTITY");
    stepping.changes.push(
        "[backup] identity = \"BACKUP_AGE_IDENTITY\": backups in the clear are refused in workflows"
            .to_owned(),
    );
    stepping.by_hand.push(
        "cargo xtask setup: it makes the key of the backups and puts it into GitHub; keep a copy of the key"
            .to_owned(),
    );
    Ok(())
}

/// The program is no copy of its sources any more.
fn the_program_is_installed(stepping: &mut Stepping<'_>) -> Result<()> {
    let copied: Vec<&str> = COPIED
        .iter()
        .copied()
        .filter(|path| stepping.root.join(path).exists())
        .collect();
    let copied = copied.join(", ");
    let manifest = std::fs::read_to_string(stepping.root.join("Cargo.toml")).unwrap_or_default();
    let is_of_copy = manifest.contains("\"xtask\"");
    if stepping.setup.is_some() {
        if !copied.is_empty() {
            stepping
                .by_hand
                .push(format!("remove what was copied of the first version: {copied}"));
        }
        if is_of_copy {
            stepping.by_hand.push(
                "take the members `xtask` and `infrastructure/rehearsal` out of Cargo.toml, or remove it: Railway builds an upload with that file as a Rust program"
                    .to_owned(),
            );
        }
        return Ok(());
    }
    let workflows = stepping.table("workflows")?;
    if !workflows.contains_key("setup") {
        set(workflows, "setup", SOURCE_ACTION);
        stepping
            .changes
            .push(format!("[workflows] setup = \"{SOURCE_ACTION}\""));
    }
    if !copied.is_empty() {
        stepping.by_hand.push(format!(
            "replace the copied sources of the first version ({copied}) by those of {}; or leave them behind: cargo xtask upgrade --setup OWNER/REPOSITORY/setup-action@COMMIT",
            version::wanted()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a step of the next version may do: a key gets another name.
    fn a_key_is_renamed(stepping: &mut Stepping<'_>) -> Result<()> {
        let backup = stepping.table("backup")?;
        let (key, item) = backup.remove_entry("retention_days").context("a key")?;
        let new = toml_edit::Key::new("keep_days").with_leaf_decor(key.leaf_decor().clone());
        backup.insert_formatted(&new, item);
        stepping.by_hand.push("tell everybody".to_owned());
        Ok(())
    }

    #[test]
    fn a_file_gets_the_steps_of_later_versions_only_and_keeps_what_the_team_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let own = include_str!("../../../infrastructure/pipeline.toml");
        let own = own.replace("pipeline/1\"", "pipeline/1\" # of May");
        let text = apply(&own, folder.path(), None).unwrap().text.replace(
            "retention_days = 90",
            "# The auditors ask for it.\nretention_days = 400 # since May",
        );
        let next: &[Step] = &[STEPS[0], STEPS[1], ("0.3", a_key_is_renamed), ("0.3", |_| Ok(()))];
        let to = |wanted, program, text: &str| apply_to((next, wanted, program), text, folder.path(), None);
        let stepped = to("0.3", "0.3.3", &text).unwrap();
        assert_eq!(stepped.from, "0.2");
        assert_eq!(
            (stepped.changes, stepped.by_hand),
            (
                vec!["version = \"0.3\"".to_owned()],
                vec!["tell everybody".to_owned()]
            )
        );
        let expected = text
            .replace("retention_days = 400", "keep_days = 400")
            .replace("version = \"0.2\"", "version = \"0.3\"");
        assert!(
            stepped
                .text
                .contains("# The auditors ask for it.\nkeep_days = 400 # since May")
        );
        let lines = |text: &str| {
            text.lines()
                .map(str::to_owned)
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(lines(&stepped.text), lines(&expected), "nothing else is another");
        let again = to("0.3", "0.3.3", &stepped.text).unwrap();
        assert!(again.changes.is_empty() && again.text == stepped.text);
        let refused = to("0.2", "0.2.0", &stepped.text).unwrap_err();
        assert!(refused.to_string().contains("0.3"), "{refused}");
    }
}
