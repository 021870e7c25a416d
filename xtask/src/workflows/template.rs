//! Templates of workflows: `<<name>>` inside a line, and lines `#list NAME`, `#if FLAG`, `#if !FLAG`, `#end`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

/// What a template is filled with.
#[derive(Debug, Default)]
pub(super) struct TemplateValues {
    pub(super) words: BTreeMap<&'static str, String>,
    pub(super) flags: BTreeMap<&'static str, bool>,
    /// Lines, each indented as the line that asks for them.
    pub(super) lists: BTreeMap<&'static str, Vec<String>>,
}

/// The text with everything filled in; an error where the template names what there is not.
pub(super) fn render(template: &str, values: &TemplateValues) -> Result<String> {
    let mut text = String::new();
    let mut open: Vec<bool> = Vec::new();
    for line in template.lines() {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        let is_kept = !open.contains(&false);
        if let Some(flag) = trimmed.strip_prefix("#if ") {
            let (name, wanted) = flag.strip_prefix('!').map_or((flag, true), |name| (name, false));
            let is = values
                .flags
                .get(name)
                .with_context(|| format!("no flag {name}"))?;
            open.push(*is == wanted);
        } else if trimmed == "#end" {
            ensure!(open.pop().is_some(), "#end without #if");
        } else if let (true, Some(name)) = (is_kept, trimmed.strip_prefix("#list ")) {
            let lines = values
                .lists
                .get(name)
                .with_context(|| format!("no list {name}"))?;
            for line in lines {
                text.push_str(format!("{indent}{line}").trim_end());
                text.push('\n');
            }
        } else if is_kept {
            text.push_str(&filled(line, values)?);
            text.push('\n');
        }
    }
    ensure!(open.is_empty(), "#if without #end");
    Ok(text)
}

fn filled(line: &str, values: &TemplateValues) -> Result<String> {
    let mut parts = line.split("<<");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once(">>") else {
            bail!("<< without >>: {line}");
        };
        text.push_str(
            values
                .words
                .get(name)
                .with_context(|| format!("no word {name}"))?,
        );
        text.push_str(rest);
    }
    Ok(text)
}
