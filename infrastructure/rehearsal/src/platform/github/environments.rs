//! Environments with their reviewers and branch policies.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::settings::check_sealed;
use super::{Endpoint, GitHub, counted, id_of, message, not_found, user_value};
use crate::http::router::Captures;
use crate::http::{Request, Response};

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /repos/{owner}/{repo}/environments", GitHub::environments),
    (
        "GET /repos/{owner}/{repo}/environments/{name}",
        GitHub::environment,
    ),
    (
        "PUT /repos/{owner}/{repo}/environments/{name}",
        GitHub::put_environment,
    ),
    (
        "GET /repos/{owner}/{repo}/environments/{name}/deployment-branch-policies",
        GitHub::branch_policies,
    ),
    (
        "POST /repos/{owner}/{repo}/environments/{name}/deployment-branch-policies",
        GitHub::add_branch_policy,
    ),
    (
        "DELETE /repos/{owner}/{repo}/environments/{name}/deployment-branch-policies/{id}",
        GitHub::drop_branch_policy,
    ),
    (
        "GET /repos/{owner}/{repo}/environments/{name}/secrets",
        GitHub::environment_secrets,
    ),
    (
        "GET /repos/{owner}/{repo}/environments/{name}/secrets/public-key",
        GitHub::environment_key,
    ),
    (
        "PUT /repos/{owner}/{repo}/environments/{name}/secrets/{secret}",
        GitHub::put_environment_secret,
    ),
];

/// Most reviewers of one environment.
const MAX_REVIEWERS: usize = 6;

/// One environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    wait_timer: u64,
    prevent_self_review: bool,
    can_admins_bypass: bool,
    /// `{type, id}` or `{type, login}`.
    reviewers: Vec<Value>,
    branch_policy: Value,
    branches: Vec<Value>,
    secrets: Vec<String>,
}

impl Environment {
    pub(super) fn secrets(&self) -> &[String] {
        &self.secrets
    }

    fn parse(body: &Value, now: Option<&Environment>, people: &[&str]) -> Result<Self> {
        let reviewers = body["reviewers"].as_array().cloned().unwrap_or_default();
        if reviewers.len() > MAX_REVIEWERS {
            bail!("Validation Failed: at most {MAX_REVIEWERS} reviewers");
        }
        let known = |one: &Value| {
            one["type"] != "User"
                || people
                    .iter()
                    .any(|login| one["login"] == *login || one["id"] == id_of(login))
        };
        if !reviewers.iter().all(known) {
            bail!("Failed to validate reviewers: a user is not a collaborator");
        }
        let policy = &body["deployment_branch_policy"];
        if policy.is_object() && policy["protected_branches"] == policy["custom_branch_policies"] {
            bail!(
                "Validation Failed: protected_branches and custom_branch_policies cannot have the same value"
            );
        }
        let names = |value: &Value| -> Vec<String> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        Ok(Self {
            wait_timer: body["wait_timer"].as_u64().unwrap_or(0),
            prevent_self_review: body["prevent_self_review"].as_bool().unwrap_or(false),
            can_admins_bypass: body["can_admins_bypass"].as_bool().unwrap_or(true),
            reviewers,
            branch_policy: policy.clone(),
            branches: match body["branches"].as_array() {
                Some(_) => names(&body["branches"])
                    .iter()
                    .map(|name| branch_value(name))
                    .collect(),
                None => now
                    .map(|environment| environment.branches.clone())
                    .unwrap_or_default(),
            },
            secrets: match body["secrets"].as_array() {
                Some(_) => names(&body["secrets"]),
                None => now
                    .map(|environment| environment.secrets.clone())
                    .unwrap_or_default(),
            },
        })
    }
}

fn branch_value(name: &str) -> Value {
    json!({"id": id_of(name), "node_id": "P", "name": name, "type": "branch"})
}

impl GitHub {
    pub(super) fn set_environment(&self, body: &Value) -> Result<()> {
        let name = body["name"].as_str().context("name is missing")?;
        let mut state = self.state();
        if body["delete"] == true {
            state.environments.remove(name);
            return Ok(());
        }
        let environment = Environment::parse(body, state.environments.get(name), &self.people())?;
        state.environments.insert(name.to_owned(), environment);
        Ok(())
    }

