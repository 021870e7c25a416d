//! Pull requests.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Endpoint, GitHub, list, message};
use crate::http::router::Captures;
use crate::http::{Request, Response};

pub(super) const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("GET /repos/{owner}/{repo}/pulls", GitHub::list_pulls),
    ("POST /repos/{owner}/{repo}/pulls", GitHub::open_pull),
];

impl GitHub {
    #[expect(clippy::unnecessary_wraps, reason = "an endpoint like the others")]
    fn list_pulls(&self, request: &Request, _: &Captures) -> Result<Response> {
        let wanted = request.param("head").and_then(|head| head.split(':').next_back());
        let state = self.state();
        let shown = state.pulls.iter().filter(|pull| {
            pull["state"] == "open" && wanted.is_none_or(|wanted| pull["head"]["ref"] == wanted)
        });
        let shown: Vec<Value> = shown.cloned().collect();
        Ok(list(request, &shown))
    }

    fn open_pull(&self, request: &Request, _: &Captures) -> Result<Response> {
        let body = request.json()?;
        let text = |name: &str| body[name].as_str().with_context(|| format!("{name} is missing"));
        let (title, head, base) = (text("title")?, text("head")?, text("base")?);
        if base != "main" {
            return Ok(message(422, "Validation Failed: base is invalid"));
        }
        let mut state = self.state();
        let number = state.issues.len() + state.pulls.len() + 1;
        let pull = json!({
            "number": number, "title": title, "body": body["body"], "state": "open",
            "head": {"ref": head}, "base": {"ref": base},
            "html_url": format!("https://github.com/{}/{}/pull/{number}", self.config.owner, self.config.repo),
        });
        state.pulls.push(pull.clone());
        Ok(Response::json(201, &pull))
    }
}
