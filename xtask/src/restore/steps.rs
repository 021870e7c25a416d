//! Which steps a swap takes, from what is live and what was restored.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use chrono::Utc;
use mongodb::bson::Document;

use super::copy::expiries;
use super::prepare::{Prepared, document};
use super::record::{Step, SwapPlan};
use crate::database::{Digests, Listed, ViewDefinition};
use crate::domain::inventory::{self, is_application, normal_options};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};

/// What the swap will do, from what is live now.
pub(super) fn plan(prepared: &Prepared) -> Result<SwapPlan> {
    let live = prepared.live.listed()?;
    let backup: BTreeMap<&str, &NamespaceRecord> = prepared
        .namespaces()
        .map(|n| (n.collection.as_str(), n))
        .collect();
    let mut plan = SwapPlan {
        steps: Vec::new(),
        before: prepared.live.inventory(Digests::None)?,
        begun: Some(Utc::now()),
    };
    for (name, listed) in live.iter().filter(|(name, _)| is_application(name)) {
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
                    plan.steps.push(Step::DropView {
                        view: name.clone(),
                        definition,
                    });
                }
            }
            NamespaceKind::Collection if wanted.is_none_or(|w| w.kind != NamespaceKind::Collection) => {
                plan.steps.push(Step::Aside {
                    collection: name.clone(),
                });
            }
            // Goes aside just before its successor comes; time-series collections stay.
            NamespaceKind::Collection | NamespaceKind::Timeseries => {}
        }
    }
    for (name, record) in &backup {
        if record.kind == NamespaceKind::Collection {
            let collection = (*name).to_owned();
            if live
                .get(*name)
                .is_some_and(|l| l.kind == NamespaceKind::Collection)
            {
                plan.steps.push(Step::Aside {
                    collection: collection.clone(),
                });
            }
            plan.steps.push(Step::Bring { collection });
        }
    }
    for (name, record) in &backup {
        if record.kind == NamespaceKind::View {
            let (view, definition) = ((*name).to_owned(), view_of(record)?);
            // One that stays as it is must not be dropped by an undo either.
            let there = live.get(*name).is_some_and(|l| is_view(l, &definition));
            if !there {
                plan.steps.push(Step::MakeView { view, definition });
            }
        }
        for (index, expire_after_s) in expiries(record)? {
            plan.steps.push(Step::ArmExpiry {
                collection: (*name).to_owned(),
                index,
                expire_after_s,
            });
        }
    }
    Ok(plan)
}

/// Whether it is a view of this definition, however numbers are spelt.
fn is_view(listed: &Listed, definition: &ViewDefinition) -> bool {
    let plain = |options: &Document| {
        serde_json::to_value(options).map(|value| normal_options(&inventory::plain(&value)))
    };
    let own = plain(&listed.options);
    listed.kind == NamespaceKind::View
        && matches!((own, plain(&definition.options)), (Ok(own), Ok(wanted)) if text(&own) == text(&wanted))
}

/// As text: in a pipeline the order of keys matters.
fn text(options: &BTreeMap<String, serde_json::Value>) -> String {
    options.iter().fold(String::new(), |text, (name, value)| {
        format!("{text}{name}:{value},")
    })
}

fn view_of(record: &NamespaceRecord) -> Result<ViewDefinition> {
    let options = document(&record.options).with_context(|| format!("the view `{}`", record.name()))?;
    Ok(ViewDefinition { options })
}
