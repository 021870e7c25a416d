//! How each kind of pin is built: Go modules with a complete go.sum, crates by version, Python packages by hash.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::{PINS_DIR, missing};
use crate::exec::Exec;

/// A build from source may take this long on a slow machine.
const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);
/// What the toolchains need of our environment to find their caches and settings.
const TOOLCHAIN_ENV: &[&str] = &[
    "GOPATH",
    "GOCACHE",
    "GOMODCACHE",
    "GOPROXY",
    "GOSUMDB",
    "GOFLAGS",
    "GOTOOLCHAIN",
    "GOROOT",
    "GONOSUMDB",
    "CARGO_HOME",
    "RUSTUP_HOME",
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
    "NODE_EXTRA_CA_CERTS",
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GoBuild {
    /// Folder with go.mod and go.sum.
    module: String,
    build: String,
    #[serde(default)]
    ldflags: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CargoBuild {
    #[serde(rename = "crate")]
    krate: String,
    version: String,
    flags: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PipBuild {
    /// File with exact versions and hashes.
    requirements: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NpmBuild {
    /// Folder with package.json and package-lock.json.
    lock: String,
    /// A script in that folder that makes the program of what was installed, where no package has it ready.
    unpack: Option<String>,
}

impl GoBuild {
    fn dir(&self, root: &Path) -> PathBuf {
        root.join(PINS_DIR).join(&self.module)
    }

    /// Files that decide what is built.
    pub(super) fn inputs(&self, root: &Path) -> Vec<PathBuf> {
        ["go.mod", "go.sum"].map(|file| self.dir(root).join(file)).into()
    }

    /// `go build` in a module with a complete go.sum needs neither a version list nor a checksum database.
    pub(super) fn build(&self, sh: &Shell, root: &Path, output: &Path) -> Result<()> {
        require(&["go".to_owned()])?;
        sh.change_dir(self.dir(root));
        let (package, ldflags) = (&self.build, &self.ldflags);
        Exec::new(cmd!(
            sh,
            "go build -trimpath -ldflags {ldflags} -o {output} {package}"
        ))
        .inherit(TOOLCHAIN_ENV)
        .deadline(BUILD_DEADLINE)
        .run()
    }
}

impl CargoBuild {
    pub(super) fn build(&self, sh: &Shell, into: &Path) -> Result<()> {
        require(&self.needs)?;
        let (krate, version, flags) = (&self.krate, &self.version, &self.flags);
        // The version must be named: a bare install takes a placeholder. The build's own target folder goes with it.
        let target = into.join("target");
        Exec::new(cmd!(
            sh,
            "cargo install {krate} --version {version} {flags...} --root {into}"
        ))
        .env("CARGO_TARGET_DIR", &target)
        .inherit(TOOLCHAIN_ENV)
        .deadline(BUILD_DEADLINE)
        .run()?;
        std::fs::remove_dir_all(&target).context("cannot remove the build's intermediate files")
    }
}

impl PipBuild {
    fn file(&self, root: &Path) -> PathBuf {
        root.join(PINS_DIR).join(&self.requirements)
    }

    /// Files that decide what is built.
    pub(super) fn inputs(&self, root: &Path) -> Vec<PathBuf> {
        vec![self.file(root)]
    }

    /// A virtual environment of its own; nothing is taken whose hash is not in the file, and nothing is compiled.
    pub(super) fn build(&self, sh: &Shell, root: &Path, into: &Path, entry: &Path) -> Result<()> {
        require(&["python3".to_owned()])?;
        Exec::new(cmd!(sh, "python3 -m venv {into}"))
            .deadline(BUILD_DEADLINE)
            .run()?;
        let (python, file) = (into.join("bin/python3"), self.file(root));
        Exec::new(cmd!(
            sh,
            "{python} -m pip install --quiet --no-input --disable-pip-version-check --only-binary :all: --require-hashes --requirement {file}"
        ))
        .inherit(TOOLCHAIN_ENV)
        .deadline(BUILD_DEADLINE)
        .run()?;
        move_scripts(&into.join("bin"), into, entry)
    }
}

impl NpmBuild {
    /// Files that decide what is built.
    pub(super) fn inputs(&self, root: &Path) -> Vec<PathBuf> {
        let folder = root.join(PINS_DIR).join(&self.lock);
        let files = ["package.json", "package-lock.json"].into_iter();
        files
            .chain(self.unpack.as_deref())
            .map(|file| folder.join(file))
            .collect()
    }

    /// Exactly what the lock file has, by its hashes; no package runs a script of its own.
    pub(super) fn build(&self, sh: &Shell, root: &Path, into: &Path, program: &str) -> Result<()> {
        require(&["npm".to_owned()])?;
        for file in self.inputs(root) {
            let name = file.file_name().context("a file has a name")?;
            std::fs::copy(&file, into.join(name))
                .with_context(|| format!("cannot copy {}", file.display()))?;
        }
        sh.change_dir(into);
        Exec::new(cmd!(sh, "npm ci --ignore-scripts --no-audit --no-fund"))
            .inherit(TOOLCHAIN_ENV)
            .deadline(BUILD_DEADLINE)
            .run()?;
        if let Some(script) = &self.unpack {
            Exec::new(cmd!(sh, "node {script}"))
                .deadline(BUILD_DEADLINE)
                .run()?;
        }
        let bin = into.join("bin");
        std::fs::create_dir_all(&bin).context("cannot make a folder in the cache")?;
        std::os::unix::fs::symlink(Path::new("../node_modules/.bin").join(program), bin.join(program))
            .context("cannot link the program")
    }
}

/// Scripts of a virtual environment name its interpreter by full path: the one that it will have in the cache.
fn move_scripts(bin: &Path, from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    for entry in std::fs::read_dir(bin).with_context(|| format!("cannot read {}", bin.display()))? {
        let path = entry?.path();
        if path.is_symlink() {
            continue;
        }
        // Programs are not UTF-8: only scripts are changed, and in place, which keeps their mode.
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if text.contains(from.as_ref()) {
            std::fs::write(&path, text.replace(from.as_ref(), &to))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Every missing prerequisite in one error.
fn require(programs: &[String]) -> Result<()> {
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
    Err(missing(
        &absent.join(", "),
        &packages.collect::<Vec<_>>().join(", "),
    ))
}
