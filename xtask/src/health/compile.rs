//! From the file to the checks that can run. Every mistake is found here, before anything is sent:
//! names, dependencies, variables, patterns, paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use regex::Regex;
use serde_json::Value;
use serde_json_path::JsonPath;
use toml::Spanned;

use super::file::{self, CheckSpec, HealthFile, Text};
use super::order;
use super::plan::{HealthCheck, HealthPlan};
use super::probe::{Probe, ServingProbe};
use super::template::{Template, Variable};
use crate::config;
use crate::domain::verdict::Severity;

/// The largest pattern, once compiled: a check needs no more.
const PATTERN_LIMIT_BYTES: usize = 1 << 20;

/// Parses and compiles the file.
pub(super) fn parse(path: &Path, text: &str) -> Result<HealthPlan> {
    let file: HealthFile = config::parse_toml(path, text)?;
    let mut compiler = Compiler::new(text, &file.run);
    let plan = compiler.plan(file);
    if compiler.mistakes.is_empty() {
        Ok(plan)
    } else {
        Err(config::mistakes(path, text, compiler.mistakes))
    }
}

/// Gathers mistakes while it compiles.
pub(super) struct Compiler<'a> {
    text: &'a str,
    pub(super) mistakes: Vec<(usize, String)>,
    secrets: BTreeSet<String>,
    /// Captured variable → check that captures it.
    captured_by: BTreeMap<String, String>,
    /// Where each check uses captured variables.
    uses: Vec<(String, String, usize)>,
    /// Whether a check asks the applications which release they are.
    asks_applications: bool,
    timeout: Duration,
    pub(super) body_limit_bytes: u64,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(text: &'a str, run: &file::RunLimits) -> Self {
        let mut compiler = Self {
            text,
            mistakes: Vec::new(),
            secrets: BTreeSet::new(),
            captured_by: BTreeMap::new(),
            uses: Vec::new(),
            asks_applications: false,
            timeout: Duration::from_millis(*run.timeout_ms.get_ref()),
            body_limit_bytes: *run.body_limit_bytes.get_ref(),
        };
        compiler.within(&run.parallel, 1..=64, "parallel");
        compiler.within(&run.deadline_s, 1..=3_600, "deadline_s");
        compiler.within(&run.timeout_ms, 1..=600_000, "timeout_ms");
        compiler.within(&run.body_limit_bytes, 1..=(256 << 20), "body_limit_bytes");
        compiler
    }

    pub(super) fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        self.mistakes.push((offset, message.into()));
    }

    pub(super) fn within<T: PartialOrd + std::fmt::Display>(
        &mut self,
        value: &Spanned<T>,
        range: std::ops::RangeInclusive<T>,
        name: &str,
    ) {
        if !range.contains(value.get_ref()) {
            let message = format!("`{name}` is from {} to {}", range.start(), range.end());
            self.mistake(value.span().start, message);
        }
    }

    pub(super) fn plan(&mut self, file: HealthFile) -> HealthPlan {
        let mut entries: Vec<(Text, CheckSpec)> = file.check.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        if entries.is_empty() {
            self.mistake(0, "there is no check: a run would prove nothing");
        }
        for (name, entry) in &entries {
            for (variable, _) in entry.http.iter().flat_map(|http| &http.get_ref().capture) {
                let earlier = self
                    .captured_by
                    .insert(variable.get_ref().clone(), name.get_ref().clone());
                if let Some(earlier) = earlier {
                    let message = format!("`{variable}` is captured by `{earlier}` already");
                    self.mistake(variable.span().start, message);
                }
            }
        }
        let depends_on = order::resolve(&entries, &mut self.mistakes);
        self.asks_applications = entries.iter().any(|(_, entry)| entry.release.is_some());
        let mut checks: Vec<HealthCheck> = Vec::new();
        for ((name, entry), depends_on) in entries.iter().zip(depends_on) {
            if let Some(check) = self.check(name, entry, depends_on) {
                checks.push(check);
            }
        }
        if self.mistakes.is_empty() {
            self.check_uses(&checks);
        }
        HealthPlan {
            parallel: *file.run.parallel.get_ref(),
            deadline: Duration::from_secs(*file.run.deadline_s.get_ref()),
            checks,
            secrets: std::mem::take(&mut self.secrets),
        }
    }

    /// A captured variable is there only once its check has passed: the user must depend on it, also by others.
    fn check_uses(&mut self, checks: &[HealthCheck]) {
        let by_name: BTreeMap<&str, usize> = checks
            .iter()
            .enumerate()
            .map(|(index, check)| (check.name.as_str(), index))
            .collect();
        for (user, variable, offset) in std::mem::take(&mut self.uses) {
            let Some(source) = self.captured_by.get(&variable) else {
                let known = ["backend", "frontend", "release.commit", "release.version"];
                let names = known
                    .into_iter()
                    .chain(self.captured_by.keys().map(String::as_str));
                let hint = config::hint(&variable, names);
                let shown = config::quoted_key(&variable);
                self.mistake(offset, format!("unknown variable{shown} in `${{…}}`{hint}"));
                continue;
            };
            let reached = order::reachable(by_name[user.as_str()], checks.len(), |index| {
                &checks[index].depends_on
            });
            if !reached.contains(&by_name[source.as_str()]) {
                let message = format!(
                    "`${{{variable}}}` is captured by `{source}`: add it to `depends_on` of `{user}`"
                );
                self.mistake(offset, message);
            }
        }
    }

    fn check(&mut self, name: &Text, entry: &CheckSpec, depends_on: Vec<usize>) -> Option<HealthCheck> {
        let mut probes: Vec<Probe> = Vec::new();
        let user = name.get_ref();
        if let Some(http) = &entry.http {
            probes.extend(self.http(user, http.get_ref()).map(Probe::Http));
        }
        if let Some(frontend) = &entry.frontend {
            probes.extend(self.frontend(user, frontend.get_ref()).map(Probe::Frontend));
        }
        if let Some(database) = &entry.database {
            probes.push(Probe::Database(self.database(database.get_ref())));
        }
        if let Some(page) = &entry.status_page {
            probes.extend(self.status_page(user, page.get_ref()).map(Probe::StatusPage));
        }
        if let Some(release) = &entry.release {
            probes.extend(
                self.release(user, release.get_ref())
                    .map(|release| Probe::Release(Box::new(release))),
            );
        }
        if let Some(serving) = &entry.serving {
            probes.push(Probe::Serving(ServingProbe {
                timeout: self.timeout(serving.get_ref().timeout_ms.as_ref()),
                is_alone: !self.asks_applications,
            }));
        }
        let given = [
            entry.http.is_some(),
            entry.frontend.is_some(),
            entry.database.is_some(),
            entry.status_page.is_some(),
            entry.release.is_some(),
            entry.serving.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            let message = format!(
                "check `{name}` needs exactly one of `http`, `frontend`, `database`, `status_page`, `release`, `serving`"
            );
            self.mistake(name.span().start, message);
        }
        if let Some(consecutive) = &entry.consecutive {
            self.within(consecutive, 1..=100, "consecutive");
        }
        if entry.retry.factor == 0 || entry.retry.first_ms == 0 || entry.retry.for_s > 3_600 {
            let message = "`retry` needs `factor` and `first_ms` from 1, and `for_s` up to 3600";
            self.mistake(name.span().start, message);
        }
        let probe = probes.pop()?;
        let severity = entry.severity.unwrap_or(match probe {
            // Somebody else's incident is not our failure.
            Probe::StatusPage(_) => Severity::Warning,
            _ => Severity::Critical,
        });
        Some(HealthCheck {
            name: user.clone(),
            group: entry.group,
            severity,
            depends_on,
            retry: entry.retry,
            consecutive: entry.consecutive.as_ref().map_or(1, |count| *count.get_ref()),
            probe,
        })
    }

    pub(super) fn timeout(&mut self, timeout_ms: Option<&Spanned<u64>>) -> Duration {
        let Some(timeout_ms) = timeout_ms else {
            return self.timeout;
        };
        self.within(timeout_ms, 1..=600_000, "timeout_ms");
        Duration::from_millis(*timeout_ms.get_ref())
    }

    /// The byte offset of a piece of a value: the value's place, and the piece looked for in it.
    fn offset_in(&self, span: &std::ops::Range<usize>, piece: &str) -> usize {
        let source = self.text.get(span.clone()).unwrap_or_default();
        span.start + source.find(piece).unwrap_or(0)
    }

    pub(super) fn template(&mut self, user: &str, text: &Text) -> Option<Template> {
        self.template_at(user, text.get_ref(), &text.span())
    }

    fn template_at(&mut self, user: &str, text: &str, span: &std::ops::Range<usize>) -> Option<Template> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(fault) => {
                let offset = self.offset_in(span, &text[fault.at..]);
                self.mistake(offset, fault.message);
                return None;
            }
        };
        for variable in template.variables() {
            match variable {
                Variable::Secret(name) => {
                    self.secrets.insert(name.clone());
                }
                Variable::Capture(name) => {
                    let offset = self.offset_in(span, &format!("${{{name}}}"));
                    self.uses.push((user.to_owned(), name.clone(), offset));
                }
                _ => {}
            }
        }
        Some(template)
    }

    pub(super) fn url(&mut self, user: &str, text: &Text) -> Option<Template> {
        let template = self.template(user, text)?;
        let starts = ["${backend}", "${frontend}", "https://", "http://"];
        let of_part = ["${backend.", "${frontend."];
        let mut all = starts.iter().chain(&of_part);
        if !all.any(|start| text.get_ref().starts_with(start)) {
            let message = format!("an address starts with one of: {}", starts.join(" "));
            self.mistake(text.span().start, message);
        }
        // Addresses end up in the logs of every server and proxy on the way.
        if let Some(Variable::Secret(name)) = template.variables().find(|v| matches!(v, Variable::Secret(_)))
        {
            let offset = self.offset_in(&text.span(), "${secret:");
            self.mistake(
                offset,
                format!("the secret {name} must not be part of an address"),
            );
        }
        Some(template)
    }

    pub(super) fn json_value(&mut self, user: &str, body: &Spanned<toml::Value>) -> Value {
        let value = to_json(body.get_ref());
        let mut texts = Vec::new();
        collect_texts(&value, &mut texts);
        for text in texts {
            self.template_at(user, text, &body.span());
        }
        value
    }

    pub(super) fn pattern(&mut self, text: &Text) -> Option<Regex> {
        let compiled = regex::RegexBuilder::new(text.get_ref())
            .size_limit(PATTERN_LIMIT_BYTES)
            .build();
        compiled
            .map_err(|error| {
                let reason = error.to_string();
                let reason = reason
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                self.mistake(text.span().start, format!("not a regular expression: {reason}"));
            })
            .ok()
    }

    pub(super) fn path(&mut self, text: &Text) -> Option<JsonPath> {
        JsonPath::parse(text.get_ref())
            .map_err(|error| {
                let reason = error.message().to_owned();
                self.mistake(text.span().start, format!("not a JSONPath (RFC 9535): {reason}"));
            })
            .ok()
    }
}

fn collect_texts<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Value::Object(members) => members.values().for_each(|member| collect_texts(member, texts)),
        _ => {}
    }
}

pub(super) fn to_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(flag) => Value::from(*flag),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(items) => items.iter().map(to_json).collect(),
        toml::Value::Table(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), to_json(member)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[cfg(test)]
mod tests;
