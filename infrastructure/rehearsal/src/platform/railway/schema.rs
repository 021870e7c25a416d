//! The queries and mutations of Railway's API that command line programs use.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use super::deployment::{Deployment, Status};
use super::{Caller, PUBLIC, Railway};
use crate::http::{Request, Response};
use crate::platform::clock::iso;
use crate::platform::config;
use crate::platform::graphql::{self, Field, Operation};
use crate::ssh_key;

/// The operation of a request.
pub(super) fn parse(request: &Request) -> Result<Operation> {
    graphql::parse_body(&request.json()?)
}

/// Why a field has no value.
enum Problem {
    /// An error as the real API reports it, with 200.
    Refused(String),
    /// Not simulated: 501.
    Unknown(String),
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(format!("{error:#}"))
    }
}

/// Answers a GraphQL request.
pub(super) fn answer(railway: &Arc<Railway>, request: &Request) -> Response {
    let operation = match parse(request) {
        Ok(operation) => operation,
        Err(error) => return errors(400, &format!("Syntax Error: {error:#}"), None),
    };
    let Some(caller) = railway.caller(request) else {
        return errors(200, "Not Authorized", operation.fields.first());
    };
    let mut data = Map::new();
    for field in &operation.fields {
        let value = if operation.is_mutation {
            mutation(railway, caller, field)
        } else {
            query(railway, caller, field)
        };
        let projected = value.and_then(|value| {
            graphql::project(&value, &field.fields).map_err(|error| Problem::Unknown(format!("{error:#}")))
        });
        match projected {
            Ok(value) => {
                data.insert(field.alias.clone(), value);
            }
            Err(Problem::Refused(message)) => return errors(200, &message, Some(field)),
            Err(Problem::Unknown(message)) => return errors(501, &message, Some(field)),
        }
    }
    Response::json(200, &json!({"data": data}))
}

fn errors(status: u16, message: &str, field: Option<&Field>) -> Response {
    let path: Vec<&str> = field.iter().map(|field| field.alias.as_str()).collect();
    let body = json!({
        "errors": [{"message": message, "path": path, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}],
        "data": null,
    });
    Response::json(status, &body)
}

fn query(railway: &Arc<Railway>, caller: Caller, field: &Field) -> Result<Value, Problem> {
    let config = &railway.config;
    match field.name.as_str() {
        "projectToken" if caller == Caller::ProjectToken => Ok(json!({
            "id": "token-id",
            "projectId": config.project,
            "environmentId": config.environment,
            "project": {"id": config.project, "name": config.project_name},
            "environment": {"id": config.environment, "name": config.environment_name},
        })),
        "me" if caller == Caller::Account => {
            let workspace = json!({"id": "workspace-id", "name": "Rehearsal", "team": null,
                                   "projects": edges(vec![project(railway)])});
            Ok(
                json!({"id": "user-id", "name": "Operator", "email": "operator@rehearsal.example",
                       "workspaces": [workspace]}),
            )
        }
        "externalWorkspaces" if caller == Caller::Account => Ok(json!([])),
        "projectToken" | "me" | "externalWorkspaces" => Err(Problem::Refused("Not Authorized".to_owned())),
        "project" => {
            require(text(field, "id")?, &config.project, "Project not found")?;
            Ok(project(railway))
        }
        "environment" => {
            require(text(field, "id")?, &config.environment, "Environment not found")?;
            Ok(environment(railway))
        }
        "sshPublicKeys" => Ok(edges(ssh_keys(config))),
        "deployment" => {
            let id = text(field, "id")?;
            Ok(deployment_value(railway, &railway.find(id)?))
        }
        "deployments" => Ok(deployments(railway, field)?),
        "serviceInstance" => {
            require(
                text(field, "environmentId")?,
                &config.environment,
                "Environment not found",
            )?;
            require(
                text(field, "serviceId")?,
                &config.service,
                "ServiceInstance not found",
            )?;
            Ok(service_instance(railway))
        }
        "variables" | "variablesForServiceDeployment" => {
            require(
                text(field, "environmentId")?,
                &config.environment,
                "Environment not found",
            )?;
            require(text(field, "serviceId")?, &config.service, "Service not found")?;
            Ok(variables(railway))
        }
        other => Err(Problem::Unknown(format!("the simulator has no query {other:?}"))),
    }
}

