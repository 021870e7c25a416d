//! What a database holds, as facts that can be compared: between a backup and a live database, or before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::content_digest::ContentDigest;
use super::index_options;
use super::manifest::NamespaceKind;
use super::restore_name;

/// Whether a collection belongs to the server.
pub fn is_system_collection(collection: &str) -> bool {
    collection.starts_with("system.")
}

/// Holds the lock of an operation that runs without the ledger.
pub const EMERGENCY_COLLECTION: &str = "__xtask_emergency";

/// Has the marks by which a backup finds the end of what changed while it was taken. It exists for a moment only.
pub const MARK_COLLECTION: &str = "__xtask_mark";

/// Whether the name is one that only an operation gives: it carries the id of a restore, or is that of the emergency lock or
/// of a backup's mark.
pub fn is_reserved(collection: &str) -> bool {
    [EMERGENCY_COLLECTION, MARK_COLLECTION].contains(&collection) || restore_name::parse(collection).is_some()
}

/// Whether a collection is data of the application: it neither belongs to the server nor was left by a restore.
pub fn is_application(collection: &str) -> bool {
    !is_system_collection(collection) && !is_reserved(collection)
}

/// All collections and views of one database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    pub collections: BTreeMap<String, CollectionFacts>,
}

/// One collection or view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionFacts {
    pub kind: NamespaceKind,
    pub documents: u64,
    /// Bytes of the raw documents.
    pub bytes: u64,
    /// By name, normalised.
    pub indexes: BTreeMap<String, Value>,
    /// By name, normalised.
    pub options: BTreeMap<String, Value>,
    /// Not known where nobody read the documents, and for views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<ContentDigest>,
    /// Checksum of the documents in their order, of a capped collection whose documents were read: it is read in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

impl CollectionFacts {
    /// The same with one more document.
    pub fn add(&mut self, document: &[u8]) {
        self.content_digest.get_or_insert_default().add(document);
        self.documents += 1;
        self.bytes += document.len() as u64;
    }

    /// The same without one of its documents.
    pub fn remove(&mut self, document: &[u8]) {
        self.remove_read(&ContentDigest::of(document), document.len() as u64);
    }

    /// The same without one of its documents, which was read before.
    pub fn remove_read(&mut self, digest: &ContentDigest, bytes: u64) {
        self.content_digest.get_or_insert_default().unmerge(digest);
        self.documents = self.documents.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// One thing in which a database is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub collection: String,
    #[serde(flatten)]
    pub aspect: Aspect,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "differs", rename_all = "kebab-case")]
pub enum Aspect {
    /// Expected, and not there.
    Missing,
    /// There, and not expected.
    Unexpected,
    /// A view instead of a collection, and the like.
    Kind,
    Documents {
        expected: u64,
        found: u64,
    },
    /// As many documents, but not the same ones.
    Content,
    /// The same documents in another order, in a capped collection.
    Order,
    Index {
        name: String,
    },
    Option {
        name: String,
    },
}

impl Aspect {
    /// Whether it is about documents: those change while an application writes, the rest does not.
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Documents { .. } | Self::Content)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.collection, self.aspect)
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Unexpected => f.write_str("is there and was not expected"),
            Self::Kind => f.write_str("is of another type"),
            Self::Documents { expected, found } => {
                write!(f, "{found} documents instead of {expected}")
            }
            Self::Content => f.write_str("as many documents, but not the same ones"),
            Self::Order => f.write_str("the same documents in another order"),
            Self::Index { name } => write!(f, "index `{name}` differs"),
            Self::Option { name } => write!(f, "option `{name}` differs"),
        }
    }
}

impl Inventory {
    /// SHA-256 over the names, kinds, options and indexes of all collections: the same where only documents differ, and after a
    /// restore, whose indexes lack what servers of today refuse.
    pub fn schema_fingerprint(&self) -> Result<String> {
        let of_today = |facts: &CollectionFacts| -> BTreeMap<String, Value> {
            let indexes = facts.indexes.iter();
            indexes
                .map(|(name, index)| (name.clone(), index_options::of_today(index)))
                .collect()
        };
        let shape = self
            .collections
            .iter()
            .map(|(name, facts)| (name, facts.kind, &facts.options, of_today(facts)));
        let text =
            serde_json::to_vec(&shape.collect::<Vec<_>>()).context("cannot write the schema as JSON")?;
        Ok(hex::encode(Sha256::digest(text)))
    }

