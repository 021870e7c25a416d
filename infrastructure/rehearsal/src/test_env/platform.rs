//! The simulated platforms, as a process of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::process::Owned;

/// Where everything of the simulator answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    pub railway_proxy: String,
    pub vercel_api: String,
    pub github_socket: PathBuf,
    pub services: String,
    pub atlas: String,
    pub backend: String,
    pub frontend: String,
    /// Of the other services and projects, by their ids.
    #[serde(default)]
    pub others: BTreeMap<String, String>,
    pub control: String,
    /// Certificate of the authority that the real `railway` must trust.
    pub railway_ca: PathBuf,
    /// Ports of the mail server, and the certificate of its authority.
    pub mail_starttls: u16,
    pub mail_tls: u16,
    pub mail_clear: u16,
    pub mail_ca: PathBuf,
}

/// The running simulator; dropping it ends it, with every application that it runs.
#[derive(Debug)]
pub struct Platform {
    pub process: Owned,
    pub addresses: Addresses,
}

impl Platform {
    /// Starts the simulator `program` with what the platforms contain; keeps its state in `platform` below `folder`.
    pub fn start(program: &Path, folder: &Path, log: &Path, config: &Value) -> Result<Self> {
        let file = folder.join("platform.json");
        std::fs::write(&file, config.to_string()).context("cannot write the simulator's configuration")?;
        let mut command = Command::new(program);
        command
            .args(["platform", "--state"])
            .arg(folder.join("platform"))
            .arg("--config")
            .arg(&file)
            .env_clear();
        let (process, addresses) =
            Owned::serve(&mut command, log, true, |line| serde_json::from_str(line).ok())
                .context("the simulator of the platforms")?;
        Ok(Self { process, addresses })
    }

    /// What the simulator saw.
    pub fn report(&self) -> Result<Value> {
        Ok(ureq::get(self.control_url("/report"))
            .call()
            .context("the simulator does not answer")?
            .body_mut()
            .read_json()?)
    }

    /// Changes the simulated platforms from outside.
    pub fn control(&self, path: &str, body: &Value) -> Result<()> {
        ureq::post(self.control_url(path))
            .send_json(body)
            .with_context(|| format!("the simulator refused {path}"))?;
        Ok(())
    }

    fn control_url(&self, path: &str) -> String {
        format!("{}{path}", self.addresses.control.trim_end_matches('/'))
    }
}
