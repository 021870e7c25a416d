//! How each collection is restored: put back in place, where little of it differs and that is safe, or whole beside the live one
//! and swapped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::delta_choice::DeltaCounts;
use super::preview::{CollectionLoss, LossPreview};
use crate::domain::inventory::{CollectionFacts, Inventory};
use crate::domain::manifest::NamespaceKind;

/// The most that is put back in place: all of it is in memory.
pub(super) const MAX_DOCUMENTS: u64 = 100_000;
pub(super) const MAX_BYTES: u64 = 128 << 20;
/// The most of one transaction: a server ends one after 60 s (`transactionLifetimeLimitSeconds`), and keeps all of it in memory.
pub(super) const TRANSACTION_DOCUMENTS: usize = 20_000;
pub(super) const TRANSACTION_BYTES: usize = 48 << 20;
/// A smaller collection is restored whole within a second.
const MIN_BYTES: u64 = 1 << 20;
/// In place a document costs several searches by `_id` and a round trip: so many times as much as one that is loaded.
const DOCUMENT_COST: u64 = 10;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreMethod {
    /// In place where it is safe and faster, otherwise whole
    #[default]
    Auto,
    /// In place wherever it is safe
    Delta,
    /// Every collection whole
    Swap,
}

/// How one collection is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionMethod {
    pub collection: String,
    /// `delta` or `swap`.
    pub method: &'static str,
    pub reason: String,
    /// Documents that are put back; of a swap all of the backup.
    pub documents: u64,
}

impl CollectionMethod {
    pub(super) fn is_delta(&self) -> bool {
        self.method == "delta"
    }
}

/// The collections that are put back in place.
pub(super) fn in_place(methods: &[CollectionMethod]) -> BTreeSet<String> {
    let delta = methods.iter().filter(|method| method.is_delta());
    delta.map(|method| method.collection.clone()).collect()
}

/// Chooses for each collection of the backup.
pub(super) fn choose(
    wanted: RestoreMethod,
    backup: &Inventory,
    live: &Inventory,
    loss: &LossPreview,
    has_transactions: bool,
) -> Vec<CollectionMethod> {
    let collections = backup.collections.iter();
    let mut left = Budget::default();
    collections
        .filter(|(_, facts)| facts.kind == NamespaceKind::Collection)
        .map(|(name, facts)| {
            let own = loss.collections.iter().find(|own| own.collection == *name);
            let refused = refusal(wanted, loss, has_transactions)
                .map(str::to_owned)
                .or_else(|| unfit(facts, live.collections.get(name)))
                .or_else(|| left.too_much(facts, own))
                .or_else(|| slower(wanted, facts, own));
            let documents = counts(own).documents();
            let (method, reason, documents) = match refused {
                Some(reason) => ("swap", reason, facts.documents),
                None if documents == 0 => ("delta", "every document is as in the backup".to_owned(), 0),
                None => (
                    "delta",
                    format!("{documents} of {} documents differ", facts.documents),
                    documents,
                ),
            };
            CollectionMethod {
                collection: name.clone(),
                method,
                reason,
                documents,
            }
        })
        .collect()
}

fn refusal(wanted: RestoreMethod, loss: &LossPreview, has_transactions: bool) -> Option<&'static str> {
    if wanted == RestoreMethod::Swap {
        return Some("chosen by --method");
    }
    if !loss.exact {
        return Some("nobody compared its documents (--delta)");
    }
    (!has_transactions).then_some("the server is no replica set: it has no transactions")
}

/// Why documents of the collection cannot be put back in place, whatever they are.
pub(super) fn unfit(backup: &CollectionFacts, live: Option<&CollectionFacts>) -> Option<String> {
    let Some(live) = live else {
        return Some("it is not live".to_owned());
    };
    if live.kind != NamespaceKind::Collection {
        return Some("what is live is no collection".to_owned());
    }
    if live.options != backup.options {
        return Some("its options are not the backup's".to_owned());
    }
    if live.indexes != backup.indexes {
        return Some("its indexes are not the backup's".to_owned());
    }
    let option = [
        "capped",
        "clusteredIndex",
        "collation",
        "timeseries",
        "encryptedFields",
    ];
    let option = option.into_iter().find(|name| backup.options.contains_key(*name));
    option.map(|name| format!("it has the option `{name}`"))
}

/// Whether the order in which documents are put back matters: then all must be in one transaction.
pub(super) fn has_unique_index(facts: &CollectionFacts) -> bool {
    facts
        .indexes
        .values()
        .any(|index| index.get("unique").is_some_and(|unique| *unique == true))
}

fn counts(lost: Option<&CollectionLoss>) -> DeltaCounts {
    lost.map_or_else(DeltaCounts::default, |lost| DeltaCounts {
        created: lost.created.documents,
        changed: lost.changed.documents,
        deleted: lost.deleted.documents,
    })
}

/// What the collections before have used of what fits.
#[derive(Default)]
struct Budget {
    documents: u64,
    bytes: u64,
}

