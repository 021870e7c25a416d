//! Requests to Vercel's API, as the real program sends them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Global;
use crate::http::Response;
use crate::http::client::Client;
use crate::standins::variable;

/// The API with its credentials and the linked project.
pub(super) struct Api {
    client: Client,
    team: Option<String>,
}

/// An answer that the API refused with.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ({})", self.message, self.status)
    }
}

impl std::error::Error for Refusal {}

impl Api {
    /// Reached at "api" of `config.json` in the folder of the global configuration.
    pub(super) fn new(global: &Global) -> Result<Self> {
        let path = config_folder(global)?.join("config.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("stand-in: {} does not lead to a simulator", path.display()))?;
        let config: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        let api = config["api"]
            .as_str()
            .context("stand-in: config.json has no \"api\"")?;
        let Some(token) = variable("VERCEL_TOKEN") else {
            bail!("No existing credentials found. Please run `vercel login` or pass \"--token\"");
        };
        let client = Client::for_url(api)?
            .timeout(Duration::from_mins(1))
            .header("authorization", &format!("Bearer {token}"))
            .header("user-agent", "vercel 60.1.3 node-v22 linux (x64)");
        Ok(Self {
            client,
            team: global.scope.clone(),
        })
    }

    /// The team that `--scope` or the link names: commands that ignore the link do not ask for it.
    pub(super) fn linked(global: &Global) -> Result<(Self, String)> {
        let mut api = Self::new(global)?;
        let (organisation, project) = link()?;
        if api.team.is_none() && organisation.starts_with("team_") {
            api.team = Some(organisation);
        }
        Ok((api, project))
    }

    fn with_team(&self, path: &str) -> String {
        match &self.team {
            Some(team) => {
                let separator = if path.contains('?') { '&' } else { '?' };
                format!("{path}{separator}teamId={team}")
            }
            None => path.to_owned(),
        }
    }

    /// The answer as it is.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        self.client.send(method, &self.with_team(path), fields, body)
    }

    /// The JSON of a good answer; `Refusal` otherwise.
    pub(super) fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = match body {
            Some(body) => self.send(
                method,
                path,
                &[("content-type", "application/json; charset=utf-8")],
                body.to_string().as_bytes(),
            )?,
            None => self.send(method, path, &[], &[])?,
        };
        accept(&response)
    }

    /// What every command asks first: who this is, and the name of the team that it works in.
    pub(super) fn introduce(&self) -> Result<Introduction> {
        let user = accept(&self.client.get("/v2/user")?)?["user"].take();
        let name = user["username"]
            .as_str()
            .context("an unexpected answer")?
            .to_owned();
        let Some(wanted) = self.team.as_deref() else {
            return Ok(Introduction {
                context: name.clone(),
                user: name,
            });
        };
        let teams = accept(&self.client.get("/v1/teams")?)?;
        let known = |team: &&Value| team["id"] == wanted || team["slug"] == wanted;
        let team = teams["teams"].as_array().into_iter().flatten().find(known);
        let slug = team
            .and_then(|team| team["slug"].as_str())
            .context("The specified scope does not exist")?;
        Ok(Introduction {
            user: name,
            context: slug.to_owned(),
        })
    }
}

/// Who works, and in which team.
pub(super) struct Introduction {
    pub(super) user: String,
    pub(super) context: String,
}

/// The body of a good answer.
pub(super) fn accept(response: &Response) -> Result<Value> {
    let body = response.parse();
    if (200..300).contains(&response.status) {
        return body;
    }
    let body = body.unwrap_or(Value::Null);
    let message = body["error"]["message"]
        .as_str()
        .unwrap_or("Response Error")
        .to_owned();
    Err(Refusal {
        status: response.status,
        message,
    }
    .into())
}

fn config_folder(global: &Global) -> Result<PathBuf> {
    if let Some(folder) = &global.global_config {
        return Ok(folder.clone());
    }
    let data = match variable("XDG_DATA_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable("HOME").context("neither XDG_DATA_HOME nor HOME is set")?)
            .join(".local/share"),
    };
    Ok(data.join("com.vercel.cli"))
}

/// Organisation and project of the environment, or of `.vercel/project.json`.
pub(super) fn link() -> Result<(String, String)> {
    match (variable("VERCEL_ORG_ID"), variable("VERCEL_PROJECT_ID")) {
        (Some(organisation), Some(project)) => return Ok((organisation, project)),
        (Some(_), None) => bail!(
            "You specified `VERCEL_ORG_ID` but you forgot to specify `VERCEL_PROJECT_ID`. You need to specify both to deploy \
             to a custom project."
        ),
        (None, Some(_)) => bail!(
            "You specified `VERCEL_PROJECT_ID` but you forgot to specify `VERCEL_ORG_ID`. You need to specify both to deploy \
             to a custom project."
        ),
        (None, None) => {}
    }
    let text = std::fs::read_to_string(".vercel/project.json")
        .context("Your codebase isn’t linked to a project on Vercel. Run `vercel link` to begin.")?;
    let link: Value = serde_json::from_str(&text).context(".vercel/project.json is not JSON")?;
    let part = |name: &str| {
        link[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("project.json has no {name}"))
    };
    Ok((part("orgId")?, part("projectId")?))
}