fn mutation(railway: &Arc<Railway>, caller: Caller, field: &Field) -> Result<Value, Problem> {
    match field.name.as_str() {
        "deploymentRollback" => {
            if caller == Caller::ProjectToken && !railway.state().may_roll_back {
                return Err(Problem::Refused("Not Authorized".to_owned()));
            }
            railway.roll_back(text(field, "id")?)?;
            Ok(Value::Bool(true))
        }
        "variableCollectionUpsert" => {
            set_variables(railway, field)?;
            Ok(Value::Bool(true))
        }
        other => Err(Problem::Unknown(format!(
            "the simulator has no mutation {other:?}"
        ))),
    }
}

fn set_variables(railway: &Arc<Railway>, field: &Field) -> Result<()> {
    let input = field.arguments.get("input").context("input is missing")?;
    let matches = |name: &str, expected: &str| input[name].as_str() == Some(expected);
    let config = &railway.config;
    if !matches("projectId", &config.project) || !matches("environmentId", &config.environment) {
        bail!("Project not found");
    }
    if !matches("serviceId", &config.service) {
        bail!("Service not found");
    }
    let values = input["variables"].as_object().context("variables are missing")?;
    {
        let mut state = railway.state();
        for (name, value) in values {
            state.variables.insert(
                name.clone(),
                value.as_str().context("a value that is not text")?.to_owned(),
            );
        }
    }
    // Without this flag every change starts a deployment: a trap that has to be there.
    if input["skipDeploys"].as_bool() == Some(true) {
        Ok(())
    } else {
        railway.redeploy_live()
    }
}

fn text<'a>(field: &'a Field, name: &str) -> Result<&'a str> {
    field
        .arguments
        .get(name)
        .and_then(Value::as_str)
        .with_context(|| format!("argument {name} is missing"))
}

fn require(given: &str, expected: &str, otherwise: &str) -> Result<()> {
    if given == expected {
        Ok(())
    } else {
        bail!("{otherwise}")
    }
}

fn edges(nodes: Vec<Value>) -> Value {
    let edges: Vec<Value> = nodes
        .into_iter()
        .map(|node| json!({"node": node, "cursor": node["id"]}))
        .collect();
    json!({"edges": edges, "pageInfo": {"hasNextPage": false, "endCursor": null}})
}

/// Each service in the environment: only the first has an address.
fn instances(railway: &Railway) -> Vec<Value> {
    let services = railway.config.services().into_iter().enumerate();
    let instance = services.map(|(index, service)| {
        let mut instance = service_instance(railway);
        instance["serviceId"] = Value::from(service.service);
        instance["serviceName"] = Value::from(service.service_name);
        instance["source"]["image"] = Value::from(service.image);
        if index > 0 {
            instance["domains"]["serviceDomains"] = json!([]);
        }
        instance
    });
    instance.collect()
}

/// It is not documented whether a project token may ask for them: here it may.
fn ssh_keys(config: &config::Railway) -> Vec<Value> {
    let keys = config.ssh_keys.iter().filter_map(|key| {
        let fingerprint = ssh_key::fingerprint(key)?;
        Some(
            json!({"id": fingerprint, "name": "rehearsal", "publicKey": key, "fingerprint": fingerprint,
                    "userId": "user-id", "workspaceId": null}),
        )
    });
    keys.collect()
}

fn environment(railway: &Railway) -> Value {
    let config = &railway.config;
    json!({
        "id": config.environment, "name": config.environment_name, "deletedAt": null, "canAccess": true,
        "isEphemeral": false, "unmergedChangesCount": 0, "serviceInstances": edges(instances(railway)),
        "volumeInstances": edges(Vec::new()),
    })
}

fn project(railway: &Railway) -> Value {
    let config = &railway.config;
    let services = instances(railway).into_iter().map(|instance| {
        json!({"id": instance["serviceId"], "name": instance["serviceName"], "icon": null,
               "serviceInstances": edges(vec![instance.clone()])})
    });
    let services = services.collect();
    json!({
        "id": config.project,
        "name": config.project_name,
        "deletedAt": null,
        "team": null,
        "workspaceId": "workspace-id",
        "workspace": {"id": "workspace-id", "name": "Rehearsal"},
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "environments": edges(vec![environment(railway)]),
        "services": edges(services),
        "plugins": edges(Vec::new()),
        "buckets": edges(Vec::new()),
        "volumes": edges(Vec::new()),
    })
}

