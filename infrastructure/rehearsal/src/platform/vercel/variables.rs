//! Variables of the project.

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use super::{Variable, Vercel, error, new_id};
use crate::http::router::Captures;
use crate::http::{Request, Response};

impl Vercel {
    pub(super) fn add_variable(&self, request: &Request, captures: &Captures) -> Response {
        if !self.is_project(&captures[0]) {
            return error(404, "not_found", "Project not found");
        }
        match self.try_add_variable(request) {
            Ok(response) => response,
            Err(problem) => error(400, "bad_request", &format!("{problem:#}")),
        }
    }

    fn try_add_variable(&self, request: &Request) -> Result<Response> {
        let body = request.json()?;
        let key = body["key"].as_str().context("`key` is missing")?;
        let value = body["value"].as_str().context("`value` is missing")?;
        let kind = body["type"].as_str().unwrap_or("encrypted");
        let targets: Vec<String> = match &body["target"] {
            Value::String(one) => vec![one.clone()],
            Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => return Err(anyhow!("`target` is missing")),
        };
        let mut state = self.state();
        let same = |one: &Variable| one.key == key && one.targets == targets;
        if state.variables.iter().any(same) {
            if request.param("upsert") != Some("true") {
                let message = format!("A variable with the name `{key}` already exists for the target");
                return Ok(error(400, "ENV_CONFLICT", &message));
            }
            state.variables.retain(|one| !same(one));
        }
        let id = new_id("env_")?;
        let updated_ms = self.shared.clock.now_ms();
        let variable = Variable {
            id: id.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
            kind: kind.to_owned(),
            targets: targets.clone(),
            updated_ms,
        };
        state.variables.push(variable);
        let created = json!({"id": id, "key": key, "type": kind, "target": targets, "updatedAt": updated_ms});
        Ok(Response::json(201, &json!({"created": created, "failed": []})))
    }
}
