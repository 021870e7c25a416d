//! Settings of the platforms that stand in the way of a release, and others who deploy: a connected repository deploys each
//! push before its approval, without a backup, and over a rollback.

use anyhow::Result;

use super::checkout::Checkout;
use super::platforms::{Platforms, Serving};
use super::releases::Releases;
use crate::context::Context;
use crate::domain::release::Release;
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
        let accepted = accepted(ctx);
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

/// Whether a setting accepts it in words, or nobody is protected from it.
fn accepted(ctx: &Context) -> bool {
    let environment = ctx.env();
    let words = environment.others_deploy.as_deref().unwrap_or_default();
    !environment.protected || !words.trim().is_empty()
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

/// What serves now and is not the last release, as notes; a deployment that no release of ours made stops a deploy.
pub fn drift(
    ctx: &Context,
    platforms: &Platforms,
    serving: &Serving,
    last: &Release,
    releases: &Releases,
    preflight: &mut Preflight,
) -> Vec<String> {
    let drift = serving.drift_from(last);
    if !drift.is_empty() && !accepted(ctx) {
        let strangers = strangers(platforms, serving, releases);
        for stranger in preflight
            .check("who made what serves", strangers)
            .unwrap_or_default()
        {
            preflight.require(false, || {
                format!("drift: {stranger}: find out who deployed it, and release it or bring the last release back ({HOW_TO_ACCEPT})")
            });
        }
    }
    drift.into_iter().map(|drift| format!("drift: {drift}")).collect()
}

/// Deployments that serve and that neither a record nor the platform's own notes name as ours.
fn strangers(platforms: &Platforms, serving: &Serving, releases: &Releases) -> Result<Vec<String>> {
    let mut strangers = Vec::new();
    if let Some(backend) = &serving.backend {
        let recorded = releases.all.iter().any(|release| {
            let image = &release.railway.image_digest;
            release.railway.deployment == backend.id
                || (image.is_some() && image.as_deref() == backend.image_digest())
        });
        if !recorded && !backend.is_ours() {
            strangers.push(format!(
                "the backend serves {}, which no release made",
                backend.id
            ));
        }
    }
    if let Some(frontend) = &serving.frontend {
        let recorded = releases
            .all
            .iter()
            .any(|release| release.vercel.deployment == frontend.id);
        if !recorded && !platforms.vercel.is_ours(&frontend.id)? {
            strangers.push(format!(
                "the frontend serves {}, which no release made",
                frontend.id
            ));
        }
    }
    Ok(strangers)
}
