//! The sample application's backend. Its behaviour lies in the deployed folder, so that a release needs no compiler.

mod api;
mod auth;
mod listing;
mod manifest;
mod migrate;
pub mod stand_in;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mongodb::options::ClientOptions;
use mongodb::sync::{Client, Database};

pub use auth::hash_password;

use crate::http::server;
use crate::process;

/// What the platform gives to the application, by environment variables as on Railway.
#[derive(Debug)]
struct Settings {
    uri: String,
    database: String,
    jwt_secret: String,
    commit: String,
    release: String,
    deployment: String,
}

impl Settings {
    fn from_environment() -> Result<Self> {
        let required =
            |name: &str| std::env::var(name).with_context(|| format!("the variable {name} is missing"));
        let optional = |name: &str| std::env::var(name).unwrap_or_default();
        Ok(Self {
            uri: required("MONGODB_URI")?,
            database: required("MONGODB_DATABASE")?,
            jwt_secret: required("JWT_SECRET")?,
            commit: optional("RELEASE_COMMIT"),
            release: optional("RELEASE_ID"),
            deployment: optional("RAILWAY_DEPLOYMENT_ID"),
        })
    }
}

/// Connects with short deadlines: a health check must answer while the database does not.
fn connect(settings: &Settings) -> Result<Database> {
    let mut options = ClientOptions::parse(&settings.uri)
        .run()
        .context("MONGODB_URI is not valid")?;
    options.server_selection_timeout = Some(Duration::from_secs(3));
    options.connect_timeout = Some(Duration::from_secs(3));
    options.app_name = Some("sample-backend".to_owned());
    let client = Client::with_options(options).context("cannot set up the database client")?;
    Ok(client.database(&settings.database))
}

/// Runs the backend of that folder until it is told to end. Says on stdout where it listens.
pub fn run(folder: &Path) -> Result<()> {
    let stop = process::watch_for_stop()?;
    let settings = Settings::from_environment()?;
    let manifest = manifest::Manifest::load(folder)?;
    let database = connect(&settings)?;
    migrate::apply(&database, &folder.join("migrations"))?;
    let listing = listing::Listing::load(&folder.join("queries").join("properties.json"))?;
    let address = server::serve_tcp(Arc::new(api::Api::new(settings, manifest, listing, database)))?;
    println!("listening on {address}");
    // A failed sender means that no watcher is left: end as well.
    let _ = stop.recv();
    Ok(())
}
