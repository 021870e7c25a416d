//! As much GraphQL as a client's documents need: operations, fields, aliases, arguments, variables and fragments.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};
use graphql_parser::query::{
    self, Definition, OperationDefinition, Selection, SelectionSet, VariableDefinition, parse_query,
};
use serde_json::{Map, Value};

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
    let document = parse_query::<String>(document).map_err(|error| anyhow!("{error}"))?;
    let mut fragments = BTreeMap::new();
    let mut operations = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::Fragment(fragment) => {
                fragments.insert(fragment.name.as_str(), &fragment.selection_set);
            }
            Definition::Operation(operation) => operations.push(parts(operation)),
        }
    }
    let meant = |(of, ..): &&Parts<'_>| name.is_none() || name == of.as_deref();
    let (_, is_mutation, declared, selections) = operations
        .iter()
        .find(meant)
        .context("the document has no such operation")?;
    let mut document = Filled {
        fragments,
        values: Map::new(),
    };
    // What a server validates (GraphQL specification, "All Variable Uses Defined" and "Coercing Variable Values").
    for variable in *declared {
        let name = &variable.name;
        let is_required = matches!(variable.var_type, query::Type::NonNullType(_));
        let value = match (variables.get(name), &variable.default_value) {
            (Some(value), _) if !(is_required && value.is_null()) => value.clone(),
            (None, Some(value)) => document.value(value)?,
            _ if is_required => bail!("Variable \"${name}\" of required type was not provided."),
            _ => Value::Null,
        };
        document.values.insert(name.clone(), value);
    }
    let is_mutation = is_mutation.context("subscriptions need a WebSocket")?;
    Ok(Operation {
        is_mutation,
        fields: document.fields(selections, 0)?,
    })
}

/// Name, whether it is a mutation (`None` of a subscription), variables and selections.
type Parts<'a> = (
    Option<String>,
    Option<bool>,
    &'a [VariableDefinition<'a, String>],
    &'a SelectionSet<'a, String>,
);

fn parts<'a>(operation: &'a OperationDefinition<'a, String>) -> Parts<'a> {
    match operation {
        OperationDefinition::SelectionSet(set) => (None, Some(false), &[], set),
        OperationDefinition::Query(of) => (
            of.name.clone(),
            Some(false),
            &of.variable_definitions,
            &of.selection_set,
        ),
        OperationDefinition::Mutation(of) => (
            of.name.clone(),
            Some(true),
            &of.variable_definitions,
            &of.selection_set,
        ),
        OperationDefinition::Subscription(of) => {
            (of.name.clone(), None, &of.variable_definitions, &of.selection_set)
        }
    }
}

/// What is put into selections: fragments, and the values of variables.
struct Filled<'a> {
    fragments: BTreeMap<&'a str, &'a SelectionSet<'a, String>>,
    values: Map<String, Value>,
}

impl Filled<'_> {
    fn fields(&self, selections: &SelectionSet<'_, String>, depth: usize) -> Result<Vec<Field>> {
        if depth > MAX_DEPTH {
            bail!("the document is nested too deeply");
        }
        let mut fields = Vec::new();
        for selection in &selections.items {
            match selection {
                Selection::Field(field) => {
                    let arguments = field.arguments.iter();
                    let arguments = arguments.map(|(key, value)| Ok((key.clone(), self.value(value)?)));
                    fields.push(Field {
                        alias: field.alias.as_ref().unwrap_or(&field.name).clone(),
                        name: field.name.clone(),
                        arguments: arguments.collect::<Result<_>>()?,
                        fields: self.fields(&field.selection_set, depth + 1)?,
                    });
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    let inner = self
                        .fragments
                        .get(name)
                        .with_context(|| format!("no fragment {name}"))?;
                    fields.extend(self.fields(inner, depth + 1)?);
                }
                Selection::InlineFragment(inner) => {
                    fields.extend(self.fields(&inner.selection_set, depth + 1)?);
                }
            }
        }
        Ok(fields)
    }

    fn value(&self, value: &query::Value<'_, String>) -> Result<Value> {
        Ok(match value {
            query::Value::Variable(name) => {
                let value = self.values.get(name).cloned();
                value.with_context(|| format!("Variable \"${name}\" is not defined."))?
            }
            query::Value::Int(number) => number.as_i64().into(),
            query::Value::Float(number) => (*number).into(),
            query::Value::String(text) | query::Value::Enum(text) => text.as_str().into(),
            query::Value::Boolean(value) => (*value).into(),
            query::Value::Null => Value::Null,
            query::Value::List(items) => items.iter().map(|item| self.value(item)).collect::<Result<_>>()?,
            query::Value::Object(object) => {
                let pairs = object.iter();
                let pairs = pairs.map(|(key, value)| Ok((key.clone(), self.value(value)?)));
                Value::Object(pairs.collect::<Result<_>>()?)
            }
        })
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
                "query A($first: Int) { a(x: {y: [1, $first], z: \"q\\\"\"}) { ...F } } fragment F on T { b ... on T { c } }",
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
            "{ a(n: $first) }",
            "query($n: Int!) { a(n: $n) }",
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
