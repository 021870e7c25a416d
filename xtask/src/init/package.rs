//! Manifests of applications: package.json, and those of Python.

mod nx;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::tree::{SourceTree, folder, is_aside, join, name};

/// Start of a requirement: the name of the package.
static REQUIREMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^\s*["']?([A-Za-z][A-Za-z0-9._-]*)"#).expect("the pattern is a constant")
});

const SERVERS: &[&str] = &[
    "express",
    "fastify",
    "koa",
    "@nestjs/core",
    "@hapi/hapi",
    "hono",
    "@hono/node-server",
    "apollo-server",
    "apollo-server-express",
    "@apollo/server",
    "graphql-yoga",
    "restify",
    "polka",
    "@feathersjs/feathers",
    "@adonisjs/core",
    "elysia",
    "moleculer",
    "sails",
    "fastapi",
    "flask",
    "django",
    "starlette",
    "sanic",
    "aiohttp",
    "litestar",
    "tornado",
];
const PAGES: &[&str] = &[
    "next",
    "nuxt",
    "react-scripts",
    "@angular/core",
    "astro",
    "gatsby",
    "@sveltejs/kit",
    "@remix-run/react",
    "@react-router/dev",
    "@vue/cli-service",
    "@solidjs/start",
];
/// With `vite` or another bundler beside it, an application of one page.
const VIEWS: &[&str] = &["react", "vue", "svelte", "solid-js", "preact", "lit"];
const BUNDLERS: &[&str] = &["vite", "webpack", "parcel", "@rsbuild/core", "rollup"];
const DRIVERS: &[&str] = &[
    "mongoose",
    "mongodb",
    "@nestjs/mongoose",
    "@payloadcms/db-mongodb",
    "payload",
    "@typegoose/typegoose",
    "mikro-orm",
    "@mikro-orm/mongodb",
    "pymongo",
    "motor",
    "beanie",
    "mongoengine",
    "odmantic",
    "connect-mongo",
];
/// The page of an application before it is built.
const PAGE_FILES: &[&str] = &["index.html", "public/index.html", "src/index.html"];
/// Applications that no web platform serves.
const DEVICES: &[&str] = &["react-native", "expo", "electron", "@capacitor/core"];

/// One manifest.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its folder; empty for the root.
    pub dir: String,
    pub file: String,
    pub name: Option<String>,
    pub dependencies: BTreeSet<String>,
    pub scripts: BTreeMap<String, String>,
    pub is_python: bool,
    pub has_workspaces: bool,
    is_library: bool,
    /// Whether it has a page of its own before it is built.
    has_page: bool,
}

impl Package {
    fn uses(&self, names: &[&str]) -> Option<String> {
        names
            .iter()
            .find(|name| self.dependencies.contains(**name))
            .map(|name| (*name).to_owned())
    }

    /// The framework of a server, where this is one.
    pub fn server(&self) -> Option<String> {
        self.uses(SERVERS).filter(|_| self.is_application())
    }

    /// The framework of pages, where this is an application with pages.
    pub fn pages(&self) -> Option<String> {
        let bundled = || self.uses(VIEWS).filter(|_| self.uses(BUNDLERS).is_some());
        let is_run = || self.is_application() || self.has_page;
        let framework = self.uses(PAGES).or_else(|| bundled().filter(|_| is_run()));
        let can_be = !self.is_library && self.uses(DEVICES).is_none();
        // The platform builds what it knows without a script.
        let is_known = self.uses(PAGES).is_some() && self.uses(SERVERS).is_none() && self.is_application();
        let is_built = self.scripts.contains_key("build") || self.has_page || is_known;
        framework.filter(|_| can_be && is_built)
    }

    /// The driver of MongoDB.
    pub fn driver(&self) -> Option<String> {
        self.uses(DRIVERS)
    }

    /// Whether a script starts it.
    pub fn is_started(&self) -> bool {
        self.scripts.contains_key("start") && self.is_application()
    }

    fn is_application(&self) -> bool {
        let runs = ["start", "dev", "serve", "start:prod", "start:dev", "preview"]
            .iter()
            .any(|name| self.scripts.contains_key(*name));
        !self.is_library
            && self.uses(DEVICES).is_none()
            && (runs || self.is_python || self.uses(SERVERS).is_some())
    }
}

