//! What only reads: users, teams, projects, deployments, variables.

use serde_json::{Value, json};

use super::deployment::Deployment;
use super::{State, Vercel, error};
use crate::http::router::Captures;
use crate::http::{Request, Response};

impl Vercel {
    pub(super) fn is_project(&self, name: &str) -> bool {
        name == self.config.project || name == self.config.project_name
    }

    pub(super) fn user(&self, _: &Request, _: &Captures) -> Response {
        let user = json!({
            "id": "user_rehearsal", "email": "operator@rehearsal.example", "username": "operator", "name": "Operator",
            "version": "northstar", "defaultTeamId": self.config.org,
        });
        Response::json(200, &json!({"user": user}))
    }

    fn team_value(&self) -> Value {
        json!({"id": self.config.org, "slug": self.config.slug, "name": "Rehearsal", "createdAt": 0})
    }

    pub(super) fn teams(&self, _: &Request, _: &Captures) -> Response {
        let pagination = json!({"count": 1, "next": null, "prev": null});
        Response::json(
            200,
            &json!({"teams": [self.team_value()], "pagination": pagination}),
        )
    }

    pub(super) fn team(&self, _: &Request, captures: &Captures) -> Response {
        if captures[0] != self.config.org && captures[0] != self.config.slug {
            return error(404, "not_found", "Team not found");
        }
        Response::json(200, &self.team_value())
    }

    pub(super) fn project(&self, request: &Request, captures: &Captures) -> Response {
        if !self.is_project(&captures[0]) {
            return error(404, "not_found", "Project not found");
        }
        let state = self.state();
        let live = state
            .deployments
            .iter()
            .find(|one| Some(&one.id) == state.live.as_ref());
        let production = live.map(|one| self.deployment_value(&state, one));
        let alias =
            json!({"domain": self.config.domain, "target": "PRODUCTION", "environment": "production"});
        let mut project = json!({
            "id": self.config.project,
            "name": self.config.project_name,
            "accountId": self.config.org,
            "framework": null,
            "buildCommand": null,
            "outputDirectory": null,
            "rootDirectory": null,
            "link": null,
            "ssoProtection": null,
            "passwordProtection": null,
            "rollingRelease": null,
            "directoryListing": false,
            "nodeVersion": "22.x",
            "autoAssignCustomDomains": state.assigns_domains,
            "alias": [alias],
            "targets": {"production": production},
            "latestDeployments": [],
        });
        for (name, value) in &state.settings {
            project[name] = value.clone();
        }
        project["autoAssignCustomDomains"] = Value::from(state.assigns_domains);
        if request.param("rollbackInfo") == Some("true") || !state.last_alias_request.is_null() {
            project["lastAliasRequest"] = state.last_alias_request.clone();
        }
        Response::json(200, &project)
    }

    /// Only this one: a list of several is put together from theirs.
    pub(super) fn projects(&self, request: &Request, _: &Captures) -> Response {
        let own = self.project(request, &vec![self.config.project.clone()]);
        let own: Value = serde_json::from_slice(&own.body).unwrap_or_default();
        let pagination = json!({"count": 1, "next": null, "prev": null});
        Response::json(200, &json!({"projects": [own], "pagination": pagination}))
    }

    pub(super) fn domains(&self, _: &Request, captures: &Captures) -> Response {
        if !self.is_project(&captures[0]) {
            return error(404, "not_found", "Project not found");
        }
        let platforms = format!("{}.vercel.app", self.config.project_name);
        let domain = |name: &str, redirect: Value| {
            json!({"name": name, "apexName": name, "projectId": self.config.project, "redirect": redirect,
                   "redirectStatusCode": null, "gitBranch": null, "customEnvironmentId": null, "verified": true})
        };
        let domains = [
            domain(&platforms, Value::Null),
            domain("rehearsal.example", Value::from(self.config.domain.as_str())),
            domain(&self.config.domain, Value::Null),
        ];
        let pagination = json!({"count": domains.len(), "next": null, "prev": null});
        Response::json(200, &json!({"domains": domains, "pagination": pagination}))
    }

