//! Vercel: one project with staged deployments, each really served, and one production domain.

mod answers;
mod deployment;
mod domain;
mod site;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};
use sha1::Digest as _;

use xtask::sync::lock;

use super::Shared;
use super::config;
use super::journal::fingerprint;
use super::observed::{Simulated, name_of};
use crate::http::router::{self, Captures};
use crate::http::{Request, Response};
use deployment::{Deployment, Wanted};
use site::{Protection, Site};

/// The simulated project.
pub(super) struct Vercel {
    config: config::Vercel,
    shared: Arc<Shared>,
    folder: PathBuf,
    domain: Site,
    state: Mutex<State>,
    /// The bypass secret of protected addresses; shared with every deployment.
    protection: Protection,
}

#[derive(Default)]
struct State {
    deployments: Vec<Deployment>,
    /// Uploaded files by their SHA-1.
    files: BTreeMap<String, Vec<u8>>,
    variables: Vec<Variable>,
    /// What the production domain serves.
    live: Option<String>,
    /// What it served before, oldest first.
    earlier: Vec<String>,
    last_alias_request: Value,
    /// Off after a rollback, on again after a promotion.
    assigns_domains: bool,
    /// What somebody set in the dashboard, over the usual values of the project.
    settings: serde_json::Map<String, Value>,
}

struct Variable {
    id: String,
    key: String,
    value: String,
    kind: String,
    targets: Vec<String>,
    updated_ms: i64,
}

type Endpoint = fn(&Vercel, &Request, &Captures) -> Response;

/// Every endpoint that is simulated.
const ENDPOINTS: [(&str, Endpoint); 22] = [
    ("GET /v2/user", Vercel::user),
    ("GET /v1/teams", Vercel::teams),
    ("GET /v2/teams", Vercel::teams),
    ("GET /teams/{team}", Vercel::team),
    ("GET /v2/teams/{team}", Vercel::team),
    ("GET /v9/projects", Vercel::projects),
    ("GET /v9/projects/{project}", Vercel::project),
    ("GET /v9/projects/{project}/domains", Vercel::domains),
    ("PATCH /v9/projects/{project}", Vercel::change_project),
    ("GET /projects/{project}", Vercel::project),
    (
        "GET /projects/{project}/custom-environments",
        Vercel::custom_environments,
    ),
    ("POST /v2/files", Vercel::upload_file),
    ("POST /v13/deployments", Vercel::create_deployment),
    ("GET /v13/deployments/{deployment}", Vercel::deployment),
    ("GET /v11/deployments/{deployment}/builds", Vercel::builds),
    ("GET /v3/now/deployments/{deployment}/events", Vercel::events),
    (
        "POST /v10/projects/{project}/promote/{deployment}",
        Vercel::promote,
    ),
    (
        "POST /v9/projects/{project}/rollback/{deployment}",
        Vercel::roll_back,
    ),
    ("GET /v3/env/pull/{project}/{target}", Vercel::pull_variables),
    ("GET /v10/projects/{project}/env", Vercel::list_variables),
    ("POST /v10/projects/{project}/env", Vercel::add_variable),
    ("GET /v6/deployments", Vercel::list_deployments),
];

impl Simulated for Arc<Vercel> {
    const PLATFORM: &'static str = "vercel";

    fn operation(&self, request: &Request) -> String {
        let known = router::find(&[&ENDPOINTS], "", request);
        name_of(known.map(|(pattern, ..)| pattern), request)
    }

    fn answer(&self, request: &Request) -> Response {
        let Some((_, endpoint, captures)) = router::find(&[&ENDPOINTS], "", request) else {
            return error(501, "not_implemented", "not implemented");
        };
        if request.bearer() != Some(&self.config.token) {
            return error(403, "forbidden", "Not authorized");
        }
        let team = request.param("teamId").or(request.param("slug"));
        if team.is_some_and(|team| team != self.config.org && team != self.config.slug) {
            return error(403, "forbidden", "You don't have permission to access this team.");
        }
        endpoint(self, request, &captures)
    }
}

fn error(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, &json!({"error": {"code": code, "message": message}}))
}

