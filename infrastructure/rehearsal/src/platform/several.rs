//! Several services of one project on Railway, and several projects of one team on Vercel: each request goes to the one that it
//! is about.

use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::observed::Simulated;
use super::railway::Railway;
use super::vercel::Vercel;
use crate::http::server::Handler;
use crate::http::{Request, Response};

/// All services; the first one answers what is about none of them.
pub(super) struct Services(pub(super) Vec<Arc<Railway>>);

impl Services {
    /// The service of this id, or the first.
    pub(super) fn named(&self, id: Option<&str>) -> Result<&Arc<Railway>> {
        let mut all = self.0.iter();
        let found = all.find(|service| id.is_none_or(|id| service.id() == id));
        found.with_context(|| format!("there is no service {id:?}"))
    }

    pub(super) fn report(&self) -> Value {
        let reports = self
            .0
            .iter()
            .map(|service| (service.id().to_owned(), service.report()));
        Value::Object(reports.collect())
    }
}

impl Simulated for Arc<Services> {
    const PLATFORM: &'static str = "railway";

    fn operation(&self, request: &Request) -> String {
        self.0[0].operation(request)
    }

    fn answer(&self, request: &Request) -> Response {
        let about = self.0.iter().find(|service| service.is_asked_about(request));
        about.unwrap_or(&self.0[0]).answer(request)
    }

    fn tunnel(&self, authority: &str, stream: TcpStream, inside: &dyn Handler) {
        self.0[0].tunnel(authority, stream, inside);
    }
}

/// All projects; the first one answers what is about none of them.
pub(super) struct Projects(pub(super) Vec<Arc<Vercel>>);

impl Projects {
    pub(super) fn report(&self) -> Value {
        let reports = self
            .0
            .iter()
            .map(|project| (project.id().to_owned(), project.report()));
        Value::Object(reports.collect())
    }
}

impl Simulated for Arc<Projects> {
    const PLATFORM: &'static str = "vercel";

    fn operation(&self, request: &Request) -> String {
        self.0[0].operation(request)
    }

    /// A file is uploaded before anything is said about the deployment that it is for.
    fn answer(&self, request: &Request) -> Response {
        if request.path == "/v2/files" {
            let mut answers: Vec<Response> = self.0.iter().map(|project| project.answer(request)).collect();
            return answers.swap_remove(0);
        }
        if request.path == "/v9/projects" {
            let lists = self.0.iter().map(|project| project.answer(request).body);
            let lists = lists.filter_map(|list| serde_json::from_slice(&list).ok());
            let all: Vec<Value> = lists.map(|list: Value| list["projects"][0].clone()).collect();
            return Response::json(200, &serde_json::json!({"projects": all}));
        }
        let about = self.0.iter().find(|project| project.is_asked_about(request));
        about.unwrap_or(&self.0[0]).answer(request)
    }
}
