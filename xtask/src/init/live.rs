//! What the platforms answer where the team is logged in: ids, addresses, root directories, connected repositories. Only asks; a
//! platform that cannot be asked costs one line, and its values come from files.

pub mod health;

use std::path::Path;

use anyhow::Result;

use super::findings::Finding;
use super::platforms::PlatformFacts;
use super::services::Services;
use super::{Known, Side};
use crate::domain::root_directory::folder_for;
use crate::report::one_line;
use crate::tools::fault;
use crate::tools::gh::{GitHub, RepositoryPage};
use crate::tools::railway::{ListedService, listed_services};
use crate::tools::vercel::{ListedProject, listed_projects, production_domain};

/// What the programs write where nobody is logged in, in small letters.
const LOGGED_OUT: &[&str] = &[
    "login",
    "unauthorized",
    "not authorized",
    "credentials",
    "not valid",
];

/// What the platforms answered.
#[derive(Debug, Default)]
pub struct LiveFacts {
    /// One line for each program that was asked.
    pub asked: Vec<String>,
    pub findings: Vec<Finding>,
    /// Both platforms answered for this repository: nothing is left to guess.
    pub is_complete: bool,
}

/// The values that may be better known after the questions.
pub(super) struct ToBeKnown<'a> {
    pub repository: &'a mut Known,
    pub branch: &'a mut Known,
    pub services: &'a mut Services,
    pub platforms: &'a mut PlatformFacts,
}

/// Asks all three at once, and puts what they answer in the place of what files made probable.
pub(super) fn ask(root: &Path, draft: &mut ToBeKnown<'_>) -> LiveFacts {
    let repository = draft.repository.value.as_deref();
    let project = draft.platforms.railway_project.value.as_deref();
    let team = draft.platforms.vercel_org.value.as_deref();
    let (page, services, projects) = std::thread::scope(|scope| {
        let page = scope.spawn(|| repository.map(|repository| GitHub::of(root, repository).page()));
        let services = scope.spawn(|| listed_services(root, project));
        let projects = listed_projects(root, team);
        (page.join(), services.join(), projects)
    });
    let mut facts = LiveFacts::default();
    if let Ok(Some(page)) = page {
        let line = answered("gh", page).map_or_else(|line| line, |page| github(page, draft));
        facts.asked.push(line);
    }
    let mut chosen = 0;
    if let Ok(services) = services {
        let line = answered("railway", services)
            .and_then(|services| railway(root, &services, draft, &mut facts.findings));
        chosen += usize::from(line.is_ok());
        facts.asked.push(line.unwrap_or_else(|line| line));
    }
    let line =
        answered("vercel", projects).and_then(|projects| vercel(root, &projects, draft, &mut facts.findings));
    chosen += usize::from(line.is_ok());
    facts.asked.push(line.unwrap_or_else(|line| line));
    facts.is_complete = chosen == 2;
    facts
}

/// The answer, or the line that reports why there is none.
fn answered<T>(program: &str, answer: Result<T>) -> Result<T, String> {
    answer.map_err(|error| {
        let why = if fault::mentions(&error, &["cannot start `"]) {
            "is not on PATH".to_owned()
        } else if fault::mentions(&error, LOGGED_OUT) {
            "nobody is logged in".to_owned()
        } else {
            format!("could not be asked: {}", one_line(&format!("{error:#}")))
        };
        format!("{program}: {why}; files only")
    })
}

fn github(page: Option<RepositoryPage>, draft: &mut ToBeKnown<'_>) -> String {
    let Some(page) = page else {
        return "gh: this account sees no such repository; files only".to_owned();
    };
    *draft.branch = Known::found(&page.default_branch, "gh: the default branch");
    let line = format!("gh: {} on GitHub", page.full_name);
    *draft.repository = Known::found(&page.full_name, "gh");
    line
}

