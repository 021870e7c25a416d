//! Requests over the unix socket of gh's configuration.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::http::Response;
use crate::http::client::{Client, Route};
use crate::standins::variable;

const HOST: &str = "api.github.com";

/// The API with its credentials and the repository.
pub(super) struct GitHub {
    client: Client,
    repository: Option<String>,
}

impl GitHub {
    /// The socket is `http_unix_socket` in `$GH_CONFIG_DIR/config.yml`.
    pub(super) fn from_environment(repository: Option<&str>) -> Result<Self> {
        let Some(token) = variable("GH_TOKEN").or_else(|| variable("GITHUB_TOKEN")) else {
            bail!(
                "To get started with GitHub CLI, please run:  gh auth login\nAlternatively, populate the GH_TOKEN environment variable with a GitHub API authentication token."
            );
        };
        let route = Route::Unix {
            path: socket()?,
            host: HOST.to_owned(),
        };
        let client = Client::new(route)
            .timeout(Duration::from_mins(1))
            .header("authorization", &format!("token {token}"))
            .header("user-agent", "GitHub CLI 2.74.0")
            .header("x-github-api-version", "2022-11-28");
        let repository = repository.map(str::to_owned).or_else(|| variable("GH_REPO"));
        Ok(Self { client, repository })
    }

    /// `/repos/OWNER/REPO` and the rest.
    pub(super) fn repo_path(&self, rest: &str) -> String {
        format!(
            "/repos/{}{rest}",
            self.repository.as_deref().unwrap_or("none/none")
        )
    }

    /// Puts the repository in `{owner}` and `{repo}`.
    pub(super) fn fill(&self, path: &str) -> Result<String> {
        if !path.contains("{owner}") && !path.contains("{repo}") {
            return Ok(path.to_owned());
        }
        let repository = self.repository.as_deref().and_then(|name| name.split_once('/'));
        let (owner, repo) = repository.context("unable to determine which repository to use: set GH_REPO")?;
        Ok(path.replace("{owner}", owner).replace("{repo}", repo))
    }

    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let path = path.strip_prefix(&format!("https://{HOST}")).unwrap_or(path);
        let mut fields = fields.to_vec();
        // The type of the body is there also where there is none.
        for (name, value) in [
            ("accept", "application/vnd.github+json"),
            ("content-type", "application/json; charset=utf-8"),
        ] {
            if !fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name)) {
                fields.push((name, value));
            }
        }
        self.client
            .send(method, path, &fields, body)
            .map_err(|error| anyhow!("error connecting to {HOST}: {error:#}"))
    }

    /// The JSON of a good answer, null when it is empty.
    pub(super) fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let response = self.send(method, path, &[], text.as_bytes())?;
        refuse(&response, path)?;
        if response.body.is_empty() {
            Ok(Value::Null)
        } else {
            response.parse()
        }
    }
}

/// An error as gh words it.
pub(super) fn refuse(response: &Response, path: &str) -> Result<()> {
    if (200..300).contains(&response.status) {
        return Ok(());
    }
    let body = response.parse().unwrap_or(Value::Null);
    let message = body["message"].as_str().unwrap_or_default();
    bail!("HTTP {}: {message} (https://{HOST}{path})", response.status)
}

fn socket() -> Result<PathBuf> {
    let folder = variable("GH_CONFIG_DIR").context("stand-in: GH_CONFIG_DIR does not lead to a simulator")?;
    let path = PathBuf::from(folder).join("config.yml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("stand-in: {} does not lead to a simulator", path.display()))?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("http_unix_socket:"));
    let socket = line
        .context("stand-in: config.yml has no http_unix_socket")?
        .trim()
        .trim_matches(['"', '\'']);
    Ok(PathBuf::from(socket))
}
