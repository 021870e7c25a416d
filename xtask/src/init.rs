//! What a repository holds about its own pipeline, and the files that are proposed from it. Only reads: files, and, where the
//! team is logged in, the platforms.

pub mod files;
pub mod findings;
pub mod from_source;
pub mod live;
pub mod mongo;
pub mod package;
pub mod platforms;
pub mod routes;
pub mod services;
pub mod tree;
mod upload_source;
pub mod variables;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::tools::git::Git;
use findings::Finding;
use mongo::Database;
use platforms::PlatformFacts;
use services::{Part, Services};
use tree::SourceTree;
use variables::AppVariable;

/// The action of a repository that has the sources of this program, and builds it.
const SOURCE_ACTION: &str = ".github/actions/xtask";

/// A value and its origin; without a value, what has to be filled in.
#[derive(Debug, Clone)]
pub struct Known {
    pub value: Option<String>,
    pub origin: String,
}

impl Known {
    pub(crate) fn found(value: &str, origin: impl Into<String>) -> Self {
        Self {
            value: Some(value.to_owned()),
            origin: origin.into(),
        }
    }

    fn missing(what: impl Into<String>) -> Self {
        Self {
            value: None,
            origin: what.into(),
        }
    }
}

/// One key of a proposed file.
#[derive(Debug, Clone, Serialize)]
pub struct ProposedKey {
    pub key: String,
    pub value: Option<String>,
    pub origin: String,
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Backend,
    Frontend,
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Frontend => "frontend",
        }
    }
}

/// Everything that was found.
#[derive(Debug)]
pub struct RepositoryFacts {
    pub remote: Known,
    pub branch: Known,
    pub repository: Known,
    pub services: Services,
    pub platforms: PlatformFacts,
    pub database: Database,
    pub variables: Vec<AppVariable>,
    pub health_route: Known,
    /// Whether the body of the health route reports how things are.
    pub reads_health: bool,
    /// One line for each program that was asked.
    pub asked: Vec<String>,
    /// The action that puts this program on PATH in workflows.
    pub setup: Known,
    /// Name, folder, line of a shell, origin.
    pub suites: Vec<(String, String, String, String)>,
    pub findings: Vec<Finding>,
}

/// Reads the repository in this folder, and asks the platforms with `asks`.
pub fn inspect(root: &Path, asks: bool) -> Result<RepositoryFacts> {
    let tree = SourceTree::read(root)?;
    let packages = package::packages(&tree);
    let mut services = services::services(&tree, &packages);
    let mut platforms = platforms::platforms(&tree, &services);
    let (remote, mut branch, mut repository) = git_facts(root);
    let live = asks.then(|| {
        let (repository, branch) = (&mut repository, &mut branch);
        let (services, platforms) = (&mut services, &mut platforms);
        live::ask(
            root,
            &mut live::ToBeKnown {
                repository,
                branch,
                services,
                platforms,
            },
        )
    });
    let live = live.unwrap_or_default();
    let database = mongo::database(&tree, &services);
    let mut findings = live.findings;
    findings.extend(findings::findings(&tree, &packages, &services, &database));
    findings.retain(|finding| !live.is_complete || finding.name != "git-deployments");
    for part in services
        .backend_parts
        .iter_mut()
        .chain(&mut services.frontend_parts)
    {
        part.route = routes::health_route(&tree, Some(&part.dir));
    }
    let is_one_of_each = services.is_one_of_each();
    let sides = [
        (Side::Backend, &services.backend_parts),
        (Side::Frontend, &services.frontend_parts),
    ];
    let parts = sides
        .into_iter()
        .flat_map(|(side, parts)| parts.iter().map(move |part| (side, part)));
    let suites = parts.filter_map(|(side, Part { dir, name, .. })| {
        let name = if is_one_of_each { side.word() } else { name };
        let package = packages.iter().find(|package| package.dir == *dir)?;
        let command = package::test_command(&tree, package)?;
        let shown = if dir.is_empty() { "." } else { dir };
        Some((name.to_owned(), shown.to_owned(), command, package.file.clone()))
    });
    let mut suites: Vec<_> = suites.collect();
    // One application is tested once.
    suites.dedup_by(|one, other| one.1 == other.1);
    let mut facts = RepositoryFacts {
        remote,
        branch,
        repository,
        platforms,
        asked: live.asked,
        reads_health: true,
        variables: variables::variables(&tree, &services, database.connection.value.as_deref()),
        setup: setup(&tree),
        health_route: routes::health_route(&tree, services.backend.as_deref()),
        suites,
        services,
        database,
        findings,
    };
    if asks {
        live::health::try_out(root, &mut facts);
    }
    facts
        .findings
        .sort_by_key(|finding| finding.grade == findings::FindingGrade::Warning);
    Ok(facts)
}

fn setup(tree: &SourceTree) -> Known {
    let file = format!("{SOURCE_ACTION}/action.yml");
    if tree.has(&file) {
        Known::found(&format!("./{SOURCE_ACTION}"), file)
    } else {
        Known::missing("the action that installs this program, OWNER/REPOSITORY/setup-action@COMMIT")
    }
}

fn git_facts(root: &Path) -> (Known, Known, Known) {
    let git = Git::at(root, "origin");
    let remotes = git.remotes().unwrap_or_default();
    let github = |(_, url): &&(String, String)| github_repository(url).is_some();
    let named = |(name, _): &&(String, String)| name == "origin";
    let chosen = remotes.iter().find(named).or_else(|| remotes.iter().find(github));
    let remote = chosen.map_or_else(
        || Known::missing("the name of the git remote"),
        |(name, _)| Known::found(name, "git remote"),
    );
    let repository = chosen.and_then(|(_, url)| github_repository(url));
    let repository = repository.map_or_else(
        || Known::missing("the repository on GitHub, owner/name"),
        |found| Known::found(&found, "the address of the git remote"),
    );
    let by_remote = chosen.and_then(|(name, _)| {
        Some(Known::found(
            &git.default_branch(name)?,
            format!("the default branch of {name}"),
        ))
    });
    let branch = by_remote
        .or_else(|| {
            Some(Known::found(
                &git.current_branch()?,
                "the branch that is checked out",
            ))
        })
        .unwrap_or_else(|| Known::missing("the branch that releases come from"));
    (remote, branch, repository)
}

/// `owner/name` of an address on GitHub.
fn github_repository(url: &str) -> Option<String> {
    let (_, path) = url.split_once("github.com")?;
    let path = path
        .trim_start_matches([':', '/'])
        .trim_end_matches('/')
        .trim_end_matches(".git");
    let mut parts = path.split('/');
    let (owner, name) = (parts.next()?, parts.next()?);
    (parts.next().is_none() && !owner.is_empty() && !name.is_empty()).then(|| format!("{owner}/{name}"))
}
