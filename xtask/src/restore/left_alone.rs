//! What a restore of named collections leaves alone, and the cheap proof that it did: no document of them is read.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use mongodb::bson::Bson;
use serde::{Deserialize, Serialize};

use super::context::Restore;
use super::journal::{RestoreStep, SwapPlan};
use super::selection::Selection;
use crate::database::{Digests, Listed};
use crate::domain::inventory::{Inventory, is_application};
use crate::domain::manifest::NamespaceKind;

/// The collections and views beside the named ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftAlone {
    /// How many there are now.
    pub collections: u64,
    /// In what they are not as before the swap, in words: others wrote to them, created or dropped them.
    pub changed_since: Vec<String>,
}

impl LeftAlone {
    /// For people.
    pub fn text(&self) -> String {
        let same = "each is the collection that it was, with its indexes, options and number of documents";
        let mut text = format!("left alone: {} other collections and views", self.collections);
        if self.changed_since.is_empty() {
            return format!("{text}; {same}");
        }
        text.push_str("; changed by others since the swap began: ");
        text.push_str(&self.changed_since.join("; "));
        text
    }
}

impl Restore<'_> {
    /// Refuses a plan that has a step for a collection which is not to be restored.
    pub(super) fn require_selected(&self, plan: &SwapPlan) -> Result<()> {
        let named = plan.steps.iter().filter_map(|step| match step {
            RestoreStep::RenameToPrevious { collection: name }
            | RestoreStep::PromoteShadow { collection: name }
            | RestoreStep::SetExpiry { collection: name, .. }
            | RestoreStep::DropView { view: name, .. }
            | RestoreStep::CreateView { view: name, .. } => Some(name),
            RestoreStep::PutBack { .. } => None,
        });
        for name in named.chain(plan.delta.collections.keys()) {
            ensure!(
                self.selection.has(name),
                "the plan of the swap has a step for `{name}`, which is not among the named collections"
            );
        }
        Ok(())
    }

    /// Compares what is not restored with what it was before the swap: identity, kind, indexes, options and number of
    /// documents as the server states it. `None` where everything is restored.
    pub(super) fn left_alone(&self, plan: &SwapPlan) -> Result<Option<LeftAlone>> {
        if self.selection.is_all() {
            return Ok(None);
        }
        let other = |name: &str| is_application(name) && !self.selection.has(name);
        let mut before = plan.before.clone();
        before.collections.retain(|name, _| other(name));
        let found = self
            .live
            .inventory_of(Digests::None, |name| other(name).then(|| name.to_owned()))?;
        let replaced = replaced(
            &plan.identities,
            &identities(&self.live.listed()?, &self.selection),
        );
        Ok(Some(changes(&before, &found, replaced)))
    }
}

fn changes(before: &Inventory, found: &Inventory, replaced: Vec<String>) -> LeftAlone {
    let differences = before.compare(found);
    let texts = differences.iter().map(ToString::to_string);
    LeftAlone {
        collections: found.collections.len() as u64,
        changed_since: texts.chain(replaced).collect(),
    }
}

/// The server's own number of each collection that is not restored: another one of the same name has another number. Empty
/// where the server lists none.
pub(super) fn identities(
    listed: &BTreeMap<String, Listed>,
    selection: &Selection,
) -> BTreeMap<String, String> {
    let others = listed
        .iter()
        .filter(|(name, _)| is_application(name) && !selection.has(name));
    others
        .filter_map(|(name, listed)| Some((name.clone(), listed.identity.clone()?)))
        .collect()
}

fn replaced(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let both = before
        .iter()
        .filter_map(|(name, was)| Some((name, was, now.get(name)?)));
    both.filter(|(_, was, is)| was != is)
        .map(|(name, ..)| format!("`{name}`: another collection has this name now"))
        .collect()
}

