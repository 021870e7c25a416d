//! One deployment: its files, its own address, its state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::site::{Protection, Site};
use crate::http::server::serve_tcp;

/// A deployment; all of it is known as soon as it is made, as with a prebuilt one.
#[derive(Debug, Clone)]
pub(super) struct Deployment {
    pub(super) id: String,
    /// `host:port` of its own address.
    pub(super) url: String,
    pub(super) target: Option<String>,
    pub(super) state: &'static str,
    pub(super) created_ms: i64,
    pub(super) meta: Value,
    pub(super) folder: PathBuf,
    /// Why it did not become ready.
    pub(super) error: Option<String>,
    /// Whether the production domain is given to it as soon as it is ready.
    pub(super) takes_domain: bool,
    /// Whether it was ever given the production domain.
    pub(super) was_live: bool,
}

impl Deployment {
    pub(super) fn is_production(&self) -> bool {
        self.target.as_deref() == Some("production")
    }
}

/// What `POST /v13/deployments` describes.
pub(super) struct Wanted {
    pub(super) target: Option<String>,
    pub(super) meta: Value,
    pub(super) takes_domain: bool,
    /// Path and digest of each file.
    pub(super) files: Vec<(String, String)>,
}

impl Wanted {
    pub(super) fn parse(body: &Value) -> Result<Self> {
        let list = body["files"].as_array().context("files are missing")?;
        let files = list
            .iter()
            .map(|file| {
                let name = file["file"].as_str().context("a file without a name")?;
                let digest = file["sha"].as_str().context("a file without its sha")?;
                Ok((name.to_owned(), digest.to_owned()))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            target: body["target"].as_str().map(str::to_owned),
            meta: if body["meta"].is_object() {
                body["meta"].clone()
            } else {
                json!({})
            },
            takes_domain: body["autoAssignCustomDomains"].as_bool().unwrap_or(true),
            files,
        })
    }

    /// Digests of files that were not uploaded yet.
    pub(super) fn missing(&self, uploaded: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let mut missing: Vec<String> = self
            .files
            .iter()
            .map(|(_, digest)| digest.clone())
            .filter(|digest| !uploaded.contains_key(digest))
            .collect();
        missing.sort();
        missing.dedup();
        missing
    }
}

/// Lays out the files below `folder` and serves the static output on an address of its own.
pub(super) fn publish(
    id: &str,
    wanted: &Wanted,
    uploaded: &BTreeMap<String, Vec<u8>>,
    folder: &Path,
    protection: &Protection,
) -> Result<(String, PathBuf, Option<String>)> {
    std::fs::create_dir_all(folder)?;
    let mut archive = Vec::new();
    for (name, digest) in &wanted.files {
        let bytes = uploaded
            .get(digest)
            .with_context(|| format!("the file {name} was not uploaded"))?;
        // `--archive=tgz` cuts one archive of all files into parts.
        if name.starts_with(".vercel/source.tgz.part") {
            archive.extend_from_slice(bytes);
        } else {
            write_file(folder, name, bytes)?;
        }
    }
    if !archive.is_empty() {
        tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()))
            .unpack(folder)
            .context("the archive is not a gzipped tar archive")?;
    }
    let output = folder.join(".vercel").join("output");
    let problem = check_output(&output).err().map(|error| format!("{error:#}"));
    let site = Site::protected(protection);
    let served = output.join("static");
    if problem.is_none() {
        site.switch(id, &served);
    }
    let address = serve_tcp(Arc::new(site))?;
    Ok((address.to_string(), served, problem))
}

/// What the platform checks of a prebuilt output.
fn check_output(output: &Path) -> Result<()> {
    let path = output.join("config.json");
    let text = std::fs::read_to_string(&path).context("the output has no config.json")?;
    let config: Value = serde_json::from_str(&text).context("config.json of the output is not JSON")?;
    if config["version"] != 3 {
        bail!("config.json of the output does not say version 3");
    }
    Ok(())
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let relative = Path::new(name);
    if relative
        .components()
        .any(|component| !matches!(component, std::path::Component::Normal(_)))
    {
        bail!("a file outside of the deployment: {name}");
    }
    let path = folder.join(relative);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
