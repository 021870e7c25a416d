//! The services that whoever is logged in can see: by `railway login`, or by a token in the environment. Only asks.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;
use xshell::cmd;

use super::{RailwayService, answer_of};
use crate::exec::{Exec, shell_in};

/// One question.
const DEADLINE: Duration = Duration::from_secs(20);
/// More projects than these are not asked about: a list of names does not tell which one is meant.
const PROJECTS_ASKED: usize = 20;
/// What the environment that users reach is called.
const PRODUCTION: &str = "production";
/// Where a token may be. A token that is set and empty would count (railway, `src/config.rs`), so it is not passed on.
const TOKENS: [&str; 2] = ["RAILWAY_TOKEN", "RAILWAY_API_TOKEN"];

/// A service in the environment that users reach.
#[derive(Debug, Clone)]
pub struct ListedService {
    pub project: String,
    pub project_name: String,
    pub environment: String,
    pub service: String,
    pub service_name: String,
    /// Host names, those of the team first.
    pub domains: Vec<String>,
    pub settings: RailwayService,
    /// Whether this folder is linked to its project.
    pub is_linked: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Project {
    id: String,
    #[serde(default)]
    name: String,
    deleted_at: Option<Value>,
    environments: Edges<Environment>,
}

#[derive(Deserialize)]
struct Edges<T> {
    edges: Vec<Edge<T>>,
}

#[derive(Deserialize)]
struct Edge<T> {
    node: T,
}

#[derive(Deserialize)]
struct Environment {
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    service_id: String,
    service_name: String,
    domains: Domains,
    #[serde(flatten)]
    settings: RailwayService,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Domains {
    custom_domains: Vec<Domain>,
    service_domains: Vec<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    domain: String,
}

/// All services of the projects that this account, or this project's token, can see. `known` is the only project to ask about,
/// where it is known.
pub fn listed_services(root: &Path, known: Option<&str>) -> Result<Vec<ListedService>> {
    let mut found = Vec::new();
    let linked = linked_project(root);
    for (project, environment) in environments(root, known)? {
        for instance in instances(root, &project.id, &environment)? {
            let domains = instance.domains.custom_domains.into_iter();
            let domains = domains.chain(instance.domains.service_domains);
            found.push(ListedService {
                is_linked: linked.as_ref() == Some(&project.id),
                project: project.id.clone(),
                project_name: project.name.clone(),
                environment: environment.clone(),
                service: instance.service_id,
                service_name: instance.service_name,
                domains: domains.map(|domain| domain.domain).collect(),
                settings: instance.settings,
            });
        }
    }
    Ok(found)
}

/// The project that `railway link` linked this folder to.
fn linked_project(root: &Path) -> Option<String> {
    let sh = shell_in(root).ok()?;
    let status: Value = question(cmd!(sh, "railway status --json")).json().ok()?;
    Some(status["id"].as_str()?.to_owned())
}

/// Each project with its production environment. A project's token sees its own only, and no list.
fn environments(root: &Path, known: Option<&str>) -> Result<Vec<(Project, String)>> {
    let sh = shell_in(root)?;
    if token(TOKENS[0]).is_some() {
        let document = "query{projectToken{project{id name} environment{id}}}";
        let answer = answer_of(question(cmd!(sh, "railway api {document} --compact")))?;
        let of = &answer["projectToken"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let project = Project {
            id: text(&of["project"]["id"]),
            name: text(&of["project"]["name"]),
            deleted_at: None,
            environments: Edges { edges: Vec::new() },
        };
        return Ok(vec![(project, text(&of["environment"]["id"]))]);
    }
    let projects: Vec<Project> = question(cmd!(sh, "railway list --json")).json()?;
    let projects = projects
        .into_iter()
        .filter(|project| project.deleted_at.is_none() && known.is_none_or(|known| project.id == known));
    let production = |project: Project| {
        let all = || project.environments.edges.iter().map(|edge| &edge.node);
        let named = all().find(|environment| environment.name.eq_ignore_ascii_case(PRODUCTION));
        let only = all().next().filter(|_| all().count() == 1);
        let id = named.or(only)?.id.clone();
        Some((project, id))
    };
    Ok(projects.filter_map(production).take(PROJECTS_ASKED).collect())
}

fn instances(root: &Path, project: &str, environment: &str) -> Result<Vec<Instance>> {
    let sh = shell_in(root)?;
    let document = "query($e:String!,$p:String!){environment(id:$e,projectId:$p){serviceInstances{edges{node{serviceId serviceName rootDirectory watchPatterns source{repo image} domains{serviceDomains{domain} customDomains{domain}}}}}}}";
    let (e, p) = (format!("e={environment}"), format!("p={project}"));
    let answer = answer_of(question(cmd!(
        sh,
        "railway api {document} --raw-var {e} --raw-var {p} --compact"
    )))?;
    let listed: Edges<Instance> = serde_json::from_value(answer["environment"]["serviceInstances"].clone())
        .context("railway answered without the services of the environment")?;
    Ok(listed.edges.into_iter().map(|edge| edge.node).collect())
}

fn token(name: &str) -> Option<&str> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(|_| name)
}

fn question(command: xshell::Cmd<'_>) -> Exec {
    let tokens: Vec<&str> = TOKENS.into_iter().filter_map(token).collect();
    Exec::new(command)
        .inherit(&tokens)
        .env("RAILWAY_NO_TELEMETRY", "1")
        .env("RAILWAY_NO_AUTO_UPDATE", "1")
        .env("CI", "1")
        .deadline(DEADLINE)
}
