//! The parts that a rollback moves, and what their platforms let it do.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::RollbackTarget;
use super::backend::{Backend, BackendBack};
use super::facts::OfPlatforms;
use crate::config::BackendConfig;
use crate::context::{Context, PIPELINE_FILE};
use crate::domain::parts::{OnRailway, ReleaseParts, about};
use crate::domain::release::Release;
use crate::domain::step::Step;
use crate::operation::preflight::Preflight;
use crate::release::releases::Releases;
use crate::report;
use crate::tools::railway::RailwayService;

/// The parts of the target that are still configured, and those that it has not.
pub(super) struct Targets {
    pub target: ReleaseParts,
    pub stays: Option<ReleaseParts>,
    notes: Vec<String>,
}

impl Targets {
    pub(super) fn of(ctx: &Context, target: &Release, from: &Release) -> Self {
        let environment = ctx.env();
        let is_backend = |name: &String| environment.backends.iter().any(|part| part.name == *name);
        let is_frontend = |name: &String| environment.frontends.iter().any(|part| part.name == *name);
        let mut notes = Vec::new();
        let mut parts = target.parts.clone();
        let gone: Vec<String> = parts
            .backends
            .keys()
            .filter(|name| !is_backend(name))
            .chain(parts.frontends.keys().filter(|name| !is_frontend(name)))
            .cloned()
            .collect();
        notes.extend(gone.iter().map(|name| {
            format!(
                "{} has the part {name}, which {PIPELINE_FILE} has not any more: nothing is done about it",
                target.tag
            )
        }));
        parts.backends.retain(|name, _| is_backend(name));
        parts.frontends.retain(|name, _| is_frontend(name));
        let mut stays = from.parts.clone().built_from(&from.commit);
        stays
            .backends
            .retain(|name, _| is_backend(name) && !parts.backends.contains_key(name));
        stays
            .frontends
            .retain(|name, _| is_frontend(name) && !parts.frontends.contains_key(name));
        notes.extend(
            stays
                .backends
                .keys()
                .chain(stays.frontends.keys())
                .map(|name| format!("{} has no part {name}: it stays as it is", target.tag)),
        );
        let mut projects = environment
            .frontends
            .iter()
            .filter(|part| part.vercel().is_some());
        if projects.any(|part| parts.frontends.contains_key(&part.name)) {
            let note = "after this, Vercel assigns the domain to no new deployment until the next deploy";
            notes.push(note.to_owned());
        }
        Self {
            target: parts,
            stays: Some(stays).filter(|stays| !stays.is_empty()),
            notes,
        }
    }
}

/// What the platforms let a rollback do.
pub(super) struct CheckedPlatforms {
    pub backends: BTreeMap<String, BackendBack>,
    pub services: Vec<(BackendConfig, RailwayService)>,
    pub notes: Vec<String>,
    /// Whether something else serves than what was recorded.
    pub has_drift: bool,
}

pub(super) fn check_platforms(
    parts: &Targets,
    target: &Release,
    releases: &Releases,
    wanted: &RollbackTarget<'_>,
    platforms: Result<OfPlatforms>,
    preflight: &mut Preflight,
) -> CheckedPlatforms {
    let mut checked = CheckedPlatforms {
        backends: BTreeMap::new(),
        services: Vec::new(),
        notes: parts.notes.clone(),
        has_drift: false,
    };
    let image = |to: &OnRailway| BackendBack {
        how: Backend::Image,
        to: to.clone(),
    };
    let backends = parts.target.backends.iter();
    checked.backends = backends.map(|(name, to)| (name.clone(), image(to))).collect();
    let Some(platforms) = preflight.check("the platforms", platforms) else {
        return checked;
    };
    checked.notes.extend(platforms.others);
    if let Some(serving) = preflight.check("what serves now", platforms.serving) {
        let drift = releases.require_no_drift(&serving, wanted.allow_drift, preflight);
        checked.has_drift = !drift.is_empty();
        checked.notes.extend(drift);
    }
    for (name, frontend) in platforms.frontends {
        if let Some(frontend) = preflight.check(&about("the target's frontend", &name), frontend) {
            preflight.require(frontend.is_promotable(), || {
                format!(
                    "{} {} of {} is {}",
                    about("the frontend", &name),
                    frontend.id,
                    target.tag,
                    frontend.ready_state
                )
            });
        }
    }
    let took_ms = target.took_ms(Step::BackendServes);
    let took = took_ms.map_or_else(String::new, |ms| {
        format!(" (it took {})", report::duration_ms(ms))
    });
    for one in platforms.backends {
        let name = &one.config.name;
        preflight.check(&about("the backend's token", name), one.token);
        let service = preflight.check(&about("the service on Railway", name), one.service);
        let recorded = target.parts.backends.get(name).map(|to| &to.settings);
        let settings = service.as_ref().map(RailwayService::settings);
        checked
            .services
            .extend(service.map(|service| (one.config.clone(), service)));
        if one.image_kept && !one.rollback_refused {
            continue;
        }
        let why = if one.image_kept {
            about(
                "Railway does not let this token roll back to an image: the backend",
                name,
            )
        } else {
            format!("{} image is gone: it", about("the backend's", name))
        };
        checked.notes.push(format!(
            "{why} is rebuilt from the tag, which takes as long as its deploy did{took}"
        ));
        if let (Some(recorded), Some(settings)) = (recorded, &settings) {
            checked.notes.extend(set_otherwise(
                &about("the service on Railway", name),
                recorded,
                settings,
            ));
        }
        if let Some(back) = checked.backends.get_mut(name) {
            back.how = Backend::Rebuild;
        }
    }
    checked
}

/// In what a service is not set as when the release was built: a rebuild takes what it is set to now. Releases of earlier versions
/// recorded no settings.
fn set_otherwise(
    what: &str,
    recorded: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<String> {
    let names: BTreeSet<&String> = recorded.keys().chain(now.keys()).collect();
    let shown =
        |value: Option<&String>| value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
    let differ = names
        .into_iter()
        .filter(|name| recorded.get(*name) != now.get(*name));
    let differ: Vec<String> = differ
        .map(|name| {
            format!(
                "{name} is {}, was {}",
                shown(now.get(name)),
                shown(recorded.get(name))
            )
        })
        .collect();
    (!recorded.is_empty() && !differ.is_empty()).then(|| {
        format!(
            "{what} is not set as when the release was built, and the new build takes these settings: {}",
            differ.join("; ")
        )
    })
}
