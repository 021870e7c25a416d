//! The HTTP client: phases measured, nothing without a bound, no credentials to other hosts.
//!
//! `ureq` opens connections on the calling thread, so the phases are kept in a thread-local that its own resolver
//! and marks between its connectors write to.

use std::cell::Cell;
use std::io::Read as _;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderMap, Method, Uri, header};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};
use url::Url;

use super::network;
use super::problem::{Problem, Stage, explain};
use super::report::{RequestTimings, ms};

/// Bytes taken from the body at a time.
const STEP_BYTES: usize = 64 << 10;
/// The largest head of an answer.
const HEAD_LIMIT_BYTES: usize = 64 << 10;
/// Connections unused for longer are not used again: servers close them about now.
const IDLE_S: u64 = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Phases {
    dns: Option<Duration>,
    mark: Option<Instant>,
    connect: Option<Duration>,
    tls: Option<Duration>,
}

thread_local! {
    static PHASES: Cell<Phases> = const { Cell::new(Phases { dns: None, mark: None, connect: None, tls: None }) };
}

fn note(change: impl FnOnce(&mut Phases)) {
    PHASES.with(|cell| {
        let mut phases = cell.get();
        change(&mut phases);
        cell.set(phases);
    });
}

#[derive(Debug, Default)]
struct TimedResolver(DefaultResolver);

impl Resolver for TimedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let started = Instant::now();
        let resolved = self.0.resolve(uri, config, timeout);
        note(|phases| phases.dns = Some(started.elapsed()));
        // Its own error for a name that does not exist is an I/O error like any other: told apart here.
        resolved.map_err(|error| match error {
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            other => other,
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Mark {
    Start,
    Connected,
    Secured,
}

impl<In: Transport> Connector<In> for Mark {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, ureq::Error> {
        let now = Instant::now();
        note(|phases| {
            let since = phases.mark.map(|mark| now - mark);
            match self {
                Self::Connected => phases.connect = since,
                Self::Secured if details.needs_tls() => phases.tls = since,
                Self::Start | Self::Secured => {}
            }
            phases.mark = Some(now);
        });
        Ok(chained)
    }
}

/// Clients for a run: connections are kept and used again.
#[derive(Debug)]
pub(super) struct Client {
    direct: Agent,
    http_proxy: Option<Agent>,
    https_proxy: Option<Agent>,
}

/// A request with all its bounds.
#[derive(Debug, Clone)]
pub(super) struct HttpRequest {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub timeout: Duration,
    pub redirects: u8,
    pub body_limit_bytes: u64,
}

impl HttpRequest {
    pub(super) fn get(url: String, timeout: Duration, body_limit_bytes: u64) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: None,
            timeout,
            redirects: 0,
            body_limit_bytes,
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub timings: RequestTimings,
}

/// A request that brought no whole answer.
#[derive(Debug)]
pub(super) struct FailedRequest {
    pub problem: Problem,
    pub status: Option<u16>,
    pub timings: RequestTimings,
}

impl Client {
    pub(super) fn new() -> anyhow::Result<Self> {
        let roots = network::roots()?;
        let agent = |proxy| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .max_response_header_size(HEAD_LIMIT_BYTES)
                .max_idle_age(Duration::from_secs(IDLE_S))
                .user_agent(concat!("xtask-health/", env!("CARGO_PKG_VERSION")))
                .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots.clone()).build())
                .proxy(proxy)
                .build();
            let connector =
                ().chain(Mark::Start)
                    .chain(ConnectProxyConnector::default())
                    .chain(TcpConnector::default())
                    .chain(Mark::Connected)
                    .chain(RustlsConnector::default())
                    .chain(Mark::Secured);
            Agent::with_parts(config, connector, TimedResolver::default())
        };
        Ok(Self {
            direct: agent(None),
            http_proxy: network::proxy("http")?.map(|proxy| agent(Some(proxy))),
            https_proxy: network::proxy("https")?.map(|proxy| agent(Some(proxy))),
        })
    }

    fn agent(&self, url: &Url) -> &Agent {
        let proxied = match url.scheme() {
            "https" => self.https_proxy.as_ref(),
            _ => self.http_proxy.as_ref(),
        };
        proxied
            .filter(|_| !network::is_loopback(url))
            .unwrap_or(&self.direct)
    }

    /// Sends the request and reads the whole answer; all of it, redirects too, within the request's time.
    pub(super) fn send(&self, request: &HttpRequest) -> Result<Answer, FailedRequest> {
        let started = Instant::now();
        let broken = |problem, status, mut timings: RequestTimings| {
            timings.total_ms = ms(started.elapsed());
            FailedRequest {
                problem,
                status,
                timings,
            }
        };
        let mut request = request.clone();
        let mut seen = Vec::new();
        let mut url = Url::parse(&request.url).map_err(|error| {
            let problem = Problem::Failed(format!("`{}` is not an address: {error}", request.url));
            broken(problem, None, RequestTimings::default())
        })?;
        loop {
            let left = request.timeout.saturating_sub(started.elapsed());
            let mut answer = self
                .exchange(&request, &url, left, request.timeout)
                .map_err(|(problem, status, timings)| broken(problem, status, timings))?;
            answer.timings.total_ms = ms(started.elapsed());
            if request.redirects == 0 || !(300..400).contains(&answer.status) || answer.status == 304 {
                return Ok(answer);
            }
            let stop = |message| broken(Problem::Failed(message), Some(answer.status), answer.timings);
            seen.push(url.clone());
            let next = next_location(&answer, &url).map_err(stop)?;
            if seen.contains(&next) {
                return Err(stop(format!("the redirects go round in a loop at {next}")));
            }
            if seen.len() > usize::from(request.redirects) {
                return Err(stop(format!("more than {} redirects", request.redirects)));
            }
            redirect(&mut request, answer.status, &url, &next).map_err(stop)?;
            url = next;
        }
    }

    /// One request on one connection. A kept connection that the server closed meanwhile says nothing about the
    /// server: a read is then sent once more on a new one.
    fn exchange(
        &self,
        request: &HttpRequest,
        url: &Url,
        left: Duration,
        whole: Duration,
    ) -> Result<Answer, (Problem, Option<u16>, RequestTimings)> {
        let started = Instant::now();
        let mut outcome = self.exchange_once(request, url, left);
        if let Err(cut) = &outcome
            && cut.was_kept
            && cut.status.is_none()
            && matches!(cut.error, ureq::Error::Io(_))
            && request.method == Method::GET
        {
            outcome = self.exchange_once(request, url, left.saturating_sub(started.elapsed()));
        }
        outcome.map_err(|cut| {
            let problem = explain(&cut.error, cut.stage, request.body_limit_bytes, whole);
            (problem, cut.status, cut.timings)
        })
    }

    fn exchange_once(&self, request: &HttpRequest, url: &Url, left: Duration) -> Result<Answer, Box<Cut>> {
        PHASES.set(Phases::default());
        let started = Instant::now();
        let mut builder = ureq::http::Request::builder()
            .method(request.method.clone())
            .uri(url.as_str());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let agent = self.agent(url);
        let sent = match &request.body {
            Some(body) => builder
                .body(body.clone())
                .map_err(ureq::Error::from)
                .and_then(|built| {
                    agent.run(agent.configure_request(built).timeout_global(Some(left)).build())
                }),
            None => builder.body(()).map_err(ureq::Error::from).and_then(|built| {
                agent.run(agent.configure_request(built).timeout_global(Some(left)).build())
            }),
        };
        let (mut timings, stage, was_kept) = phases(url);
        let cut = |error, status, timings| {
            Box::new(Cut {
                error,
                stage,
                status,
                timings,
                was_kept,
            })
        };
        let response = sent.map_err(|error| cut(error, None, timings))?;
        timings.first_byte_ms = Some(ms(started.elapsed()));
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let body = read(body, request.body_limit_bytes).map_err(|error| cut(error, Some(status), timings))?;
        Ok(Answer {
            url: url.clone(),
            status,
            headers: head.headers,
            body,
            timings,
        })
    }
}

