//! A team's repository in a test environment: its own files, its own pipeline.toml and health.toml with the ids and
//! addresses of the simulated platforms, and its own application where this machine can start it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toml_edit::{DocumentMut, value};
use xtask::config::{BLANK, BackendConfig, Config, FrontendConfig, Schema};
use xtask::context::PIPELINE_FILE;
use xtask::health::HEALTH_FILE;
use xtask::tools::git::Git;

use super::platform::Addresses;

/// Where backups are, in the clone.
pub(super) const BACKUPS: &str = "backups";
/// The database where pipeline.toml names none.
const DATABASE: &str = "app";
/// The file by which the frontend's releases are told apart.
pub const MARKER: &str = "rehearsal.txt";
/// A page in the place of a frontend that cannot be built on this machine.
const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><title>Rehearsal</title></head><body><p>In the place of the frontend.</p></body></html>\n";
/// Real status pages, and the simulated ones.
const STATUS_PAGES: &[(&str, &str)] = &[
    ("https://www.vercel-status.com", "vercel"),
    ("https://status.railway.com", "railway"),
    ("https://status.mongodb.com", "mongodb"),
];

/// A repository that `cargo xtask init` has prepared.
#[derive(Debug)]
pub struct Adopted {
    dir: PathBuf,
    pipeline: DocumentMut,
    health: String,
    config: Config,
    /// The line of a shell that starts the backend, and its installed modules; why not, where it cannot be started.
    backend: Result<(String, Option<PathBuf>), String>,
    /// Why the frontend cannot be built here.
    frontend: Result<(), String>,
}

impl Adopted {
    /// Reads the repository in this folder.
    pub fn read(dir: &Path) -> Result<Self> {
        let text = |name: &str| {
            std::fs::read_to_string(dir.join(name)).with_context(|| {
                format!(
                    "{} has no {name}: run `cargo xtask init` there first",
                    dir.display()
                )
            })
        };
        let (pipeline, health) = (text(PIPELINE_FILE)?, text(HEALTH_FILE)?);
        let config = Config::draft(&pipeline).with_context(|| format!("{PIPELINE_FILE} has mistakes"))?;
        let mut adopted = Self {
            dir: dir.to_owned(),
            pipeline: pipeline
                .parse()
                .with_context(|| format!("{PIPELINE_FILE} is no TOML"))?,
            health,
            config,
            backend: Err(String::new()),
            frontend: Ok(()),
        };
        for source in [adopted.backend_dir()?, adopted.frontend_dir()?] {
            let named = !source.to_string_lossy().contains(BLANK) && dir.join(&source).is_dir();
            ensure!(
                named,
                "{PIPELINE_FILE}: the folder {} is not there",
                source.display()
            );
        }
        adopted.backend = startable(&dir.join(adopted.backend_dir()?));
        adopted.frontend = buildable(&dir.join(adopted.frontend_dir()?));
        Ok(adopted)
    }

    /// What is not the team's own in this rehearsal, and why.
    pub fn replaced(&self) -> Vec<String> {
        let backend = self.backend.as_ref().err();
        let frontend = self.frontend.as_ref().err();
        let backend =
            backend.map(|why| format!("the backend is a program that answers that all is well: {why}"));
        let frontend = frontend.map(|why| format!("the frontend is a page of the rehearsal: {why}"));
        backend.into_iter().chain(frontend).collect()
    }

    /// The database that is backed up and restored.
    pub fn database(&self) -> String {
        let environment = self.environment().ok();
        let named = environment.and_then(|environment| environment.mongodb.as_ref());
        named
            .map(|mongodb| mongodb.database.clone())
            .filter(|name| !name.contains(BLANK))
            .unwrap_or_else(|| DATABASE.to_owned())
    }

    /// The branch that releases come from.
    pub fn branch(&self) -> String {
        Some(self.config.git.branch.clone())
            .filter(|name| !name.contains(BLANK))
            .unwrap_or_else(|| "main".to_owned())
    }

    fn environment(&self) -> Result<&xtask::config::EnvironmentConfig> {
        let environments = &self.config.environments;
        environments
            .get(&self.config.default_environment)
            .with_context(|| {
                format!(
                    "{PIPELINE_FILE} has no environment {}",
                    self.config.default_environment
                )
            })
    }

