//! Issues.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Endpoint, GitHub, list, user_value};
use crate::http::router::Captures;
use crate::http::{Request, Response};

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /repos/{owner}/{repo}/issues", GitHub::list_issues),
    ("POST /repos/{owner}/{repo}/issues", GitHub::open_issue),
];

impl GitHub {
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn list_issues(&self, request: &Request, _: &Captures) -> Result<Response> {
        // As GitHub: open ones unless told otherwise, the newest first, and only those that have every label.
        let state = request.param("state").unwrap_or("open");
        let labels: Vec<&str> = request
            .param("labels")
            .map_or_else(Vec::new, |all| all.split(',').collect());
        let shown = |issue: &&Value| {
            let has = |label: &&str| {
                issue["labels"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one["name"] == **label))
            };
            (state == "all" || issue["state"] == state) && labels.iter().all(has)
        };
        let issues: Vec<Value> = self.state().issues.iter().rev().filter(shown).cloned().collect();
        Ok(list(request, &issues))
    }

    fn open_issue(&self, request: &Request, _: &Captures) -> Result<Response> {
        let body = request.json()?;
        let title = body["title"].as_str().context("title is missing")?;
        let labels = body["labels"].as_array().cloned().unwrap_or_default();
        let mut state = self.state();
        let (id, number) = (state.id(), state.issues.len() + 1);
        let issue = json!({
            "id": id, "number": number, "title": title, "body": body["body"], "state": "open",
            "labels": labels.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
            "user": user_value(&self.config.user),
            "html_url": format!("https://github.com/{}/{}/issues/{number}", self.config.owner, self.config.repo),
        });
        state.issues.push(issue.clone());
        Ok(Response::json(201, &issue))
    }

    /// Somebody closes an issue on its page.
    pub(super) fn close_issue(&self, body: &Value) -> Result<()> {
        let mut state = self.state();
        let found = state
            .issues
            .iter_mut()
            .find(|one| one["number"] == body["number"]);
        found.context("there is no such issue")?["state"] = Value::from("closed");
        Ok(())
    }
}
