//! Indexes as servers of today build them. Servers of before accepted expiries, options and key values that those refuse, and
//! an upgrade keeps them in the catalogue: a backup holds them.
//!
//! What becomes of them is what the server itself makes of such an index when it must repair one (`repairIndexSpec` of its
//! `index_key_validate.cpp`), and what `mongorestore --convertLegacyIndexes` makes of a key.

use mongodb::bson::{Bson, Document};

use crate::domain::index_options::{SWITCHES, is_of_today};

/// The expiry that never comes, and the longest that the server accepts.
pub const NEVER_S: i32 = i32::MAX;
const EXPIRY: &str = "expireAfterSeconds";
/// The option without which a server takes the newest version of such an index; those of 2.4 had none.
const SPHERE_VERSION: &str = "2dsphereIndexVersion";
/// What a key can have besides a direction.
const KINDS: [&str; 4] = ["2d", "2dsphere", "hashed", "text"];

/// An index as servers of today build it.
#[derive(Debug, Clone, PartialEq)]
pub struct Buildable {
    /// Options that these servers do not have are still in it: [`Buildable::without_unknown`].
    pub index: Document,
    /// In what it is not as recorded, in words.
    pub altered: Vec<String>,
}

impl Buildable {
    /// From what a backup or a server has.
    pub fn of(recorded: &Document) -> Self {
        let mut built = Self {
            index: Document::new(),
            altered: Vec::new(),
        };
        let clustered = recorded.get_bool("clustered").unwrap_or(false);
        // The server makes it with the collection, and allows it nothing else.
        let is_by_id = recorded.get_str("name").is_ok_and(|name| name == "_id_") && !clustered;
        let fields = recorded.get_document("key").map_or(0, Document::len);
        for (option, value) in recorded {
            match option.as_str() {
                // The newest version, and the namespace that it is built for.
                "v" | "ns" => {}
                "key" => built.key(value),
                "name" | "collation" => drop(built.index.insert(option, value.clone())),
                _ if is_by_id => {}
                EXPIRY if !clustered => built.expiry(value, fields),
                switch if SWITCHES.contains(&switch) => built.switch(switch, value),
                other => {
                    if !is_of_today(other) {
                        built.altered.push(format!(
                            "without the option `{}`, where the server refuses it",
                            other.escape_debug()
                        ));
                    }
                    built.index.insert(other, value.clone());
                }
            }
        }
        let key = recorded.get_document("key");
        let of_the_sphere = key.is_ok_and(|key| key.values().any(|value| value.as_str() == Some("2dsphere")));
        if of_the_sphere && !recorded.contains_key(SPHERE_VERSION) {
            built.index.insert(SPHERE_VERSION, 1);
        }
        built
    }

    /// The same without options that servers of today do not have, and those that no longer change anything.
    pub fn without_unknown(&self) -> Document {
        let kept = self.index.iter();
        let kept = kept.filter(|(option, _)| is_of_today(option) && *option != "background");
        kept.map(|(option, value)| (option.clone(), value.clone()))
            .collect()
    }

    fn key(&mut self, value: &Bson) {
        let Bson::Document(recorded) = value else {
            self.index.insert("key", value.clone());
            return;
        };
        let mut key = Document::new();
        for (field, value) in recorded {
            if is_direction_or_kind(value) {
                key.insert(field, value.clone());
            } else {
                // Their order was ascending: everything but a number below 0 was.
                self.altered.push(format!(
                    "key `{}` is 1 instead of {value}, which meant the same",
                    field.escape_debug()
                ));
                key.insert(field, 1);
            }
        }
        self.index.insert("key", key);
    }

    fn expiry(&mut self, value: &Bson, fields: usize) {
        if fields > 1 {
            self.altered
                .push("without an expiry, which an index of several fields never had".to_owned());
            return;
        }
        let seconds = seconds(value).and_then(|seconds| i32::try_from(seconds).ok());
        if seconds.is_none() {
            self.altered.push(format!(
                "its expiry of {value} means never, {NEVER_S} seconds: no server takes it"
            ));
        }
        self.index.insert(EXPIRY, seconds.unwrap_or(NEVER_S));
    }

    /// Servers of before took anything for on that is neither 0, null nor false.
    fn switch(&mut self, option: &str, value: &Bson) {
        let on = match value {
            Bson::Boolean(on) => Some(*on),
            Bson::Null | Bson::Undefined => None,
            other => number(other).is_none_or(|n| n != 0.0).then_some(true),
        };
        if let Some(on) = on {
            self.index.insert(option, on);
        }
    }
}

/// Why no server of today builds this index; empty where one may.
pub fn index_problems(index: &Document) -> Vec<String> {
    let mut problems = Vec::new();
    if !index.get_str("name").is_ok_and(|name| !name.is_empty()) {
        problems.push("has no name".to_owned());
    }
    let key = index.get_document("key").cloned().unwrap_or_default();
    // Servers since 3.4 make these, and only with kinds that they have.
    let was_checked = index
        .get("v")
        .and_then(number)
        .is_some_and(|version| version >= 2.0);
    if key.is_empty() {
        problems.push("has no key".to_owned());
    }
    for (field, value) in &key {
        let field = field.escape_debug();
        match value {
            Bson::String(kind) if kind == "geoHaystack" => {
                problems.push("is of the kind geoHaystack, which servers since 5.0 do not have".to_owned());
            }
            Bson::String(kind) if !was_checked && !kind.is_empty() && !KINDS.contains(&kind.as_str()) => {
                let kind = kind.escape_debug();
                problems.push(format!(
                    "has `{field}` of the kind \"{kind}\", which servers of today do not have"
                ));
            }
            _ => {}
        }
    }
    if key.keys().any(String::is_empty) {
        problems.push("has a field without a name".to_owned());
    }
    problems
}