    /// Finds by id, by the deployment's own address, or by the production domain.
    fn find<'a>(&self, state: &'a State, name: &str) -> Option<&'a Deployment> {
        if name == self.config.domain {
            return state
                .deployments
                .iter()
                .find(|one| Some(&one.id) == state.live.as_ref());
        }
        state
            .deployments
            .iter()
            .find(|one| one.id == name || one.url == name)
    }

    pub(super) fn deployment(&self, _: &Request, captures: &Captures) -> Response {
        let state = self.state();
        match self.find(&state, &captures[0]) {
            Some(found) => Response::json(200, &self.deployment_value(&state, found)),
            None => error(404, "not_found", "The deployment could not be found"),
        }
    }

    pub(super) fn list_deployments(&self, request: &Request, _: &Captures) -> Response {
        let state = self.state();
        let target = request.param("target");
        let wanted = |one: &&Deployment| {
            target.is_none_or(|target| one.target.as_deref() == Some(target))
                && request
                    .query
                    .iter()
                    .all(|(name, value)| match name.strip_prefix("meta-") {
                        Some(key) => one.meta[key].as_str() == Some(value),
                        None => true,
                    })
        };
        let list: Vec<Value> = state
            .deployments
            .iter()
            .rev()
            .filter(wanted)
            .map(|one| {
                let mut value = self.deployment_value(&state, one);
                value["uid"] = value["id"].clone();
                value["state"] = value["readyState"].clone();
                value
            })
            .collect();
        let pagination = json!({"count": list.len(), "next": null, "prev": null});
        Response::json(200, &json!({"deployments": list, "pagination": pagination}))
    }

    pub(super) fn builds(&self, _: &Request, captures: &Captures) -> Response {
        let state = self.state();
        match self.find(&state, &captures[0]) {
            Some(_) => Response::json(200, &json!({"builds": []})),
            None => error(404, "not_found", "The deployment could not be found"),
        }
    }

    /// The log of a prebuilt deployment is empty.
    #[expect(clippy::unused_self, reason = "an endpoint like the others")]
    pub(super) fn events(&self, _: &Request, _: &Captures) -> Response {
        Response::bytes(200, "application/stream+json", "")
    }

    pub(super) fn deployment_value(&self, state: &State, one: &Deployment) -> Value {
        let is_live = state.live.as_deref() == Some(&one.id);
        let alias: Vec<&str> = is_live
            .then_some(self.config.domain.as_str())
            .into_iter()
            .collect();
        let substate = if is_live || one.was_live {
            "PROMOTED"
        } else {
            "STAGED"
        };
        let mut value = json!({
            "id": one.id,
            "name": self.config.project_name,
            "url": one.url,
            "inspectorUrl": format!("https://vercel.com/{}/{}/{}", self.config.slug, self.config.project_name, one.id),
            "target": one.target,
            "readyState": one.state,
            "readySubstate": substate,
            "status": one.state,
            "createdAt": one.created_ms,
            "ready": one.created_ms,
            "meta": one.meta,
            "alias": alias,
            "aliasAssigned": is_live,
            "projectId": self.config.project,
            "ownerId": self.config.org,
            "team": {"id": self.config.org, "slug": self.config.slug, "name": "Rehearsal"},
            "creator": {"uid": "user_rehearsal", "username": "operator"},
            "regions": [],
            "version": 2,
        });
        if let Some(problem) = &one.error {
            value["errorCode"] = Value::from("BUILD_FAILED");
            value["errorMessage"] = Value::from(problem.as_str());
        }
        value
    }

    #[expect(clippy::unused_self, reason = "an endpoint like the others")]
    pub(super) fn custom_environments(&self, _: &Request, _: &Captures) -> Response {
        Response::json(200, &json!({"environments": []}))
    }

    /// Secrets cannot be read back: their names come with a placeholder or with nothing.
    pub(super) fn pull_variables(&self, _: &Request, captures: &Captures) -> Response {
        if !self.is_project(&captures[0]) {
            return error(404, "not_found", "Project not found");
        }
        let state = self.state();
        let pulled: serde_json::Map<String, Value> = state
            .variables
            .iter()
            .filter(|one| one.targets.contains(&captures[1]))
            .map(|one| {
                let shown = match one.kind.as_str() {
                    "sensitive" => "[SENSITIVE]",
                    "secret" => "",
                    _ => &one.value,
                };
                (one.key.clone(), Value::from(shown))
            })
            .collect();
        Response::json(200, &json!({"env": pulled, "buildEnv": {}}))
    }

    pub(super) fn list_variables(&self, request: &Request, captures: &Captures) -> Response {
        if !self.is_project(&captures[0]) {
            return error(404, "not_found", "Project not found");
        }
        let state = self.state();
        let target = request.param("target");
        let list: Vec<Value> = state
            .variables
            .iter()
            .filter(|one| target.is_none_or(|target| one.targets.iter().any(|name| name == target)))
            .map(|one| {
                json!({"id": one.id, "key": one.key, "type": one.kind, "target": one.targets, "value": "",
                       "createdAt": one.updated_ms, "updatedAt": one.updated_ms})
            })
            .collect();
        Response::json(200, &json!({"envs": list}))
    }
}
