//! A team's repository in a test environment: its own files, its own pipeline.toml and health.toml with the ids and
//! addresses of the simulated platforms, and its own application where this machine can start it.

mod pages;
mod parts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toml_edit::{DocumentMut, value};
use xtask::config::{BLANK, BackendConfig, Config, FrontendConfig, MongodbConfig, RailwayConfig, Schema};
use xtask::context::PIPELINE_FILE;
use xtask::domain::parts::about;
use xtask::health::HEALTH_FILE;
use xtask::tools::git::Git;

use super::parts::ACCOUNT_TOKEN;
use super::platform::Addresses;
use pages::{routes, write_page};
use parts::{SimulatedBackend, SimulatedFrontend};

/// Where backups are, in the clone.
pub(super) const BACKUPS: &str = "backups";
/// The database where pipeline.toml names none.
const DATABASE: &str = "app";
/// The password of a database on the platform, by which a tunnel would log in.
const PLUGIN_PASSWORD: &str = "PLUGIN_MONGODB_PASSWORD";
/// The file by which the frontend's releases are told apart.
const MARKER: &str = "rehearsal.txt";
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
    backends: Vec<SimulatedBackend>,
    frontends: Vec<SimulatedFrontend>,
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
            backends: Vec::new(),
            frontends: Vec::new(),
        };
        let environment = adopted.environment()?.clone();
        for source in environment.folders() {
            let named = !source.to_string_lossy().contains(BLANK) && dir.join(source).is_dir();
            ensure!(
                named,
                "{PIPELINE_FILE}: the folder {} is not there",
                source.display()
            );
        }
        let backends = environment.backends.into_iter().enumerate();
        adopted.backends = backends
            .map(|(at, part)| SimulatedBackend::of(dir, at, part))
            .collect();
        let frontends = environment.frontends.into_iter().enumerate();
        adopted.frontends = frontends
            .map(|(at, part)| SimulatedFrontend::of(dir, at, part))
            .collect();
        Ok(adopted)
    }

    /// What is not the team's own in this rehearsal, and why.
    pub fn replaced(&self) -> Vec<String> {
        let backends = self.backends.iter().filter_map(|backend| {
            let why = backend.program.as_ref().err()?;
            let what = about("the backend", &backend.config.name);
            Some(format!(
                "{what} is a program that answers that all is well: {why}"
            ))
        });
        let frontends = self.frontends.iter().filter_map(|frontend| {
            let why = frontend.page.as_ref().err()?;
            let what = about("the frontend", &frontend.config.name);
            Some(format!("{what} is a page of the rehearsal: {why}"))
        });
        let has_commands = !self.config.restore.after.is_empty() || !self.config.rollback.after.is_empty();
        let commands = has_commands.then(|| "commands after a restore or a rollback are not run".to_owned());
        backends.chain(frontends).chain(commands).collect()
    }

    /// The backends and the frontends, each with its id on the simulated platform.
    pub fn parts(&self) -> [Vec<(&str, &str)>; 2] {
        let backends = self
            .backends
            .iter()
            .map(|one| (one.config.name.as_str(), one.service.as_str()));
        let frontends = self
            .frontends
            .iter()
            .map(|one| (one.config.name.as_str(), one.project.as_str()));
        [backends.collect(), frontends.collect()]
    }

    /// Whether a database is part of it.
    pub fn has_database(&self) -> bool {
        self.environment()
            .is_ok_and(|environment| environment.mongodb.is_some())
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

    /// The secrets that the team's own names ask for, beside those that each rehearsal has.
    pub(super) fn add_secrets(&self, secrets: &mut BTreeMap<String, String>) -> Result<()> {
        let environment = self.environment()?;
        let services = environment.backends.iter().filter_map(BackendConfig::railway);
        let tunnel = environment.mongodb.iter().filter_map(MongodbConfig::tunnel);
        let services = services
            .chain(tunnel)
            .map(|service| (service.token.clone(), secrets["PROD_RAILWAY_TOKEN"].clone()));
        let projects = environment.frontends.iter().filter_map(FrontendConfig::vercel);
        let projects = projects.map(|project| (project.token.clone(), secrets["PROD_VERCEL_TOKEN"].clone()));
        let mut own: Vec<(String, String)> = services.chain(projects).collect();
        own.extend(
            self.uri_variable()
                .map(|name| (name, secrets["PROD_MONGODB_URI"].clone())),
        );
        if let Some(tunnel) = environment
            .mongodb
            .as_ref()
            .filter(|mongodb| mongodb.tunnel().is_some())
        {
            let server = secrets["PROD_MONGODB_URI"].clone();
            secrets.insert(tunnel.uri.clone(), inside(&server, "")?);
            secrets.insert(
                PLUGIN_PASSWORD.to_owned(),
                format!("{:032x}", rand::random::<u128>()),
            );
            let account = secrets[ACCOUNT_TOKEN].clone();
            own.extend(
                tunnel
                    .via_token
                    .iter()
                    .map(|name| (name.clone(), account.clone())),
            );
        }
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

    /// The service at the end of a tunnel to the database.
    fn tunnel(&self) -> Option<&RailwayConfig> {
        self.environment().ok()?.mongodb.as_ref()?.tunnel()
    }

    /// The variable with the connection string.
    fn uri_variable(&self) -> Option<String> {
        let named = self.environment().ok()?.mongodb.as_ref()?.uri.clone();
        Some(if named.contains(BLANK) {
            "PROD_MONGODB_URI".to_owned()
        } else {
            named
        })
    }

    /// What the simulated platforms have beside their ids.
    pub(super) fn platforms(&self, secrets: &BTreeMap<String, String>) -> Result<Value> {
        let mut variables = BTreeMap::new();
        if let Some(uri) = self.uri_variable() {
            variables.insert(uri.trim_start_matches("PROD_").to_owned(), secrets[&uri].clone());
        }
        for variable in &self.environment()?.variables {
            if let (Some(name), Some(value)) = (&variable.railway, secrets.get(&variable.secret)) {
                variables.insert(name.clone(), value.clone());
            }
        }
        let mut services = self.backends.iter().enumerate().map(|(at, backend)| {
            json!({
                "service": backend.service, "application": backend.application(),
                "healthcheck_path": match backend.config.url {
                    Some(_) => routes(&self.health, "backend", &backend.config.name, at == 0)
                        .into_iter()
                        .next()
                        .unwrap_or_else(|| "/".to_owned()),
                    None => String::new(),
                },
            })
        });
        let first = services.next().unwrap_or_else(|| json!({}));
        let mut more_services: Vec<Value> = services.collect();
        if let Some((place, uri)) = self.tunnel().zip(self.uri_variable()) {
            let login = format!("mongo:{}@", secrets[PLUGIN_PASSWORD]);
            let plugin = inside(&secrets[&uri], &login)?;
            more_services.push(json!({
                "service": "svc-of-the-database", "service_name": place.service, "image": "mongo:8",
                "variables": {"MONGO_URL": plugin},
            }));
        }
        let more_projects = self.frontends.iter().skip(1);
        let more_projects = more_projects.map(|one| json!({"project": one.project, "domain": one.domain}));
        let mut railway = json!({"variables": variables, "more_services": more_services});
        merge(&mut railway, &first);
        Ok(json!({"railway": railway, "vercel": {"more_projects": more_projects.collect::<Vec<_>>()}}))
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
        let pipeline = self.pipeline(addresses, recipient);
        std::fs::write(clone.join(PIPELINE_FILE), pipeline)?;
        let health = STATUS_PAGES
            .iter()
            .fold(self.health.clone(), |text, (real, name)| {
                text.replace(
                    real,
                    &format!("{}/status/{name}", addresses.services.trim_end_matches('/')),
                )
            });
        // Where no route was found, the address that the mark names is asked.
        let health: String = health
            .lines()
            .map(|line| match line.split_once(&format!("\"{BLANK}")) {
                Some((key, mark)) => {
                    let named = mark.split_once("${").and_then(|(_, rest)| rest.split_once('}'));
                    let part = named.map_or("backend", |(part, _)| part);
                    // A page that takes the place of a frontend does not report that all is well.
                    let path = if part.starts_with("frontend") {
                        "health"
                    } else {
                        ""
                    };
                    format!("{key}\"${{{part}}}/{path}\"\n")
                }
                None => format!("{line}\n"),
            })
            .collect();
        for (at, frontend) in self.frontends.iter().enumerate() {
            if frontend.page.is_err() {
                let routes = routes(&health, "frontend", &frontend.config.name, at == 0);
                write_page(&clone.join(&frontend.config.folder), &routes)?;
            }
        }
        std::fs::write(clone.join(HEALTH_FILE), health)?;
        Ok(())
    }

    /// pipeline.toml with ids, addresses and names of the simulated platforms in the place of the real ones and of marks.
    fn pipeline(&self, addresses: &Addresses, recipient: &str) -> String {
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
        for list in ["restore", "rollback"] {
            document[list]
                .as_table_like_mut()
                .and_then(|table| table.remove("after"));
        }
        let environment = &mut document["environments"][name];
        let mut shared = Vec::new();
        if !self.backends.is_empty() || self.tunnel().is_some() {
            shared.extend([
                ("railway", "project", "prj".to_owned()),
                ("railway", "environment", "env".to_owned()),
            ]);
        }
        if !self.frontends.is_empty() {
            shared.push(("vercel", "org", "team_x".to_owned()));
        }
        if let Some(uri) = self.uri_variable() {
            shared.extend([("mongodb", "uri", uri), ("mongodb", "database", self.database())]);
        }
        for (table, key, text) in shared {
            environment[table][key] = value(text);
        }
        let is_list = self.config.schema == Schema::V2;
        for backend in &self.backends {
            let place = backend.config.listed;
            if backend.config.railway().is_none() {
                environment["railway"]["token"] = value("PROD_RAILWAY_TOKEN");
            }
            let part = if is_list {
                &mut environment[place.list][place.at]
            } else {
                &mut environment["railway"]
            };
            backend.write(part, addresses);
        }
        for frontend in &self.frontends {
            let place = frontend.config.listed;
            if frontend.config.vercel().is_none() {
                environment["vercel"]["token"] = value("PROD_VERCEL_TOKEN");
            }
            let part = if is_list {
                &mut environment[place.list][place.at]
            } else {
                &mut environment["vercel"]
            };
            frontend.write(part, addresses);
        }
        document.to_string()
    }

    /// Makes the release of this number another one than that before, in the folder of each part.
    pub(super) fn mark(&self, clone: &Path, release: u32) -> Result<()> {
        for source in self.environment()?.folders() {
            std::fs::write(clone.join(source).join(MARKER), format!("{release}\n"))?;
        }
        Ok(())
    }
}

/// The address of a server of this machine as the private network of the platform has it: nothing else resolves its name, and it names a
/// replica set whose members are as far away.
fn inside(uri: &str, login: &str) -> Result<String> {
    let port = uri
        .split(['/', '?'])
        .find_map(|part| part.rsplit_once(':')?.1.parse::<u16>().ok());
    let port = port.context("the address of the server has no port")?;
    Ok(format!(
        "mongodb://{login}mongodb.railway.internal:{port}/?replicaSet=inside&serverSelectionTimeoutMS=2000"
    ))
}

/// Puts the keys of one object into another one.
pub(super) fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}
