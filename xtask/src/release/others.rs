//! Settings of the platforms that stand in the way of a release, and others who deploy: a connected repository deploys each
//! push before its approval, without a backup, and over a rollback.

use std::thread::scope;

use anyhow::Result;

use super::checkout::Checkout;
use super::platforms::Platforms;
use crate::config::{BackendConfig, FrontendConfig};
use crate::context::Context;
use crate::domain::parts::about;
use crate::operation::preflight::Preflight;
use crate::sync::{each_answer, join};
use crate::tools::backend::BackendService;
use crate::tools::frontend::FrontendService;
use crate::tools::railway::RailwayService;
use crate::tools::vercel::VercelProject;

/// How the platforms of all parts are set; what could not be asked is left out, and is a problem of the preflight.
#[derive(Debug, Default)]
pub struct Settings {
    services: Vec<(BackendConfig, RailwayService)>,
    projects: Vec<(FrontendConfig, VercelProject)>,
}

/// The answers of the platforms, each by itself.
#[derive(Debug)]
pub struct AskedSettings<'a> {
    services: Vec<(&'a BackendService, Result<RailwayService>)>,
    projects: Vec<(&'a FrontendService, Result<VercelProject>)>,
}

impl<'a> AskedSettings<'a> {
    /// Asks all of them at once: one that does not answer costs its deadline once.
    pub fn ask(platforms: &'a Platforms) -> Self {
        let services: Vec<&BackendService> = platforms.backends.iter().collect();
        let projects: Vec<&FrontendService> = platforms.frontends.iter().collect();
        scope(|scope| {
            let projects = scope.spawn(move || each_answer(&projects, |one| (one, one.project())));
            Self {
                services: each_answer(&services, |one| (one, one.service())),
                projects: join(projects),
            }
        })
    }
}

impl Settings {
    /// What the platforms of all parts answered.
    pub fn of(asked: AskedSettings<'_>, preflight: &mut Preflight) -> Self {
        let mut settings = Self::default();
        for (railway, service) in asked.services {
            let what = about("the service on Railway", railway.name());
            let service = preflight.check(&what, service);
            settings
                .services
                .extend(service.map(|service| (railway.backend().clone(), service)));
        }
        for (frontend, project) in asked.projects {
            let what = about("the project on Vercel", frontend.name());
            let project = preflight.check(&what, project);
            settings
                .projects
                .extend(project.map(|project| (frontend.frontend().clone(), project)));
        }
        settings
    }

    /// Each platform must find the folder of the commit that it builds; gives notes for the plan about what is uploaded.
    pub fn check_folders(&self, checkout: &Checkout, preflight: &mut Preflight) -> Vec<String> {
        let mut notes = Vec::new();
        for (backend, service) in &self.services {
            let what = about("the backend's folder", &backend.name);
            let folder = preflight.check(&what, checkout.backend(backend, service));
            if let Some(folder) = folder.filter(|_| backend.railway().is_some()) {
                notes.extend(preflight.check(&what, checkout.upload_note(backend, &folder)));
            }
        }
        for (frontend, project) in &self.projects {
            let what = about("the frontend's folder", &frontend.name);
            preflight.check(&what, checkout.frontend(frontend, project));
        }
        notes
    }

    /// Everything else that speaks against a release; gives notes for its plan.
    pub fn check(&self, ctx: &Context, preflight: &mut Preflight) -> Vec<String> {
        let services = self.services.iter().map(|(_, service)| service);
        let mut notes: Vec<String> = services.clone().filter_map(RailwayService::note).collect();
        for (frontend, project) in &self.projects {
            check_project(ctx, frontend, project, preflight);
        }
        let accepted = !ctx.env().protected || accepted_in_words(ctx);
        let projects = self.projects.iter().map(|(_, project)| project);
        for who in others_who_deploy(services, projects) {
            preflight.require(accepted, || format!("{who} ({HOW_TO_ACCEPT})"));
            if accepted {
                notes.push(who);
            }
        }
        notes
    }
}

/// Who deploys to an environment beside this program, and how that is ended: each once.
pub fn others_who_deploy<'a>(
    services: impl Iterator<Item = &'a RailwayService>,
    projects: impl Iterator<Item = &'a VercelProject>,
) -> Vec<String> {
    let backends = services.filter_map(RailwayService::connected_repository).map(|repository| {
        format!(
            "Railway deploys each push to {repository} by itself, before approval and backup and over a rollback: \
             disconnect it (railway service source disconnect)"
        )
    });
    let frontends = projects.filter_map(VercelProject::git_deploys).map(|repository| {
        format!(
            "Vercel deploys each push to {repository} by itself, before approval and over a rollback: disconnect it, or \
             switch off \"Auto-assign Custom Production Domains\""
        )
    });
    let mut others: Vec<String> = Vec::new();
    for who in backends.chain(frontends) {
        if !others.contains(&who) {
            others.push(who);
        }
    }
    others
}

/// What an environment may have and this one has not.
pub fn absent(ctx: &Context) -> Vec<String> {
    let environment = ctx.env();
    let absent = [
        (environment.backends.is_empty(), "no backend is part of a release"),
        (
            environment.frontends.is_empty(),
            "no frontend is part of a release",
        ),
        (
            environment.mongodb.is_none(),
            "no database is part of a release: no backup is taken, and a rollback restores none",
        ),
    ];
    let absent = absent.into_iter().filter(|(is_absent, _)| *is_absent);
    absent.map(|(_, what)| what.to_owned()).collect()
}

const HOW_TO_ACCEPT: &str = "or accept it in pipeline.toml: others_deploy = \"why\"";

/// Whether a setting accepts in words that others deploy.
pub fn accepted_in_words(ctx: &Context) -> bool {
    let words = ctx.env().others_deploy.as_deref().unwrap_or_default();
    !words.trim().is_empty()
}

fn check_project(
    ctx: &Context,
    frontend: &FrontendConfig,
    project: &VercelProject,
    preflight: &mut Preflight,
) {
    preflight.require(!project.rolls_out(), || {
        "the project on Vercel has rolling releases: a promotion would move a part of the users only (disable them: \
         Settings, Build and Deployment)"
            .into()
    });
    match frontend.vercel().and_then(|vercel| vercel.protection_bypass.as_ref()) {
        Some(name) => drop(preflight.check("the protection bypass", ctx.secret(name))),
        None => preflight.require(!project.protects_staged(), || {
            "the addresses of Vercel's deployments ask for a login: a staged frontend cannot be checked (make a secret for \
             \"Protection Bypass for Automation\" and name its variable: protection_bypass)"
                .into()
        }),
    }
}
