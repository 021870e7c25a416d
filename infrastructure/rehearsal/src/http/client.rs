//! Asking: one connection for each request, with a deadline.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;

use super::message::{Headers, Response};
use super::wire::Wire;

/// Where requests go.
#[derive(Debug, Clone)]
pub enum Route {
    /// `host:port`, asked directly.
    Direct(String),
    /// Through a proxy at `host:port`, in absolute form for that host name.
    Proxied {
        /// The proxy's `host:port`.
        proxy: String,
        /// The host that is meant.
        host: String,
    },
    /// A unix socket, with the host name to send.
    Unix {
        /// The socket.
        path: PathBuf,
        /// The host that is meant.
        host: String,
    },
}

/// Sends requests over one route.
#[derive(Debug, Clone)]
pub struct Client {
    route: Route,
    headers: Headers,
    timeout: Duration,
}

impl Client {
    /// A client without credentials and a deadline of 60 seconds for each read.
    pub fn new(route: Route) -> Self {
        Self {
            route,
            headers: Headers::default(),
            timeout: Duration::from_mins(1),
        }
    }

    /// For `http://host:port`, with or without a path.
    pub fn for_url(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| anyhow!("not an http:// address: {url}"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        Ok(Self::new(Route::Direct(authority.to_owned())))
    }

    /// Sends this field with every request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Sets the deadline of connecting and of each read and write.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks without a body.
    pub fn get(&self, target: &str) -> Result<Response> {
        self.send("GET", target, &[], &[])
    }

    /// Sends JSON.
    pub fn send_json(&self, method: &str, target: &str, body: &Value) -> Result<Response> {
        self.send(
            method,
            target,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    /// Sends any request and reads the whole answer.
    pub fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let what = || format!("{method} {target}");
        match &self.route {
            Route::Direct(authority) => {
                let stream = self.connect(authority).with_context(what)?;
                self.exchange(stream, method, target, authority, fields, body)
                    .with_context(what)
            }
            Route::Proxied { proxy, host } => {
                let stream = self.connect(proxy).with_context(what)?;
                let absolute = format!("https://{host}{target}");
                self.exchange(stream, method, &absolute, host, fields, body)
                    .with_context(what)
            }
            Route::Unix { path, host } => {
                let stream = self.connect_unix(path).with_context(what)?;
                self.exchange(stream, method, target, host, fields, body)
                    .with_context(what)
            }
        }
    }

    fn connect(&self, authority: &str) -> Result<TcpStream> {
        let address = authority
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve {authority}"))?
            .next()
            .ok_or_else(|| anyhow!("no address for {authority}"))?;
        let stream = TcpStream::connect_timeout(&address, self.timeout)
            .with_context(|| format!("cannot connect to {authority}"))?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn connect_unix(&self, path: &Path) -> Result<UnixStream> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to the socket {}", path.display()))?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        Ok(stream)
    }

    fn exchange(
        &self,
        mut stream: impl Read + Write,
        method: &str,
        target: &str,
        host: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in self.headers.iter().chain(fields.iter().copied()) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        stream.write_all(&bytes)?;
        stream.flush()?;
        read_response(stream, method == "HEAD")
    }
}

fn read_response(stream: impl Read + Write, head_only: bool) -> Result<Response> {
    let mut wire = Wire::new(stream);
    loop {
        let head = wire
            .head()?
            .ok_or_else(|| anyhow!("the connection was closed without an answer"))?;
        let status = head
            .line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse::<u16>().ok())
            .ok_or_else(|| anyhow!("not an HTTP answer"))?;
        if status == 100 {
            continue;
        }
        let no_body = head_only || status == 204 || status == 304;
        let body = if no_body {
            Vec::new()
        } else {
            wire.body(&head.headers, true)?
        };
        return Ok(Response {
            status,
            headers: head.headers,
            body,
            ..Response::default()
        });
    }
}
