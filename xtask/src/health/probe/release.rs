//! What the backend and the frontend say that they are, and whether that is the release asked for. An old build that
//! still answers is green in every other check.

use std::time::Duration;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::document::Document;
use super::{Look, Scene};
use crate::domain::verdict::Outcome;
use crate::health::expect;
use crate::health::file::MarkerIs;
use crate::health::http::{Answer, Broken};
use crate::health::template::{Missing, Template};

#[derive(Debug)]
pub(in crate::health) struct Release {
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

impl Release {
    pub(super) fn look(&self, scene: &Scene<'_>) -> Result<Look, Missing> {
        let backend_url = self.backend.fill_url(scene.values)?;
        let frontend_url = self.frontend.fill_url(scene.values)?;
        let (backend, frontend) = std::thread::scope(|scope| {
            let backend = scope.spawn(|| scene.get(backend_url, self.timeout, self.body_limit_bytes));
            let frontend = scene.get(frontend_url, self.timeout, self.body_limit_bytes);
            (backend.join(), frontend)
        });
        let backend = backend.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (backend, frontend) = match (backend, frontend) {
            (Ok(backend), Ok(frontend)) => (backend, frontend),
            (Err(broken), _) => return Ok(side("backend", &broken)),
            (_, Err(broken)) => return Ok(side("frontend", &broken)),
        };
        let mut look = Look::of_answer(Outcome::Failed, "", &backend);
        let reported = match self.read(&backend, &frontend) {
            Ok(reported) => reported,
            Err(fault) => {
                look.message = fault;
                return Ok(look);
            }
        };
        look.fact("commit", reported.commit.as_str());
        look.fact("version", reported.version.clone());
        look.fact("deployment", reported.deployment.clone());
        look.fact("marker", reported.marker.as_str());
        let faults = self.differences(scene, &reported);
        if faults.is_empty() {
            look.outcome = Outcome::Passed;
            look.message = format!(
                "backend {} at {}, frontend {}",
                reported.version.as_deref().unwrap_or("without version"),
                short(&reported.commit),
                reported.marker
            );
        } else {
            look.message = faults.join("; ");
        }
        Ok(look)
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

    fn differences(&self, scene: &Scene<'_>, reported: &Reported) -> Vec<String> {
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
        let release = scene.values.release.as_ref();
        let wanted_commit = release.map(|release| release.commit.as_str());
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
                release.and_then(|release| release.railway_deployment.as_deref()),
            );
        }
        // With no release asked for, both sides must at least be of the same one.
        let (what, wanted_marker) = match self.marker_is {
            MarkerIs::Commit => ("the frontend's commit", wanted_commit.or(Some(&reported.commit))),
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

fn side(name: &str, broken: &Broken) -> Look {
    let mut look = Look::of_broken(broken);
    look.message = format!("the {name}: {}", look.message);
    look
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
