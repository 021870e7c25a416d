//! Finding the outside programs: on PATH, in the cache, or built from the pins.
//!
//! The cache lies outside `target` (a `cargo clean` must not cost ten minutes), is keyed by the pin, and is filled by
//! renaming a finished folder into place under a lock: two runs at once build once, and nothing is ever half there.

mod build;
mod cache;
mod pins;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

pub use build::{BUILD_DEADLINE, CargoBuild, GoBuild, TOOLCHAIN_ENV, require};
pub use cache::{Key, provide};

use crate::error::catalogue::tools as errors;
use crate::exec::Exec;

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
    /// Names looked for on PATH, the first found is taken; the build makes the last.
    programs: Vec<String>,
    /// Arguments that print the version.
    version: Vec<String>,
    /// What to install, where there is no build.
    package: Option<String>,
    go: Option<GoBuild>,
    cargo: Option<CargoBuild>,
}

/// Where a tool was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    Path,
    Cache,
    /// Built now, and kept in the cache.
    Built,
}

/// A build under way.
#[derive(Debug)]
pub struct Build<'a> {
    pub sh: Shell,
    /// The folder to build in: it becomes the entry. The program must be in its `bin`.
    pub folder: &'a Path,
    /// Where the folder will be.
    pub entry: &'a Path,
    /// Name of the program.
    pub program: &'a str,
}

/// A program that can be run.
#[derive(Debug, Clone, Serialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
    pub path: PathBuf,
    pub from: Origin,
}

impl Tool {
    /// The program at `path`, with the version that it prints when it is run with `version_args`.
    pub fn at(name: &str, (path, from): (PathBuf, Origin), version_args: &[String]) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            version: version_of(&path, version_args)?,
            path,
            from,
        })
    }
}

/// Finds the tools named, or every one that the pipeline runs; builds what is missing.
pub fn resolve(root: &Path, names: &[String]) -> Result<Vec<Tool>> {
    let dir = pins::folder(root)?;
    let pins: Pins = read_pins(&dir)?;
    if let Some(unknown) = names
        .iter()
        .find(|name| pins.tool.iter().all(|pin| pin.name != **name))
    {
        let known: Vec<&str> = pins.tool.iter().map(|pin| pin.name.as_str()).collect();
        return Err(errors::tool_unknown(unknown, known.join(", ")).into());
    }
    let wanted = pins
        .tool
        .iter()
        .filter(|pin| names.is_empty() || names.contains(&pin.name));
    wanted.map(|pin| pin.resolve(&dir)).collect()
}

/// Reads `tools.toml` of a folder of pins.
pub fn read_pins<T: for<'de> Deserialize<'de>>(dir: &Path) -> Result<T> {
    let file = dir.join("tools.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    crate::config::parse_toml(&file, &text)
}

impl Pin {
    fn resolve(&self, dir: &Path) -> Result<Tool> {
        let found = self
            .locate(dir)
            .with_context(|| format!("cannot provide {}", self.name))?;
        Tool::at(&self.name, found, &self.version)
    }

    fn locate(&self, dir: &Path) -> Result<(PathBuf, Origin)> {
        if let Some(path) = self.programs.iter().find_map(|name| which::which(name).ok()) {
            return Ok((path, Origin::Path));
        }
        if self.go.is_none() && self.cargo.is_none() {
            let package = self.package.as_deref().unwrap_or(&self.name);
            return Err(errors::tool_missing(&self.name, package).into());
        }
        let mut key = Key::new(&self.programs, self.go.as_ref(), self.cargo.as_ref());
        if let Some(go) = &self.go {
            key.add_files(&go.inputs(dir))?;
        }
        let program = self.programs.last().context("a tool has at least one program")?;
        provide(&self.name, program, key, |build| {
            if let Some(go) = &self.go {
                go.build(build, dir)
            } else if let Some(cargo) = &self.cargo {
                cargo.build(build)
            } else {
                Ok(())
            }
        })
    }
}

/// The first number with a dot in what the program prints: `mongodump version: 100.12.2` → `100.12.2`.
fn version_of(path: &Path, args: &[String]) -> Result<String> {
    let sh = Shell::new().context("cannot start a shell")?;
    let finished = Exec::new(cmd!(sh, "{path} {args...}"))
        .deadline(Duration::from_secs(20))
        .output()?
        .checked()?;
    let words = finished.stdout.split(|c: char| c.is_whitespace() || c == ',');
    let number = words
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(number.unwrap_or("unknown").to_owned())
}
