//! Options of indexes: which ones servers of today have, and when two indexes are the same although servers of before kept more.

use serde_json::{Map, Value};

/// What `createIndexes` takes: `allowedFieldNames` of the server's `index_key_validate.cpp`, without what it takes and ignores
/// (`dropDups`) or has given up (`bucketSize`). Servers before 3.4 kept whatever a driver sent, such as `w` or `safe`.
const OF_TODAY: [&str; 23] = [
    "2dsphereIndexVersion",
    "background",
    "bits",
    "clustered",
    "coarsestIndexedLevel",
    "collation",
    "default_language",
    "expireAfterSeconds",
    "finestIndexedLevel",
    "hidden",
    "key",
    "language_override",
    "max",
    "min",
    "name",
    "partialFilterExpression",
    "prepareUnique",
    "sparse",
    "storageEngine",
    "textIndexVersion",
    "unique",
    "weights",
    "wildcardProjection",
];
/// Options that are on or off.
pub const SWITCHES: [&str; 4] = ["hidden", "prepareUnique", "sparse", "unique"];

/// Whether servers of today have this option.
pub fn is_of_today(option: &str) -> bool {
    OF_TODAY.contains(&option)
}

/// The normal form of an index without options that servers of today refuse.
pub fn of_today(index: &Value) -> Value {
    let Some(fields) = index.as_object() else {
        return index.clone();
    };
    let kept = fields.iter().filter(|(option, _)| is_of_today(option));
    Value::Object(
        kept.map(|(option, value)| (option.clone(), value.clone()))
            .collect(),
    )
}

/// Whether two indexes in normal form are the same. An option that is off is as none; one that servers of today refuse may be
/// absent from either.
pub fn are_alike(one: &Value, other: &Value) -> bool {
    let (Some(a), Some(b)) = (one.as_object(), other.as_object()) else {
        return one == other;
    };
    counting(a, b) == counting(b, a)
}

/// As text, because maps compare without regard to order, and the order of an index key matters.
fn counting(index: &Map<String, Value>, other: &Map<String, Value>) -> String {
    let counts = |option: &str, value: &Value| {
        let is_off = SWITCHES.contains(&option) && *value == false;
        !is_off && (is_of_today(option) || other.contains_key(option))
    };
    let kept = index.iter().filter(|(option, value)| counts(option, value));
    kept.fold(String::new(), |text, (option, value)| {
        format!("{text}{option}:{value},")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_that_todays_servers_refuse_may_be_absent_and_all_others_count() {
        let plain = json!({ "key": { "a": 1, "b": -1 } });
        for (index, alike) in [
            (json!({ "key": { "a": 1, "b": -1 } }), true),
            (
                json!({ "key": { "a": 1, "b": -1 }, "safe": null, "w": 1, "dropDups": true }),
                true,
            ),
            (
                json!({ "key": { "a": 1, "b": -1 }, "sparse": false, "unique": false }),
                true,
            ),
            (json!({ "key": { "b": -1, "a": 1 } }), false),
            (json!({ "key": { "a": 1, "b": -1 }, "unique": true }), false),
            (
                json!({ "key": { "a": 1, "b": -1 }, "expireAfterSeconds": 0 }),
                false,
            ),
        ] {
            assert_eq!(are_alike(&plain, &index), alike, "{index}");
            assert_eq!(are_alike(&index, &plain), alike, "{index}");
        }
        let one = json!({ "key": { "a": 1 }, "w": 1 });
        assert!(!are_alike(&one, &json!({ "key": { "a": 1 }, "w": 2 })));
        assert_eq!(of_today(&one), json!({ "key": { "a": 1 } }));
    }
}
