//! The parts of a team's repository on the simulated platforms: what of each is the team's own, and what takes its place.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml_edit::{Item, value};
use xtask::config::{BackendConfig, FrontendConfig};

use crate::test_env::platform::Addresses;

/// A backend as a service of the simulated Railway.
#[derive(Debug)]
pub(super) struct SimulatedBackend {
    pub config: BackendConfig,
    pub service: String,
    /// The line of a shell that starts it, and its installed modules; why not, where it cannot be started.
    pub program: Result<(String, Option<PathBuf>), String>,
}

/// A frontend as a project of the simulated Vercel.
#[derive(Debug)]
pub(super) struct SimulatedFrontend {
    pub config: FrontendConfig,
    pub project: String,
    pub domain: String,
    /// Why it is not the team's own here.
    pub page: Result<(), String>,
}

impl SimulatedBackend {
    /// The first part has the names that every rehearsal has.
    pub(super) fn of(dir: &Path, at: usize, config: BackendConfig) -> Self {
        let program = if config.railway().is_none() {
            Err("programs of your own deploy it, and a simulated service is in their place".to_owned())
        } else if config.is_uploaded_whole() && config.folder != Path::new(".") {
            Err("all of the repository is uploaded for it, and its image starts it".to_owned())
        } else {
            startable(&dir.join(&config.folder))
        };
        let service = if at == 0 {
            "svc".to_owned()
        } else {
            format!("svc-{}", config.name)
        };
        Self {
            config,
            service,
            program,
        }
    }

    /// What the simulator runs.
    pub(super) fn application(&self) -> Value {
        match &self.program {
            Ok((command, modules)) => json!({
                "kind": "own", "command": command, "modules": modules,
                "path": std::env::var("PATH").unwrap_or_default(),
            }),
            Err(_) => json!({"kind": "stand-in"}),
        }
    }

    /// Its keys in pipeline.toml.
    pub(super) fn write(&self, part: &mut Item, addresses: &Addresses) {
        part["service"] = value(&self.service);
        if self.config.railway().is_none() {
            part["platform"] = value("railway");
            part.as_table_like_mut().and_then(|table| table.remove("command"));
        }
        if self.config.url.is_some() {
            let other = addresses.others.get(&self.service);
            part["url"] = value(other.unwrap_or(&addresses.backend));
        }
    }
}

impl SimulatedFrontend {
    /// The first part has the names that every rehearsal has.
    pub(super) fn of(dir: &Path, at: usize, config: FrontendConfig) -> Self {
        let (project, domain) = if at == 0 {
            ("prj_x".to_owned(), "www.rehearsal.example".to_owned())
        } else {
            (
                format!("prj_{}", config.name),
                format!("{}.rehearsal.example", config.name),
            )
        };
        let page = if config.vercel().is_none() {
            Err("programs of your own stage it, and a simulated project is in their place".to_owned())
        } else {
            buildable(&dir.join(&config.folder))
        };
        Self {
            config,
            project,
            domain,
            page,
        }
    }

    /// Its keys in pipeline.toml.
    pub(super) fn write(&self, part: &mut Item, addresses: &Addresses) {
        if self.config.vercel().is_none() {
            part["platform"] = value("vercel");
            for key in ["command", "upload"] {
                part.as_table_like_mut().and_then(|table| table.remove(key));
            }
        }
        let other = addresses.others.get(&self.project);
        for (key, text) in [
            ("project", self.project.as_str()),
            ("domain", &self.domain),
            ("url", other.unwrap_or(&addresses.frontend)),
            ("staged_url", "http://{host}"),
        ] {
            part[key] = value(text);
        }
        part.as_table_like_mut()
            .and_then(|table| table.remove("protection_bypass"));
    }
}

fn package(folder: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(folder.join("package.json")).ok()?;
    serde_json::from_str(&text).ok()
}

fn has_dependencies(package: &Value, kinds: &[&str]) -> bool {
    let some = |kind: &&str| package[*kind].as_object().is_some_and(|list| !list.is_empty());
    kinds.iter().any(some)
}

/// How the backend in this folder is started here: by its own script, with what is installed beside it.
fn startable(folder: &Path) -> Result<(String, Option<PathBuf>), String> {
    let package =
        package(folder).ok_or("it has no package.json, and only programs of Node are started here")?;
    let script = package["scripts"]["start"]
        .as_str()
        .ok_or("its package.json has no script `start`")?;
    which::which("node").map_err(|_| "there is no `node` on PATH")?;
    let modules = folder.join("node_modules");
    if modules.is_dir() {
        return Ok((script.to_owned(), Some(modules)));
    }
    if has_dependencies(&package, &["dependencies"]) {
        return Err("its dependencies are not installed: install them in your repository first".to_owned());
    }
    Ok((script.to_owned(), None))
}

/// Whether the frontend in this folder is built here: a page of its own, and no build that needs what has to be installed.
fn buildable(folder: &Path) -> Result<(), String> {
    if !folder.join("index.html").is_file() {
        return Err("it has no index.html of its own before a build".to_owned());
    }
    let needs_more = |package: &Value| {
        package["scripts"]["build"].is_string()
            && has_dependencies(package, &["dependencies", "devDependencies"])
    };
    if package(folder).as_ref().is_some_and(needs_more) {
        return Err("its build needs modules that a platform installs".to_owned());
    }
    Ok(())
}