fn service_instance(railway: &Railway) -> Value {
    let config = &railway.config;
    let (active, latest, settings) = {
        let state = railway.state();
        let active: Vec<Deployment> = state
            .deployments
            .iter()
            .filter(|deployment| matches!(deployment.status, Status::Success | Status::Crashed))
            .filter(|deployment| !deployment.is_completed)
            .filter(|deployment| Some(&deployment.id) == state.live.as_ref())
            .cloned()
            .collect();
        (active, state.deployments.last().cloned(), state.settings.clone())
    };
    json!({
        "id": "service-instance-id",
        "serviceId": config.service,
        "serviceName": config.service_name,
        "environmentId": config.environment,
        "healthcheckPath": "/api/health",
        "healthcheckTimeout": 300,
        "overlapSeconds": null,
        "drainingSeconds": null,
        "source": {"repo": settings.repo, "image": config.image},
        "numReplicas": 1,
        "nextCronRunAt": null,
        "tracingEnabled": false,
        "autoInstrumentationEnabled": false,
        "builder": "RAILPACK",
        "buildCommand": settings.build_command,
        "dockerfilePath": null,
        "preDeployCommand": null,
        "railwayConfigFile": null,
        "startCommand": settings.start_command,
        "rootDirectory": settings.root_directory,
        "watchPatterns": settings.watch_patterns,
        "cronSchedule": null,
        "sleepApplication": false,
        "domains": {"serviceDomains": [{"id": "domain-id", "domain": PUBLIC, "targetPort": null}], "customDomains": []},
        "activeDeployments": active.iter().map(|one| deployment_value(railway, one)).collect::<Vec<_>>(),
        "latestDeployment": latest.map(|one| deployment_value(railway, &one)),
    })
}

fn deployments(railway: &Railway, field: &Field) -> Result<Value> {
    let input = field.arguments.get("input").context("input is missing")?;
    let config = &railway.config;
    for (name, expected, otherwise) in [
        ("projectId", &config.project, "Project not found"),
        ("environmentId", &config.environment, "Environment not found"),
        ("serviceId", &config.service, "Service not found"),
    ] {
        if let Some(given) = input[name].as_str() {
            require(given, expected, otherwise)?;
        }
    }
    let first = field.arguments.get("first").and_then(Value::as_u64).unwrap_or(20);
    let list: Vec<Deployment> = railway
        .state()
        .deployments
        .iter()
        .rev()
        .take(usize::try_from(first)?)
        .cloned()
        .collect();
    Ok(edges(
        list.iter().map(|one| deployment_value(railway, one)).collect(),
    ))
}

fn deployment_value(railway: &Railway, deployment: &Deployment) -> Value {
    let config = &railway.config;
    let can_roll_back = deployment.can_roll_back(railway.shared.clock.now_ms(), config.image_retention_ms);
    let has_ended = matches!(
        deployment.status,
        Status::Removed | Status::Crashed | Status::Failed
    );
    let stopped = has_ended || deployment.is_completed;
    let updated_ms = deployment
        .history
        .last()
        .map_or(deployment.created_ms, |(at_ms, _)| *at_ms);
    json!({
        "id": deployment.id,
        "status": deployment.status.name(),
        "createdAt": iso(deployment.created_ms),
        "updatedAt": iso(updated_ms),
        "meta": deployment.meta(),
        "canRollback": can_roll_back,
        "canRedeploy": can_roll_back,
        "deploymentStopped": stopped,
        "instances": [],
        "url": null,
        "staticUrl": PUBLIC,
        "projectId": config.project,
        "environmentId": config.environment,
        "serviceId": config.service,
    })
}

fn variables(railway: &Railway) -> Value {
    let sealed = &railway.config.sealed;
    let state = railway.state();
    let listed = state.variables.iter().map(|(name, value)| {
        let shown = if sealed.contains(name) {
            Value::Null
        } else {
            Value::from(value.as_str())
        };
        (name.clone(), shown)
    });
    let mut all: Map<String, Value> = listed.collect();
    // The platform adds its own.
    all.insert(
        "RAILWAY_ENVIRONMENT_NAME".to_owned(),
        Value::from(railway.config.environment_name.as_str()),
    );
    all.insert(
        "RAILWAY_PROJECT_ID".to_owned(),
        Value::from(railway.config.project.as_str()),
    );
    Value::Object(all)
}
