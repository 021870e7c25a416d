//! Stores and verifies a recorded archive, as `backup` does with what mongodump sends.

use std::fs::File;
use std::path::PathBuf;

use age::secrecy::ExposeSecret as _;
use anyhow::{Context as _, Result, ensure};
use chrono::Utc;

use crate::archive::{Check, ContainerOptions, Identities, Recipients, store, verify};
use crate::domain::manifest::{Consistency, ConsistencyKind};

const ID: &str = "20250131-235959";

/// Options of `bench replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What mongodump sent
    archive: PathBuf,
    /// Folder for the backup
    folder: PathBuf,
    /// Encrypt it to a new key
    #[arg(long)]
    encrypted: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let key = age::x25519::Identity::generate();
    let recipients = args
        .encrypted
        .then(|| Recipients::parse(&[key.to_public().to_string()]))
        .transpose()?;
    let identities = Identities::parse(key.to_string().expose_secret())?;
    let archive =
        File::open(&args.archive).with_context(|| format!("cannot open {}", args.archive.display()))?;
    let options = ContainerOptions::new(&args.folder, ID, recipients);
    let stored = store(archive, &options, Utc::now(), &mut |_| {})?;
    let metadata = stored.metadata(Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: "a recorded archive".to_owned(),
    });
    let path = stored.commit()?;
    let report = verify(
        &path,
        Some(&metadata),
        Some(&identities),
        Check::Outline,
        &mut |_| {},
    )?;
    ensure!(report.is_good(), "it is damaged: {}", report.problems.join("; "));
    Ok(())
}
