//! Which folder is the backend, which is the frontend, and what is uploaded for each.

use super::package::Package;
use super::tree::{SourceTree, folder, is_aside, join, name};
use super::upload_source::{
    RAILWAY_FILES, names_folder, railway_file, railway_source, railway_text, vercel_source,
};
use super::{Known, Side};

/// Names of folders that say by themselves what they hold.
const BACKENDS: &[&str] = &["backend", "server", "api", "back-end", "back"];
const FRONTENDS: &[&str] = &[
    "frontend",
    "client",
    "web",
    "front-end",
    "front",
    "webapp",
    "ui",
    "website",
];
/// Files of programs in other languages, and of images.
const RUNNING: &[&str] = &[
    "Dockerfile",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "Gemfile",
    "composer.json",
    "mix.exs",
    "deno.json",
];

/// One application that a release has.
#[derive(Debug)]
pub struct Part {
    /// Its folder; empty for the root.
    pub dir: String,
    /// Its name in the proposal.
    pub name: String,
    /// What is uploaded for it, as the only one of its side.
    pub source: Known,
    /// Folders of the repository that it is built from.
    pub shares: Vec<String>,
    /// Whether people or other parts reach it; a worker waits for work.
    pub is_reached: bool,
    /// Its health route.
    pub route: Known,
}

/// The applications that were found, and the choice among them.
#[derive(Debug)]
pub struct Services {
    pub backends: Vec<String>,
    pub frontends: Vec<String>,
    /// What is started too, and is neither.
    pub workers: Vec<String>,
    /// All of them, workers behind the other backends.
    pub backend_parts: Vec<Part>,
    pub frontend_parts: Vec<Part>,
    /// Folders; empty for the root.
    pub backend: Option<String>,
    pub frontend: Option<String>,
    pub backend_source: Known,
    pub frontend_source: Known,
}

impl Services {
    /// Whether there is one backend, one frontend and nothing else, or nothing was found: a file without lists has them.
    pub fn is_one_of_each(&self) -> bool {
        let found = (self.backends.len(), self.frontends.len(), self.workers.len());
        found == (1, 1, 0) || found.0 + found.1 == 0
    }

    /// Folders of all that runs on a server.
    pub fn running(&self) -> impl Iterator<Item = &String> {
        self.backends.iter().chain(&self.workers)
    }
}

/// Finds both sides.
pub fn services(tree: &SourceTree, packages: &[Package]) -> Services {
    let dirs = |has: &dyn Fn(&Package) -> bool| -> Vec<String> {
        let mut dirs: Vec<String> = packages
            .iter()
            .filter(|package| has(package))
            .map(|package| package.dir.clone())
            .collect();
        dirs.dedup();
        dirs
    };
    let mut backends = dirs(&|package| package.server().is_some() && package.pages().is_none());
    if backends.is_empty() {
        // Pages with routes of an API, and the platform of backends configured for them.
        backends = dirs(&|package| package.driver().is_some() && railway_file(tree, &package.dir).is_some());
    }
    let mut frontends = dirs(&|package| package.pages().is_some());
    if frontends.iter().any(|dir| !backends.contains(dir)) {
        // One with pages of its own is the backend of the others.
        frontends.retain(|dir| !backends.contains(dir));
    }
    if frontends.is_empty() {
        frontends = static_folders(tree, packages, &backends);
    }
    if backends.is_empty() {
        backends = running_folders(tree, packages, &frontends);
    }
    let backend = chosen(&backends, BACKENDS, |dir| {
        railway_file(tree, dir).is_some() && !dir.is_empty()
            || railway_text(tree, "").is_some_and(|text| names_folder(&text, dir))
    });
    let frontend = chosen(&frontends, FRONTENDS, |dir| {
        [join(dir, "vercel.json"), join(dir, ".vercel/project.json")]
            .iter()
            .any(|file| tree.text(file).is_some())
            || tree
                .text("vercel.json")
                .is_some_and(|text| names_folder(text, dir))
    });
    let backend_source = source(Side::Backend, &backends, backend.as_deref(), |dir| {
        railway_source(tree, packages, dir)
    });
    let frontend_source = source(Side::Frontend, &frontends, frontend.as_deref(), |dir| {
        vercel_source(tree, packages, dir)
    });
    let workers: Vec<String> = dirs(&|package| package.is_started() && !package.dir.is_empty())
        .into_iter()
        .filter(|dir| !backends.contains(dir) && !frontends.contains(dir))
        .collect();
    let part = |dir: &String, side: Side, is_reached| Part {
        name: part_name(dir, side, &[&backends[..], &frontends, &workers].concat()),
        source: match side {
            Side::Backend => railway_source(tree, packages, dir),
            Side::Frontend => vercel_source(tree, packages, dir),
        },
        shares: shares(packages, dir),
        is_reached,
        route: Known::missing("the health route"),
        dir: dir.clone(),
    };
    let reached = backends.iter().map(|dir| part(dir, Side::Backend, true));
    let working = workers.iter().map(|dir| part(dir, Side::Backend, false));
    Services {
        backend_parts: reached.chain(working).collect(),
        frontend_parts: frontends
            .iter()
            .map(|dir| part(dir, Side::Frontend, true))
            .collect(),
        workers,
        backends,
        frontends,
        backend,
        frontend,
        backend_source,
        frontend_source,
    }
}

