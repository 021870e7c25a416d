//! Secrets (names only), retention of artifacts, and rules for tags and branches.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Endpoint, GitHub, counted, list, not_found};
use crate::http::router::Captures;
use crate::http::{Request, Response};

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /repos/{owner}/{repo}/actions/secrets", GitHub::secrets),
    (
        "GET /repos/{owner}/{repo}/actions/secrets/public-key",
        GitHub::public_key,
    ),
    (
        "PUT /repos/{owner}/{repo}/actions/secrets/{name}",
        GitHub::put_secret,
    ),
    (
        "DELETE /repos/{owner}/{repo}/actions/secrets/{name}",
        GitHub::delete_secret,
    ),
    (
        "GET /repos/{owner}/{repo}/actions/permissions/artifact-and-log-retention",
        GitHub::retention,
    ),
    (
        "PUT /repos/{owner}/{repo}/actions/permissions/artifact-and-log-retention",
        GitHub::put_retention,
    ),
    ("GET /repos/{owner}/{repo}/rulesets", GitHub::rulesets),
    ("POST /repos/{owner}/{repo}/rulesets", GitHub::add_ruleset),
    ("GET /repos/{owner}/{repo}/rulesets/{id}", GitHub::ruleset),
    ("PUT /repos/{owner}/{repo}/rulesets/{id}", GitHub::put_ruleset),
];

/// The body of a secret that is set.
pub(super) fn check_sealed(request: &Request) -> Result<()> {
    let body = request.json()?;
    for name in ["encrypted_value", "key_id"] {
        body[name]
            .as_str()
            .with_context(|| format!("{name} is missing"))?;
    }
    Ok(())
}

impl GitHub {
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn secrets(&self, request: &Request, _: &Captures) -> Result<Response> {
        let state = self.state();
        let all: Vec<Value> = state
            .secrets
            .iter()
            .map(|(name, updated)| json!({"name": name, "created_at": updated, "updated_at": updated}))
            .collect();
        Ok(counted(request, "secrets", &all))
    }

    /// A valid X25519 key (the base point): values are sealed for it, and nobody opens them.
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    #[expect(clippy::unused_self, reason = "an endpoint like the others")]
    pub(super) fn public_key(&self, _: &Request, _: &Captures) -> Result<Response> {
        let key = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        Ok(Response::json(200, &json!({"key_id": "1", "key": key})))
    }

    fn put_secret(&self, request: &Request, captures: &Captures) -> Result<Response> {
        check_sealed(request)?;
        let now = self.now();
        let known = self.state().secrets.insert(captures[0].clone(), now).is_some();
        Ok(if known {
            Response::empty(204)
        } else {
            Response::json(201, &json!({}))
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn delete_secret(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let known = self.state().secrets.remove(&captures[0]).is_some();
        Ok(if known { Response::empty(204) } else { not_found() })
    }

    fn max_days(&self) -> i64 {
        if self.config.private { 400 } else { 90 }
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn retention(&self, _: &Request, _: &Captures) -> Result<Response> {
        let days = self.state().retention_days;
        Ok(Response::json(
            200,
            &json!({"days": days, "maximum_allowed_days": self.max_days()}),
        ))
    }

    fn put_retention(&self, request: &Request, _: &Captures) -> Result<Response> {
        let days = request.json()?["days"].as_i64().context("days is missing")?;
        if !(1..=self.max_days()).contains(&days) {
            bail!("days must be from 1 to {}", self.max_days());
        }
        self.state().retention_days = days;
        Ok(Response::empty(204))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn rulesets(&self, request: &Request, _: &Captures) -> Result<Response> {
        Ok(list(request, &self.state().rulesets))
    }

    fn add_ruleset(&self, request: &Request, _: &Captures) -> Result<Response> {
        let mut ruleset = request.json()?;
        for name in ["name", "enforcement"] {
            ruleset[name]
                .as_str()
                .with_context(|| format!("{name} is missing"))?;
        }
        let mut state = self.state();
        if state.rulesets.iter().any(|one| one["name"] == ruleset["name"]) {
            bail!("Validation Failed: Name must be unique");
        }
        ruleset["id"] = Value::from(state.id());
        ruleset["source_type"] = Value::from("Repository");
        state.rulesets.push(ruleset.clone());
        Ok(Response::json(201, &ruleset))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn ruleset(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let state = self.state();
        let found = state
            .rulesets
            .iter()
            .find(|one| one["id"].as_u64() == captures[0].parse().ok());
        Ok(found.map_or_else(not_found, |one| Response::json(200, one)))
    }

    fn put_ruleset(&self, request: &Request, captures: &Captures) -> Result<Response> {
        let body = request.json()?;
        let mut state = self.state();
        let Some(found) = state
            .rulesets
            .iter_mut()
            .find(|one| one["id"].as_u64() == captures[0].parse().ok())
        else {
            return Ok(not_found());
        };
        for (name, value) in body.as_object().context("not an object")? {
            found[name] = value.clone();
        }
        Ok(Response::json(200, found))
    }
}
