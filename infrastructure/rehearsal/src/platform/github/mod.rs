//! GitHub: one repository with its checks, environments, runs, artifacts, releases and settings.

mod actions;
mod checks;
mod environments;
mod issues;
mod pulls;
mod releases;
mod repository;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use xtask::sync::lock;

use super::Shared;
use super::clock::iso_s;
use super::config;
use super::observed::{Simulated, name_of};
use crate::http::router::{self, Captures};
use crate::http::{Request, Response};

/// The simulated repository.
pub(super) struct GitHub {
    config: config::GitHub,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    /// Check runs of other applications by commit; a commit without an entry has one green check.
    checks: BTreeMap<String, Vec<Value>>,
    /// Commit statuses by commit.
    statuses: BTreeMap<String, Vec<Value>>,
    /// Who wrote a commit; the user of the configuration unless told.
    authors: BTreeMap<String, String>,
    environments: BTreeMap<String, environments::Environment>,
    runs: BTreeMap<u64, actions::Run>,
    artifacts: Vec<actions::Artifact>,
    default_branch: repository::DefaultBranch,
    /// States of workflows by path; one without an entry is active.
    workflows: BTreeMap<String, String>,
    releases: Vec<releases::Release>,
    secrets: BTreeMap<String, String>,
    rulesets: Vec<Value>,
    issues: Vec<Value>,
    pulls: Vec<Value>,
    retention_days: i64,
}

impl State {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        1000 + self.next_id
    }
}

type Endpoint = fn(&GitHub, &Request, &Captures) -> Result<Response>;

/// Endpoints below `/repos/{owner}/{repo}`, by module; the captures of those two are checked before.
const TABLES: [&[(&str, Endpoint)]; 8] = [
    repository::ENDPOINTS,
    checks::ENDPOINTS,
    environments::ENDPOINTS,
    actions::ENDPOINTS,
    releases::ENDPOINTS,
    settings::ENDPOINTS,
    issues::ENDPOINTS,
    pulls::ENDPOINTS,
];

fn find(request: &Request) -> Option<(&'static str, Endpoint, Captures)> {
    // What can be read can be asked for without its body.
    let mut request = request.clone();
    if request.method == "HEAD" {
        "GET".clone_into(&mut request.method);
    }
    router::find(&TABLES, "", &request)
}

impl Simulated for Arc<GitHub> {
    const PLATFORM: &'static str = "github";

    fn operation(&self, request: &Request) -> String {
        name_of(find(request).map(|(pattern, ..)| pattern), request)
    }

    fn answer(&self, request: &Request) -> Response {
        let date = self.shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT");
        self.answer_undated(request).header("date", &date.to_string())
    }
}

impl GitHub {
    fn answer_undated(&self, request: &Request) -> Response {
        let Some((pattern, endpoint, mut captures)) = find(request) else {
            return message(501, "not implemented");
        };
        if request.bearer() != Some(&self.config.token) {
            return message(401, "Bad credentials");
        }
        if pattern.contains(" /repos/{owner}/{repo}") {
            let rest = captures.split_off(2);
            if captures[0] != self.config.owner || captures[1] != self.config.repo {
                return message(404, "Not Found");
            }
            captures = rest;
        }
        endpoint(self, request, &captures).unwrap_or_else(|error| message(422, &format!("{error:#}")))
    }
}

fn message(status: u16, text: &str) -> Response {
    let body = json!({"message": text, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()});
    Response::json(status, &body)
}

fn not_found() -> Response {
    message(404, "Not Found")
}

/// One page of a list, as `page` and `per_page` ask, with the `Link` field that `gh api --paginate` follows.
fn page(request: &Request, items: &[Value]) -> (Vec<Value>, Option<String>) {
    let number = |name: &str, default: usize| {
        request
            .param(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let per_page = number("per_page", 30).clamp(1, 100);
    let at = number("page", 1).max(1);
    let shown: Vec<Value> = items
        .iter()
        .skip((at - 1) * per_page)
        .take(per_page)
        .cloned()
        .collect();
    let more = items.len() > at * per_page;
    let link = more.then(|| {
        let mut next = request.clone();
        next.query.retain(|(name, _)| name != "page");
        next.query.push(("page".to_owned(), (at + 1).to_string()));
        format!("<https://api.github.com{}>; rel=\"next\"", next.target())
    });
    (shown, link)
}

/// A bare list.
fn list(request: &Request, items: &[Value]) -> Response {
    let (shown, link) = page(request, items);
    let response = Response::json(200, &Value::Array(shown));
    link.iter()
        .fold(response, |response, link| response.header("link", link))
}

/// A list within an object that also has the total.
fn counted(request: &Request, name: &str, items: &[Value]) -> Response {
    let (shown, link) = page(request, items);
    let response = Response::json(200, &json!({"total_count": items.len(), name: shown}));
    link.iter()
        .fold(response, |response, link| response.header("link", link))
}

/// A number that is stable for a name.
fn id_of(name: &str) -> u64 {
    name.bytes()
        .fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
}

fn user_value(login: &str) -> Value {
    json!({"login": login, "id": id_of(login), "type": "User", "html_url": format!("https://github.com/{login}")})
}

impl GitHub {
    pub(super) fn new(config: config::GitHub, shared: Arc<Shared>) -> Self {
        let now = iso_s(shared.clock.now_ms());
        let initial = State {
            secrets: config
                .secrets
                .iter()
                .map(|name| (name.clone(), now.clone()))
                .collect(),
            retention_days: config.artifact_retention_days,
            ..State::default()
        };
        Self {
            config,
            shared,
            state: Mutex::new(initial),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn now(&self) -> String {
        iso_s(self.shared.clock.now_ms())
    }

    pub(super) fn report(&self) -> Value {
        let state = self.state();
        json!({
            "environments": state.environments.keys().collect::<Vec<_>>(),
            "runs": state.runs.values().map(actions::Run::value).collect::<Vec<_>>(),
            "artifacts": state.artifacts.iter().map(|one| self.artifact_value(&state, one)).collect::<Vec<_>>(),
            "releases": state.releases.iter().map(|one| self.release_value(one)).collect::<Vec<_>>(),
            "secrets": state.secrets.keys().collect::<Vec<_>>(),
            "environment_secrets": state.environments.iter()
                .map(|(name, one)| (name.clone(), json!(one.secrets()))).collect::<serde_json::Map<_, _>>(),
            "retention_days": state.retention_days,
            "issues": state.issues,
        })
    }

    /// What GitHub's web pages and runners would do: checks, approvals, runs, artifacts.
    pub(super) fn control(&self, what: &str, body: &Value) -> Result<()> {
        match what {
            "checks" => self.set_checks(body),
            "statuses" => self.set_statuses(body),
            "commits" => self.set_author(body),
            "environments" => self.set_environment(body),
            "runs" => self.set_run(body),
            "approvals" => self.approve(body),
            "artifacts" => self.add_artifact(body),
            "workflows" => self.set_workflow(body),
            "default-branch" => self.set_default_branch(body),
            "close-issue" => self.close_issue(body),
            other => bail!("there is no control github/{other}"),
        }
    }

    fn set_author(&self, body: &Value) -> Result<()> {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let commit = text("commit").context("commit is missing")?;
        let author = text("author").context("author is missing")?;
        self.state().authors.insert(commit, author);
        Ok(())
    }
}
