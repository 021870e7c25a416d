//! The tools that only the stages of `cargo xtask ci` run, built from the pins in `infrastructure/dev/tools/tools.toml` and
//! kept in the cache of the pipeline's.

mod build;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xtask::tools::toolchain::{CargoBuild, GoBuild, Key, Origin, Tool, provide, read_pins};

use build::{NpmBuild, PipBuild};

/// Folder of the pins, below the root of the repository.
const PINS_DIR: &str = "infrastructure/dev/tools";

/// The stage that runs a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolStage {
    Lint,
    Pages,
    Conformance,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pins {
    tool: Vec<Pin>,
}

/// One `[[tool]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    name: String,
    /// Names of the program; the build makes the last.
    programs: Vec<String>,
    /// Arguments that print the version.
    version: Vec<String>,
    stage: ToolStage,
    go: Option<GoBuild>,
    cargo: Option<CargoBuild>,
    pip: Option<PipBuild>,
    npm: Option<NpmBuild>,
    /// The kind of machine that the package is made for, where it is made for one: `x86_64-linux`.
    machine: Option<String>,
}

/// The tools of a stage; builds what is missing.
pub fn resolve(root: &Path, stage: ToolStage) -> Result<Vec<Tool>> {
    let dir = root.join(PINS_DIR);
    let pins: Pins = read_pins(&dir)?;
    let wanted = pins.tool.iter().filter(|pin| pin.stage == stage);
    wanted.map(|pin| pin.resolve(&dir)).collect()
}

/// One of the tools, by name; builds it when it is missing.
pub fn resolve_one(root: &Path, name: &str) -> Result<Tool> {
    let dir = root.join(PINS_DIR);
    let pins: Pins = read_pins(&dir)?;
    let pin = pins.tool.iter().find(|pin| pin.name == name);
    pin.with_context(|| format!("no tool is called `{name}`"))?
        .resolve(&dir)
}

/// Why this machine cannot have the tools of a stage at all; `None` where it can.
pub fn unavailable(root: &Path, stage: ToolStage) -> Result<Option<String>> {
    let pins: Pins = read_pins(&root.join(PINS_DIR))?;
    let mut wanted = pins.tool.iter().filter(|pin| pin.stage == stage);
    Ok(wanted.find_map(Pin::unavailable))
}

impl Pin {
    fn unavailable(&self) -> Option<String> {
        let here = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        if let Some(made_for) = self.machine.as_ref().filter(|machine| **machine != here) {
            return Some(format!(
                "{} is made for {made_for}, and this is {here}",
                self.name
            ));
        }
        let absent = self.npm.is_some() && which::which("npm").is_err();
        absent.then(|| format!("npm, which brings {}, is not on PATH", self.name))
    }

    fn resolve(&self, dir: &Path) -> Result<Tool> {
        let found = self
            .locate(dir)
            .with_context(|| format!("cannot provide {}", self.name))?;
        Tool::at(&self.name, found, &self.version)
    }

    fn locate(&self, dir: &Path) -> Result<(PathBuf, Origin)> {
        let program = self.programs.last().context("a tool has at least one program")?;
        provide(&self.name, program, self.key(dir)?, |build| {
            if let Some(go) = &self.go {
                go.build(build, dir)
            } else if let Some(cargo) = &self.cargo {
                cargo.build(build)
            } else if let Some(pip) = &self.pip {
                pip.build(build, dir)
            } else if let Some(npm) = &self.npm {
                npm.build(build, dir)
            } else {
                anyhow::bail!("its pin does not say how it is built")
            }
        })
    }

    fn key(&self, dir: &Path) -> Result<Key> {
        let mut key = Key::new(&self.programs, self.go.as_ref(), self.cargo.as_ref());
        if let Some(pip) = &self.pip {
            key.add(pip);
        }
        if let Some(npm) = &self.npm {
            key.add(npm);
        }
        let go = self.go.iter().flat_map(|go| go.inputs(dir));
        let pip = self.pip.iter().flat_map(|pip| pip.inputs(dir));
        let npm = self.npm.iter().flat_map(|npm| npm.inputs(dir));
        let files: Vec<PathBuf> = go.chain(pip).chain(npm).collect();
        key.add_files(&files)?;
        Ok(key)
    }
}
