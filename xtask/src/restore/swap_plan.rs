//! Which steps a swap takes, from what is live and what was restored.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use mongodb::bson::Document;

use super::delta_choice::DeltaPlan;
use super::journal::{RestoreStep, SwapPlan};
use super::left_alone::identities;
use super::preflight::blocking_timeseries;
use super::prepare::Prepared;
use crate::backup::expiries;
use crate::database::{Digests, Listed, ViewDefinition, document_of_json, listed_options};
use crate::domain::inventory::is_application;
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::error::catalogue::restore as errors;

/// What the swap will do, from what is live now.
pub(super) fn make(prepared: &Prepared) -> Result<SwapPlan> {
    let live = prepared.restore.live.listed()?;
    let selection = &prepared.restore.selection;
    let blocking_names = blocking_timeseries(
        &live,
        prepared.restore.live.name(),
        &prepared.backup.metadata.namespaces,
        selection,
    );
    ensure!(
        blocking_names.is_empty(),
        errors::timeseries_blocks(blocking_names.join("`, `"))
    );
    let backup: BTreeMap<&str, &NamespaceRecord> = prepared
        .namespaces()
        .map(|n| (n.collection.as_str(), n))
        .collect();
    // Only what is left alone is compared by its number of documents.
    let digests = if selection.is_all() {
        Digests::Structure
    } else {
        Digests::None
    };
    let mut plan = SwapPlan {
        steps: Vec::new(),
        before: prepared.restore.live.inventory(digests)?,
        begun: Some(Utc::now()),
        identities: if selection.is_all() {
            BTreeMap::new()
        } else {
            identities(&live, selection)
        },
        delta: DeltaPlan::default(),
    };
    let selected = |name: &String| is_application(name) && selection.has(name);
    for (name, listed) in live.iter().filter(|(name, _)| selected(name)) {
        let wanted = backup.get(name.as_str());
        let definition = ViewDefinition {
            options: listed.options.clone(),
        };
        match listed.kind {
            NamespaceKind::View => {
                let same = wanted.is_some_and(|w| {
                    w.kind == NamespaceKind::View && view_of(w).is_ok_and(|v| is_view(listed, &v))
                });
                if !same {
                    plan.steps.push(RestoreStep::DropView {
                        view: name.clone(),
                        definition,
                    });
                }
            }
            NamespaceKind::Collection if wanted.is_none_or(|w| w.kind != NamespaceKind::Collection) => {
                plan.steps.push(RestoreStep::RenameToPrevious {
                    collection: name.clone(),
                });
            }
            // It is renamed just before its successor is promoted; time-series collections stay.
            NamespaceKind::Collection | NamespaceKind::Timeseries => {}
        }
    }
    for (name, record) in &backup {
        if record.kind == NamespaceKind::Collection && prepared.restore.is_swapped(name) {
            let collection = (*name).to_owned();
            if live
                .get(*name)
                .is_some_and(|l| l.kind == NamespaceKind::Collection)
            {
                plan.steps.push(RestoreStep::RenameToPrevious {
                    collection: collection.clone(),
                });
            }
            plan.steps.push(RestoreStep::PromoteShadow { collection });
        }
    }
    for (name, record) in &backup {
        if record.kind == NamespaceKind::View {
            let (view, definition) = ((*name).to_owned(), view_of(record)?);
            // One that stays as it is must not be dropped by an undo either.
            let there = live.get(*name).is_some_and(|l| is_view(l, &definition));
            if !there {
                plan.steps.push(RestoreStep::CreateView { view, definition });
            }
        }
        // What stays in its place has its expiries.
        let swapped = prepared.restore.is_swapped(name);
        for (index, expire_after_s) in expiries(record)?.into_iter().filter(|_| swapped) {
            plan.steps.push(RestoreStep::SetExpiry {
                collection: (*name).to_owned(),
                index,
                expire_after_s,
            });
        }
    }
    Ok(plan)
}

/// Whether it is a view of this definition, however numbers are spelled.
fn is_view(listed: &Listed, definition: &ViewDefinition) -> bool {
    let text = |options: &Document| text(&listed_options(options));
    listed.kind == NamespaceKind::View && text(&listed.options) == text(&definition.options)
}

/// As text: in a pipeline the order of keys matters.
fn text(options: &BTreeMap<String, serde_json::Value>) -> String {
    options.iter().fold(String::new(), |text, (name, value)| {
        format!("{text}{name}:{value},")
    })
}

/// The plan with what is put back in place: that comes first, because it may still be refused as long as nothing is renamed.
pub(super) fn with_delta(mut plan: SwapPlan, delta: DeltaPlan) -> SwapPlan {
    let batches = (0..delta.batches).map(|batch| RestoreStep::PutBack { batch });
    plan.steps.splice(0..0, batches);
    plan.delta = delta;
    plan
}

fn view_of(record: &NamespaceRecord) -> Result<ViewDefinition> {
    let options =
        document_of_json(&record.options).with_context(|| format!("the view `{}`", record.name()))?;
    Ok(ViewDefinition { options })
}
