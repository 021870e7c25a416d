//! Around every simulated platform: its requests are recorded, and programmed faults happen.

use std::net::TcpStream;
use std::sync::Arc;

use super::Shared;
use super::clock::iso;
use super::journal::{Entry, credential_kind, without_secrets};
use crate::http::server::Handler;
use crate::http::{Request, Response};

/// A platform's answers.
pub(super) trait Simulated: Send + Sync + 'static {
    /// As named in faults and in the report.
    const PLATFORM: &'static str;

    /// What a request asks for, without identifiers: faults are programmed by it.
    fn operation(&self, request: &Request) -> String;

    /// Answers; 501 for what is not implemented.
    fn answer(&self, request: &Request) -> Response;

    /// A stream after `CONNECT`, with the handler for the requests in it.
    fn tunnel(&self, _authority: &str, _stream: TcpStream, _inside: &dyn Handler) {}
}

/// The name of what a request asks for: the pattern of its endpoint, or itself where it has none.
pub(super) fn name_of(pattern: Option<&str>, request: &Request) -> String {
    pattern.map_or_else(|| format!("{} {}", request.method, request.path), str::to_owned)
}

/// A platform with its recorder and its faults.
pub(super) struct Observed<S> {
    platform: S,
    shared: Arc<Shared>,
}

impl<S> Observed<S> {
    pub(super) fn new(platform: S, shared: Arc<Shared>) -> Self {
        Self { platform, shared }
    }
}

impl<S: Simulated> Handler for Observed<S> {
    fn handle(&self, request: &Request) -> Response {
        let operation = self.platform.operation(request);
        let fault = self.shared.faults.due(S::PLATFORM, &operation);
        let act = |request: &Request| self.platform.answer(request);
        let response = match &fault {
            Some(fault) => self.shared.faults.play(fault, request, &act),
            None => act(request),
        };
        self.shared.journal.add(Entry {
            at: iso(self.shared.clock.now_ms()),
            platform: S::PLATFORM,
            operation,
            method: request.method.clone(),
            target: request.target(),
            credential: credential_kind(request),
            content_type: request.headers.get("content-type").map(str::to_owned),
            body: request.json().ok().map(without_secrets),
            status: response.status,
            fault: fault.map(|fault| fault.id),
        });
        response
    }

    fn tunnel(&self, authority: &str, stream: TcpStream) {
        self.platform.tunnel(authority, stream, self);
    }
}
