//! How the pins are built: Go modules with a complete go.sum, crates by version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xshell::cmd;

use super::Build;
use crate::error::catalogue::tools::tool_missing;
use crate::exec::{Exec, OF_CARGO, OF_NODE};

/// A build from source may take this long on a slow machine.
pub const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);
/// What the toolchains need of our environment to find their caches and settings.
pub const TOOLCHAIN_ENV: &[&str] = &[
    "GOPATH",
    "GOCACHE",
    "GOMODCACHE",
    "GOPROXY",
    "GOSUMDB",
    "GOFLAGS",
    "GOTOOLCHAIN",
    "GOROOT",
    "GONOSUMDB",
    "GOPRIVATE",
    "GONOPROXY",
    "GOINSECURE",
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_CONFIG_FILE",
    "PIP_CERT",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "NPM_CONFIG_USERCONFIG",
    "NPM_CONFIG_CAFILE",
    "npm_config_cafile",
];
/// What to install for a program that a build needs.
const PREREQUISITES: &[(&str, &str)] = &[
    ("go", "golang (1.24 or newer)"),
    ("cargo", "rustup"),
    ("cmake", "cmake"),
    ("ninja", "ninja-build"),
    ("cc", "build-essential"),
    ("python3", "python3 and python3-venv"),
    ("npm", "nodejs and npm"),
];

/// A program of a Go module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoBuild {
    /// Folder with go.mod and go.sum.
    module: String,
    build: String,
    #[serde(default)]
    ldflags: String,
}

/// A program of a crate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoBuild {
    #[serde(rename = "crate")]
    krate: String,
    version: String,
    flags: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
}

impl GoBuild {
    fn dir(&self, pins: &Path) -> PathBuf {
        pins.join(&self.module)
    }

    /// Files that decide what is built.
    pub fn inputs(&self, pins: &Path) -> Vec<PathBuf> {
        ["go.mod", "go.sum"].map(|file| self.dir(pins).join(file)).into()
    }

    /// `go build` in a module with a complete go.sum needs neither a version list nor a checksum database.
    pub fn build(&self, build: &Build, pins: &Path) -> Result<()> {
        require(&["go".to_owned()])?;
        let sh = &build.sh;
        sh.change_dir(self.dir(pins));
        let output = build.folder.join("bin").join(build.program);
        let (package, ldflags) = (&self.build, &self.ldflags);
        Exec::new(cmd!(
            sh,
            "go build -trimpath -ldflags {ldflags} -o {output} {package}"
        ))
        .inherit(TOOLCHAIN_ENV)
        .inherit(OF_CARGO)
        .inherit(OF_NODE)
        .deadline(BUILD_DEADLINE)
        .run()
    }
}

impl CargoBuild {
    /// `cargo install` of exactly that version.
    pub fn build(&self, build: &Build) -> Result<()> {
        require(&self.needs)?;
        let (sh, into) = (&build.sh, build.folder);
        let (krate, version, flags) = (&self.krate, &self.version, &self.flags);
        // The version must be named: a bare install takes a placeholder. The build's own target folder goes with it.
        let target = into.join("target");
        Exec::new(cmd!(
            sh,
            "cargo install {krate} --version {version} {flags...} --root {into}"
        ))
        .env("CARGO_TARGET_DIR", &target)
        .inherit(TOOLCHAIN_ENV)
        .inherit(OF_CARGO)
        .inherit(OF_NODE)
        .deadline(BUILD_DEADLINE)
        .run()?;
        std::fs::remove_dir_all(&target).context("cannot remove the build's intermediate files")
    }
}

/// Every missing prerequisite in one error.
pub fn require(programs: &[String]) -> Result<()> {
    let absent: Vec<&str> = programs
        .iter()
        .filter(|program| which::which(program).is_err())
        .map(String::as_str)
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    let packages = absent.iter().map(|program| {
        PREREQUISITES
            .iter()
            .find(|(name, _)| name == program)
            .map_or(*program, |(_, package)| *package)
    });
    Err(tool_missing(absent.join(", "), packages.collect::<Vec<_>>().join(", ")).into())
}
