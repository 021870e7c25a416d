//! The meaning of a workflow: its YAML without comments, order of keys, and pins of actions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// More is no help: the file is another one.
const SHOWN: usize = 20;
/// Characters of a value in a message.
const SHOWN_CHARS: usize = 100;

/// What a workflow means, pins of actions included.
pub(super) fn meaning(text: &str) -> Result<Value> {
    let mut documents = YamlLoader::load_from_str(text).context("the workflow is no YAML")?;
    match (documents.pop(), documents.pop()) {
        (Some(one), None) => value(&one),
        _ => bail!("the workflow is not one document of YAML"),
    }
}

/// Keys in their alphabetical order: the same meaning has the same text.
fn value(yaml: &Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Real(text) | Yaml::String(text) => Value::String(text.clone()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Boolean(is) => Value::from(*is),
        Yaml::Null => Value::Null,
        Yaml::Array(items) => Value::Array(items.iter().map(value).collect::<Result<_>>()?),
        Yaml::Hash(entries) => {
            let mut sorted = BTreeMap::new();
            for (key, entry) in entries {
                let key = match value(key)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                sorted.insert(key, value(entry)?);
            }
            Value::Object(sorted.into_iter().collect())
        }
        Yaml::Alias(_) | Yaml::BadValue => bail!("the workflow has a value that cannot be read"),
    })
}

/// The meaning without the pins of actions. Those of `own`, the action that pipeline.toml names with its pin, stay.
pub(super) fn unpinned(mut meaning: Value, own: &str) -> Value {
    match &mut meaning {
        Value::Object(entries) => {
            for (key, entry) in entries.iter_mut() {
                match entry {
                    Value::String(used) if key == "uses" => {
                        let action = used.split('@').next().unwrap_or_default();
                        if action != own {
                            *used = action.to_owned();
                        }
                    }
                    other => *other = unpinned(other.take(), own),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = unpinned(item.take(), own);
            }
        }
        _ => {}
    }
    meaning
}

/// Where two meanings differ: key, what it should be, what it is.
pub(super) fn differences(wanted: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    collect("", wanted, found, &mut lines);
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("{more} more"));
    }
    lines
}

fn collect(at: &str, wanted: &Value, found: &Value, lines: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let keys: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
            for key in keys {
                let below = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                match (wanted.get(key), found.get(key)) {
                    (Some(wanted), Some(found)) => collect(&below, wanted, found, lines),
                    (Some(wanted), None) => lines.push(format!("{below} is missing: {}", shown(wanted))),
                    (None, Some(found)) => lines.push(format!("{below} is too much: {}", shown(found))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                collect(&format!("{at}[{index}]"), wanted, found, lines);
            }
        }
        (Value::Array(wanted), Value::Array(found)) => {
            let before = lines.len();
            for item in wanted.iter().filter(|item| !found.contains(item)) {
                lines.push(format!("{at} lacks {}", shown(item)));
            }
            for item in found.iter().filter(|item| !wanted.contains(item)) {
                lines.push(format!("{at} has too much: {}", shown(item)));
            }
            if lines.len() == before {
                lines.push(format!("{at} has {} entries, not {}", found.len(), wanted.len()));
            }
        }
        _ if wanted == found => {}
        _ => lines.push(format!("{at} is {}, not {}", shown(found), shown(wanted))),
    }
}

fn shown(value: &Value) -> String {
    // A step is known by its name.
    let named = value["name"]
        .as_str()
        .map(|name| format!("the step or job {name:?}"));
    let text = named.unwrap_or_else(|| value.to_string());
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    let start: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{start}…")
}

/// The text with the pins of the other one, where that has one pin for an action that is not `own`.
pub(super) fn kept_pins(text: &str, other: &str, own: &str) -> String {
    let mut pins: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (action, pin) in other
        .lines()
        .filter_map(pinned)
        .filter(|(action, _)| *action != own)
    {
        pins.entry(action).or_default().insert(pin);
    }
    let line = |line: &str| {
        let kept = pinned(line).and_then(|(action, pin)| {
            let known = pins.get(action).filter(|known| known.len() == 1)?;
            Some(line.replacen(pin, known.first()?, 1))
        });
        kept.unwrap_or_else(|| line.to_owned()) + "\n"
    };
    text.lines().map(line).collect()
}

/// The action of a line, and all that follows `@`.
pub(super) fn pinned(line: &str) -> Option<(&str, &str)> {
    let used = line
        .trim_start()
        .trim_start_matches("- ")
        .strip_prefix("uses: ")?;
    used.split_once('@')
}
