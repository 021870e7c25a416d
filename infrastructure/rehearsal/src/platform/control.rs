//! The rehearsal's own view: what happened, and what is to go wrong.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use super::Platforms;
use super::faults::Fault;
use crate::http::server::Handler;
use crate::http::{Request, Response};

/// The control address.
pub(super) struct Control {
    platforms: Arc<Platforms>,
}

impl Control {
    pub(super) fn new(platforms: Arc<Platforms>) -> Self {
        Self { platforms }
    }

    fn report(&self) -> Value {
        let shared = &self.platforms.shared;
        json!({
            "requests": shared.journal.entries(),
            "unimplemented": shared.journal.unimplemented(),
            "faults": shared.faults.list(),
            "slack": self.platforms.services.messages(),
            "mail": self.platforms.mail.messages(),
            "railway": self.platforms.railway.report(),
            "vercel": self.platforms.vercel.report(),
            "services": self.platforms.all_services.report(),
            "projects": self.platforms.all_projects.report(),
            "github": self.platforms.github.report(),
            "atlas": self.platforms.atlas.report(),
        })
    }

    fn act(&self, request: &Request) -> Result<Value> {
        let platforms = &self.platforms;
        let body = if request.body.is_empty() {
            json!({})
        } else {
            request.json()?
        };
        let text = |name: &str| -> Result<&str> {
            body[name]
                .as_str()
                .with_context(|| format!("{name} (text) is missing"))
        };
        match request.path.as_str() {
            "/faults" => {
                let fault: Fault = serde_json::from_value(body).context("not a fault")?;
                platforms.shared.faults.add(fault);
            }
            "/faults/release" => platforms.shared.faults.release(body["id"].as_str()),
            "/faults/clear" => platforms.shared.faults.clear(),
            "/clock" => platforms
                .shared
                .clock
                .advance(body["advance_ms"].as_i64().context("advance_ms is missing")?),
            "/railway/purge-image" => platforms.railway.purge_image(text("deployment")?)?,
            "/railway/start" => platforms
                .railway
                .set_start(body["at_least_ms"].as_u64().context("at_least_ms is missing")?),
            "/railway/service" => platforms
                .railway
                .set_up(serde_json::from_value(body).context("not the settings of a service")?),
            "/railway/next" => platforms
                .all_services
                .named(body["service"].as_str())?
                .end_next_as(text("status")?)?,
            "/railway/push" => platforms.railway.push()?,
            "/vercel/project" => platforms.vercel.set_up(&body)?,
            "/vercel/protect" => platforms.vercel.protect(text("secret")?),
            "/vercel/push" => platforms.vercel.push()?,
            "/railway/token" => platforms.railway.let_token_roll_back(
                body["may_roll_back"]
                    .as_bool()
                    .context("may_roll_back is missing")?,
            ),
            "/railway/restart" => platforms.railway.restart()?,
            "/railway/crash" => platforms.railway.crash(text("deployment")?)?,
            "/mail/refuse" => platforms.mail.refuse(text("answer")?),
            "/expire" => platforms.github.expire_artifacts(body["name"].as_str()),
            "/services/status" => {
                platforms
                    .services
                    .set_status(text("page")?, text("component")?, text("status")?);
            }
            path => match (path.strip_prefix("/github/"), path.strip_prefix("/atlas/")) {
                (Some(what), _) => platforms.github.control(what, &body)?,
                (_, Some(what)) => platforms.atlas.control(what, &body)?,
                _ => return Err(anyhow!("there is no control {path}")),
            },
        }
        Ok(json!({"done": true}))
    }
}

impl Handler for Control {
    fn handle(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/report") => Response::json(200, &self.report()),
            ("POST", _) => match self.act(request) {
                Ok(answer) => Response::json(200, &answer),
                Err(error) => Response::json(400, &json!({"error": format!("{error:#}")})),
            },
            _ => Response::json(404, &json!({"error": "GET /report or POST a control"})),
        }
    }
}