/// An exchange that did not come to its end.
struct Cut {
    error: ureq::Error,
    stage: Stage,
    status: Option<u16>,
    timings: RequestTimings,
    was_kept: bool,
}

/// What the marks say: the phases of the new connection, how far it came, and whether a kept one was used instead.
fn phases(url: &Url) -> (RequestTimings, Stage, bool) {
    let phases = PHASES.get();
    let is_new = phases.mark.is_some();
    let timings = RequestTimings {
        // With a kept connection the resolver's answer was not used: the time of it says nothing.
        dns_ms: phases.dns.filter(|_| is_new).map(ms),
        connect_ms: phases.connect.map(ms),
        tls_ms: phases.tls.map(ms),
        first_byte_ms: None,
        total_ms: 0.0,
    };
    let stage = match phases {
        Phases {
            dns: None,
            mark: None,
            ..
        } => Stage::Resolving,
        Phases {
            mark: Some(_),
            connect: None,
            ..
        } => Stage::Connecting,
        Phases {
            mark: Some(_),
            tls: None,
            ..
        } if url.scheme() == "https" => Stage::Securing,
        _ => Stage::Exchanging,
    };
    (timings, stage, !is_new && phases.dns.is_some())
}

/// The body after decompression: one byte over the limit is an error, so a gzip bomb costs us the limit.
fn read(body: ureq::Body, limit_bytes: u64) -> Result<Vec<u8>, ureq::Error> {
    let mut reader = body.into_reader();
    let mut bytes = Vec::new();
    let mut step = vec![0; STEP_BYTES];
    loop {
        let count = reader.read(&mut step).map_err(ureq::Error::from)?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&step[..count]);
        if bytes.len() as u64 > limit_bytes {
            return Err(ureq::Error::BodyExceedsLimit(limit_bytes));
        }
    }
}

fn next_location(answer: &Answer, from: &Url) -> Result<Url, String> {
    let location = answer
        .headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| format!("status {} without a location", answer.status))?;
    let next = from
        .join(location)
        .map_err(|error| format!("the redirect's location is not an address: {error}"))?;
    match (from.scheme(), next.scheme()) {
        ("https", "http") => Err(format!("the redirect leaves https for {next}")),
        (_, "http" | "https") => Ok(next),
        (_, other) => Err(format!("the redirect leaves http for `{other}`")),
    }
}

/// Makes the request the one that follows a redirect. Another origin gets no header and no body of ours: any of them
/// may be a credential.
fn redirect(request: &mut HttpRequest, status: u16, from: &Url, to: &Url) -> Result<(), String> {
    let is_read = request.method == Method::GET || request.method == Method::HEAD;
    if !is_read && matches!(status, 301..=303) {
        request.method = Method::GET;
        request.body = None;
        request
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case(header::CONTENT_TYPE.as_str()));
    }
    if from.origin() != to.origin() {
        if request.body.is_some() {
            return Err(format!("the redirect would send the body to another host: {to}"));
        }
        request.headers.clear();
    }
    Ok(())
}
