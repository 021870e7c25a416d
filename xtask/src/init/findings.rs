//! What would hurt a release or its rollback, as far as files have it.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;

use super::mongo::Database;
use super::package::Package;
use super::services::{Services, shown};
use super::tree::{SourceTree, is_below, is_public, join, line_of, name, read_text};
use super::upload_source::{railway_text, root_directories};
use crate::tools::git::Git;

static DEPLOYS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?m)^[^#\n]*((?:railway|@railway/cli)(?:@\S+)?\s+(?:up|redeploy)\b|vercel(?:@\S+)?\s[^\n#]*--prod|vercel-action|railway-deploy|railway-github-action|vercel(?:@\S+)?\s+(?:promote|alias)\b|api\.vercel\.com/v1/integrations/deploy|backboard\.railway)",
    )
});
static BY_ITSELF: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?m)^\s*(?:on:.*\b(push|workflow_run|schedule|pull_request)\b|['\x22]?(push|workflow_run|schedule|release)['\x22]?:|-\s*(push|workflow_run)\s*$)",
    )
});
static MIGRATES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"migrate-mongo\s+up|prisma\s+(?:migrate\s+deploy|db\s+push)|payload\s+migrate\b|(?:npm|pnpm|yarn|bun)(?:\s+run)?\s+(?:db:)?migrat\w*(?::\w+)?|node\s+\S*migrat\S*|python\S*\s+\S*migrat\S*|alembic\s+upgrade|manage\.py\s+migrate",
    )
});
static BY_SSH: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^[^#\n]*(appleboy/ssh-action|\bssh\s+\S*@|docker\s+push|build-push-action)")
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

/// How much a finding hurts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingGrade {
    /// Nothing is written before it is repaired or accepted by name.
    Stop,
    Warning,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What `--accept` takes.
    pub name: &'static str,
    pub grade: FindingGrade,
    pub found: String,
    pub fix: String,
}

impl Finding {
    pub(super) fn stop(name: &'static str, found: String, fix: &str) -> Self {
        Self {
            name,
            grade: FindingGrade::Stop,
            found,
            fix: fix.to_owned(),
        }
    }

    pub(super) fn warning(name: &'static str, found: String, fix: &str) -> Self {
        Self {
            name,
            grade: FindingGrade::Warning,
            found,
            fix: fix.to_owned(),
        }
    }
}

/// Every finding.
pub fn findings(
    tree: &SourceTree,
    packages: &[Package],
    services: &Services,
    database: &Database,
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(automatic_deploys(tree));
    found.extend(root_directory(tree, services));
    found.extend(committed(tree));
    found.extend(migrations_at_start(tree, packages, services));
    found.extend(cargo_manifest(tree, services));
    found.extend(missing_sides(services));
    found.extend(not_expressible(tree, services));
    found.extend(other_databases(database));
    found
}

fn workflows(tree: &SourceTree) -> impl Iterator<Item = (&String, &String)> {
    tree.texts
        .iter()
        .filter(|(file, text)| file.starts_with(".github/workflows/") && !text.contains("xtask "))
}

fn automatic_deploys(tree: &SourceTree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, text) in workflows(tree).filter(|(_, text)| BY_ITSELF.is_match(text)) {
        if let Some(hit) = DEPLOYS.captures(text) {
            let what = hit.get(1).expect("it is no option");
            let at = line_of(text, what.start());
            found.push(Finding::stop(
                "automatic-deploys",
                format!("{file}:{at} deploys by itself: {}", crate::report::one_line(what.as_str())),
                "remove the workflow, or leave it only `workflow_dispatch`: it would deploy past backup and approval, and over a rollback",
            ));
        }
    }
    let configs: Vec<&str> = tree
        .named(|name| name == "vercel.json")
        .filter(|(_, text)| !is_disabled(text))
        .map(|(file, _)| file)
        .collect();
    let watched = tree
        .named(|name| name == "railway.json" || name == "railway.toml")
        .find(|(_, text)| text.contains("watchPatterns"));
    if let Some((file, _)) = watched {
        found.push(Finding::stop(
            "automatic-deploys",
            format!("{file} has watchPatterns, which only deployments from git use"),
            "disconnect the repository from the service on Railway (Settings, Source), and remove watchPatterns",
        ));
    }
    let uses_railway = railway_text(tree, "").is_some()
        || tree
            .named(|name| ["railway.json", "railway.toml"].contains(&name))
            .next()
            .is_some();
    if found.is_empty() && (uses_railway || !configs.is_empty()) {
        let files = if configs.is_empty() {
            "the files of Railway".to_owned()
        } else {
            configs.join(", ")
        };
        found.push(Finding::warning(
            "git-deployments",
            format!("no workflow deploys, and deployments from git are not turned off in {files}: the platforms probably deploy each push"),
            "disconnect the repository from the service on Railway and from the project on Vercel; `cargo xtask doctor` asks both",
        ));
    }
    found
}

