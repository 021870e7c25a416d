//! The parts of the compiler that know what each kind of check needs.

use toml::Spanned;
use ureq::http::Method;

use super::compile::Compiler;
use super::expect::{Assertion, Expectations};
use super::file::{self, Text};
use super::probe::{DatabaseProbe, FrontendProbe, HttpProbe, ReleaseProbe, StatusPageProbe};
use crate::config;

impl Compiler<'_> {
    pub(super) fn http(&mut self, user: &str, http: &file::HttpSpec) -> Option<HttpProbe> {
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
            let shown = config::quoted_key(method.get_ref());
            self.mistake(method.span().start, format!("unknown method{shown}{hint}"));
            return None;
        }
        Method::from_bytes(method.get_ref().as_bytes()).ok()
    }

    fn expectations(&mut self, user: &str, expect: &file::ExpectSpec) -> Expectations {
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
            status: expect.status.as_ref().map_or_else(
                || if expect.healthy { vec![200, 204] } else { vec![200] },
                |status| status.get_ref().clone(),
            ),
            healthy: expect.healthy,
            headers,
            body: expect.body.as_ref().and_then(|pattern| self.pattern(pattern)),
            json,
            max_ms: expect.max_ms.as_ref().map(|max| *max.get_ref()),
            p95_ms: expect.p95_ms.as_ref().map(|max| *max.get_ref()),
        }
    }

    fn assertion(&mut self, user: &str, assertion: &Spanned<file::AssertionSpec>) -> Option<Assertion> {
        let given = assertion.get_ref();
        let matches = given.matches.as_ref().and_then(|pattern| self.pattern(pattern));
        if let (Some(min), Some(max)) = (given.min, given.max)
            && min > max
        {
            self.mistake(assertion.span().start, "`min` is larger than `max`");
        }
        // Nothing selected passes only where that was allowed: a renamed member must not turn a check green.
        let least = usize::from(given.max_count != Some(0));
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

    pub(super) fn frontend(&mut self, user: &str, frontend: &file::FrontendSpec) -> Option<FrontendProbe> {
        let title = frontend.title.as_ref().and_then(|pattern| self.pattern(pattern));
        Some(FrontendProbe {
            url: self.url(user, &frontend.url)?,
            title,
            marker: frontend.marker.clone(),
            load_ms: frontend.load_ms.as_ref().map(|max| *max.get_ref()),
            timeout: self.timeout(frontend.timeout_ms.as_ref()),
            body_limit_bytes: self.body_limit_bytes,
        })
    }

    pub(super) fn database(&mut self, database: &file::DatabaseSpec) -> DatabaseProbe {
        let filter = mongodb::bson::serialize_to_document(&database.filter);
        if let Err(error) = &filter {
            let message = format!("`filter` cannot be sent to the database: {error}");
            self.mistake(database.collection.span().start, message);
        }
        if !(1..=10_000).contains(&database.samples) {
            let at = database.collection.span().start;
            self.mistake(at, "`samples` is from 1 to 10000");
        }
        DatabaseProbe {
            file: database.clone(),
            filter: filter.unwrap_or_default(),
            timeout: self.timeout(database.timeout_ms.as_ref()),
        }
    }

    pub(super) fn status_page(&mut self, user: &str, page: &file::StatusPageSpec) -> Option<StatusPageProbe> {
        Some(StatusPageProbe {
            url: self.url(user, &page.url)?,
            components: page.components.clone(),
            timeout: self.timeout(page.timeout_ms.as_ref()),
            body_limit_bytes: self.body_limit_bytes,
        })
    }

    pub(super) fn release(&mut self, user: &str, release: &file::ReleaseCheckSpec) -> Option<ReleaseProbe> {
        let commit = self.path(&release.commit);
        let version = release.version.as_ref().and_then(|path| self.path(path));
        let deployment = release.deployment.as_ref().and_then(|path| self.path(path));
        let backend = self.url(user, &release.backend);
        if release.marker_is == file::MarkerIs::Version && release.version.is_none() {
            let message = "`marker_is = \"version\"` needs `version`: the path of the backend's version";
            self.mistake(release.backend.span().start, message);
        }
        Some(ReleaseProbe {
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
}