impl Vercel {
    /// A project that keeps its files in this folder.
    pub(super) fn new(config: config::Vercel, shared: Arc<Shared>, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).context("cannot create the folder of the simulator")?;
        let now_ms = shared.clock.now_ms();
        let variables = config
            .variables
            .iter()
            .enumerate()
            .map(|(index, (key, value))| Variable {
                id: format!("env_{index}"),
                key: key.clone(),
                value: value.clone(),
                kind: "encrypted".to_owned(),
                targets: vec!["production".to_owned()],
                updated_ms: now_ms,
            });
        let initial = State {
            variables: variables.collect(),
            assigns_domains: true,
            ..State::default()
        };
        let folder = folder.canonicalize()?;
        Ok(Self {
            config,
            shared,
            folder,
            domain: Site::default(),
            state: Mutex::new(initial),
            protection: Protection::default(),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.config.project
    }

    /// Whether a request names this project, its domain, or a deployment of it.
    pub(super) fn is_asked_about(&self, request: &Request) -> bool {
        if request.path == "/v13/deployments" {
            let body = request.json().unwrap_or_default();
            let project = body["project"].as_str().or(body["name"].as_str());
            return project.is_some_and(|project| self.is_project(project));
        }
        let state = self.state();
        request.path.split('/').any(|part| {
            let mut deployments = state.deployments.iter();
            !part.is_empty()
                && (self.is_project(part)
                    || part == self.config.domain
                    || deployments.any(|one| one.id == part || one.url == part))
        })
    }

    /// The address that stands for the production domain.
    pub(super) fn production_domain(&self) -> Site {
        self.domain.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn report(&self) -> Value {
        let state = self.state();
        let deployments: Vec<Value> = state
            .deployments
            .iter()
            .map(|one| {
                json!({"id": one.id, "url": one.url, "readyState": one.state, "target": one.target, "meta": one.meta,
                       "wasLive": one.was_live, "error": one.error})
            })
            .collect();
        let variables: Vec<Value> = state
            .variables
            .iter()
            .map(|one| {
                json!({"key": one.key, "type": one.kind, "target": one.targets, "value": fingerprint(&one.value)})
            })
            .collect();
        json!({
            "live": state.live,
            "domain": self.config.domain,
            "deployments": deployments,
            "autoAssignCustomDomains": state.assigns_domains,
            "lastAliasRequest": state.last_alias_request,
            "variables": variables,
        })
    }

    /// What somebody sets in the dashboard.
    pub(super) fn set_up(&self, settings: &Value) -> Result<()> {
        let settings = settings.as_object().context("not settings")?;
        let mut state = self.state();
        if let Some(assigns) = settings.get("autoAssignCustomDomains").and_then(Value::as_bool) {
            state.assigns_domains = assigns;
        }
        state.settings.extend(settings.clone());
        Ok(())
    }

    /// Every address of a deployment asks for this secret from now on, the production domain does not.
    pub(super) fn protect(&self, secret: &str) {
        self.protection.set(secret);
    }

    /// A push that the platform deployed by itself: the files of an earlier deployment as a new one.
    pub(super) fn push(&self) -> Result<()> {
        let mut state = self.state();
        let source = state
            .deployments
            .last()
            .context("nothing was deployed yet")?
            .clone();
        let id = new_id("dpl_")?;
        let made = Deployment {
            id: id.clone(),
            meta: json!({"githubCommitRef": "main"}),
            created_ms: self.shared.clock.now_ms(),
            was_live: false,
            ..source
        };
        state.deployments.push(made);
        if state.assigns_domains {
            self.make_live(&mut state, &id);
        }
        Ok(())
    }

    fn change_project(&self, request: &Request, captures: &Captures) -> Response {
        if !self.is_project(&captures[0]) {
            return error(404, "not_found", "Project not found");
        }
        let changed = request.json().and_then(|body| self.set_up(&body));
        match changed {
            Ok(()) => self.project(request, captures),
            Err(problem) => error(400, "bad_request", &format!("{problem:#}")),
        }
    }

    fn upload_file(&self, request: &Request, _: &Captures) -> Response {
        let announced = request
            .headers
            .get("x-now-digest")
            .or(request.headers.get("x-vercel-digest"));
        let Some(announced) = announced else {
            return error(400, "bad_request", "Missing `x-now-digest` header");
        };
        let actual = hex::encode(sha1::Sha1::digest(&request.body));
        if announced != actual {
            return error(400, "bad_request", "The digest does not match the file");
        }
        self.state().files.insert(actual, request.body.clone());
        Response::json(200, &json!({"urls": []}))
    }

    fn create_deployment(&self, request: &Request, _: &Captures) -> Response {
        match self.try_create(request) {
            Ok(response) => response,
            Err(problem) => error(400, "bad_request", &format!("{problem:#}")),
        }
    }

    fn try_create(&self, request: &Request) -> Result<Response> {
        let body = request.json()?;
        let project = body["project"].as_str().or(body["name"].as_str());
        if project.is_some_and(|project| !self.is_project(project)) {
            return Ok(error(404, "not_found", "Project not found"));
        }
        let wanted = Wanted::parse(&body)?;
        let mut state = self.state();
        let missing = wanted.missing(&state.files);
        if !missing.is_empty() {
            let message = format!("Missing {} files", missing.len());
            let problem = json!({"code": "missing_files", "message": message, "missing": missing});
            return Ok(Response::json(400, &json!({"error": problem})));
        }
        let id = new_id("dpl_")?;
        let (url, folder, problem) = deployment::publish(
            &id,
            &wanted,
            &state.files,
            &self.folder.join(&id),
            &self.protection,
        )?;
        let made = Deployment {
            id: id.clone(),
            url,
            target: wanted.target,
            state: if problem.is_none() { "READY" } else { "ERROR" },
            created_ms: self.shared.clock.now_ms(),
            meta: wanted.meta,
            folder,
            error: problem,
            takes_domain: wanted.takes_domain,
            was_live: false,
        };
        let goes_live =
            made.state == "READY" && made.is_production() && made.takes_domain && state.assigns_domains;
        state.deployments.push(made.clone());
        if goes_live {
            self.make_live(&mut state, &id);
        }
        Ok(Response::json(200, &self.deployment_value(&state, &made)))
    }
}

fn new_id(prefix: &str) -> Result<String> {
    let mut bytes = [0_u8; 14];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(format!("{prefix}{}", hex::encode(bytes)))
}