fn is_disabled(vercel: &str) -> bool {
    let config: serde_json::Value = serde_json::from_str(vercel).unwrap_or_default();
    match &config["git"]["deploymentEnabled"] {
        serde_json::Value::Object(branches) => branches.values().all(|is_enabled| is_enabled == false),
        is_enabled => is_enabled == false,
    }
}

fn root_directory(tree: &SourceTree, services: &Services) -> Vec<Finding> {
    let Some(frontend) = services.frontend.as_deref() else {
        return Vec::new();
    };
    let wrong = root_directories(tree).into_iter().filter(|(at, root)| {
        let below = join(at, root);
        !tree.files.iter().any(|file| is_below(file, &below))
            || (is_below(&format!("{frontend}/x"), at) && below != frontend)
    });
    wrong
        .map(|(at, root)| {
            Finding::stop(
                "root-directory",
                format!("{} has the Root Directory {root}, which is not the frontend {} there", join(&at, ".vercel/project.json"), shown(&[frontend.to_owned()])),
                "set Root Directory in the project's settings on Vercel to the frontend as it is below `vercel.source`; empty where both are the same",
            )
        })
        .collect()
}

fn committed(tree: &SourceTree) -> Vec<Finding> {
    let git = Git::at(&tree.root, "origin");
    let mut found = Vec::new();
    let ignored = git.committed_but_ignored().unwrap_or_default();
    if !ignored.is_empty() {
        found.push(Finding::stop(
            "committed-but-ignored",
            format!("{} committed files are ignored by .gitignore: {}", ignored.len(), some(&ignored)),
            "the upload leaves ignored files out, so that another commit is deployed than the one recorded: `git rm --cached` them, or change .gitignore",
        ));
    }
    let env_files: Vec<String> = git
        .committed()
        .unwrap_or_default()
        .into_iter()
        .filter(|file| [".env", ".env.production", ".env.prod", ".env.local"].contains(&name(file)))
        .filter(|file| has_secrets(&tree.root.join(file)))
        .collect();
    if !env_files.is_empty() {
        found.push(Finding::warning(
            "committed-env",
            format!("committed: {}", some(&env_files)),
            "replace every secret in them, `git rm --cached` them, and add them to .gitignore",
        ));
    }
    found
}

/// Whether a file has variables that do not end in pages.
fn has_secrets(file: &Path) -> bool {
    let is_secret = |line: &str| {
        let name = line.split_once('=').map(|(name, _)| name.trim());
        name.is_some_and(|name| !name.starts_with('#') && !is_public(name.trim_start_matches("export ")))
    };
    read_text(file).is_some_and(|text| text.lines().any(is_secret))
}

fn some(files: &[String]) -> String {
    let shown = files.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if files.len() > 5 {
        format!("{shown}, …")
    } else {
        shown
    }
}

