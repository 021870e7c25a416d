//! How the pins that only this repository has are built: Python packages by hash, npm packages by lock file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xshell::cmd;
use xtask::exec::Exec;
use xtask::tools::toolchain::{BUILD_DEADLINE, Build, TOOLCHAIN_ENV, require};

/// Programs of Python packages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PipBuild {
    /// File with exact versions and hashes.
    requirements: String,
}

/// A program of npm packages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NpmBuild {
    /// Folder with package.json and package-lock.json.
    lock: String,
    /// A script in that folder that makes the program of what was installed, where no package has it ready.
    unpack: Option<String>,
}

impl PipBuild {
    fn file(&self, pins: &Path) -> PathBuf {
        pins.join(&self.requirements)
    }

    /// Files that decide what is built.
    pub(super) fn inputs(&self, pins: &Path) -> Vec<PathBuf> {
        vec![self.file(pins)]
    }

    /// A virtual environment of its own; nothing is taken whose hash is not in the file, and nothing is compiled.
    pub(super) fn build(&self, build: &Build, pins: &Path) -> Result<()> {
        let (sh, into) = (&build.sh, build.folder);
        require(&["python3".to_owned()])?;
        Exec::new(cmd!(sh, "python3 -m venv {into}"))
            .deadline(BUILD_DEADLINE)
            .run()?;
        let (python, file) = (into.join("bin/python3"), self.file(pins));
        Exec::new(cmd!(
            sh,
            "{python} -m pip install --quiet --no-input --disable-pip-version-check --only-binary :all: --require-hashes --requirement {file}"
        ))
        .inherit(TOOLCHAIN_ENV)
        .deadline(BUILD_DEADLINE)
        .run()?;
        move_scripts(&into.join("bin"), into, build.entry)
    }
}

impl NpmBuild {
    /// Files that decide what is built.
    pub(super) fn inputs(&self, pins: &Path) -> Vec<PathBuf> {
        let folder = pins.join(&self.lock);
        let files = ["package.json", "package-lock.json"].into_iter();
        files
            .chain(self.unpack.as_deref())
            .map(|file| folder.join(file))
            .collect()
    }

    /// Exactly what the lock file has, by its hashes; no package runs a script of its own.
    pub(super) fn build(&self, build: &Build, pins: &Path) -> Result<()> {
        let (sh, into, program) = (&build.sh, build.folder, build.program);
        require(&["npm".to_owned()])?;
        for file in self.inputs(pins) {
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
