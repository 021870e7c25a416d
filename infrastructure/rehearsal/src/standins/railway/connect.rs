//! `railway connect SERVICE --tunnel-only`: `src/commands/connect.rs` and `src/commands/ssh/native.rs` of the real program.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Map, Value};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::api::Api;
use super::{Place, Target};
use crate::ssh_key;
use crate::standins::variable;

const READY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(150);
/// Where the database listens in its container, where its variables name no port of it.
const MONGODB_PORT: u16 = 27017;

#[derive(Debug, Args)]
pub(super) struct Connect {
    service_name: Option<String>,
    #[arg(short, long)]
    environment: Option<String>,
    #[arg(short = 'p', long)]
    project: Option<String>,
    #[arg(long)]
    tunnel_only: bool,
    #[arg(short = 'P', long)]
    port: Option<u16>,
}

/// `ssh` is killed where this is dropped: at SIGINT, and not where the program itself is killed.
struct Forward(Child);

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Opens the tunnel, and holds it open until SIGINT.
pub(super) fn run(connect: &Connect) -> Result<u8> {
    if !connect.tunnel_only {
        eprintln!("railway (stand-in): only `connect SERVICE --tunnel-only` is supported");
        return Ok(2);
    }
    let api = Api::from_environment()?;
    let service = connect
        .service_name
        .as_deref()
        .context("Service name required in non-interactive mode. Usage: railway connect <service-name>")?;
    let target = target(connect, service, &api)?;
    let images = api.images(&target)?;
    let variables = api.variables(&target)?;
    let image = images.into_iter().find(|(id, _)| *id == target.service);
    let image = image.and_then(|(_, image)| image).unwrap_or_default();
    if !image.to_lowercase().contains("mongo") {
        bail!("No supported database found in service");
    }
    let local = match connect.port {
        Some(port) => port,
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
    };
    let (login, remote, path) = parts_of_url(&variables)?;
    let identity = identity(&api)?;
    let instance = api.instance(&target)?;
    let _forward = forward(&instance, &identity, local, remote)?;
    let (user, password) = login.split_once(':').unwrap_or((&login, ""));
    eprintln!("\nMongoDB tunnel open \u{2014} point an external client at:\n");
    eprintln!("  Host:     127.0.0.1\n  Port:     {local}\n  User:     {user}\n  Password: {password}");
    eprintln!("\n  URL:      mongodb://{login}@127.0.0.1:{local}/{path}\n");
    eprintln!("Press Ctrl+C to close the tunnel.\n");
    let mut signals = Signals::new([SIGINT])?;
    signals.forever().next();
    eprintln!("\nTunnel closed.");
    Ok(0)
}

/// A service is found by its name in any case, and not by its id.
fn target(connect: &Connect, service: &str, api: &Api) -> Result<Target> {
    let place = Place {
        project: connect.project.clone(),
        environment: connect.environment.clone(),
        service: Some(service.to_owned()),
    };
    let target = place.resolve(api)?;
    if target.service == service {
        bail!("Service '{service}' not found");
    }
    Ok(target)
}

/// User and password, the port in the container, and the rest. The private address comes first; of a public one only the login counts.
fn parts_of_url(variables: &Map<String, Value>) -> Result<(String, u16, String)> {
    let given = |name: &str| variables.get(name).and_then(Value::as_str);
    let private = given("MONGO_URL");
    let url = private
        .or_else(|| given("MONGO_PUBLIC_URL"))
        .context("Connection variable MONGO_URL not found")?;
    let invalid = "Connection URL should point to the Railway TCP proxy";
    let (login, place) = url
        .strip_prefix("mongodb://")
        .and_then(|rest| rest.rsplit_once('@'))
        .context(invalid)?;
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let port = host.rsplit_once(':').map(|(_, port)| port.parse()).transpose()?;
    let port = private.and(port).unwrap_or(MONGODB_PORT);
    Ok((login.to_owned(), port, path.to_owned()))
}

/// The private side of the first key of `~/.ssh` that is registered.
fn identity(api: &Api) -> Result<PathBuf> {
    let home = PathBuf::from(variable("HOME").context("Could not find home directory")?);
    let files = std::fs::read_dir(home.join(".ssh"))
        .into_iter()
        .flatten()
        .flatten();
    let public = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "pub"));
    let local: Vec<(PathBuf, String)> = public
        .filter_map(|path| {
            let print = ssh_key::fingerprint(&std::fs::read_to_string(&path).ok()?)?;
            Some((path, print))
        })
        .collect();
    if local.is_empty() {
        bail!(
            "No SSH keys found in your SSH agent or ~/.ssh/\n\nGenerate one with:\n  ssh-keygen -t ed25519\n\nThen run this command again."
        );
    }
    let registered = api.registered_keys()?;
    let Some((path, _)) = local.iter().find(|(_, print)| registered.contains(print)) else {
        bail!(
            "No registered SSH keys found. Register one with:\n  railway ssh keys add\n\nOr import from GitHub:\n  railway ssh keys github"
        );
    };
    eprintln!("Using SSH key from file {}: rehearsal", path.display());
    Ok(path.with_extension(""))
}

fn forward(instance: &str, identity: &PathBuf, local: u16, remote: u16) -> Result<Forward> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, local)).is_err() {
        bail!(
            "Local port {local} is already in use. Pick a free port with --port, or stop the process using it.\nRailway will not send traffic to a port it did not open."
        );
    }
    let mut command = Command::new("ssh");
    command.arg("-i").arg(identity).arg("-N");
    for option in [
        "StrictHostKeyChecking=accept-new",
        "ExitOnForwardFailure=yes",
        "ServerAliveInterval=30",
        "ServerAliveCountMax=3",
    ] {
        command.args(["-o", option]);
    }
    let way = format!("127.0.0.1:{local}:127.0.0.1:{remote}");
    command.args(["-L", &way, &format!("{instance}@ssh.railway.com")]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    let mut forward = Forward(command.spawn().context("Failed to spawn ssh forward")?);
    let started = Instant::now();
    loop {
        if let Some(status) = forward.0.try_wait()? {
            bail!("SSH tunnel exited before it was ready ({status})");
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, local)).is_ok() {
            return Ok(forward);
        }
        if started.elapsed() > READY {
            bail!("Timed out waiting for the SSH tunnel to become ready on 127.0.0.1");
        }
        std::thread::sleep(PAUSE);
    }
}
