//! Finding the outside programs: on PATH, in the cache, or built from the pins in `infrastructure/tools/tools.toml`.
//!
//! The cache lies outside `target` (a `cargo clean` must not cost ten minutes), is keyed by the pin, and is filled by
//! renaming a finished folder into place under a lock: two runs at once build once, and nothing is ever half there.

mod build;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use xshell::cmd;

use build::{CargoBuild, GoBuild, NpmBuild, PipBuild};

use crate::context::env_nonempty;
use crate::error::catalogue::tools as errors;
use crate::exec::{Exec, shell_in};
use crate::report;

/// Folder of the pins, below the root of the repository.
const PINS_DIR: &str = "infrastructure/tools";
/// How much of the hash names an entry of the cache.
const KEY_BYTES: usize = 8;

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
    pip: Option<PipBuild>,
    npm: Option<NpmBuild>,
    /// The kind of machine that the package is made for, where it is made for one: `x86_64-linux`.
    machine: Option<String>,
    /// Who needs it.
    #[serde(default)]
    purpose: Purpose,
}

/// What a tool is for: a release must not wait for the linters to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The commands of the pipeline run it.
    #[default]
    Pipeline,
    /// The stage `lint` of `cargo xtask ci` runs it.
    Lint,
    /// The stage `pages` of `cargo xtask ci` looks at our pages with it.
    Pages,
    /// Only the conformance tests run it.
    Conformance,
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

/// A program that can be run.
#[derive(Debug, Clone, Serialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
    pub path: PathBuf,
    pub from: Origin,
}

/// Finds the tools of a purpose; builds what is missing.
pub fn resolve_for(root: &Path, purpose: Purpose) -> Result<Vec<Tool>> {
    let pins = pins(root)?;
    let wanted = pins.tool.iter().filter(|pin| pin.purpose == purpose);
    wanted.map(|pin| pin.resolve(root)).collect()
}

/// Why the tools of a purpose cannot be had on this machine at all; `None` where they can.
pub fn cannot_be_had(root: &Path, purpose: Purpose) -> Result<Option<String>> {
    let pins = pins(root)?;
    let mut wanted = pins.tool.iter().filter(|pin| pin.purpose == purpose);
    Ok(wanted.find_map(Pin::cannot_be_had))
}