/// The last part of the path, in the letters that names have; more of it where that is the name of another one too.
fn part_name(dir: &str, side: Side, all: &[String]) -> String {
    let is_shared = all.iter().filter(|other| name(other) == name(dir)).count() > 1;
    let path = match (dir.is_empty(), is_shared) {
        (true, _) => side.word(),
        (false, true) => dir,
        (false, false) => name(dir),
    };
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = path.to_ascii_lowercase().chars().map(letter).collect();
    name.trim_matches('-').to_owned()
}

/// Folders of packages of this repository that one of them uses, also through others.
fn shares(packages: &[Package], dir: &str) -> Vec<String> {
    let mut found: Vec<&Package> = packages.iter().filter(|package| package.dir == dir).collect();
    let mut at = 0;
    while let Some(package) = found.get(at) {
        let used = |other: &&Package| {
            other
                .name
                .as_ref()
                .is_some_and(|name| package.dependencies.contains(name))
        };
        let new: Vec<&Package> = packages
            .iter()
            .filter(used)
            .filter(|other| !other.dir.is_empty() && found.iter().all(|known| known.dir != other.dir))
            .collect();
        found.extend(new);
        at += 1;
    }
    let mut dirs: Vec<String> = found.iter().skip(1).map(|package| package.dir.clone()).collect();
    dirs.sort();
    dirs
}

/// Folders without a framework that the platform of frontends serves, by its files or by their names: pages as they are, or
/// what a script builds.
fn static_folders(tree: &SourceTree, packages: &[Package], backends: &[String]) -> Vec<String> {
    let is_served = |dir: &String| {
        let is_linked = [join(dir, "vercel.json"), join(dir, ".vercel/project.json")]
            .iter()
            .any(|file| tree.text(file).is_some());
        let is_built = packages
            .iter()
            .any(|package| package.dir == *dir && package.scripts.contains_key("build"));
        (is_linked || is_named(dir, FRONTENDS)) && (is_built || tree.has(&join(dir, "index.html")))
    };
    let mut dirs = folders_with(tree, &["index.html", "package.json"]);
    dirs.retain(|dir| !backends.contains(dir) && is_served(dir));
    dirs
}

/// Folders without a known framework that run as a server, by the files of the platform of backends or by their names.
fn running_folders(tree: &SourceTree, packages: &[Package], frontends: &[String]) -> Vec<String> {
    let runs = |dir: &String| {
        let is_started = packages
            .iter()
            .any(|package| package.dir == *dir && package.scripts.contains_key("start"));
        is_started || RUNNING.iter().any(|name| tree.has(&join(dir, name)))
    };
    let mut dirs = folders_with(tree, &[&["package.json"], RAILWAY_FILES, RUNNING].concat());
    dirs.retain(|dir| {
        let is_marked = railway_file(tree, dir).is_some() || is_named(dir, BACKENDS);
        !dir.is_empty() && !frontends.contains(dir) && is_marked && runs(dir)
    });
    dirs
}

/// Folders that have a file of one of these names, archives and examples excepted.
fn folders_with(tree: &SourceTree, names: &[&str]) -> Vec<String> {
    let files = tree
        .files
        .iter()
        .filter(|file| names.contains(&name(file)) && !is_aside(file));
    let mut dirs: Vec<String> = files.map(|file| folder(file).to_owned()).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

fn is_named(dir: &str, names: &[&str]) -> bool {
    names.contains(&name(dir).to_ascii_lowercase().as_str())
}

/// The only one; else the only one that the platform's files name; else the only one with a name that says it.
fn chosen(all: &[String], names: &[&str], is_configured: impl Fn(&str) -> bool) -> Option<String> {
    if let [one] = all {
        return Some(one.clone());
    }
    let usual = |dir: &&String| is_named(dir, names);
    let only = |some: Vec<&String>| match some[..] {
        [one] => Some(one.clone()),
        _ => None,
    };
    only(all.iter().filter(|dir| is_configured(dir)).collect())
        .or_else(|| only(all.iter().filter(usual).collect()))
}

fn source(side: Side, all: &[String], dir: Option<&str>, of: impl Fn(&str) -> Known) -> Known {
    let word = side.word();
    match (dir, all.is_empty()) {
        (Some(dir), _) => {
            let found = of(dir);
            let among = if all.len() > 1 {
                format!("; one of {}: {}", all.len(), shown(all))
            } else {
                String::new()
            };
            Known {
                origin: format!("{}{among}", found.origin),
                ..found
            }
        }
        (None, true) => Known::missing(format!("the folder of the {word}; none was found")),
        (None, false) => Known::missing(format!("the folder of the {word}, one of {}", shown(all))),
    }
}

/// Folders as people read them.
pub fn shown(dirs: &[String]) -> String {
    let dirs = dirs
        .iter()
        .map(|dir| if dir.is_empty() { "." } else { dir.as_str() });
    dirs.collect::<Vec<_>>().join(", ")
}