impl Budget {
    fn too_much(&mut self, facts: &CollectionFacts, lost: Option<&CollectionLoss>) -> Option<String> {
        let documents = counts(lost).documents();
        // Of a changed document both states.
        let bytes = lost.map_or(0, |lost| {
            lost.created.bytes + 2 * lost.changed.bytes + lost.deleted.bytes
        });
        let (all, all_bytes) = (self.documents + documents, self.bytes + bytes);
        if all > MAX_DOCUMENTS || all_bytes > MAX_BYTES {
            return Some(format!(
                "{documents} documents differ: more than is put back in place"
            ));
        }
        let in_one = all <= TRANSACTION_DOCUMENTS as u64 && all_bytes <= TRANSACTION_BYTES as u64;
        if has_unique_index(facts) && !in_one {
            return Some(format!(
                "{documents} documents differ: more than one transaction holds, and it has a unique index"
            ));
        }
        (self.documents, self.bytes) = (all, all_bytes);
        None
    }
}

/// Whether restoring the whole is as fast: in documents that must be written, with what each costs.
fn slower(wanted: RestoreMethod, facts: &CollectionFacts, lost: Option<&CollectionLoss>) -> Option<String> {
    let documents = counts(lost).documents();
    // What nothing differs in is left alone, however small it is.
    if wanted == RestoreMethod::Delta || documents == 0 {
        return None;
    }
    if facts.bytes < MIN_BYTES {
        return Some("it is small".to_owned());
    }
    (documents * DOCUMENT_COST > facts.documents).then(|| {
        format!(
            "{documents} of {} documents differ: restoring all of it is faster",
            facts.documents
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::preview::{DocumentCount, LossDetail};
    use super::*;

    fn facts(documents: u64, bytes: u64) -> CollectionFacts {
        CollectionFacts {
            kind: NamespaceKind::Collection,
            documents,
            bytes,
            indexes: BTreeMap::new(),
            options: BTreeMap::new(),
            content_digest: None,
            order: None,
        }
    }

    fn loss(changed: u64, bytes: u64) -> LossPreview {
        let lost = CollectionLoss {
            collection: "users".into(),
            created: DocumentCount::default(),
            changed: DocumentCount {
                documents: changed,
                bytes,
            },
            deleted: DocumentCount::default(),
            examples: Vec::new(),
        };
        LossPreview {
            collections: vec![lost],
            structure: Vec::new(),
            delta: LossDetail::Full,
            exact: true,
            scope: Vec::new(),
            time_series: Vec::new(),
        }
    }

    fn method(
        wanted: RestoreMethod,
        backup: &CollectionFacts,
        live: &CollectionFacts,
        loss: &LossPreview,
    ) -> (&'static str, String) {
        let of = |facts: &CollectionFacts| Inventory {
            collections: BTreeMap::from([("users".to_owned(), facts.clone())]),
        };
        let chosen = choose(wanted, &of(backup), &of(live), loss, true).remove(0);
        (chosen.method, chosen.reason)
    }

    #[test]
    fn little_of_much_is_put_back_in_place_and_everything_else_is_swapped() {
        use RestoreMethod::{Auto, Delta, Swap};
        let large = facts(100_000, 50 << 20);
        let small = facts(100, 50_000);
        for (wanted, facts, changed, expected) in [
            (Auto, &large, 12, "delta"),
            (Auto, &large, 10_001, "swap"),
            (Delta, &large, 50_000, "delta"),
            (Swap, &large, 12, "swap"),
            (Auto, &small, 1, "swap"),
            (Auto, &small, 0, "delta"),
            (Delta, &small, 100, "delta"),
        ] {
            let (found, reason) = method(wanted, facts, facts, &loss(changed, changed * 500));
            assert_eq!(found, expected, "{wanted:?} {changed}: {reason}");
        }
        let mut unique = large.clone();
        unique.indexes.insert("email".into(), json!({ "unique": true }));
        assert_eq!(method(Delta, &unique, &unique, &loss(20_001, 1)).0, "swap");
        assert_eq!(method(Delta, &unique, &unique, &loss(20_000, 1)).0, "delta");
        assert!(method(Auto, &unique, &large, &loss(1, 1)).1.contains("indexes"));
        let mut capped = large.clone();
        capped.options.insert("capped".into(), json!(true));
        assert!(method(Delta, &capped, &capped, &loss(1, 1)).1.contains("capped"));
        assert!(method(Delta, &large, &capped, &loss(1, 1)).1.contains("options"));
        assert!(
            method(Delta, &large, &large, &loss(2, MAX_BYTES))
                .1
                .contains("more than")
        );
        let mut counted = loss(1, 1);
        counted.exact = false;
        assert!(method(Delta, &large, &large, &counted).1.contains("compared"));
    }

    #[test]
    fn without_transactions_or_a_live_collection_it_is_swapped() {
        let of = Inventory {
            collections: BTreeMap::from([("users".to_owned(), facts(100_000, 50 << 20))]),
        };
        let chosen = choose(RestoreMethod::Delta, &of, &of, &loss(1, 1), false);
        assert!(chosen[0].reason.contains("no transactions") && !chosen[0].is_delta());
        let chosen = choose(
            RestoreMethod::Delta,
            &of,
            &Inventory::default(),
            &loss(1, 1),
            true,
        );
        assert!(chosen[0].reason.contains("not live"));
    }
}