    /// What `self` has and `found` has not, or has otherwise, documents apart: nothing where `found` only has more.
    pub fn taken_away(&self, found: &Self) -> Vec<Difference> {
        let is_new_index = |difference: &Difference, name: &str| {
            let facts = self.collections.get(&difference.collection);
            facts.is_some_and(|facts| !facts.indexes.contains_key(name))
        };
        let mut differences = self.compare(found);
        differences.retain(|difference| match &difference.aspect {
            Aspect::Unexpected | Aspect::Order => false,
            Aspect::Index { name } => !is_new_index(difference, name),
            aspect => !aspect.is_data(),
        });
        differences
    }

    /// Everything in which `found` is not as `self`.
    pub fn compare(&self, found: &Self) -> Vec<Difference> {
        let names: BTreeSet<&String> = self.collections.keys().chain(found.collections.keys()).collect();
        let mut differences = Vec::new();
        for name in names {
            let aspects = match (self.collections.get(name), found.collections.get(name)) {
                (Some(expected), Some(found)) => expected.compare(found),
                (Some(_), None) => vec![Aspect::Missing],
                (None, _) => vec![Aspect::Unexpected],
            };
            differences.extend(aspects.into_iter().map(|aspect| Difference {
                collection: name.clone(),
                aspect,
            }));
        }
        differences
    }
}

impl CollectionFacts {
    fn compare(&self, found: &Self) -> Vec<Aspect> {
        if self.kind != found.kind {
            return vec![Aspect::Kind];
        }
        let mut aspects = Vec::new();
        let digests = self.content_digest.zip(found.content_digest);
        // Those of a time-series collection are buckets where its content is known, and measurements elsewhere.
        let counted = match self.kind {
            NamespaceKind::Collection => true,
            NamespaceKind::Timeseries => digests.is_some(),
            NamespaceKind::View => false,
        };
        if counted && self.documents != found.documents {
            aspects.push(Aspect::Documents {
                expected: self.documents,
                found: found.documents,
            });
        } else if digests.is_some_and(|(expected, found)| expected != found) {
            aspects.push(Aspect::Content);
        } else if digests.is_some()
            && self
                .order
                .as_ref()
                .zip(found.order.as_ref())
                .is_some_and(|(expected, found)| expected != found)
        {
            aspects.push(Aspect::Order);
        }
        let indexes = differing(&self.indexes, &found.indexes, index_options::are_alike);
        aspects.extend(indexes.into_iter().map(|name| Aspect::Index { name }));
        let options = differing(&self.options, &found.options, |a, b| text_of(a) == text_of(b));
        aspects.extend(options.into_iter().map(|name| Aspect::Option { name }));
        aspects
    }
}

/// As text, because maps compare without regard to order.
fn text_of(value: &Value) -> String {
    value.to_string()
}

/// The names whose values differ, or that only one side has.
fn differing(
    a: &BTreeMap<String, Value>,
    b: &BTreeMap<String, Value>,
    are_alike: impl Fn(&Value, &Value) -> bool,
) -> Vec<String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let same = |name: &String| matches!((a.get(name), b.get(name)), (Some(a), Some(b)) if are_alike(a, b));
    names.into_iter().filter(|name| !same(name)).cloned().collect()
}

/// The same JSON with every whole double as an integer.
pub fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| number.is_f64() && n.fract() == 0.0 && n.abs() < 9e15);
            // Exact: below 2^53 every whole double is an integer.
            #[allow(clippy::cast_possible_truncation)]
            whole.map_or(Value::Number(number), |n| Value::from(n as i64))
        }
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, whole_numbers(value)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}

/// Name and normal form of an index, from plain JSON. `ns`, `v` and `background` say nothing about what it does.
pub fn normal_index(index: &Value) -> Option<(String, Value)> {
    let fields = index.as_object()?;
    let name = fields.get("name")?.as_str()?.to_owned();
    let mut kept: BTreeMap<&String, &Value> = fields.iter().collect();
    kept.retain(|key, value| {
        !matches!(key.as_str(), "ns" | "v" | "background" | "name") && !is_simple_collation(key, value)
    });
    let normal: Map<String, Value> = kept
        .into_iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Some((name, Value::Object(normal)))
}

/// Servers list the simple collation as none.
fn is_simple_collation(key: &str, value: &Value) -> bool {
    key == "collation" && value["locale"] == "simple"
}

