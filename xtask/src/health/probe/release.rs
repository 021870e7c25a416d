//! What the backend and the frontend say that they are, and whether that is the release asked for. An old build that
//! still answers is green in every other check.

use std::time::Duration;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::document::Document;
use super::{ProbeResult, RunContext};
use crate::domain::verdict::CheckResult;
use crate::health::expect;
use crate::health::file::MarkerIs;
use crate::health::http::{Answer, FailedRequest};
use crate::health::template::{self, Missing, Template};

#[derive(Debug)]
pub(in crate::health) struct ReleaseProbe {
    pub backend: Template,
    pub commit: JsonPath,
    pub version: Option<JsonPath>,
    pub deployment: Option<JsonPath>,
    pub frontend: Template,
    pub marker: String,
    pub marker_is: MarkerIs,
    pub timeout: Duration,
    pub body_limit_bytes: u64,
}

/// What both sides report.
#[derive(Debug, Default)]
struct Reported {
    commit: String,
    version: Option<String>,
    deployment: Option<String>,
    marker: String,
}

impl ReleaseProbe {
    pub(super) fn probe(&self, run: &RunContext<'_>) -> Result<ProbeResult, Missing> {
        let backend_url = self.backend.fill_url(run.values)?;
        let frontend_url = self.frontend.fill_url(run.values)?;
        let (backend, frontend) = std::thread::scope(|scope| {
            let backend = scope.spawn(|| run.get(backend_url, self.timeout, self.body_limit_bytes));
            let frontend = run.get(frontend_url, self.timeout, self.body_limit_bytes);
            (backend.join(), frontend)
        });
        let backend = backend.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (backend, frontend) = match (backend, frontend) {
            (Ok(backend), Ok(frontend)) => (backend, frontend),
            (Err(broken), _) => return Ok(side("backend", &broken)),
            (_, Err(broken)) => return Ok(side("frontend", &broken)),
        };
        let mut result = ProbeResult::of_answer(CheckResult::Failed, "", &backend);
        let reported = match self.read(&backend, &frontend) {
            Ok(reported) => reported,
            Err(fault) => {
                result.message = fault;
                return Ok(result);
            }
        };
        result.fact("commit", reported.commit.as_str());
        result.fact("version", reported.version.clone());
        result.fact("deployment", reported.deployment.clone());
        result.fact("marker", reported.marker.as_str());
        let faults = self.differences(run, &reported);
        if faults.is_empty() {
            result.outcome = CheckResult::Passed;
            result.message = format!(
                "backend {} at {}, frontend {}",
                reported.version.as_deref().unwrap_or("without version"),
                short(&reported.commit),
                reported.marker
            );
        } else {
            result.message = faults.join("; ");
        }
        Ok(result)
    }

    fn read(&self, backend: &Answer, frontend: &Answer) -> Result<Reported, String> {
        if backend.status != 200 {
            return Err(format!("the backend answers {} instead of 200", backend.status));
        }
        if frontend.status != 200 {
            return Err(format!("the frontend answers {} instead of 200", frontend.status));
        }
        let body = expect::json(backend).map_err(|fault| format!("the backend: {fault}"))?;
        let document =
            Document::parse(expect::text(frontend).map_err(|fault| format!("the frontend: {fault}"))?);
        let marker = document
            .meta(&self.marker)
            .filter(|content| !content.is_empty())
            .ok_or_else(|| format!("the frontend has no <meta name=\"{}\">", self.marker))?;
        let optional = |path: &Option<JsonPath>| match path {
            Some(path) => one_text(path, &body).map(Some),
            None => Ok(None),
        };
        Ok(Reported {
            commit: one_text(&self.commit, &body)?,
            version: optional(&self.version)?,
            deployment: optional(&self.deployment)?,
            marker: marker.to_owned(),
        })
    }

    fn differences(&self, run: &RunContext<'_>, reported: &Reported) -> Vec<String> {
        let mut faults = Vec::new();
        let mut compare = |what: &str, given: Option<&str>, wanted: Option<&str>| {
            if let Some(wanted) = wanted
                && given != Some(wanted)
            {
                faults.push(format!(
                    "{what} is {} instead of {wanted}",
                    given.unwrap_or("not reported")
                ));
            }
        };
        let release = run.values.release.as_ref();
        let backend = self.backend.backends().next();
        let backend = backend.and_then(|name| template::part(&run.values.backends, name));
        let backend = backend.map(|(name, _)| name.as_str());
        let frontend = self.frontend.frontends().next();
        let frontend = frontend.and_then(|name| template::part(&run.values.frontends, name));
        let frontend = frontend.map(|(name, _)| name.as_str());
        let wanted_commit = release.map(|release| release.commit_of(backend));
        let wanted_version = release.and_then(|release| release.version.as_deref());
        compare("the backend's commit", Some(&reported.commit), wanted_commit);
        if self.version.is_some() {
            compare(
                "the backend's version",
                reported.version.as_deref(),
                wanted_version,
            );
        }
        if self.deployment.is_some() {
            compare(
                "the backend's deployment",
                reported.deployment.as_deref(),
                release.and_then(|release| release.backend(backend?)),
            );
        }
        // With no release asked for, both sides must at least be of the same one.
        let (what, wanted_marker) = match self.marker_is {
            MarkerIs::Commit => {
                let wanted = release.map(|release| release.commit_of(frontend));
                ("the frontend's commit", wanted.or(Some(&reported.commit)))
            }
            MarkerIs::Version => (
                "the frontend's version",
                wanted_version.or(reported.version.as_deref()),
            ),
        };
        compare(what, Some(&reported.marker), wanted_marker);
        faults
    }
}

fn one_text(path: &JsonPath, body: &Value) -> Result<String, String> {
    match path.query(body).at_most_one() {
        Ok(Some(Value::String(text))) if !text.is_empty() => Ok(text.clone()),
        _ => Err(format!("the backend reports no text at {path}")),
    }
}

fn side(name: &str, broken: &FailedRequest) -> ProbeResult {
    let mut result = ProbeResult::of_broken(broken);
    result.message = format!("the {name}: {}", result.message);
    result
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