fn railway(
    root: &Path,
    all: &[ListedService],
    draft: &mut ToBeKnown<'_>,
    findings: &mut Vec<Finding>,
) -> Result<String, String> {
    let repository = draft.repository.value.as_deref();
    let backend = draft.services.backend.as_deref();
    let wanted = draft.platforms.railway_service.value.as_deref();
    let connected = |one: &ListedService| is_same(one.settings.connected_repository(), repository);
    let ours: Vec<&ListedService> = all
        .iter()
        .filter(|one| !one.settings.runs_image())
        .filter(|one| match one.settings.connected_repository() {
            Some(_) => connected(one),
            None => one.is_linked || wanted == Some(&one.service) || is_named(&one.project_name, repository),
        })
        .collect();
    let name = |one: &ListedService| format!("{} of {}", one.service_name, one.project_name);
    let of_frontend = draft.services.frontend.as_deref();
    let fits = |one: &ListedService| place(one.settings.root_directory.as_deref(), backend);
    let one = only(
        "railway",
        "service",
        ours,
        name,
        &[
            &|one| wanted == Some(&one.service),
            &|one| of_frontend.is_none() || place(one.settings.root_directory.as_deref(), of_frontend) < 2,
            &|one| fits(one) == 2,
            &|one| fits(one) == 1,
            &|one| connected(one),
            &|one| backend.is_some_and(|dir| dir.rsplit('/').next() == Some(&one.service_name)),
            &|one| !one.domains.is_empty(),
        ],
    )?;
    let origin = format!("railway: the service {}", name(one));
    let found = |value: &str| Known::found(value, origin.clone());
    draft.platforms.railway_project = found(&one.project);
    draft.platforms.railway_environment = found(&one.environment);
    draft.platforms.railway_service = found(&one.service);
    if let Some(domain) = one.domains.first() {
        draft.platforms.backend_url = found(&format!("https://{domain}"));
    }
    let directory = one.settings.root_directory.as_deref();
    findings.extend(settle(root, Side::Backend, directory, &origin, draft.services));
    findings.extend(one.settings.connected_repository().map(|repository| {
        Finding::stop(
            "automatic-deploys",
            format!("{origin} deploys each push to {repository} by itself, past backup and approval, and over a rollback"),
            "disconnect the repository: `railway service source disconnect`, or Settings, Source",
        )
    }));
    findings.extend(one.settings.note().map(|note| {
        Finding::warning(
            "watch-patterns",
            note,
            "remove the watch patterns in the settings of the service",
        )
    }));
    Ok(origin)
}

fn vercel(
    root: &Path,
    all: &[ListedProject],
    draft: &mut ToBeKnown<'_>,
    findings: &mut Vec<Finding>,
) -> Result<String, String> {
    let repository = draft.repository.value.as_deref();
    let frontend = draft.services.frontend.as_deref();
    let wanted = draft.platforms.vercel_project.value.as_deref();
    let connected = |one: &ListedProject| is_same(one.settings.connected_repository().as_deref(), repository);
    let ours: Vec<&ListedProject> = all
        .iter()
        .filter(|one| {
            let is_free = one.settings.connected_repository().is_none();
            wanted == Some(&one.id) || connected(one) || is_free && is_named(&one.name, repository)
        })
        .collect();
    let of_backend = draft.services.backend.as_deref();
    let fits = |one: &ListedProject| place(one.settings.root_directory.as_deref(), frontend);
    let one = only(
        "vercel",
        "project",
        ours,
        |one| one.name.clone(),
        &[
            &|one| wanted == Some(&one.id),
            &|one| of_backend.is_none() || place(one.settings.root_directory.as_deref(), of_backend) < 2,
            &|one| fits(one) == 2,
            &|one| fits(one) == 1,
            &|one| connected(one),
        ],
    )?;
    let origin = format!("vercel: the project {}", one.name);
    let found = |value: &str| Known::found(value, origin.clone());
    draft.platforms.vercel_org = found(&one.account_id);
    draft.platforms.vercel_project = found(&one.id);
    let domain = answered("vercel", production_domain(root, one))?;
    if let Some(domain) = domain {
        draft.platforms.domain = found(&domain);
    }
    if one.settings.protects_staged() {
        draft.platforms.protection_bypass = Some(Known::found(
            "PROD_VERCEL_BYPASS",
            format!(
                "{origin} asks for a login on its staged addresses: make a secret for \"Protection Bypass for Automation\""
            ),
        ));
    }
    let directory = one.settings.root_directory.as_deref();
    findings.extend(settle(root, Side::Frontend, directory, &origin, draft.services));
    findings.extend(one.settings.git_deploys().map(|repository| {
        Finding::stop(
            "automatic-deploys",
            format!("{origin} gives each push to {repository} the production domain, past approval and over a rollback"),
            "disconnect the repository (Settings, Git), or switch off \"Auto-assign Custom Production Domains\"",
        )
    }));
    findings.extend(one.settings.rolls_out().then(|| {
        Finding::stop(
            "rolling-releases",
            format!("{origin} has rolling releases: a promotion would move a part of the users only"),
            "disable rolling releases (Settings, Build and Deployment)",
        )
    }));
    Ok(origin)
}