    /// The one backend: the simulated platform has one service.
    fn backend(&self) -> Result<&BackendConfig> {
        let backends = &self.environment()?.backends;
        ensure!(
            backends.len() == 1,
            "a rehearsal has one backend, and {PIPELINE_FILE} has {}",
            backends.len()
        );
        backends.first().context("there is no backend")
    }

    fn frontend(&self) -> Result<&FrontendConfig> {
        let frontends = &self.environment()?.frontends;
        ensure!(
            frontends.len() == 1,
            "a rehearsal has one frontend, and {PIPELINE_FILE} has {}",
            frontends.len()
        );
        frontends.first().context("there is no frontend")
    }

    fn backend_dir(&self) -> Result<PathBuf> {
        Ok(self.backend()?.folder.clone())
    }

    fn frontend_dir(&self) -> Result<PathBuf> {
        Ok(self.frontend()?.folder.clone())
    }

    /// The secrets that the team's own names ask for, beside those that each rehearsal has.
    pub(super) fn add_secrets(&self, secrets: &mut BTreeMap<String, String>) -> Result<()> {
        let environment = self.environment()?;
        let mut own = vec![
            (
                self.backend()?
                    .railway()
                    .context("the backend is not on Railway")?
                    .token
                    .clone(),
                secrets["PROD_RAILWAY_TOKEN"].clone(),
            ),
            (
                self.frontend()?.token.clone(),
                secrets["PROD_VERCEL_TOKEN"].clone(),
            ),
            (self.uri_variable()?, secrets["PROD_MONGODB_URI"].clone()),
        ];
        let identity = self.config.backup.identity.iter();
        own.extend(identity.map(|name| (name.clone(), secrets["BACKUP_AGE_IDENTITY"].clone())));
        let health = self.health.split("${secret:").skip(1);
        let health = health.filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()));
        for name in self.config.secret_names(environment).into_iter().chain(health) {
            own.push((name, format!("{:032x}", rand::random::<u128>())));
        }
        for (name, value) in own {
            if !name.contains(BLANK) {
                secrets.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    /// The variable with the connection string.
    fn uri_variable(&self) -> Result<String> {
        let mongodb = self.environment()?.mongodb.as_ref();
        let named = mongodb
            .context("the pipeline has no database to rehearse with")?
            .uri
            .clone();
        Ok(if named.contains(BLANK) {
            "PROD_MONGODB_URI".to_owned()
        } else {
            named
        })
    }

    /// What the simulated Railway has beside its ids.
    pub(super) fn railway(&self, secrets: &BTreeMap<String, String>) -> Result<Value> {
        let uri = self.uri_variable()?;
        let mut variables =
            BTreeMap::from([(uri.trim_start_matches("PROD_").to_owned(), secrets[&uri].clone())]);
        for variable in &self.environment()?.variables {
            if let (Some(name), Some(value)) = (&variable.railway, secrets.get(&variable.secret)) {
                variables.insert(name.clone(), value.clone());
            }
        }
        let application = match &self.backend {
            Ok((command, modules)) => json!({
                "kind": "own", "command": command, "modules": modules,
                "path": std::env::var("PATH").unwrap_or_default(),
            }),
            Err(_) => json!({"kind": "stand-in"}),
        };
        Ok(
            json!({"variables": variables, "application": application, "healthcheck_path": self.health_route()}),
        )
    }

    /// The path that the first check of the backend asks for.
    fn health_route(&self) -> String {
        let path = self
            .health
            .split("\"${backend}")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let path = path.filter(|path| path.starts_with('/') && !path.contains("${"));
        path.unwrap_or("/").replace("$$", "$")
    }

    /// Writes the team's files into the clone, with the names and addresses of this rehearsal.
    pub(super) fn write(&self, clone: &Path, addresses: &Addresses, recipient: &str) -> Result<()> {
        for path in Git::at(&self.dir, "origin").work_tree_files()? {
            let (from, to) = (self.dir.join(&path), clone.join(&path));
            if !from.is_file() {
                continue;
            }
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        let pipeline = self.pipeline(addresses, recipient)?;
        std::fs::write(clone.join(PIPELINE_FILE), pipeline)?;
        let health = STATUS_PAGES
            .iter()
            .fold(self.health.clone(), |text, (real, name)| {
                text.replace(
                    real,
                    &format!("{}/status/{name}", addresses.services.trim_end_matches('/')),
                )
            });
        // Where no route was found the backend itself is asked.
        let health: String = health
            .lines()
            .map(|line| match line.split_once(&format!("\"{BLANK}")) {
                Some((key, _)) => format!("{key}\"${{backend}}/\"\n"),
                None => format!("{line}\n"),
            })
            .collect();
        std::fs::write(clone.join(HEALTH_FILE), health)?;
        if self.frontend.is_err() {
            write_page(&clone.join(self.frontend_dir()?))?;
        }
        Ok(())
    }

    /// pipeline.toml with ids, addresses and names of the simulated platforms in the place of the real ones and of marks.
    fn pipeline(&self, addresses: &Addresses, recipient: &str) -> Result<String> {
        let mut document = self.pipeline.clone();
        let name = self.config.default_environment.as_str();
        document["git"]["remote"] = value("origin");
        document["git"]["branch"] = value(self.branch());
        document["github"]["repository"] = value("rehearsal/sample");
        document["workflows"]["setup"] = value("./.github/actions/xtask");
        // Reviewers are people: there are none in a rehearsal.
        document["approval"]["required"] = value(0);
        if let Some(approval) = document["approval"].as_table_like_mut() {
            approval.remove("rollback");
        }
        document["backup"]["recipients"] = value(toml_edit::Array::from_iter([recipient]));
        let mut storage = toml_edit::ArrayOfTables::new();
        let mut folder = toml_edit::Table::new();
        folder["kind"] = value("directory");
        folder["path"] = value(BACKUPS);
        folder["required"] = value(true);
        storage.push(folder);
        document["backup"]["places"] = toml_edit::Item::ArrayOfTables(storage);
        document["restore"]["keep_old_hours"] = value(0);
        let environment = &mut document["environments"][name];
        let simulated_backend = [("service", "svc"), ("url", addresses.backend.as_str())];
        let simulated_frontend = [
            ("project", "prj_x"),
            ("domain", "www.rehearsal.example"),
            ("url", &addresses.frontend),
            ("staged_url", "http://{host}"),
        ];
        for (part, key, text) in [
            ("railway", "project", "prj"),
            ("railway", "environment", "env"),
            ("vercel", "org", "team_x"),
            ("mongodb", "uri", &self.uri_variable()?),
            ("mongodb", "database", &self.database()),
        ] {
            environment[part][key] = value(text);
        }
        let is_list = self.config.schema == Schema::V2;
        let backend = if is_list {
            &mut environment["backends"][0]
        } else {
            &mut environment["railway"]
        };
        for (key, text) in simulated_backend {
            backend[key] = value(text);
        }
        let frontend = if is_list {
            &mut environment["frontends"][0]
        } else {
            &mut environment["vercel"]
        };
        for (key, text) in simulated_frontend {
            frontend[key] = value(text);
        }
        if let Some(frontend) = frontend.as_table_like_mut() {
            frontend.remove("protection_bypass");
        }
        Ok(document.to_string())
    }

    /// Makes the release of this number another one than that before, in both folders.
    pub(super) fn mark(&self, clone: &Path, release: u32) -> Result<()> {
        for source in [self.backend_dir()?, self.frontend_dir()?] {
            std::fs::write(clone.join(source).join(MARKER), format!("{release}\n"))?;
        }
        Ok(())
    }
}

/// A page in the place of the frontend; nothing is built.
fn write_page(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("index.html"), PAGE)?;
    let file = folder.join("package.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Ok(());
    };
    let mut package: Value = serde_json::from_str(&text).context("package.json is not valid")?;
    if let Some(scripts) = package["scripts"].as_object_mut() {
        scripts.remove("build");
    }
    std::fs::write(&file, package.to_string()).context("cannot write package.json")
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
