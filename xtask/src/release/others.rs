//! Settings of the platforms that stand in the way of a release, and others who deploy: a connected repository deploys each
//! push before its approval, without a backup, and over a rollback.

use super::checkout::Checkout;
use super::platforms::Platforms;
use crate::context::Context;
use crate::operation::preflight::Preflight;
use crate::tools::railway::RailwayService;
use crate::tools::vercel::VercelProject;

/// How both platforms are set; `None` where one could not be asked, which is a problem of the preflight.
#[derive(Debug, Default)]
pub struct Settings {
    service: Option<RailwayService>,
    project: Option<VercelProject>,
}

impl Settings {
    /// Asks both platforms.
    pub fn ask(platforms: &Platforms, preflight: &mut Preflight) -> Self {
        Self {
            service: preflight.check("the service on Railway", platforms.railway.service()),
            project: preflight.check("the project on Vercel", platforms.vercel.project()),
        }
    }

    /// Both platforms must find the folders of the commit that they build.
    pub fn check_folders(&self, ctx: &Context, checkout: &Checkout, preflight: &mut Preflight) {
        if let Some(service) = &self.service {
            preflight.check("the backend's folder", checkout.backend(ctx, service));
        }
        if let Some(project) = &self.project {
            preflight.check("the frontend's folder", checkout.frontend(ctx, project));
        }
    }

    /// Everything else that speaks against a release; gives notes for its plan.
    pub fn check(&self, ctx: &Context, preflight: &mut Preflight) -> Vec<String> {
        let mut notes: Vec<String> = self.service.iter().filter_map(RailwayService::note).collect();
        if let Some(project) = &self.project {
            check_project(ctx, project, preflight);
        }
        let accepted = !ctx.env().protected || accepted_in_words(ctx);
        for who in others_who_deploy(self.service.as_ref(), self.project.as_ref()) {
            preflight.require(accepted, || format!("{who} ({HOW_TO_ACCEPT})"));
            if accepted {
                notes.push(who);
            }
        }
        notes
    }
}

/// Who deploys to an environment beside this program, and how that is ended.
pub fn others_who_deploy(service: Option<&RailwayService>, project: Option<&VercelProject>) -> Vec<String> {
    let backend = service.and_then(RailwayService::connected_repository).map(|repository| {
        format!(
            "Railway deploys each push to {repository} by itself, before approval and backup and over a rollback: \
             disconnect it (railway service source disconnect)"
        )
    });
    let frontend = project.and_then(VercelProject::git_deploys).map(|repository| {
        format!(
            "Vercel deploys each push to {repository} by itself, before approval and over a rollback: disconnect it, or \
             switch off \"Auto-assign Custom Production Domains\""
        )
    });
    backend.into_iter().chain(frontend).collect()
}

const HOW_TO_ACCEPT: &str = "or accept it in pipeline.toml: others_deploy = \"why\"";

/// Whether a setting accepts in words that others deploy.
pub fn accepted_in_words(ctx: &Context) -> bool {
    let words = ctx.env().others_deploy.as_deref().unwrap_or_default();
    !words.trim().is_empty()
}

fn check_project(ctx: &Context, project: &VercelProject, preflight: &mut Preflight) {
    preflight.require(!project.rolls_out(), || {
        "the project on Vercel has rolling releases: a promotion would move a part of the users only (disable them: \
         Settings, Build and Deployment)"
            .into()
    });
    match &ctx.env().vercel.protection_bypass {
        Some(name) => drop(preflight.check("the protection bypass", ctx.secret(name))),
        None => preflight.require(!project.protects_staged(), || {
            "the addresses of Vercel's deployments ask for a login: a staged frontend cannot be checked (make a secret for \
             \"Protection Bypass for Automation\" and name its variable: protection_bypass)"
                .into()
        }),
    }
}
