//! As much GraphQL as a client's documents need: operations, fields, aliases, arguments, variables and fragments.

mod parser;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use parser::{Parser, Selection, VARIABLE};

/// Nested deeper than any real document.
const MAX_DEPTH: usize = 40;

/// One operation, with its fragments filled in.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) is_mutation: bool,
    pub(super) fields: Vec<Field>,
}

/// A field that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) alias: String,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) fields: Vec<Field>,
}

/// Parses the operation of a request's body `{query, variables, operationName}`.
pub(super) fn parse_body(body: &Value) -> Result<Operation> {
    let empty = Map::new();
    let variables = body["variables"].as_object().unwrap_or(&empty);
    let document = body["query"].as_str().context("query is missing")?;
    parse(document, body["operationName"].as_str(), variables)
}

/// Parses a document and picks the operation that is meant.
fn parse(document: &str, name: Option<&str>, variables: &Map<String, Value>) -> Result<Operation> {
    let definitions = Parser::new(document)?.definitions()?;
    let fragments: BTreeMap<&str, &[Selection]> = definitions
        .iter()
        .filter(|definition| definition.kind == "fragment")
        .map(|definition| (definition.name.as_str(), definition.selections.as_slice()))
        .collect();
    let operation = definitions
        .iter()
        .find(|definition| definition.kind != "fragment" && name.is_none_or(|name| name == definition.name))
        .context("the document has no such operation")?;
    if operation.kind == "subscription" {
        bail!("subscriptions need a WebSocket");
    }
    let mut values = operation.defaults.clone();
    values.extend(variables.clone());
    let fields = resolve(&operation.selections, &fragments, &values, 0)?;
    Ok(Operation {
        is_mutation: operation.kind == "mutation",
        fields,
    })
}

fn resolve(
    selections: &[Selection],
    fragments: &BTreeMap<&str, &[Selection]>,
    values: &Map<String, Value>,
    depth: usize,
) -> Result<Vec<Field>> {
    if depth > MAX_DEPTH {
        bail!("the document is nested too deeply");
    }
    let mut fields = Vec::new();
    for selection in selections {
        match selection {
            Selection::Field {
                alias,
                name,
                arguments,
                inner,
            } => fields.push(Field {
                alias: alias.clone(),
                name: name.clone(),
                arguments: arguments
                    .iter()
                    .map(|(key, value)| (key.clone(), substitute(value, values)))
                    .collect(),
                fields: resolve(inner, fragments, values, depth + 1)?,
            }),
            Selection::Spread(name) => {
                let inner = fragments
                    .get(name.as_str())
                    .with_context(|| format!("no fragment {name}"))?;
                fields.extend(resolve(inner, fragments, values, depth + 1)?);
            }
            Selection::Inline(inner) => fields.extend(resolve(inner, fragments, values, depth + 1)?),
        }
    }
    Ok(fields)
}

fn substitute(value: &Value, values: &Map<String, Value>) -> Value {
    match value {
        Value::Object(object) => match object.get(VARIABLE).and_then(Value::as_str) {
            Some(name) => values.get(name).cloned().unwrap_or(Value::Null),
            None => object
                .iter()
                .map(|(key, value)| (key.clone(), substitute(value, values)))
                .collect(),
        },
        Value::Array(items) => items.iter().map(|item| substitute(item, values)).collect(),
        other => other.clone(),
    }
}

/// Takes from a value what was asked for; an unknown field is an error that names it.
pub(super) fn project(value: &Value, fields: &[Field]) -> Result<Value> {
    match value {
        _ if fields.is_empty() => Ok(value.clone()),
        Value::Array(items) => items.iter().map(|item| project(item, fields)).collect(),
        Value::Object(object) => {
            let mut out = Map::new();
            for field in fields {
                let found = object
                    .get(&field.name)
                    .with_context(|| format!("the simulator has no field {:?}", field.name))?;
                out.insert(field.alias.clone(), project(found, &field.fields)?);
            }
            Ok(Value::Object(out))
        }
        other => Ok(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_of_real_clients_are_understood() {
        let variables = json!({"id": "d1", "first": 2}).as_object().unwrap().clone();
        let cases = [
            (
                "query($id:String!){deployment(id:$id){id status}}",
                false,
                json!({"id": "d1"}),
            ),
            (
                "mutation M($id: String!) { ok: deploymentRollback(id: $id) }",
                true,
                json!({"id": "d1"}),
            ),
            (
                "query A { a(x: {y: [1, $first], z: \"q\\\"\"}) { ...F } } fragment F on T { b ... on T { c } }",
                false,
                json!({"x": {"y": [1, 2], "z": "q\""}}),
            ),
            (
                "query($n: Int = 7) { a(n: $n, e: ENUM, t: true) } # end",
                false,
                json!({"n": 7, "e": "ENUM", "t": true}),
            ),
        ];
        for (document, is_mutation, arguments) in cases {
            let operation = parse(document, None, &variables).unwrap();
            assert_eq!(operation.is_mutation, is_mutation, "{document}");
            assert_eq!(
                Value::Object(operation.fields[0].arguments.clone()),
                arguments,
                "{document}"
            );
        }
        for wrong in [
            "",
            "{",
            "{a(}",
            "query {}",
            "subscription { a }",
            "{ ...Missing }",
            "{ a ~ }",
        ] {
            assert!(parse(wrong, None, &variables).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_field_that_is_not_simulated_is_named() {
        let operation = parse("{ a { b: c d { e } } }", None, &Map::new()).unwrap();
        let value = json!({"c": 1, "d": [{"e": 2}, {"e": 3}]});
        let fields = &operation.fields[0].fields;
        assert_eq!(
            project(&value, fields).unwrap(),
            json!({"b": 1, "d": [{"e": 2}, {"e": 3}]})
        );
        let error = project(&json!({"c": 1}), fields).unwrap_err();
        assert!(error.to_string().contains("\"d\""), "{error}");
    }
}
