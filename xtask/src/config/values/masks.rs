//! Masks that could not mean what they should.

use std::collections::BTreeMap;

use super::Rules;
use crate::config::{Config, MaskRule};

impl Rules<'_> {
    pub(super) fn masks(&mut self, config: &Config) {
        if let Some(variable) = &config.restore.mask_key {
            self.variable(&["restore", "mask_key"], variable);
        }
        for (name, rule) in &config.mask {
            if let Some(why) = mistake_of(name, &config.mask) {
                self.mistake(&["mask", name], format!("`{name}` {why}"));
            }
            if *rule == MaskRule::Hash && config.restore.mask_key.is_none() {
                let message =
                    "\"hash\" needs `mask_key` in [restore]: the name of the variable with the secret";
                self.mistake(&["mask", name], message);
            }
        }
    }
}

fn mistake_of(name: &str, all: &BTreeMap<String, MaskRule>) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    if parts.len() < 2 || parts.iter().any(|part| part.is_empty()) {
        return Some("is no collection and field, as \"users.email\"".to_owned());
    }
    if parts[1] == "_id" {
        return Some(
            "is the `_id`, which cannot be masked: other collections and the program refer to it".to_owned(),
        );
    }
    let fields = &parts[1..];
    if fields
        .iter()
        .any(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Some("has a number: all elements of an array are masked, without naming them".to_owned());
    }
    if fields.iter().any(|part| part.starts_with('$')) {
        return Some("has a part that begins with $: no field that is stored does".to_owned());
    }
    let outer = all.keys().find(|other| {
        name.strip_prefix(other.as_str())
            .is_some_and(|rest| rest.starts_with('.'))
    });
    outer.map(|outer| format!("is within `{outer}`, which has a mask too: remove one of them"))
}
