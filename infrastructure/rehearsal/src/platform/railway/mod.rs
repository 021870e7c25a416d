//! Railway: one service whose deployments really run.

mod application;
mod deployment;
mod lifecycle;
mod schema;

pub(super) use application::Application;
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use xtask::sync::lock;

use super::Shared;
use super::config;
use super::journal::fingerprint;
use super::observed::Simulated;
use super::tls::Tls;
use crate::http::proxy::ReverseProxy;
use crate::http::router::matches;
use crate::http::server::Handler;
use crate::http::{Request, Response};
use deployment::{Deployment, Status};

const HOST: &str = "backboard.railway.com";
/// By which users reach the first service.
const PUBLIC: &str = "backend.up.railway.example";
/// The certificate to trust, in the simulator's folder.
pub(super) const CA_FILE: &str = "ca.pem";
const GRAPHQL: [&str; 2] = ["POST /graphql/v2", "POST /graphql/internal"];
/// An identifier that nothing has.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const UP: &str = "POST /project/{project}/environment/{environment}/up";

/// The simulated service.
pub(super) struct Railway {
    config: config::Railway,
    shared: Arc<Shared>,
    folder: PathBuf,
    proxy: ReverseProxy,
    /// Only the first service has the address of the platform.
    tls: Option<Tls>,
    state: Mutex<State>,
    /// One deployment goes live at a time, in order.
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    variables: BTreeMap<String, String>,
    deployments: Vec<Deployment>,
    /// Processes of deployments that run.
    children: BTreeMap<String, Child>,
    /// What the stable address serves.
    live: Option<String>,
    /// How long it takes at least from an image to a process.
    start_ms: u64,
    settings: Settings,
    /// What becomes of the next deployment instead of going live.
    next_ends_as: Option<Status>,
    /// Whether the project's token may roll back.
    may_roll_back: bool,
    /// Nothing may be started any more.
    ended: bool,
}

/// Settings of the service that people change in the dashboard.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// Folder of an upload that is built.
    root_directory: Option<String>,
    watch_patterns: Vec<String>,
    build_command: Option<String>,
    start_command: Option<String>,
    /// The connected repository.
    repo: Option<String>,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    ProjectToken,
    Account,
}

impl Railway {
    /// The first service of the project, which has the address of the platform too.
    pub(super) fn new(config: config::Railway, shared: Arc<Shared>, state: &Path) -> Result<Self> {
        let tls = Tls::new(&[HOST, PUBLIC], &state.join(CA_FILE))?;
        Self::in_folder(config, shared, &state.join("railway"), Some(tls))
    }

    /// Another service.
    pub(super) fn another(config: config::Railway, shared: Arc<Shared>, state: &Path) -> Result<Self> {
        let folder = state.join(format!("railway-{}", config.service));
        Self::in_folder(config, shared, &folder, None)
    }