/// Options by name, from plain JSON; those that the server sets by itself are left out.
pub fn normal_options(options: &Value) -> BTreeMap<String, Value> {
    let fields = options.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !matches!(name.as_str(), "uuid" | "autoIndexId" | "flags" | "temp"))
        .filter(|(name, value)| !is_simple_collation(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> CollectionFacts {
        let index = json!({ "v": 2, "key": { "b": 1, "a": -1 }, "name": "b_1_a_-1" });
        CollectionFacts {
            kind: NamespaceKind::Collection,
            documents: 2,
            bytes: 64,
            indexes: normal_index(&index).into_iter().collect(),
            options: normal_options(&json!({ "capped": true })),
            content_digest: Some(ContentDigest::of(b"x")),
            order: Some("1".into()),
        }
    }

    fn differences(change: impl FnOnce(&mut CollectionFacts)) -> Vec<String> {
        let inventory = |facts| Inventory {
            collections: BTreeMap::from([("c".to_owned(), facts)]),
        };
        let mut changed = facts();
        change(&mut changed);
        let found = inventory(facts()).compare(&inventory(changed));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_aspect_is_reported() {
        type Change = fn(&mut CollectionFacts);
        let cases: [(Change, &[&str]); 10] = [
            (|_| (), &[]),
            (|f| f.bytes = 1, &[]),
            (|f| f.content_digest = None, &[]),
            (|f| f.documents = 3, &["`c`: 3 documents instead of 2"]),
            (
                |f| f.content_digest = Some(ContentDigest::of(b"y")),
                &["`c`: as many documents, but not the same ones"],
            ),
            (|f| f.order = None, &[]),
            (
                |f| f.order = Some("2".into()),
                &["`c`: the same documents in another order"],
            ),
            (|f| f.kind = NamespaceKind::View, &["`c`: is of another type"]),
            (|f| f.indexes.clear(), &["`c`: index `b_1_a_-1` differs"]),
            (
                |f| drop(f.options.insert("max".into(), json!(1))),
                &["`c`: option `max` differs"],
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(differences(change), expected);
        }
    }

    #[test]
    fn what_is_only_added_takes_nothing_away() {
        let of = |collections: &[(&str, CollectionFacts)]| Inventory {
            collections: collections
                .iter()
                .map(|(name, facts)| ((*name).to_owned(), facts.clone()))
                .collect(),
        };
        let then = of(&[("a", facts())]);
        let mut more = facts();
        more.documents = 9;
        more.content_digest = None;
        more.indexes
            .insert("new_1".into(), json!({ "key": { "new": 1 } }));
        assert_eq!(then.taken_away(&of(&[("a", more.clone()), ("b", facts())])), []);
        let text = |found: &Inventory| {
            let taken = then.taken_away(found);
            taken.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(text(&of(&[("b", facts())])), ["`a`: is missing"]);
        more.indexes.clear();
        assert_eq!(
            text(&of(&[("a", more.clone())])),
            ["`a`: index `b_1_a_-1` differs"]
        );
        more = facts();
        more.options.insert("validator".into(), json!({}));
        assert_eq!(text(&of(&[("a", more)])), ["`a`: option `validator` differs"]);
    }

    #[test]
    fn the_order_of_an_index_key_matters() {
        let swapped = json!({ "v": 2, "key": { "a": -1, "b": 1 }, "name": "b_1_a_-1" });
        let found = differences(|f| f.indexes = normal_index(&swapped).into_iter().collect());
        assert_eq!(found, ["`c`: index `b_1_a_-1` differs"]);
    }

    #[test]
    fn missing_and_unexpected_collections() {
        let one = Inventory {
            collections: BTreeMap::from([("a".to_owned(), facts())]),
        };
        let other = Inventory {
            collections: BTreeMap::from([("b".to_owned(), facts())]),
        };
        let found: Vec<String> = one.compare(&other).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["`a`: is missing", "`b`: is there and was not expected"]);
        assert!(!is_application("__old_20260102-030405-ab12_users"));
        assert!(!is_application("system.views"));
        assert!(is_application("_migrations") && is_application("old_users"));
        for applications_own in [
            "__old_orders_2024",
            "__new_orders",
            "__late_fees",
            "__late_20260102-030405-ab12_x_fees",
            "__plan_b",
            "__plan_20260102-030405-ab12_b",
            "__old_20260102-030405-ab1_x",
            "__new_20261302-030405-ab12_x",
        ] {
            assert!(is_application(applications_own), "{applications_own}");
        }
    }
}
