//! A stable address in front of what is live.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::client::{Client, Route};
use super::message::{Request, Response};
use super::server::Handler;

/// Passes requests on to the address that is set; 502 while there is none, as the platform's edge does.
#[derive(Debug, Clone, Default)]
pub struct ReverseProxy {
    target: Arc<RwLock<Option<SocketAddr>>>,
}

impl ReverseProxy {
    /// Sends the requests that begin from now on to another address.
    pub fn switch(&self, target: Option<SocketAddr>) {
        *self
            .target
            .write()
            .expect("no thread panics while it holds this lock") = target;
    }
}

/// Fields about one connection, not about the message.
const HOP_BY_HOP: [&str; 6] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "host",
    "proxy-connection",
];

impl Handler for ReverseProxy {
    fn handle(&self, request: &Request) -> Response {
        let target = *self
            .target
            .read()
            .expect("no thread panics while it holds this lock");
        let Some(target) = target else {
            return Response::text(502, "Application failed to respond");
        };
        let passed: Vec<(&str, &str)> = request
            .headers
            .iter()
            .filter(|(name, _)| !is_hop_by_hop(name))
            .collect();
        let client = Client::new(Route::Direct(target.to_string())).timeout(Duration::from_secs(30));
        match client.send(&request.method, &request.target(), &passed, &request.body) {
            Ok(answer) => {
                let mut response = Response {
                    status: answer.status,
                    body: answer.body,
                    ..Response::default()
                };
                for (name, value) in answer.headers.iter().filter(|(name, _)| !is_hop_by_hop(name)) {
                    response.headers.add(name, value);
                }
                response
            }
            Err(_) => Response::text(502, "Application failed to respond"),
        }
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.iter().any(|field| field.eq_ignore_ascii_case(name))
}