    fn in_folder(
        config: config::Railway,
        shared: Arc<Shared>,
        folder: &Path,
        tls: Option<Tls>,
    ) -> Result<Self> {
        for name in ["images", "logs"] {
            std::fs::create_dir_all(folder.join(name))
                .context("cannot create the folder of the simulator")?;
        }
        let initial = State {
            variables: config.variables.clone(),
            start_ms: config.start_ms,
            may_roll_back: config.project_token_may_roll_back,
            ..State::default()
        };
        let folder = folder.canonicalize()?;
        Ok(Self {
            config,
            shared,
            folder,
            proxy: ReverseProxy::default(),
            tls,
            state: Mutex::new(initial),
            turn: Mutex::new(()),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.config.service
    }

    /// Whether a request names this service, or a deployment of it.
    pub(super) fn is_asked_about(&self, request: &Request) -> bool {
        if matches(UP, request).is_some() {
            return request.param("serviceId") == Some(&self.config.service);
        }
        let Ok(operation) = schema::parse(request) else {
            return false;
        };
        let Some(field) = operation.fields.first() else {
            return false;
        };
        let ours = |value: Option<&Value>| value.and_then(Value::as_str) == Some(&self.config.service);
        let input = field
            .arguments
            .get("input")
            .and_then(|input| input.get("serviceId"));
        let id = field
            .arguments
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        ours(field.arguments.get("serviceId"))
            || ours(input)
            || self
                .state()
                .deployments
                .iter()
                .any(|deployment| deployment.id == id)
    }

    pub(super) fn stable_address(&self) -> ReverseProxy {
        self.proxy.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Removes the image of a deployment, as the end of its retention would.
    pub(super) fn purge_image(&self, id: &str) -> Result<()> {
        let state = self.state();
        let found = state.deployments.iter().find(|deployment| deployment.id == id);
        let image = &found
            .with_context(|| format!("there is no deployment {id}"))?
            .image;
        std::fs::remove_dir_all(image).with_context(|| format!("cannot remove {}", image.display()))
    }

    /// From now on it takes so long at least from an image to a process.
    pub(super) fn set_start(&self, start_ms: u64) {
        self.state().start_ms = start_ms;
    }

    /// What somebody sets in the dashboard.
    pub(super) fn set_up(&self, settings: Settings) {
        self.state().settings = settings;
    }

    /// The next deployment goes no further than to this status.
    pub(super) fn end_next_as(&self, status: &str) -> Result<()> {
        let status = Status::named(status).with_context(|| format!("no deployment can be {status}"))?;
        self.state().next_ends_as = Some(status);
        Ok(())
    }

    /// Whether the project's token may roll back from now on.
    pub(super) fn let_token_roll_back(&self, may: bool) {
        self.state().may_roll_back = may;
    }

    /// Kills the process of a deployment.
    pub(super) fn crash(&self, id: &str) -> Result<()> {
        let mut state = self.state();
        let child = state
            .children
            .get_mut(id)
            .with_context(|| format!("deployment {id} does not run"))?;
        child.kill().context("cannot kill it")
    }

    pub(super) fn report(&self) -> Value {
        let state = self.state();
        json!({
            "live": state.live,
            "deployments": state.deployments.iter().map(Deployment::report).collect::<Vec<_>>(),
            "children": state.children.iter().map(|(id, child)| json!({"deployment": id, "pid": child.id()}))
                .collect::<Vec<_>>(),
            "variables": fingerprints(&state.variables),
        })
    }

    fn caller(&self, request: &Request) -> Option<Caller> {
        if request.headers.get("project-access-token") == Some(&self.config.token) {
            return Some(Caller::ProjectToken);
        }
        let account = self.config.account_token.as_deref()?;
        (request.bearer() == Some(account)).then_some(Caller::Account)
    }

    fn upload(self: &Arc<Self>, request: &Request, captures: &[String]) -> Response {
        let refuse = |status: u16, message: &str| Response::json(status, &json!({"message": message}));
        if self.caller(request).is_none() {
            return refuse(401, "Unauthorized");
        }
        let right = captures[0] == self.config.project && captures[1] == self.config.environment;
        if !right || request.param("serviceId") != Some(&self.config.service) {
            return refuse(404, "Project not found");
        }
        let message = request.param("message").unwrap_or_default();
        match self.deploy_upload(&request.body, message) {
            Ok(id) => {
                let base = format!(
                    "https://railway.com/project/{}/service/{}",
                    captures[0], self.config.service
                );
                Response::json(
                    200,
                    &json!({
                        "deploymentId": id,
                        "url": format!("{base}?id={id}"),
                        "logsUrl": format!("{base}?id={id}&environmentId={}", captures[1]),
                        "deploymentDomain": PUBLIC,
                    }),
                )
            }
            Err(error) => refuse(400, &format!("{error:#}")),
        }
    }
}

impl Simulated for Arc<Railway> {
    const PLATFORM: &'static str = "railway";

    /// `up`, or the name of the GraphQL field; what is asked for an identifier that nothing has is told apart.
    fn operation(&self, request: &Request) -> String {
        if matches(UP, request).is_some() {
            return "up".to_owned();
        }
        schema::parse(request)
            .ok()
            .and_then(|operation| {
                let field = operation.fields.first()?;
                let nobody = field.arguments.get("id").is_some_and(|id| id == NOBODY);
                let suffix = if nobody { " of nobody" } else { "" };
                Some(format!("{}{suffix}", field.name))
            })
            .unwrap_or_else(|| format!("{} {}", request.method, request.path))
    }

    fn answer(&self, request: &Request) -> Response {
        let host = request.host.split(':').next().unwrap_or_default();
        if host == PUBLIC {
            return self.proxy.handle(request);
        }
        if host != HOST {
            return Response::text(501, &format!("the proxy leads to {HOST} only, not to {host}"));
        }
        if request.headers.get("upgrade").is_some() {
            // Without its WebSocket the real program polls.
            return Response::text(400, "no WebSocket here");
        }
        if let Some(captures) = matches(UP, request) {
            return self.upload(request, &captures);
        }
        if GRAPHQL.iter().any(|pattern| matches(pattern, request).is_some()) {
            return schema::answer(self, request);
        }
        Response::json(501, &json!({"message": "not implemented"}))
    }

    /// The real program comes by `CONNECT`; other hosts (telemetry, updates) find nobody.
    fn tunnel(&self, authority: &str, stream: TcpStream, inside: &dyn Handler) {
        if [HOST, PUBLIC].map(Some).contains(&authority.split(':').next()) {
            // How a client ends its connection is its own affair.
            if let Some(tls) = &self.tls {
                let _ = tls.serve(stream, inside);
            }
        }
    }
}

/// Variables by name, without their values.
fn fingerprints(variables: &BTreeMap<String, String>) -> BTreeMap<&str, String> {
    let shown = variables
        .iter()
        .map(|(name, value)| (name.as_str(), fingerprint(value)));
    shown.collect()
}

/// Identifiers as the platform makes them.
fn new_id() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers: {error}"))?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}