/// How well a root directory fits a folder: 2 where it is this folder, 1 where the root is meant or the folder is not known.
fn place(directory: Option<&str>, folder: Option<&str>) -> u8 {
    let directory = plain(directory);
    match folder {
        Some(folder) if directory == folder => 2,
        Some(_) if directory.is_empty() => 1,
        Some(_) => 0,
        None => 1,
    }
}

fn plain(directory: Option<&str>) -> &str {
    directory
        .unwrap_or_default()
        .trim_start_matches("./")
        .trim_matches('/')
}

/// Narrows the candidates by each test that some of them pass; the one that is left, or the line that reports why there is none.
fn only<'a, T>(
    program: &str,
    what: &str,
    mut left: Vec<&'a T>,
    name: impl Fn(&T) -> String,
    tests: &[&dyn Fn(&T) -> bool],
) -> Result<&'a T, String> {
    if left.is_empty() {
        return Err(format!(
            "{program}: this account sees no {what} of this repository; files only"
        ));
    }
    for test in tests {
        if left.iter().any(|one| test(one)) {
            left.retain(|one| test(one));
        }
    }
    match left.as_slice() {
        [one] => Ok(one),
        several => {
            let names: Vec<String> = several.iter().map(|one| name(one)).collect();
            Err(format!(
                "{program}: which {what} is meant? {}; files only",
                names.join(", ")
            ))
        }
    }
}

fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
}

/// Whether something on a platform has the name of the repository.
fn is_named(name: &str, repository: Option<&str>) -> bool {
    let wanted = repository.and_then(|repository| repository.split('/').nth(1));
    wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(name))
}

/// Takes the folder that the platform builds where files leave it open, and refuses one that is not there.
fn settle(
    root: &Path,
    side: Side,
    directory: Option<&str>,
    origin: &str,
    services: &mut Services,
) -> Option<Finding> {
    let (folder, source) = match side {
        Side::Backend => (&mut services.backend, &mut services.backend_source),
        Side::Frontend => (&mut services.frontend, &mut services.frontend_source),
    };
    let built = plain(directory);
    if source.value.is_none() && !built.is_empty() && root.join(built).is_dir() {
        *folder = Some(built.to_owned());
        *source = Known::found(built, format!("{origin}: Root Directory"));
    }
    let source = source.value.as_deref()?;
    let exists = |path: &Path| root.join(path).is_dir();
    let stops = folder_for(Path::new(source), directory, exists).is_none();
    stops.then(|| {
        Finding::stop(
            "root-directory",
            format!(
                "{origin} has the Root Directory {built}, which is not in the {} {source}",
                side.word()
            ),
            "set Root Directory in the settings on the platform to that folder, or leave it empty",
        )
    })
}

#[cfg(test)]
mod tests;