/// Whole seconds, not below 0, as the server reads an expiry; `None` for what is none.
pub fn seconds(value: &Bson) -> Option<i64> {
    let seconds = match value {
        Bson::Int64(n) => *n,
        other => {
            // Saturates far outside of what is accepted.
            #[allow(clippy::cast_possible_truncation)]
            number(other).filter(|n| !n.is_nan()).map(|n| n as i64)?
        }
    };
    (seconds >= 0).then_some(seconds)
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        // Only whether it is 0 is asked.
        #[allow(clippy::cast_precision_loss)]
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        Bson::Decimal128(n) => n.to_string().parse().ok(),
        _ => None,
    }
}

/// Whether servers of today take this as a value of an index's key. A kind that they do not have is no direction either.
fn is_direction_or_kind(value: &Bson) -> bool {
    match value {
        Bson::String(kind) => !kind.is_empty(),
        other => number(other).is_some_and(|n| n != 0.0 && !n.is_nan()),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    fn built(option: &str, value: impl Into<Bson>) -> Buildable {
        let mut index = doc! { "v": 1, "ns": "shop.c", "key": { "a": 1 }, "name": "a_1" };
        index.insert(option, value);
        Buildable::of(&index)
    }

    #[test]
    fn an_expiry_that_no_server_takes_is_never_and_others_are_whole_seconds() {
        let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
        for value in [
            Bson::Double(f64::NAN),
            Bson::Double(f64::INFINITY),
            Bson::Double(1e10),
            Bson::Int64(3_000_000_000),
            Bson::Int64(i64::MIN),
            Bson::Int32(-1),
            Bson::Null,
            Bson::from("60"),
            decimal("NaN"),
        ] {
            let built = built(EXPIRY, value.clone());
            assert_eq!(built.index.get_i32(EXPIRY).ok(), Some(NEVER_S), "{value}");
            assert_eq!(built.altered.len(), 1, "{value}");
        }
        for (value, seconds) in [
            (Bson::Int32(0), 0),
            (Bson::Int64(60), 60),
            (Bson::Double(3600.5), 3600),
            (decimal("7"), 7),
            (Bson::Int32(NEVER_S), NEVER_S),
        ] {
            let built = built(EXPIRY, value);
            assert_eq!(
                (built.index.get_i32(EXPIRY).ok(), built.altered.len()),
                (Some(seconds), 0)
            );
        }
        let two = Buildable::of(&doc! { "key": { "a": 1, "b": 1 }, "name": "two", EXPIRY: 60 });
        assert!(!two.index.contains_key(EXPIRY) && two.altered.len() == 1);
    }

    #[test]
    fn key_values_of_servers_of_before_were_ascending_and_options_that_are_unknown_are_named() {
        let key = doc! { "t": true, "zero": 0, "minus": -0.0, "none": "", "nan": f64::NAN, "null": null, "deep": { "x": 1 },
        "down": -1, "up": 2.5, "kind": "hashed" };
        let built = Buildable::of(&doc! { "key": key, "name": "k" });
        let expected = doc! { "t": 1, "zero": 1, "minus": 1, "none": 1, "nan": 1, "null": 1, "deep": 1,
        "down": -1, "up": 2.5, "kind": "hashed" };
        assert_eq!(built.index.get_document("key").ok(), Some(&expected));
        assert_eq!(built.altered.len(), 7);
        let recorded = doc! { "v": 0, "key": { "a": 1 }, "name": "a_1", "ns": "shop.c", "w": 1, "safe": null,
        "dropDups": true, "background": true, "unique": 1, "sparse": "yes", "hidden": 0 };
        let built = Buildable::of(&recorded);
        assert_eq!(built.altered.len(), 3, "{built:?}");
        let expected = doc! { "key": { "a": 1 }, "name": "a_1", "unique": true, "sparse": true };
        assert_eq!(built.without_unknown(), expected);
    }

    #[test]
    fn an_index_of_the_sphere_without_a_version_has_the_first_and_that_of_ids_nothing_else() {
        let sphere = doc! { "v": 1, "key": { "at": "2dsphere" }, "name": "at" };
        assert_eq!(Buildable::of(&sphere).index.get_i32(SPHERE_VERSION).ok(), Some(1));
        let mut third = sphere;
        third.insert(SPHERE_VERSION, 3);
        assert_eq!(Buildable::of(&third).index.get_i32(SPHERE_VERSION).ok(), Some(3));
        let by_id =
            doc! { "v": 1, "key": { "_id": 1 }, "name": "_id_", "unique": true, EXPIRY: 9, "ns": "shop.c" };
        assert_eq!(
            Buildable::of(&by_id).index,
            doc! { "key": { "_id": 1 }, "name": "_id_" }
        );
    }

    #[test]
    fn what_no_server_builds_is_named() {
        for (index, why) in [
            (doc! { "key": { "a": "geoHaystack" }, "name": "a" }, "geoHaystack"),
            (
                doc! { "key": { "a": "asc" }, "name": "a" },
                "`a` of the kind \"asc\"",
            ),
            (doc! { "key": { "": 1 }, "name": "a" }, "a field without a name"),
            (doc! { "key": {}, "name": "a" }, "no key"),
            (doc! { "key": { "a": 1 }, "name": "" }, "no name"),
        ] {
            let found = index_problems(&index);
            assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
        }
        for good in [
            doc! { "key": { "a": "", "$**": 1, "b": "2dsphere" }, "name": "a" },
            doc! { "v": 2, "key": { "a": "newer than this program" }, "name": "a" },
        ] {
            assert!(index_problems(&good).is_empty());
        }
    }
}
