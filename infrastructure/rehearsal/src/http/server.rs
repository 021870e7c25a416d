//! Listening: one thread for a listener, one for each connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::message::{ExitKind, Request, Response};
use super::wire::Wire;

/// An idle connection is closed after this.
const IDLE_MS: u64 = 60_000;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: &Request) -> Response;

    /// Takes over a stream after `CONNECT host:port`; by default no tunnel is offered.
    fn tunnel(&self, _authority: &str, _stream: TcpStream) {}
}

impl<F: Fn(&Request) -> Response + Send + Sync + 'static> Handler for F {
    fn handle(&self, request: &Request) -> Response {
        self(request)
    }
}

/// Serves on a free port of the loopback interface.
pub fn serve_tcp(handler: Arc<dyn Handler>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot bind a port of 127.0.0.1")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(IDLE_MS)));
                let _ = stream.set_nodelay(true);
                if let Ok(After::Tunnel { authority, stream }) = serve_stream(stream, handler.as_ref()) {
                    handler.tunnel(&authority, stream);
                }
            });
        }
    });
    Ok(address)
}

/// Serves on a unix socket.
pub fn serve_unix(path: &Path, handler: Arc<dyn Handler>) -> Result<()> {
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot bind the socket {}", path.display()))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(IDLE_MS)));
                let _ = serve_stream(stream, handler.as_ref());
            });
        }
    });
    Ok(())
}

/// How a connection ended.
#[derive(Debug)]
pub enum After<S> {
    /// It is closed.
    Closed,
    /// The peer asked for a tunnel and was told that it is open.
    Tunnel {
        /// `host:port`
        authority: String,
        /// What follows belongs to the tunnel.
        stream: S,
    },
}

/// Answers the requests of one connection until it ends.
pub fn serve_stream<S: Read + Write>(stream: S, handler: &dyn Handler) -> io::Result<After<S>> {
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head()? {
        let mut words = head.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if method == "CONNECT" {
            wire.stream()
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            let authority = target.to_owned();
            return Ok(After::Tunnel {
                authority,
                stream: wire.into_stream(),
            });
        }
        if head
            .headers
            .get("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            wire.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut request = Request::new(method, target, head.headers);
        request.body = wire.body(&request.headers, false)?;
        let response = handler.handle(&request);
        let close = request
            .headers
            .get("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        write_response(wire.stream(), &response, request.method == "HEAD")?;
        if close || response.ending != ExitKind::Normal {
            break;
        }
    }
    Ok(After::Closed)
}

fn write_response(out: &mut impl Write, response: &Response, head_only: bool) -> io::Result<()> {
    if response.ending == ExitKind::Close {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in response.headers.iter() {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if response.headers.get("content-length").is_none() {
        head.extend(["content-length: ", &response.body.len().to_string(), "\r\n"]);
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    if !head_only {
        let sent = if response.ending == ExitKind::Cut {
            response.body.len() / 2
        } else {
            response.body.len()
        };
        bytes.extend_from_slice(&response.body[..sent]);
    }
    out.write_all(&bytes)?;
    out.flush()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