    fn environment_value(&self, name: &str, environment: &Environment) -> Value {
        let people = self.people();
        let reviewer = |value: &Value| {
            let by_id = people
                .iter()
                .find(|login| Some(id_of(login)) == value["id"].as_u64());
            let login = value["login"].as_str().or(by_id.copied());
            match (value["type"].as_str(), login) {
                (Some("User") | None, Some(login)) => json!({"type": "User", "reviewer": user_value(login)}),
                _ => {
                    json!({"type": "Team", "reviewer": {"id": value["id"], "slug": value["slug"], "name": "team"}})
                }
            }
        };
        let mut rules = Vec::new();
        if environment.wait_timer > 0 {
            rules.push(json!({"id": 1, "type": "wait_timer", "wait_timer": environment.wait_timer}));
        }
        if !environment.reviewers.is_empty() {
            let reviewers: Vec<Value> = environment.reviewers.iter().map(reviewer).collect();
            rules.push(
                json!({"id": 2, "type": "required_reviewers", "reviewers": reviewers,
                              "prevent_self_review": environment.prevent_self_review}),
            );
        }
        if environment.branch_policy.is_object() {
            rules.push(json!({"id": 3, "type": "branch_policy"}));
        }
        json!({"id": id_of(name), "name": name, "can_admins_bypass": environment.can_admins_bypass,
               "protection_rules": rules, "deployment_branch_policy": environment.branch_policy})
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn environments(&self, request: &Request, _: &Captures) -> Result<Response> {
        let state = self.state();
        let all: Vec<Value> = state
            .environments
            .iter()
            .map(|(name, environment)| self.environment_value(name, environment))
            .collect();
        Ok(counted(request, "environments", &all))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn environment(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let state = self.state();
        let found = state.environments.get(&captures[0]);
        Ok(found.map_or_else(not_found, |found| {
            Response::json(200, &self.environment_value(&captures[0], found))
        }))
    }

    fn put_environment(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let body = if request.body.is_empty() {
            json!({})
        } else {
            request.json()?
        };
        let mut state = self.state();
        let mut environment =
            Environment::parse(&body, state.environments.get(&captures[0]), &self.people())?;
        if self.config.private && !environment.reviewers.is_empty() {
            // Only Enterprise has required reviewers in private repositories.
            return Ok(message(
                422,
                "Failed to create the environment protection rule. Please ensure the billing plan \
                                    supports the required reviewers protection rule.",
            ));
        }
        environment
            .branches
            .retain(|_| environment.branch_policy["custom_branch_policies"] == true);
        let value = self.environment_value(&captures[0], &environment);
        state.environments.insert(captures[0].clone(), environment);
        Ok(Response::json(200, &value))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn branch_policies(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let state = self.state();
        let found = state.environments.get(&captures[0]);
        Ok(found.map_or_else(not_found, |found| {
            counted(request, "branch_policies", &found.branches)
        }))
    }

    fn add_branch_policy(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let body = request.json()?;
        let name = body["name"].as_str().context("name is missing")?;
        let mut state = self.state();
        let Some(environment) = state.environments.get_mut(&captures[0]) else {
            return Ok(not_found());
        };
        if environment.branch_policy["custom_branch_policies"] != true {
            return Ok(not_found());
        }
        let mut value = branch_value(name);
        if let Some(kind) = body["type"].as_str() {
            value["type"] = Value::from(kind);
        }
        if environment.branches.iter().any(|one| one["name"] == name) {
            return Ok(message(303, "The branch policy exists already"));
        }
        environment.branches.push(value.clone());
        Ok(Response::json(200, &value))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn drop_branch_policy(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let mut state = self.state();
        let Some(environment) = state.environments.get_mut(&captures[0]) else {
            return Ok(not_found());
        };
        environment
            .branches
            .retain(|one| one["id"].as_u64().map(|id| id.to_string()).as_ref() != Some(&captures[1]));
        Ok(Response::empty(204))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn environment_secrets(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let state = self.state();
        let Some(environment) = state.environments.get(&captures[0]) else {
            return Ok(not_found());
        };
        let now = self.now();
        let names: Vec<Value> = environment
            .secrets
            .iter()
            .map(|name| json!({"name": name, "created_at": now, "updated_at": now}))
            .collect();
        Ok(counted(request, "secrets", &names))
    }

    fn environment_key(&self, request: &Request, captures: &Captures) -> Result<Response> {
        if !self.state().environments.contains_key(&captures[0]) {
            return Ok(not_found());
        }
        self.public_key(request, captures)
    }

    fn put_environment_secret(&self, request: &Request, captures: &Captures) -> Result<Response> {
        check_sealed(request)?;
        let mut state = self.state();
        let Some(environment) = state.environments.get_mut(&captures[0]) else {
            return Ok(not_found());
        };
        if environment.secrets.contains(&captures[1]) {
            return Ok(Response::empty(204));
        }
        environment.secrets.push(captures[1].clone());
        Ok(Response::json(201, &json!({})))
    }
}