/// The live views that show what is restored, each with a restored collection that it reads: directly, through another view, or
/// by a stage of its pipeline. They stay as they are.
pub(super) fn dependent_views(
    listed: &BTreeMap<String, Listed>,
    selection: &Selection,
) -> Vec<(String, String)> {
    let views: Vec<(&String, BTreeSet<String>)> = listed
        .iter()
        .filter(|(name, listed)| listed.kind == NamespaceKind::View && !selection.has(name))
        .map(|(name, listed)| (name, sources(listed)))
        .collect();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let before = found.len();
        for (view, sources) in &views {
            let through = |source: &String| {
                let restored = selection.has(source).then(|| source.clone());
                restored.or_else(|| found.get(source).cloned())
            };
            if let Some(restored) = sources.iter().find_map(through) {
                found.entry((*view).clone()).or_insert(restored);
            }
        }
        if found.len() == before {
            return found.into_iter().collect();
        }
    }
}

/// What a view reads: its source, and the collections that stages of its pipeline name.
fn sources(view: &Listed) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Ok(source) = view.options.get_str("viewOn") {
        found.insert(source.to_owned());
    }
    if let Some(pipeline) = view.options.get("pipeline") {
        add_sources(pipeline, &mut found);
    }
    found
}

fn add_sources(value: &Bson, found: &mut BTreeSet<String>) {
    match value {
        Bson::Array(items) => items.iter().for_each(|item| add_sources(item, found)),
        Bson::Document(fields) => {
            for (name, value) in fields {
                let read = match (name.as_str(), value) {
                    ("$lookup" | "$graphLookup", Bson::Document(stage)) => stage.get_str("from").ok(),
                    ("$unionWith", Bson::Document(stage)) => stage.get_str("coll").ok(),
                    ("$unionWith", Bson::String(collection)) => Some(collection.as_str()),
                    _ => None,
                };
                found.extend(read.map(str::to_owned));
                add_sources(value, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};

    use super::*;

    fn view(name: &str, options: Document) -> (String, Listed) {
        let listed = Listed {
            kind: NamespaceKind::View,
            options,
            identity: None,
        };
        (name.to_owned(), listed)
    }

    #[test]
    fn a_view_depends_on_what_it_reads_however_it_reads_it() {
        let listed = BTreeMap::from([
            view("direct", doc! { "viewOn": "users", "pipeline": [] }),
            view("through", doc! { "viewOn": "joined", "pipeline": [] }),
            view(
                "joined",
                doc! { "viewOn": "orders", "pipeline": [
                    { "$facet": { "a": [{ "$lookup": { "from": "users", "as": "u" } }] } }
                ] },
            ),
            view(
                "united",
                doc! { "viewOn": "orders", "pipeline": [{ "$unionWith": "users" }] },
            ),
            view(
                "united at length",
                doc! { "viewOn": "orders", "pipeline": [{ "$unionWith": { "coll": "users" } }] },
            ),
            view(
                "only a word",
                doc! { "viewOn": "orders", "pipeline": [{ "$match": { "from": "users" } }] },
            ),
        ]);
        let selection: Selection = serde_json::from_str(r#"["users"]"#).unwrap();
        let found = dependent_views(&listed, &selection);
        let names: Vec<&str> = found.iter().map(|(view, _)| view.as_str()).collect();
        assert_eq!(
            names,
            ["direct", "joined", "through", "united", "united at length"]
        );
        assert!(found.iter().all(|(_, restored)| restored == "users"));
    }

    #[test]
    fn a_collection_that_was_replaced_by_one_of_the_same_name_is_reported() {
        let of = |names: &[(&str, &str)]| -> BTreeMap<String, String> {
            let names = names.iter();
            names
                .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
                .collect()
        };
        let before = of(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let now = of(&[("a", "1"), ("b", "9"), ("d", "3")]);
        let replaced = replaced(&before, &now);
        assert_eq!(replaced, ["`b`: another collection has this name now"]);
        let none = Inventory::default();
        let alone = changes(&none, &none, replaced);
        assert!(alone.text().contains("changed by others"), "{}", alone.text());
        assert!(changes(&none, &none, Vec::new()).text().contains("left alone: 0"));
    }
}
