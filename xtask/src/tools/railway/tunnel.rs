//! `railway connect SERVICE --tunnel-only`: a port of this machine that leads to a database of the project's private network.
//!
//! Traps (`src/commands/connect.rs`, `src/commands/ssh/native.rs` of the program): it starts `ssh` in another process group and
//! ends it only where SIGINT ends itself: killed, it leaves it. It does not look at `ssh` once the tunnel stands: where that ends, the
//! port is closed and the program stays. It writes the password on standard error. It needs an ssh key of the agent or of `~/.ssh`
//! that is registered with the account or workspace of the token.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::config::RailwayConfig;
use crate::connection::ConnectionString;
use crate::context::Context;
use crate::error::catalogue::database as errors;
use crate::exec::{Exec, Held, check_interrupted};
use crate::report;
use crate::secret::{Secret, scrub};
use crate::sync::lock;

/// It asks the platform five times, and waits 10 s for `ssh`.
const OPENING: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);
/// A port of this machine answers at once.
const ANSWER: Duration = Duration::from_secs(1);
/// Of the line that is written when the port leads to the database.
const IS_OPEN: &str = " tunnel open";
/// So many last lines are the reason where it does not open.
const REASON_LINES: usize = 6;

static OPEN: Mutex<Vec<Tunnel>> = Mutex::new(Vec::new());

/// A tunnel that this process opened. It closes with the process, or when this is dropped.
#[derive(Debug)]
struct Tunnel {
    name: String,
    port: u16,
    _program: Held,
}

/// The connection string of the environment's database as it is reached from here: where `via` is a tunnel, it is open when this returns.
///
/// # Errors
/// Usage (exit 2) where there is no database or no usable secret; `tunnel_not_open`.
pub fn database_uri(ctx: &Context) -> Result<Secret> {
    let mongodb = ctx.mongodb()?;
    let uri = ctx.connection_string(&mongodb.uri)?;
    let Some(place) = mongodb.tunnel() else {
        return Ok(uri);
    };
    let read = ConnectionString::read(&uri).map_err(errors::connection_string_unusable)?;
    let port = opened(ctx, place, mongodb.via_token.as_deref())?;
    let through = read.through_tunnel(port, &tunnel_name(place));
    through.map_err(|error| errors::connection_string_unusable(error).into())
}

/// What the database at the end of a tunnel is called: its host has the same name in every environment of the project.
pub fn tunnel_name(place: &RailwayConfig) -> String {
    format!("railway-tunnel:{}@{}", place.service, place.environment)
}

/// The tunnels that have closed although nobody let them go.
pub fn closed_tunnels() -> Vec<String> {
    let open = lock(&OPEN);
    let closed = open.iter().filter(|tunnel| !tunnel.answers());
    closed.map(|tunnel| tunnel.name.clone()).collect()
}

/// The port where the tunnel begins. One that has closed is opened again at the same port, which connections have.
fn opened(ctx: &Context, place: &RailwayConfig, token: Option<&str>) -> Result<u16> {
    let name = tunnel_name(place);
    let mut open = lock(&OPEN);
    let mut port = None;
    if let Some(at) = open.iter().position(|tunnel| tunnel.name == name) {
        if open[at].answers() {
            return Ok(open[at].port);
        }
        report::progress(&format!("{name} has closed: opening it again"));
        port = Some(open.remove(at).port);
    }
    let tunnel = Tunnel::open(ctx, place, token, port)?;
    port = Some(tunnel.port);
    open.push(tunnel);
    port.context("a tunnel has a port")
}

impl Tunnel {
    fn open(ctx: &Context, place: &RailwayConfig, token: Option<&str>, port: Option<u16>) -> Result<Self> {
        let port = port.map_or_else(free_port, Ok)?;
        let (sh, number) = (&ctx.shell()?, port.to_string());
        let [project, environment, service] = [&place.project, &place.environment, &place.service];
        let (sender, lines) = mpsc::channel();
        let connect = cmd!(
            sh,
            "railway connect {service} --tunnel-only --port {number} --project {project} --environment {environment}"
        );
        let exec = super::without_questions(Exec::new(connect))
            .inherit(&["SSH_AUTH_SOCK"])
            .on_stderr(move |line| {
                for key in ["Password:", "URL:"] {
                    // Known from here on, so that no other text shows it.
                    line.trim()
                        .strip_prefix(key)
                        .map(|value| Secret::new(value.trim()));
                }
                sender.send(line.to_owned()).ok();
            });
        let exec = match token {
            Some(variable) => exec.secret_env("RAILWAY_API_TOKEN", &ctx.secret(variable)?),
            None => exec.secret_env("RAILWAY_TOKEN", &ctx.secret(&place.token)?),
        };
        let program = exec.hold()?;
        stands(&lines, service)?;
        report::trace(&format!("{} begins at port {port}", tunnel_name(place)));
        Ok(Self {
            name: tunnel_name(place),
            port,
            _program: program,
        })
    }

    fn answers(&self) -> bool {
        let begin = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpStream::connect_timeout(&begin, ANSWER).is_ok()
    }
}

/// Waits for the line. What comes after it has the password, and is read by nobody.
fn stands(lines: &Receiver<String>, service: &str) -> Result<()> {
    let started = Instant::now();
    let mut said: Vec<String> = Vec::new();
    loop {
        check_interrupted()?;
        let why = match lines.recv_timeout(PAUSE) {
            Ok(line) if line.contains(IS_OPEN) => return Ok(()),
            Ok(line) => {
                said.push(scrub(line.trim()));
                continue;
            }
            Err(RecvTimeoutError::Timeout) if started.elapsed() < OPENING => continue,
            Err(RecvTimeoutError::Timeout) => format!("it took longer than {} s", OPENING.as_secs()),
            Err(RecvTimeoutError::Disconnected) => "it ended".to_owned(),
        };
        let last = said.split_off(said.len().saturating_sub(REASON_LINES)).join(" ");
        return Err(errors::tunnel_not_open(service, format!("{why}: {last}")).into());
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr().context("cannot find a free port")?.port())
}
