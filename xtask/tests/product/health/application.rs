//! A small application that says which release it is, and checks of it.

use std::io::Write as _;
use std::net::SocketAddr;

use super::server::{PASSWORD, Seen, html, json, reply, serve};

pub const OLD: &str = "1111111111111111111111111111111111111111";
pub const NEW: &str = "2222222222222222222222222222222222222222";
pub const TOKEN: &str = "token-of-the-test-user";

/// A backend of the sample's form.
fn application(seen: &Seen, commit: &str, version: &str) -> Vec<u8> {
    match seen.path() {
        "/api/health" => json(&format!(
            r#"{{"status":"ok","commit":"{commit}","version":"{version}","deployment":"d1"}}"#
        )),
        "/api/auth/login" if seen.body.contains(PASSWORD) => json(&format!(r#"{{"token":"{TOKEN}"}}"#)),
        "/api/auth/login" => reply(401, "", ""),
        // It shows what it was given, as a careless server may.
        "/api/auth/profile" if seen.head.contains(TOKEN) => reply(500, "", format!("bad token {TOKEN}")),
        "/" => html(&format!(
            "<title>Shop</title><meta name=release content={version}>"
        )),
        _ => reply(404, "", ""),
    }
}

/// A backend and a frontend that say this commit and version.
pub fn release(commit: &'static str, version: &'static str) -> SocketAddr {
    serve(move |seen, stream| stream.write_all(&application(seen, commit, version)))
}

/// The checks of a release.
pub const RELEASE: &str = r#"
schema = "health/1"
[check.api]
group = "api"
[check.api.http]
url = "${backend}/api/health"
[check.release]
group = "release"
[check.release.release]
backend = "${backend}/api/health"
commit = "$.commit"
version = "$.version"
deployment = "$.deployment"
frontend = "${frontend}/"
marker = "release"
marker_is = "version"
"#;

/// One check of one request.
pub const ONE: &str =
    "schema = \"health/1\"\n[check.it]\ngroup = \"api\"\n[check.it.http]\nurl = \"${backend}/\"\n";