fn pins(root: &Path) -> Result<Pins> {
    let file = root.join(PINS_DIR).join("tools.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    crate::config::parse_toml(&file, &text)
}

/// Finds the tools named, or every one that the pipeline runs; builds what is missing.
pub fn resolve(root: &Path, names: &[String]) -> Result<Vec<Tool>> {
    if names.is_empty() {
        return resolve_for(root, Purpose::Pipeline);
    }
    let pins = pins(root)?;
    if let Some(unknown) = names
        .iter()
        .find(|name| pins.tool.iter().all(|pin| pin.name != **name))
    {
        let known: Vec<&str> = pins.tool.iter().map(|pin| pin.name.as_str()).collect();
        return Err(errors::tool_unknown(unknown, known.join(", ")).into());
    }
    let wanted = pins.tool.iter().filter(|pin| names.contains(&pin.name));
    wanted.map(|pin| pin.resolve(root)).collect()
}

impl Pin {
    fn cannot_be_had(&self) -> Option<String> {
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

    fn resolve(&self, root: &Path) -> Result<Tool> {
        let (path, from) = self
            .locate(root)
            .with_context(|| format!("cannot provide {}", self.name))?;
        let version = self.version_of(root, &path)?;
        Ok(Tool {
            name: self.name.clone(),
            version,
            path,
            from,
        })
    }

    fn locate(&self, root: &Path) -> Result<(PathBuf, Origin)> {
        // Of linters and of what the conformance tests hold us to, the exact version decides the verdict.
        if self.purpose == Purpose::Pipeline
            && let Some(path) = self.programs.iter().find_map(|name| which::which(name).ok())
        {
            return Ok((path, Origin::Path));
        }
        if self.go.is_none() && self.cargo.is_none() && self.pip.is_none() && self.npm.is_none() {
            let package = self.package.as_deref().unwrap_or(&self.name);
            return Err(missing(&self.name, package));
        }
        let cache = cache_dir()?;
        let entry = cache.join(format!("{}-{}", self.name, self.key(root)?));
        let program = entry
            .join("bin")
            .join(self.programs.last().context("a tool has at least one program")?);
        if program.is_file() {
            return Ok((program, Origin::Cache));
        }
        let lock =
            File::create(entry.with_extension("lock")).context("cannot make the lock file of the cache")?;
        lock.lock().context("cannot lock the cache")?;
        if program.is_file() {
            return Ok((program, Origin::Cache));
        }
        self.build_into(root, &cache, &entry)?;
        Ok((program, Origin::Built))
    }

    /// Builds in a folder beside the entry and renames it into place.
    fn build_into(&self, root: &Path, cache: &Path, entry: &Path) -> Result<()> {
        let building = tempfile::Builder::new()
            .prefix(".building-")
            .tempdir_in(cache)
            .context("cannot make a folder in the cache")?;
        let _ticker = report::Ticker::start(format!(
            "building {} (once; kept in {})",
            self.name,
            cache.display()
        ));
        let sh = shell_in(root)?;
        if let Some(go) = &self.go {
            go.build(
                &sh,
                root,
                &building
                    .path()
                    .join("bin")
                    .join(&self.programs[self.programs.len() - 1]),
            )?;
        } else if let Some(cargo) = &self.cargo {
            cargo.build(&sh, building.path())?;
        } else if let Some(pip) = &self.pip {
            pip.build(&sh, root, building.path(), entry)?;
        } else if let Some(npm) = &self.npm {
            npm.build(
                &sh,
                root,
                building.path(),
                &self.programs[self.programs.len() - 1],
            )?;
        }
        if entry.exists() {
            // Without its program it is a left-over of an earlier format, under our lock nobody uses it.
            std::fs::remove_dir_all(entry).context("cannot clear a damaged entry of the cache")?;
        }
        std::fs::rename(building.path(), entry).context("cannot move the finished build into the cache")
    }

    /// The key of the cache: everything that decides what is built.
    fn key(&self, root: &Path) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(std::env::consts::ARCH);
        hash.update(std::env::consts::OS);
        hash.update(format!("{:?}{:?}{:?}", self.programs, self.go, self.cargo));
        if let Some(pip) = &self.pip {
            hash.update(format!("{pip:?}"));
        }
        if let Some(npm) = &self.npm {
            hash.update(format!("{npm:?}"));
        }
        let go = self.go.iter().flat_map(|go| go.inputs(root));
        let pip = self.pip.iter().flat_map(|pip| pip.inputs(root));
        let npm = self.npm.iter().flat_map(|npm| npm.inputs(root));
        for path in go.chain(pip).chain(npm) {
            hash.update(std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        Ok(hex::encode(&hash.finalize()[..KEY_BYTES]))
    }

    /// The first number with a dot in what the program prints: `mongodump version: 100.12.2` → `100.12.2`.
    fn version_of(&self, root: &Path, path: &Path) -> Result<String> {
        let sh = shell_in(root)?;
        let args = &self.version;
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
}

fn missing(program: &str, package: &str) -> anyhow::Error {
    errors::tool_missing(program, package).into()
}

/// `$XDG_CACHE_HOME/cargo-xtask/tools`, or the same below `~/.cache`.
fn cache_dir() -> Result<PathBuf> {
    let base = env_nonempty("XDG_CACHE_HOME").map(PathBuf::from);
    let home = env_nonempty("HOME").map(|dir| PathBuf::from(dir).join(".cache"));
    let Some(base) = base.or(home) else {
        bail!("neither XDG_CACHE_HOME nor HOME is set: no place for the cache")
    };
    let dir = base.join("cargo-xtask").join("tools");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// PATH with the folders of these tools in front.
pub fn path_with(tools: &[Tool]) -> Result<std::ffi::OsString> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    for tool in tools.iter().filter(|tool| tool.from != Origin::Path) {
        dirs.extend(tool.path.parent().map(Path::to_path_buf));
    }
    dirs.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    std::env::join_paths(dirs).context("a folder of PATH has a colon in its name")
}
