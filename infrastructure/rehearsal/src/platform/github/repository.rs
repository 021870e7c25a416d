//! The repository, its people, and its commits.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use xtask::workflows::TEMPLATES;

use super::{Endpoint, GitHub, id_of, list, message, not_found, user_value};
use crate::http::router::Captures;
use crate::http::{Request, Response};
use crate::platform::graphql;

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /", GitHub::root),
    ("POST /graphql", GitHub::graphql),
    ("GET /user", GitHub::user),
    ("GET /users/{login}", GitHub::user_by_login),
    ("GET /rate_limit", GitHub::rate_limit),
    ("GET /repos/{owner}/{repo}", GitHub::repository),
    ("GET /repos/{owner}/{repo}/collaborators", GitHub::collaborators),
    (
        "GET /repos/{owner}/{repo}/collaborators/{login}",
        GitHub::is_collaborator,
    ),
    (
        "GET /repos/{owner}/{repo}/collaborators/{login}/permission",
        GitHub::permission,
    ),
    ("GET /repos/{owner}/{repo}/commits/{commit}", GitHub::commit),
    ("GET /repos/{owner}/{repo}/contents/{path*}", GitHub::contents),
];

/// The branch that pages, schedules and "Run workflow" go by, and its workflows.
#[derive(Debug, Clone)]
pub(super) struct DefaultBranch {
    name: String,
    pub(super) workflows: Vec<String>,
}

impl Default for DefaultBranch {
    fn default() -> Self {
        let workflows = TEMPLATES.iter().map(|(file, _)| (*file).to_owned());
        Self {
            name: "main".into(),
            workflows: workflows.collect(),
        }
    }
}

impl GitHub {
    /// Programs look here for what the token may do.
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    #[expect(clippy::unused_self, reason = "an endpoint like the others")]
    fn root(&self, _: &Request, _: &Captures) -> Result<Response> {
        let body = json!({"current_user_url": "https://api.github.com/user"});
        Ok(Response::json(200, &body).header("x-oauth-scopes", "repo, workflow, read:org"))
    }

    /// The two questions that gh asks in GraphQL: who am I, and is there a draft of this release.
    fn graphql(&self, request: &Request, _: &Captures) -> Result<Response> {
        let operation = graphql::parse_body(&request.json()?)?;
        let mut data = Map::new();
        for field in &operation.fields {
            let value = match field.name.as_str() {
                "viewer" => user_value(&self.config.user),
                "repository" => json!({"release": self.draft_release(&field.fields)}),
                other => return Ok(message(501, &format!("the simulator has no field {other:?}"))),
            };
            match graphql::project(&value, &field.fields) {
                Ok(value) => data.insert(field.alias.clone(), value),
                Err(error) => return Ok(message(501, &format!("{error:#}"))),
            };
        }
        Ok(Response::json(200, &json!({"data": data})))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn user(&self, _: &Request, _: &Captures) -> Result<Response> {
        Ok(Response::json(200, &user_value(&self.config.user)))
    }

    pub(super) fn people(&self) -> Vec<&str> {
        let mut people = vec![self.config.owner.as_str(), self.config.user.as_str()];
        people.extend(self.config.collaborators.iter().map(String::as_str));
        people.sort_unstable();
        people.dedup();
        people
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn user_by_login(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let known = self.people().contains(&captures[0].as_str());
        Ok(if known {
            Response::json(200, &user_value(&captures[0]))
        } else {
            not_found()
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn rate_limit(&self, _: &Request, _: &Captures) -> Result<Response> {
        let reset = self.shared.clock.now().timestamp() + 3600;
        let rate = json!({"limit": 5000, "used": 0, "remaining": 5000, "reset": reset});
        Ok(Response::json(
            200,
            &json!({"resources": {"core": rate}, "rate": rate}),
        ))
    }

    pub(super) fn set_default_branch(&self, body: &Value) -> Result<()> {
        let name = body["name"].as_str().context("name is missing")?.to_owned();
        let workflows = body["workflows"].as_array().context("workflows is missing")?;
        let workflows = workflows
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        self.state().default_branch = DefaultBranch { name, workflows };
        Ok(())
    }

    /// A file of the default branch, of which only the workflows are known here.
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn contents(&self, request: &Request, captures: &Captures) -> Result<Response> {
        if request.param("ref").is_some() {
            return Ok(message(501, "not implemented"));
        }
        let file = captures[0].strip_prefix(".github/workflows/").unwrap_or_default();
        if !self
            .state()
            .default_branch
            .workflows
            .iter()
            .any(|known| known == file)
        {
            return Ok(not_found());
        }
        Ok(Response::json(
            200,
            &json!({"type": "file", "name": file, "path": captures[0]}),
        ))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn repository(&self, _: &Request, _: &Captures) -> Result<Response> {
        let config = &self.config;
        let full_name = format!("{}/{}", config.owner, config.repo);
        let visibility = if config.private { "private" } else { "public" };
        Ok(Response::json(
            200,
            &json!({
                "id": id_of(&full_name), "node_id": "R_rehearsal", "name": config.repo, "full_name": full_name,
                "owner": user_value(&config.owner), "private": config.private, "visibility": visibility,
                "default_branch": self.state().default_branch.name, "archived": false, "disabled": false,
                "html_url": format!("https://github.com/{full_name}"),
                "permissions": {"admin": true, "maintain": true, "push": true, "triage": true, "pull": true},
            }),
        ))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn collaborators(&self, request: &Request, _: &Captures) -> Result<Response> {
        let people: Vec<Value> = self
            .people()
            .into_iter()
            .map(|login| {
                let mut value = user_value(login);
                value["role_name"] = Value::from("admin");
                value["permissions"] = json!({"admin": true, "push": true, "pull": true});
                value
            })
            .collect();
        Ok(list(request, &people))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn is_collaborator(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let known = self.people().contains(&captures[0].as_str());
        Ok(if known { Response::empty(204) } else { not_found() })
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn permission(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let permission = if self.people().contains(&captures[0].as_str()) {
            "admin"
        } else {
            "read"
        };
        let body =
            json!({"permission": permission, "role_name": permission, "user": user_value(&captures[0])});
        Ok(Response::json(200, &body))
    }

    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn commit(&self, _: &Request, captures: &Captures) -> Result<Response> {
        let author = self.state().authors.get(&captures[0]).cloned();
        let author = user_value(author.as_deref().unwrap_or(&self.config.user));
        Ok(Response::json(
            200,
            &json!({"sha": captures[0], "author": author, "committer": author}),
        ))
    }
}
