//! The outside platforms on one machine: Railway, Vercel, GitHub, MongoDB Atlas, status pages, a Slack webhook and a mail server.

mod atlas;
mod clock;
mod config;
mod control;
mod faults;
mod github;
mod graphql;
mod journal;
mod mail;
mod observed;
mod railway;
mod services;
mod several;
mod tls;
mod vercel;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::http::server::{serve_tcp, serve_unix};
use crate::process;
use clock::Clock;
use config::Config;
use faults::Faults;
use journal::Journal;
use observed::Observed;

/// The longest path of a unix socket that every system takes.
const MAX_SOCKET_PATH_BYTES: usize = 100;

/// What all simulated platforms share.
#[derive(Debug, Default)]
struct Shared {
    clock: Clock,
    journal: Journal,
    faults: Faults,
}

/// Everything that is simulated.
struct Platforms {
    shared: Arc<Shared>,
    railway: Arc<railway::Railway>,
    /// The one above is the first of them.
    all_services: Arc<several::Services>,
    vercel: Arc<vercel::Vercel>,
    all_projects: Arc<several::Projects>,
    github: Arc<github::GitHub>,
    services: Arc<services::Services>,
    atlas: Arc<atlas::Atlas>,
    mail: Arc<mail::Mail>,
}

/// Runs until standard input ends or a signal comes, then ends every child.
pub fn run(state: &Path, config: &Path) -> Result<()> {
    let stop = process::watch_for_stop()?;
    let text =
        std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    let config: Config =
        serde_json::from_str(&text).with_context(|| format!("{} is not valid", config.display()))?;
    std::fs::create_dir_all(state).with_context(|| format!("cannot create {}", state.display()))?;
    let platforms = Arc::new(Platforms::new(state, config)?);
    let addresses = start(&platforms, state)?;
    println!("{addresses}");
    // A failed sender means that no watcher is left: end as well.
    let _ = stop.recv();
    for service in &platforms.all_services.0 {
        service.shut_down();
    }
    Ok(())
}

impl Platforms {
    fn new(state: &Path, config: Config) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut services = Vec::new();
        for service in config.railway.services() {
            let shared = Arc::clone(&shared);
            services.push(Arc::new(if services.is_empty() {
                railway::Railway::new(service, shared, state)?
            } else {
                railway::Railway::another(service, shared, state)?
            }));
        }
        let mut projects = Vec::new();
        for project in config.vercel.projects() {
            let folder = if projects.is_empty() {
                state.join("vercel")
            } else {
                state.join(format!("vercel-{}", project.project))
            };
            let made = vercel::Vercel::new(project, Arc::clone(&shared), &folder)?;
            projects.push(Arc::new(made));
        }
        Ok(Self {
            railway: Arc::clone(&services[0]),
            all_services: Arc::new(several::Services(services)),
            vercel: Arc::clone(&projects[0]),
            all_projects: Arc::new(several::Projects(projects)),
            github: Arc::new(github::GitHub::new(config.github, Arc::clone(&shared))),
            services: Arc::new(services::Services::default()),
            atlas: Arc::new(atlas::Atlas::new(config.atlas, Arc::clone(&shared))),
            mail: Arc::new(mail::Mail::new(state)?),
            shared,
        })
    }
}

/// Binds everything and returns where it is.
fn start(platforms: &Arc<Platforms>, state: &Path) -> Result<Value> {
    let socket = state.join("gh.sock");
    if socket.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
        bail!(
            "the path of the socket is too long for this system, choose a shorter folder: {}",
            socket.display()
        );
    }
    let shared = &platforms.shared;
    let railway = serve_tcp(Arc::new(Observed::new(
        Arc::clone(&platforms.all_services),
        Arc::clone(shared),
    )))?;
    let vercel = serve_tcp(Arc::new(Observed::new(
        Arc::clone(&platforms.all_projects),
        Arc::clone(shared),
    )))?;
    serve_unix(
        &socket,
        Arc::new(Observed::new(Arc::clone(&platforms.github), Arc::clone(shared))),
    )?;
    let services = serve_tcp(Arc::new(Observed::new(
        Arc::clone(&platforms.services),
        Arc::clone(shared),
    )))?;
    let atlas = serve_tcp(Arc::new(Observed::new(
        Arc::clone(&platforms.atlas),
        Arc::clone(shared),
    )))?;
    let backend = serve_tcp(Arc::new(platforms.railway.stable_address()))?;
    let frontend = serve_tcp(Arc::new(platforms.vercel.production_domain()))?;
    let mut others = serde_json::Map::new();
    for service in &platforms.all_services.0[1..] {
        let address = serve_tcp(Arc::new(service.stable_address()))?;
        others.insert(service.id().to_owned(), format!("http://{address}").into());
    }
    for project in &platforms.all_projects.0[1..] {
        let address = serve_tcp(Arc::new(project.production_domain()))?;
        others.insert(project.id().to_owned(), format!("http://{address}").into());
    }
    let mail_starttls = platforms.mail.serve(mail::Port::Starttls)?.port();
    let mail_tls = platforms.mail.serve(mail::Port::Tls)?.port();
    let mail_clear = platforms.mail.serve(mail::Port::Clear)?.port();
    let control = serve_tcp(Arc::new(control::Control::new(Arc::clone(platforms))))?;
    Ok(json!({
        "railway_proxy": format!("http://{railway}"),
        "railway_ca": state.join(railway::CA_FILE),
        "vercel_api": format!("http://{vercel}"),
        "github_socket": socket,
        "services": format!("http://{services}"),
        "atlas": format!("http://{atlas}/"),
        "backend": format!("http://{backend}"),
        "frontend": format!("http://{frontend}"),
        "others": others,
        "control": format!("http://{control}"),
        "mail_starttls": mail_starttls,
        "mail_tls": mail_tls,
        "mail_clear": mail_clear,
        "mail_ca": state.join(mail::CA_FILE),
    }))
}
