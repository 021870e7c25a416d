//! Several backends or frontends, workers, or not all of them: the tables of `pipeline/2`, and a check for each part.

use super::{Draft, api_check, page_check, quoted};
use crate::init::platforms::PlatformFacts;
use crate::init::services::{Part, Services};
use crate::init::{Known, RepositoryFacts};

/// What the platforms share, then each part. What is known of the one that was chosen is not that of the others.
pub(super) fn tables(draft: &mut Draft, services: &Services, platforms: &PlatformFacts) {
    if !services.backend_parts.is_empty() {
        draft.section("environments.production.railway");
        draft.known("project", &platforms.railway_project);
        draft.known("environment", &platforms.railway_environment);
        draft.raw("token = \"PROD_RAILWAY_TOKEN\"");
    }
    if !services.frontend_parts.is_empty() {
        draft.section("environments.production.vercel");
        draft.known("org", &platforms.vercel_org);
        draft.raw("token = \"PROD_VERCEL_TOKEN\"");
    }
    for part in &services.backend_parts {
        let is_chosen = services.backend.as_ref() == Some(&part.dir);
        begin(draft, "backends", "railway", part);
        draft.known(
            "service",
            &of(
                part,
                is_chosen,
                &platforms.railway_service,
                "the id of the service on Railway",
            ),
        );
        draft.known("folder", &folder(part));
        if part.source.value.as_deref() == Some(".") && !part.dir.is_empty() {
            draft.commented("upload = \"root\"", &part.source.origin);
        }
        shares(draft, part);
        if part.is_reached {
            let what = "its public address, https://…; leave the line out where it has none";
            draft.known("url", &of(part, is_chosen, &platforms.backend_url, what));
        }
    }
    for part in &services.frontend_parts {
        let is_chosen = services.frontend.as_ref() == Some(&part.dir);
        begin(draft, "frontends", "vercel", part);
        draft.known(
            "project",
            &of(
                part,
                is_chosen,
                &platforms.vercel_project,
                "the id of the project on Vercel, prj_…",
            ),
        );
        draft.known("folder", &folder(part));
        shares(draft, part);
        draft.known(
            "domain",
            &of(
                part,
                is_chosen,
                &platforms.domain,
                "its production domain, without https://",
            ),
        );
        if let Some(bypass) = platforms.protection_bypass.as_ref().filter(|_| is_chosen) {
            draft.known("protection_bypass", bypass);
        }
    }
}

fn begin(draft: &mut Draft, list: &str, platform: &str, part: &Part) {
    draft.raw(&format!(
        "\n[[environments.production.{list}]]\nname = {}\nplatform = \"{platform}\"",
        quoted(&part.name)
    ));
    draft.section = format!("environments.production.{list}.{}", part.name);
}

/// A value of the chosen part; for another one, what has to be filled in.
fn of(part: &Part, is_chosen: bool, known: &Known, what: &str) -> Known {
    if is_chosen {
        known.clone()
    } else {
        Known::missing(format!("{what} ({})", part.name))
    }
}

/// A part's own folder: what is uploaded for it may be more.
fn folder(part: &Part) -> Known {
    let dir = if part.dir.is_empty() { "." } else { &part.dir };
    Known::found(dir, part.source.origin.clone())
}

fn shares(draft: &mut Draft, part: &Part) {
    let dirs: Vec<String> = part.shares.iter().map(|dir| quoted(dir)).collect();
    if !dirs.is_empty() {
        draft.commented(
            &format!("shares = [{}]", dirs.join(", ")),
            "packages of this repository that it uses",
        );
    }
}

/// A check for each part that has an address.
pub(super) fn checks(draft: &mut Draft, facts: &RepositoryFacts) {
    let services = &facts.services;
    for part in services.backend_parts.iter().filter(|part| part.is_reached) {
        let is_chosen = services.backend.as_ref() == Some(&part.dir);
        let route = if is_chosen {
            &facts.health_route
        } else {
            &part.route
        };
        let address = format!("${{backend.{}}}", part.name);
        api_check(
            draft,
            &format!("{}-health", part.name),
            &address,
            route,
            facts.reads_health,
        );
    }
    // Without a backend, the routes of an API are the pages' own.
    if let Some(part) = services
        .frontend_parts
        .first()
        .filter(|_| services.backends.is_empty())
    {
        let address = format!("${{frontend.{}}}", part.name);
        api_check(draft, "api-health", &address, &part.route, facts.reads_health);
    }
    for part in &services.frontend_parts {
        page_check(draft, &part.name, &format!("${{frontend.{}}}", part.name));
    }
}