/// Commands that run when the backend is deployed or starts.
fn migrations_at_start(tree: &SourceTree, packages: &[Package], services: &Services) -> Vec<Finding> {
    let Some(dir) = services.backend.as_deref() else {
        return Vec::new();
    };
    let mut commands: Vec<(String, String)> = Vec::new();
    for package in packages.iter().filter(|package| package.dir == dir) {
        for hook in [
            "start",
            "prestart",
            "poststart",
            "start:prod",
            "prestart:prod",
            "postinstall",
            "build",
            "prebuild",
            "postbuild",
        ] {
            commands.extend(
                package
                    .scripts
                    .get(hook)
                    .map(|line| (format!("{}: script {hook}", package.file), line.clone())),
            );
        }
    }
    for folder in [dir, ""] {
        for name in ["railway.json", "railway.toml", "nixpacks.toml", "Procfile"] {
            let file = join(folder, name);
            commands.extend(tree.text(&file).map(|text| (file.clone(), text.to_owned())));
        }
    }
    for (file, text) in tree
        .dockerfiles()
        .filter(|(file, _)| is_below(file, dir) || !file.contains('/'))
    {
        let runs = text.lines().filter(|line| {
            line.trim_start().starts_with("CMD") || line.trim_start().starts_with("ENTRYPOINT")
        });
        // The form with brackets has each word in quotes.
        let runs: Vec<String> = runs
            .map(|line| line.replace("\", \"", " ").replace("\",\"", " "))
            .collect();
        commands.push((file.to_owned(), runs.join("\n")));
    }
    for (file, text) in tree.code(dir) {
        let calls = text.contains("migrate-mongo")
            && text.contains("up(")
            && !file.contains("migrat")
            && !file.contains("scripts/");
        if calls {
            commands.push((file.to_owned(), "migrate-mongo up".to_owned()));
        }
    }
    let hits = commands
        .iter()
        .filter_map(|(origin, text)| Some((origin, MIGRATES.find(text)?.as_str())));
    let hits: Vec<String> = hits
        .map(|(origin, command)| format!("{origin} runs `{command}`"))
        .collect();
    if hits.is_empty() {
        return Vec::new();
    }
    vec![Finding::stop(
        "migrations-at-start",
        format!("migrations run when the backend starts: {}", hits.join("; ")),
        "run them by hand or in a separate step: a backend that is rolled back and starts again would migrate the restored database",
    )]
}

fn cargo_manifest(tree: &SourceTree, services: &Services) -> Option<Finding> {
    let is_uploaded = services.backend_source.value.as_deref() == Some(".");
    let rust_backend = tree.has("src/main.rs");
    if !tree.has("Cargo.toml") || rust_backend {
        return None;
    }
    let fix = "move it into another folder: Railway builds a repository with Cargo.toml in the root as a Rust program";
    let found = "Cargo.toml is in the root".to_owned();
    Some(if is_uploaded {
        Finding::stop("cargo-manifest", found, fix)
    } else {
        Finding::warning("cargo-manifest", found, fix)
    })
}

/// A side of which nothing was found.
fn missing_sides(services: &Services) -> Vec<Finding> {
    let sides = [
        ("backends", &services.backends),
        ("frontends", &services.frontends),
    ];
    let missing = sides.into_iter().filter(|(_, all)| all.is_empty());
    missing
        .map(|(word, _)| {
            let fix = "name its folder in pipeline.toml, where there is one";
            Finding::warning("no-service", format!("no {word} found"), fix)
        })
        .collect()
}

/// What hints at other platforms.
fn not_expressible(tree: &SourceTree, services: &Services) -> Vec<Finding> {
    let mut found = Vec::new();
    let uses_vercel = tree
        .files
        .iter()
        .any(|file| name(file) == "vercel.json" || file.contains(".vercel/"))
        || tree.texts.iter().any(|(file, text)| {
            file.ends_with(".vercel/project.json")
                || (text.contains(".vercel.app")
                    || file.starts_with(".github/workflows/") && text.contains("vercel"))
        });
    if !services.frontends.is_empty() && !uses_vercel {
        found.push(Finding::warning(
            "no-vercel",
            "no file mentions Vercel".into(),
            "the pipeline releases a frontend on Vercel; one that the backend serves is part of the backend",
        ));
    }
    let uses_railway = tree
        .files
        .iter()
        .any(|file| name(file).starts_with("railway.") || name(file) == "nixpacks.toml")
        || tree.texts.values().any(|text| text.contains("railway"));
    let by_ssh = workflows(tree).find(|(_, text)| BY_SSH.is_match(text));
    if let (false, Some((file, _))) = (uses_railway, by_ssh) {
        found.push(Finding::warning(
            "no-railway",
            format!("{file} deploys in another way, and no file mentions Railway"),
            "the pipeline releases a backend on Railway",
        ));
    }
    found
}

fn other_databases(database: &Database) -> Vec<Finding> {
    let others = database.others.iter().map(|(kind, origin)| {
        Finding::warning(
            "second-database",
            format!("{kind}: {origin}"),
            "only MongoDB is backed up and restored; keep backups of the other database yourself",
        )
    });
    let internal = database.internal.iter().map(|origin| {
        Finding::warning("internal-database", format!("{origin} names an address inside Railway's private network"), "give the secret of the pipeline an address that can be reached from outside (a TCP proxy on Railway)")
    });
    others.chain(internal).collect()
}
