//! The kinds of checks. Each looks once; how often is the runner's business.

mod database;
mod document;
mod frontend;
mod http;
mod release;
mod serving;
mod status_page;

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

pub(super) use database::DatabaseProbe;
pub(super) use frontend::FrontendProbe;
pub(super) use http::HttpProbe;
pub(super) use release::ReleaseProbe;
pub(super) use serving::ServingProbe;
pub(super) use status_page::StatusPageProbe;

use super::http::{Answer, Client, FailedRequest, HttpRequest};
use super::problem::Problem;
use super::report::RequestTimings;
use super::template::{Missing, Values};
use crate::context::Context;
use crate::domain::verdict::CheckResult;

/// One of the kinds.
#[derive(Debug)]
pub(super) enum Probe {
    Http(HttpProbe),
    Frontend(FrontendProbe),
    Database(DatabaseProbe),
    StatusPage(StatusPageProbe),
    Release(Box<ReleaseProbe>),
    Serving(ServingProbe),
}

impl Probe {
    /// Whether it asks for the address of a frontend.
    pub(super) fn asks_frontend(&self) -> bool {
        match self {
            Self::Http(probe) => probe.url.frontends().next().is_some(),
            Self::Frontend(probe) => probe.url.frontends().next().is_some(),
            _ => false,
        }
    }
}

/// What a probe works with.
#[derive(Debug)]
pub(super) struct RunContext<'a> {
    pub ctx: &'a Context,
    pub client: &'a Client,
    pub values: &'a Values,
    /// When all checks must have ended.
    pub deadline: Instant,
    /// The staged deployment that is checked, where it is one.
    pub staged: Option<&'a StagedAddress>,
}

impl RunContext<'_> {
    /// The time for one request: its own, or what is left of the run's.
    fn timeout(&self, own: Duration) -> Duration {
        own.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    fn get(&self, url: String, timeout: Duration, body_limit_bytes: u64) -> Result<Answer, FailedRequest> {
        let mut request = HttpRequest::get(url, self.timeout(timeout), body_limit_bytes);
        request.headers = self.staged_headers(&request.url);
        self.client.send(&request)
    }

    /// The headers for the staged deployment, where the address is one of it.
    fn staged_headers(&self, url: &str) -> Vec<(String, String)> {
        let staged = self.staged.filter(|staged| is_below(url, &staged.url));
        staged.map_or_else(Vec::new, |staged| staged.headers.clone())
    }
}

/// Where a staged frontend is, and the header that lets us past its protection.
#[derive(Debug)]
pub(super) struct StagedAddress {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// Whether an address belongs to the origin of another.
fn is_below(url: &str, base: &str) -> bool {
    match (url::Url::parse(url), url::Url::parse(base)) {
        (Ok(url), Ok(base)) => url.origin() == base.origin(),
        _ => false,
    }
}

/// What one look saw.
#[derive(Debug)]
pub(super) struct ProbeResult {
    pub outcome: CheckResult,
    pub message: String,
    pub status: Option<u16>,
    pub bytes: Option<u64>,
    pub timings: RequestTimings,
    pub measured_ms: Option<f64>,
    pub budget_ms: Option<f64>,
    pub link: Option<String>,
    pub facts: Map<String, Value>,
    /// Looking again cannot change it: something is missing on our side.
    pub is_final: bool,
}

impl ProbeResult {
    fn new(outcome: CheckResult, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            status: None,
            bytes: None,
            timings: RequestTimings::default(),
            measured_ms: None,
            budget_ms: None,
            link: None,
            facts: Map::new(),
            is_final: false,
        }
    }

    /// What could not even be sent.
    pub(super) fn of(problem: &Problem) -> Self {
        Self::new(problem.outcome(), problem.message())
    }

    /// What is missing on our side before anything can be sent.
    fn missing(missing: Missing) -> Self {
        Self {
            is_final: true,
            ..Self::of(&missing.into())
        }
    }

    fn of_broken(broken: &FailedRequest) -> Self {
        Self {
            status: broken.status,
            timings: broken.timings,
            ..Self::of(&broken.problem)
        }
    }

    fn of_answer(outcome: CheckResult, message: impl Into<String>, answer: &Answer) -> Self {
        Self {
            status: Some(answer.status),
            bytes: Some(answer.body.len() as u64),
            timings: answer.timings,
            ..Self::new(outcome, message)
        }
    }

    fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }
}

impl Probe {
    pub(super) fn probe(&self, run: &RunContext<'_>) -> ProbeResult {
        let result = match self {
            Self::Http(probe) => probe.probe(run),
            Self::Frontend(probe) => probe.probe(run),
            Self::Database(probe) => Ok(probe.probe(run)),
            Self::StatusPage(probe) => probe.probe(run),
            Self::Release(probe) => probe.probe(run),
            Self::Serving(probe) => probe.probe(run),
        };
        result.unwrap_or_else(ProbeResult::missing)
    }
}

impl From<Missing> for Problem {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Secret(name) => {
                Self::Unknown(format!("the environment variable {name} is not set or empty"))
            }
            Missing::Release(fact) => Self::NotAsked(format!("no {fact} of a release was asked for")),
            Missing::Capture(name) => Self::Unknown(format!("`{name}` was not captured")),
            Missing::Part(part) => Self::Unknown(format!("the environment has no {part} with an address")),
        }
    }
}
