//! From the file to checks that can run: variables, paths and patterns compiled, dependencies resolved. Every mistake
//! is found here, before anything is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use regex::Regex;
use serde_json::Value;
use serde_json_path::JsonPath;
use toml::Spanned;
use ureq::http::Method;

use super::Group;
use super::expect::{Assertion, Expectations};
use super::file::{self, CheckEntry, HealthFile, Retry, Text};
use super::order;
use super::probe::{Database, Frontend, HttpProbe, Probe, Release, StatusPage};
use super::template::{Template, Variable};
use crate::config;
use crate::domain::verdict::Severity;

/// The largest pattern, once compiled: a check needs no more.
const PATTERN_LIMIT_BYTES: usize = 1 << 20;

/// All checks of a run.
#[derive(Debug)]
pub(super) struct Plan {
    pub parallel: usize,
    pub deadline: Duration,
    /// In the order of the file.
    pub checks: Vec<Check>,
    /// Names of the environment variables that hold secrets.
    pub secrets: BTreeSet<String>,
}

/// A check that can run.
#[derive(Debug)]
pub(super) struct Check {
    pub name: String,
    pub group: Group,
    pub severity: Severity,
    pub depends_on: Vec<usize>,
    pub retry: Retry,
    pub consecutive: u32,
    pub probe: Probe,
}

impl Plan {
    /// Parses and compiles the file.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let file: HealthFile = config::parse_toml(path, text)?;
        let mut compiler = Compiler::new(text, &file.run);
        let plan = compiler.plan(file);
        if compiler.mistakes.is_empty() {
            Ok(plan)
        } else {
            Err(config::mistakes(path, text, compiler.mistakes))
        }
    }

    /// Keeps the checks of a group and all that they depend on.
    pub(super) fn only(&mut self, group: Group) {
        let mut keep: Vec<bool> = self.checks.iter().map(|check| check.group == group).collect();
        // Dependencies have no cycles, so this ends at the latest after as many rounds as there are checks.
        let mut changed = true;
        while changed {
            changed = false;
            for (index, check) in self.checks.iter().enumerate() {
                if keep[index] {
                    for &needed in &check.depends_on {
                        changed |= !std::mem::replace(&mut keep[needed], true);
                    }
                }
            }
        }
        let place: Vec<usize> = keep
            .iter()
            .scan(0, |next, kept| {
                let here = *next;
                *next += usize::from(*kept);
                Some(here)
            })
            .collect();
        let mut kept = keep.iter();
        self.checks
            .retain(|_| *kept.next().expect("one flag for each check"));
        for check in &mut self.checks {
            for needed in &mut check.depends_on {
                *needed = place[*needed];
            }
        }
    }
}

/// Gathers mistakes while it compiles.
struct Compiler<'a> {
    text: &'a str,
    mistakes: Vec<(usize, String)>,
    secrets: BTreeSet<String>,
    /// Captured variable → check that captures it.
    captured_by: BTreeMap<String, String>,
    /// Where each check uses captured variables.
    uses: Vec<(String, String, usize)>,
    timeout: Duration,
    body_limit_bytes: u64,
}

impl<'a> Compiler<'a> {
    fn new(text: &'a str, run: &file::Run) -> Self {
        let mut compiler = Self {
            text,
            mistakes: Vec::new(),
            secrets: BTreeSet::new(),
            captured_by: BTreeMap::new(),
            uses: Vec::new(),
            timeout: Duration::from_millis(*run.timeout_ms.get_ref()),
            body_limit_bytes: *run.body_limit_bytes.get_ref(),
        };
        compiler.within(&run.parallel, 1..=64, "parallel");
        compiler.within(&run.deadline_s, 1..=3_600, "deadline_s");
        compiler.within(&run.timeout_ms, 1..=600_000, "timeout_ms");
        compiler.within(&run.body_limit_bytes, 1..=(256 << 20), "body_limit_bytes");
        compiler
    }

    fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        self.mistakes.push((offset, message.into()));
    }

    fn within<T: PartialOrd + std::fmt::Display>(
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

    fn plan(&mut self, file: HealthFile) -> Plan {
        let mut entries: Vec<(Text, CheckEntry)> = file.check.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        if entries.is_empty() {
            self.mistake(0, "there is no check: a run of it would say nothing");
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
        let mut checks: Vec<Check> = Vec::new();
        for ((name, entry), depends_on) in entries.iter().zip(depends_on) {
            if let Some(check) = self.check(name, entry, depends_on) {
                checks.push(check);
            }
        }
        if self.mistakes.is_empty() {
            self.check_uses(&checks);
        }
        Plan {
            parallel: *file.run.parallel.get_ref(),
            deadline: Duration::from_secs(*file.run.deadline_s.get_ref()),
            checks,
            secrets: std::mem::take(&mut self.secrets),
        }
    }

    /// A captured variable is there only once its check has passed: the user must depend on it, also by others.
    fn check_uses(&mut self, checks: &[Check]) {
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
                self.mistake(offset, format!("unknown variable `${{{variable}}}`{hint}"));
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

    fn check(&mut self, name: &Text, entry: &CheckEntry, depends_on: Vec<usize>) -> Option<Check> {
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
        let given = [
            entry.http.is_some(),
            entry.frontend.is_some(),
            entry.database.is_some(),
            entry.status_page.is_some(),
            entry.release.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            let message = format!(
                "check `{name}` needs exactly one of `http`, `frontend`, `database`, `status_page`, `release`"
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
        Some(Check {
            name: user.clone(),
            group: entry.group,
            severity,
            depends_on,
            retry: entry.retry,
            consecutive: entry.consecutive.as_ref().map_or(1, |count| *count.get_ref()),
            probe,
        })
    }

    fn http(&mut self, user: &str, http: &file::Http) -> Option<HttpProbe> {
        let method = self.method(http.method.as_ref());
        let url = self.url(user, &http.url);
        let mut headers = Vec::new();
        for (name, value) in &http.headers {
            if ureq::http::HeaderName::from_bytes(name.get_ref().as_bytes()).is_err() {
                self.mistake(name.span().start, format!("`{name}` is not the name of a header"));
            }
            if let Some(value) = self.template(user, value) {
                headers.push((name.get_ref().clone(), value));
            }
        }
        let json = http.json.as_ref().map(|body| self.json_value(user, body));
        let body = http.body.as_ref().and_then(|body| self.template(user, body));
        if let (Some(_), Some(body)) = (&http.json, &http.body) {
            self.mistake(body.span().start, "`body` and `json` exclude each other");
        }
        let mut captures = Vec::new();
        for (variable, path) in &http.capture {
            if let Some(path) = self.path(path) {
                captures.push((variable.get_ref().clone(), path));
            }
        }
        if let Some(samples) = &http.samples {
            self.within(samples, 1..=1_000, "samples");
        }
        let expect = self.expectations(user, &http.expect);
        Some(HttpProbe {
            method: method?,
            url: url?,
            headers,
            json,
            body,
            captures,
            samples: http.samples.as_ref().map_or(1, |samples| *samples.get_ref()),
            timeout: self.timeout(http.timeout_ms.as_ref()),
            redirects: http.redirects,
            body_limit_bytes: self.body_limit_bytes,
            expect,
        })
    }

    fn method(&mut self, method: Option<&Text>) -> Option<Method> {
        const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let Some(method) = method else {
            return Some(Method::GET);
        };
        if !KNOWN.contains(&method.get_ref().as_str()) {
            let hint = config::hint(method.get_ref(), KNOWN);
            self.mistake(method.span().start, format!("unknown method `{method}`{hint}"));
            return None;
        }
        Method::from_bytes(method.get_ref().as_bytes()).ok()
    }

    fn expectations(&mut self, user: &str, expect: &file::Expect) -> Expectations {
        let mut headers = Vec::new();
        for (name, pattern) in &expect.headers {
            if let Some(pattern) = self.pattern(pattern) {
                headers.push((name.get_ref().clone(), pattern));
            }
        }
        let mut json = Vec::new();
        for assertion in &expect.json {
            json.extend(self.assertion(user, assertion));
        }
        if let Some(status) = &expect.status
            && (status.get_ref().is_empty()
                || status.get_ref().iter().any(|status| !(100..600).contains(status)))
        {
            self.mistake(status.span().start, "`status` lists numbers from 100 to 599");
        }
        Expectations {
            status: expect
                .status
                .as_ref()
                .map_or_else(|| vec![200], |status| status.get_ref().clone()),
            headers,
            body: expect.body.as_ref().and_then(|pattern| self.pattern(pattern)),
            json,
            max_ms: expect.max_ms.as_ref().map(|max| *max.get_ref()),
            p95_ms: expect.p95_ms.as_ref().map(|max| *max.get_ref()),
        }
    }

    fn assertion(&mut self, user: &str, assertion: &Spanned<file::Assertion>) -> Option<Assertion> {
        let given = assertion.get_ref();
        let matches = given.matches.as_ref().and_then(|pattern| self.pattern(pattern));
        if let (Some(min), Some(max)) = (given.min, given.max)
            && min > max
        {
            self.mistake(assertion.span().start, "`min` is larger than `max`");
        }
        // Nothing selected passes only where that was allowed: a renamed member must not turn a check green.
        let least = if given.max_count == Some(0) { 0 } else { 1 };
        let min_count = given.min_count.unwrap_or(least);
        if given.max_count.is_some_and(|max| max < min_count) {
            self.mistake(assertion.span().start, "`min_count` is larger than `max_count`");
        }
        Some(Assertion {
            path: self.path(&given.path)?,
            equals: given.equals.as_ref().map(|value| self.json_value(user, value)),
            kind: given.kind,
            matches,
            min: given.min,
            max: given.max,
            min_count,
            max_count: given.max_count,
            shape: given
                .shape
                .iter()
                .flatten()
                .map(|(name, kind)| (name.clone(), *kind))
                .collect(),
        })
    }

    fn frontend(&mut self, user: &str, frontend: &file::Frontend) -> Option<Frontend> {
        let title = frontend.title.as_ref().and_then(|pattern| self.pattern(pattern));
        Some(Frontend {
            url: self.url(user, &frontend.url)?,
            title,
            marker: frontend.marker.clone(),
            load_ms: frontend.load_ms.as_ref().map(|max| *max.get_ref()),
            timeout: self.timeout(frontend.timeout_ms.as_ref()),
            body_limit_bytes: self.body_limit_bytes,
        })
    }

    fn database(&mut self, database: &file::Database) -> Database {
        let filter = mongodb::bson::serialize_to_document(&database.filter);
        if let Err(error) = &filter {
            let message = format!("`filter` cannot be sent to the database: {error}");
            self.mistake(database.collection.span().start, message);
        }
        if !(1..=10_000).contains(&database.samples) {
            let at = database.collection.span().start;
            self.mistake(at, "`samples` is from 1 to 10000");
        }
        Database {
            file: database.clone(),
            filter: filter.unwrap_or_default(),
            timeout: self.timeout(database.timeout_ms.as_ref()),
        }
    }

    fn status_page(&mut self, user: &str, page: &file::StatusPage) -> Option<StatusPage> {
        Some(StatusPage {
            url: self.url(user, &page.url)?,
            components: page.components.clone(),
            timeout: self.timeout(page.timeout_ms.as_ref()),
            body_limit_bytes: self.body_limit_bytes,
        })
    }

    fn release(&mut self, user: &str, release: &file::Release) -> Option<Release> {
        let commit = self.path(&release.commit);
        let version = release.version.as_ref().and_then(|path| self.path(path));
        let deployment = release.deployment.as_ref().and_then(|path| self.path(path));
        let backend = self.url(user, &release.backend);
        if release.marker_is == file::MarkerIs::Version && release.version.is_none() {
            let message = "`marker_is = \"version\"` needs `version`: the path of the backend's version";
            self.mistake(release.backend.span().start, message);
        }
        Some(Release {
            frontend: self.url(user, &release.frontend)?,
            backend: backend?,
            commit: commit?,
            version,
            deployment,
            marker: release.marker.clone(),
            marker_is: release.marker_is,
            timeout: self.timeout(release.timeout_ms.as_ref()),
            body_limit_bytes: self.body_limit_bytes,
        })
    }

    fn timeout(&mut self, timeout_ms: Option<&Spanned<u64>>) -> Duration {
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

    fn template(&mut self, user: &str, text: &Text) -> Option<Template> {
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

    fn url(&mut self, user: &str, text: &Text) -> Option<Template> {
        let template = self.template(user, text)?;
        let starts = ["${backend}", "${frontend}", "https://", "http://"];
        if !starts.iter().any(|start| text.get_ref().starts_with(start)) {
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

    fn json_value(&mut self, user: &str, body: &Spanned<toml::Value>) -> Value {
        let value = to_json(body.get_ref());
        let mut texts = Vec::new();
        collect_texts(&value, &mut texts);
        for text in texts {
            self.template_at(user, text, &body.span());
        }
        value
    }

    fn pattern(&mut self, text: &Text) -> Option<Regex> {
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

    fn path(&mut self, text: &Text) -> Option<JsonPath> {
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

fn to_json(value: &toml::Value) -> Value {
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
