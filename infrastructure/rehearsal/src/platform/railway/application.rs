//! The application of an image, as a process that listens.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// What is in the uploads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::platform) enum Application {
    /// The sample application; it prints where it listens.
    #[default]
    Sample,
    /// Something else, which cannot be started on this machine: a program that answers that all is well is in its place.
    StandIn,
    /// An application of its own, which listens on `PORT`.
    Own {
        /// A line of a shell.
        command: String,
        /// Where programs are found, as the image would have them.
        path: String,
        /// What a build would have installed, linked into each image.
        modules: Option<PathBuf>,
    },
}

impl Application {
    /// What a build does, and what it refuses.
    pub(super) fn build(&self, image: &Path) -> Result<()> {
        match self {
            Self::Sample if !image.join("app.toml").is_file() => {
                bail!("build failed: no app.toml in the root of the upload")
            }
            Self::Own {
                modules: Some(modules),
                ..
            } => {
                let link = image.join("node_modules");
                if link.symlink_metadata().is_err() {
                    std::os::unix::fs::symlink(modules, &link).context("cannot link the modules")?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The command that starts it, and where it listens unless it prints that itself.
    pub(super) fn command(
        &self,
        image: &Path,
        variables: &BTreeMap<String, String>,
    ) -> Result<(Command, Option<SocketAddr>)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut address = None;
        match self {
            Self::Sample => command.arg("sample-backend").arg(image),
            Self::StandIn => command.arg("stand-in-backend"),
            Self::Own { command: line, .. } => command.args(["leash", "--", "/bin/sh", "-c", line]),
        };
        command
            .current_dir(image)
            .env_clear()
            .envs(variables)
            .env("PORT", "0");
        if let Self::Own { path, .. } = self {
            let free = TcpListener::bind(("127.0.0.1", 0))
                .context("no port is free")?
                .local_addr()?;
            address = Some(free);
            command.env("PORT", free.port().to_string()).env("PATH", path);
        }
        Ok((command, address))
    }
}
