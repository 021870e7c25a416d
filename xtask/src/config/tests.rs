use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

fn error_of(text: &str) -> String {
    let result = Config::parse_keys(Path::new("pipeline.toml"), text);
    result.unwrap_err().to_string()
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    let start = "schema = \"pipeline/1\"\ndefault_environment = \"production\"\n";
    let cases = [
        (
            format!("{start}[backup]\nretention_dais = 90\n"),
            "pipeline.toml:4:1: unknown field `retention_dais`",
            "did you mean `retention_days`?",
        ),
        (
            format!("{start}[backup]\nretention_days = \"90\"\n"),
            "pipeline.toml:4:18: invalid type",
            "expected u32",
        ),
        (
            format!("{start}[deploy]\non_unhealthy = \"rolback\"\n"),
            "pipeline.toml:4:16: unknown variant",
            "did you mean `rollback`?",
        ),
        (
            "schema = \"pipeline/3\"\n".to_owned(),
            "pipeline.toml:1:10: unknown variant",
            "pipeline/1",
        ),
        (format!("{start}é = é\n"), "pipeline.toml:3:", ""),
    ];
    for (text, place, hint) in cases {
        let error = error_of(&text);
        assert!(
            error.starts_with(place) && error.contains(hint),
            "{text}\n{error}"
        );
    }
}

/// The schema that editors check a file of this version with.
fn schema(version: &str) -> Value {
    let mut schema: Value = serde_json::from_str(include_str!(
        "../../../infrastructure/schemas/pipeline.schema.json"
    ))
    .unwrap();
    let is_the_condition = schema.pointer("/if/properties/schema/const").unwrap() == version;
    let branch = if is_the_condition { "then" } else { "else" };
    let environments = schema[branch]["properties"]["environments"]["additionalProperties"].clone();
    schema["properties"]["environments"]["additionalProperties"] = environments;
    assert!(
        schema["properties"]["schema"]["enum"]
            .as_array()
            .unwrap()
            .contains(&json!(version))
    );
    schema["properties"]["schema"] = json!({ "const": version });
    schema
}

/// A value of this schema with every key that it knows.
fn full(root: &Value, schema: &Value) -> Value {
    if let Some(target) = schema["$ref"].as_str() {
        return full(root, root.pointer(&target[1..]).unwrap());
    }
    let has_members = schema["items"]["properties"].is_object();
    for given in ["const", "default"].into_iter().filter(|_| !has_members) {
        if let Some(value) = schema.get(given) {
            return value.clone();
        }
    }
    if let Some(one) = schema["enum"].get(0).or_else(|| schema["examples"].get(0)) {
        return one.clone();
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        return full(root, &forms[0]);
    }
    match schema["type"].as_str().expect("a type") {
        "string" => json!("TEXT"),
        "integer" => schema["minimum"].clone(),
        "boolean" => json!(true),
        // One of each form.
        "array" => match root.pointer("/$defs/place/oneOf") {
            Some(Value::Array(forms)) if schema["items"]["$ref"] == "#/$defs/place" => {
                forms.iter().map(|form| full(root, form)).collect()
            }
            _ => json!([full(root, &schema["items"])]),
        },
        "object" => {
            let named = schema["properties"].as_object().into_iter().flatten();
            let mut object: serde_json::Map<String, Value> = named
                .map(|(name, rule)| (name.clone(), full(root, rule)))
                .collect();
            if schema["additionalProperties"].is_object() {
                object.insert("production".into(), full(root, &schema["additionalProperties"]));
            }
            Value::Object(object)
        }
        other => panic!("the type {other} is not known"),
    }
}

/// Every object of the document with the schema that it follows, by its place.
fn objects(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    if let Some(target) = schema["$ref"].as_str() {
        return objects(root, root.pointer(&target[1..]).unwrap(), value, at, found);
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        let form = forms
            .iter()
            .find(|form| form["properties"]["kind"]["const"] == value["kind"]);
        return objects(root, form.unwrap(), value, at, found);
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        objects(root, &schema["items"], item, &format!("{at}/{index}"), found);
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let rule = schema["properties"]
            .get(name)
            .unwrap_or(&schema["additionalProperties"]);
        objects(root, rule, field, &format!("{at}/{name}"), found);
    }
    if schema["properties"].is_object() {
        found.push((at.to_owned(), schema.clone()));
    }
}

fn parsed(document: &Value) -> Result<Config> {
    Config::parse_keys(Path::new("pipeline.toml"), &toml::to_string(document).unwrap())
}

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    for version in ["pipeline/1", "pipeline/2"] {
        the_keys_are_those_of(&schema(version));
    }
}

fn the_keys_are_those_of(schema: &Value) {
    let document = full(schema, schema);
    parsed(&document).expect("every key of the schema is read");
    let mut found = Vec::new();
    objects(schema, schema, &document, "", &mut found);
    assert!(found.len() > 15, "{found:?}");
    for (at, rule) in &found {
        let keys: BTreeSet<&str> = rule["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut wrong = document.clone();
        wrong.pointer_mut(at).unwrap()["zz"] = json!(1);
        let error = parsed(&wrong).unwrap_err().to_string();
        // "unknown field `zz`, expected one of `a`, `b`": serde lists what the parser knows.
        let (_, expected) = error
            .split_once("unknown field `zz`, expected ")
            .unwrap_or_else(|| panic!("{at}: {error}"));
        let mut known: BTreeSet<&str> = expected.split('`').skip(1).step_by(2).collect();
        if keys.contains("kind") {
            known.insert("kind");
        }
        assert_eq!(keys, known, "{at}");
        for key in keys {
            let mut without = document.clone();
            without
                .pointer_mut(at)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(key);
            let required = rule["required"]
                .as_array()
                .is_some_and(|all| all.contains(&json!(key)));
            assert_eq!(parsed(&without).is_err(), required, "{at}/{key}");
        }
    }
}

#[test]
fn the_pipeline_of_this_repository_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infrastructure");
    Config::read(&root.join("pipeline.toml")).unwrap();
    // A rehearsal fills in the names in double braces.
    let rehearsed = std::fs::read_to_string(root.join("rehearsal/pipeline.toml")).unwrap();
    let rehearsed = rehearsed.replace("{{backend}}", "http://127.0.0.1:1");
    let rehearsed = rehearsed.replace("{{frontend}}", "http://127.0.0.1:2");
    Config::parse(Path::new("pipeline.toml"), &rehearsed).unwrap();
}