/// Every manifest, archives and examples excepted.
pub fn packages(tree: &SourceTree) -> Vec<Package> {
    let mut found = Vec::new();
    for (file, text) in &tree.texts {
        if is_aside(file) {
            continue;
        }
        match name(file) {
            "package.json" => found.extend(of_node(tree, file, text)),
            "project.json" => found.extend(nx::project(tree, file, text)),
            "requirements.txt" | "pyproject.toml" | "Pipfile" => {
                let dir = folder(file);
                if !found
                    .iter()
                    .any(|known: &Package| known.dir == dir && known.is_python)
                {
                    found.push(of_python(file, text));
                }
            }
            _ => {}
        }
    }
    for (file, text) in tree.dockerfiles() {
        let dir = folder(file);
        if text.contains("pip install") && !found.iter().any(|known| known.dir == dir) {
            let installed = text.lines().filter(|line| line.contains("pip install"));
            let words = installed.flat_map(|line| line.split_whitespace());
            found.push(of_python(file, &words.collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

fn of_node(tree: &SourceTree, file: &str, text: &str) -> Option<Package> {
    let manifest: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    let keys = |name: &str| -> Vec<String> {
        manifest[name]
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys().cloned())
            .collect()
    };
    let dir = folder(file);
    let scripts = manifest["scripts"].as_object().into_iter().flatten();
    let scripts: BTreeMap<String, String> = scripts
        .map(|(name, line)| (name.clone(), line.as_str().unwrap_or_default().to_owned()))
        .collect();
    let has_workspaces = !manifest["workspaces"].is_null()
        || ["pnpm-workspace.yaml", "nx.json"]
            .iter()
            .any(|name| tree.has(&join(dir, name)));
    let bundles_a_library = ["vite.config.ts", "vite.config.js", "vite.config.mts"]
        .iter()
        .filter_map(|config| tree.text(&join(dir, config)))
        .any(|config| config.contains("lib:") && config.contains("build"));
    let for_others = ["peerDependencies", "exports", "module", "types", "publishConfig"]
        .iter()
        .any(|key| !manifest[*key].is_null());
    let has_page = PAGE_FILES.iter().any(|page| tree.has(&join(dir, page)));
    let is_library = bundles_a_library
        || (dir.is_empty() && nx::has_projects(tree))
        || (for_others && !scripts.contains_key("start") && !has_page);
    Some(Package {
        dir: dir.to_owned(),
        file: file.to_owned(),
        name: manifest["name"].as_str().map(str::to_owned),
        dependencies: [keys("dependencies"), keys("devDependencies")]
            .concat()
            .into_iter()
            .collect(),
        scripts,
        is_python: false,
        has_workspaces,
        is_library,
        has_page,
    })
}

fn of_python(file: &str, text: &str) -> Package {
    let small = text.to_ascii_lowercase();
    let dependencies = REQUIREMENT
        .captures_iter(&small)
        .map(|found| found[1].to_owned())
        .collect();
    Package {
        dir: folder(file).to_owned(),
        file: file.to_owned(),
        name: None,
        dependencies,
        scripts: BTreeMap::new(),
        is_python: true,
        has_workspaces: false,
        is_library: false,
        has_page: false,
    }
}

/// How the packages of a folder are installed and its tests are run, in one line of a shell.
pub fn test_command(tree: &SourceTree, package: &Package) -> Option<String> {
    if package.is_python {
        let has_tests = tree
            .files
            .iter()
            .any(|file| super::tree::is_below(file, &package.dir) && name(file).starts_with("test_"));
        let install = if name(&package.file) == "requirements.txt" {
            "-r requirements.txt"
        } else {
            "."
        };
        return has_tests.then(|| format!("pip install {install} pytest && python -m pytest"));
    }
    let script = package
        .scripts
        .get("test")
        .filter(|line| !line.contains("no test specified") && !line.trim().is_empty())?;
    let watches =
        script.trim() == "vitest" || script.contains("--watch") && !script.contains("--watchAll=false");
    if watches {
        return None;
    }
    let lock = |name: &str| tree.has(&join(&package.dir, name)) || tree.has(name);
    Some(if lock("pnpm-lock.yaml") {
        "corepack enable && pnpm install --frozen-lockfile && pnpm test".into()
    } else if lock("yarn.lock") {
        "corepack enable && yarn install --immutable && yarn test".into()
    } else if lock("bun.lock") || lock("bun.lockb") {
        "bun install --frozen-lockfile && bun run test".into()
    } else if lock("package-lock.json") {
        "npm ci && npm test".into()
    } else {
        "npm install && npm test".into()
    })
}
