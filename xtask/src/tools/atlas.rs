//! `atlas`: snapshots of a cluster on MongoDB Atlas, and restores of their collections.
//!
//! Its traps (`docs/REALITY.md`, "MongoDB Atlas"): `watch` ends well and without a word where the first question fails, so
//! nothing here uses it; `snapshots create` keeps a snapshot for one day unless `--retention` is there; each failure is exit
//! code 1. It writes below its home, and takes credentials of a profile there before those of the environment: it has a home
//! of its own.

mod answers;
mod restores;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use xshell::{Cmd, Shell, cmd};

use answers::SnapshotPage;
pub use answers::{AtlasCluster, AtlasSnapshot};
pub use restores::{COLLECTIONS, CollectionPair, CollectionRestore, RestoreEnd};

use crate::config::AtlasConfig;
use crate::context::Context;
use crate::error::catalogue::atlas as errors;
use crate::exec::Exec;
use crate::secret::Secret;
use crate::wait;

const QUERY_DEADLINE: Duration = Duration::from_mins(2);
/// From 1.47 on service accounts are read from the environment, from 1.55 on there are restores of collections.
const OLDEST: (u64, u64) = (1, 55);
/// The most that a page of the API has.
const PAGE: usize = 100;
/// More snapshots than these are not listed: Atlas has the newest first.
const PAGES: usize = 20;
/// Where the API is, for companies and governments that have another one.
const ADDRESSES: [&str; 2] = ["MONGODB_ATLAS_OPS_MANAGER_URL", "MONGODB_ATLAS_SERVICE"];

/// One cluster, with the credentials for it.
#[derive(Debug, Clone)]
pub struct Atlas {
    sh: Shell,
    home: PathBuf,
    project: String,
    cluster: String,
    secrets: Vec<(&'static str, Secret)>,
}

impl Atlas {
    /// # Errors
    /// Usage (exit 2) where the program is missing or too old, or a secret is not set.
    pub fn open(ctx: &Context, place: &AtlasConfig) -> Result<Self> {
        let pairs = [
            ("MONGODB_ATLAS_PUBLIC_API_KEY", &place.public_key),
            ("MONGODB_ATLAS_PRIVATE_API_KEY", &place.private_key),
            ("MONGODB_ATLAS_CLIENT_ID", &place.client_id),
            ("MONGODB_ATLAS_CLIENT_SECRET", &place.client_secret),
        ];
        let secrets = pairs.into_iter().filter_map(|(name, variable)| {
            let secret = ctx.secret(variable.as_ref()?);
            Some(secret.map(|secret| (name, secret)))
        });
        let atlas = Self {
            sh: ctx.shell()?,
            home: ctx.state_dir("atlas")?,
            project: place.project.clone(),
            cluster: place.cluster.clone(),
            secrets: secrets.collect::<Result<_>>()?,
        };
        atlas.require_version()?;
        Ok(atlas)
    }

    /// The version of the program.
    pub fn version(&self) -> Result<String> {
        ensure!(which::which("atlas").is_ok(), errors::atlas_missing());
        let sh = &self.sh;
        let printed = self.run(cmd!(sh, "atlas --version")).read()?;
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix("atlascli version: "));
        line.map(|version| version.trim().to_owned())
            .context("`atlas --version` prints no version")
    }

    fn require_version(&self) -> Result<()> {
        let found = self.version()?;
        let mut numbers = found.split('.').map(|number| number.parse::<u64>().ok());
        let found_numbers = numbers.next().flatten().zip(numbers.next().flatten());
        let (major, minor) = OLDEST;
        ensure!(
            found_numbers.is_some_and(|numbers| numbers >= OLDEST),
            errors::atlas_too_old(&found, format!("{major}.{minor}"))
        );
        Ok(())
    }

    /// The cluster as Atlas has it.
    pub fn cluster(&self) -> Result<AtlasCluster> {
        let (sh, cluster) = (&self.sh, &self.cluster);
        self.ask(|| cmd!(sh, "atlas clusters describe {cluster} --output json"))
            .map_err(|error| {
                let text = format!("{error:#}");
                let unknown = ["CLUSTER_NOT_FOUND", "GROUP_NOT_FOUND", "RESOURCE_NOT_FOUND"];
                if unknown.iter().any(|code| text.contains(code)) {
                    return errors::atlas_cluster_unknown(cluster, &self.project, text).into();
                }
                error
            })
    }

    /// Asks for a snapshot. Never repeated by itself: the caller looks for the description first.
    pub fn create_snapshot(&self, description: &str, days: u32) -> Result<AtlasSnapshot> {
        let (sh, cluster, days) = (&self.sh, &self.cluster, days.to_string());
        let create = cmd!(
            sh,
            "atlas backups snapshots create {cluster} --desc {description} --retention {days} --output json"
        );
        self.run(create).json().map_err(explained)
    }

    /// The snapshot of this id.
    pub fn snapshot(&self, id: &str) -> Result<AtlasSnapshot> {
        let (sh, cluster) = (&self.sh, &self.cluster);
        self.ask(|| {
            cmd!(
                sh,
                "atlas backups snapshots describe {id} --clusterName {cluster} --output json"
            )
        })
    }

    /// All snapshots of the cluster, those of others too.
    pub fn snapshots(&self) -> Result<Vec<AtlasSnapshot>> {
        let (sh, cluster, limit) = (&self.sh, &self.cluster, PAGE.to_string());
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let page = page.to_string();
            let listed: SnapshotPage = self.ask(|| {
                cmd!(
                    sh,
                    "atlas backups snapshots list {cluster} --limit {limit} --page {page} --output json"
                )
            })?;
            let is_last = listed.results.len() < PAGE;
            all.extend(listed.results);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// A question, which may be asked again.
    fn ask<'a, T: DeserializeOwned>(&self, command: impl Fn() -> Cmd<'a>) -> Result<T> {
        wait::retry(may_pass, || self.run(command()).json()).map_err(explained)
    }

    fn run(&self, command: Cmd<'_>) -> Exec {
        let exec = Exec::new(command)
            .inherit(&ADDRESSES)
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("MONGODB_ATLAS_PROJECT_ID", &self.project)
            .env("MONGODB_ATLAS_TELEMETRY_ENABLED", "false")
            .env("MONGODB_ATLAS_SKIP_UPDATE_CHECK", "yes")
            .env("DO_NOT_TRACK", "1")
            .deadline(QUERY_DEADLINE);
        self.secrets
            .iter()
            .fold(exec, |exec, (name, secret)| exec.secret_env(name, secret))
    }
}

/// Whether a repeated question may succeed. All failures have exit code 1: what is printed tells them apart.
pub fn may_pass(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    let passing = [
        ": HTTP 5",
        ": HTTP 429",
        "connection refused",
        "connection reset",
        "no such host",
        "timeout",
        "EOF",
    ];
    passing.iter().any(|sign| text.contains(sign))
}

fn explained(error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    // A 401 without a challenge is worded in another way (1.46.3, tried).
    let denied = [
        ": HTTP 401",
        "(401 Unauthorized)",
        ": HTTP 403",
        "requires authentication",
    ];
    if denied.iter().any(|sign| text.contains(sign)) {
        return errors::atlas_denied(text).into();
    }
    error
}
