//! As much GraphQL as a client's documents need: operations, fields, aliases, arguments, variables and fragments.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};
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

/// What may stand in a selection.
#[derive(Debug, Clone)]
enum Selection {
    Field {
        alias: String,
        name: String,
        arguments: Map<String, Value>,
        inner: Vec<Selection>,
    },
    Spread(String),
    Inline(Vec<Selection>),
}

struct Definition {
    kind: String,
    name: String,
    defaults: Map<String, Value>,
    selections: Vec<Selection>,
}

/// Marks a variable in parsed arguments until its value is put in.
const VARIABLE: &str = "\u{0}variable";

/// Parses the operation of a request's body `{query, variables, operationName}`.
pub(super) fn parse_body(body: &Value) -> Result<Operation> {
    let empty = Map::new();
    let variables = body["variables"].as_object().unwrap_or(&empty);
    let document = body["query"].as_str().context("query is missing")?;
    parse(document, body["operationName"].as_str(), variables)
}

/// Parses a document and picks the operation that is meant.
fn parse(document: &str, name: Option<&str>, variables: &Map<String, Value>) -> Result<Operation> {
    let mut parser = Parser {
        tokens: tokenize(document)?,
        at: 0,
    };
    let mut definitions = Vec::new();
    while parser.peek().is_some() {
        definitions.push(parser.definition()?);
    }
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

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(String),
    Punctuation(char),
    Spread,
}

fn tokenize(document: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = document.chars().peekable();
    while let Some(&next) = chars.peek() {
        match next {
            ' ' | '\t' | '\r' | '\n' | ',' | '\u{feff}' => {
                chars.next();
            }
            '#' => while chars.next().is_some_and(|character| character != '\n') {},
            '.' => {
                for _ in 0..3 {
                    if chars.next() != Some('.') {
                        bail!("a lonely dot");
                    }
                }
                tokens.push(Token::Spread);
            }
            '"' => {
                chars.next();
                tokens.push(Token::Text(text(&mut chars)?));
            }
            '-' | '0'..='9' => {
                tokens.push(Token::Number(take_while(&mut chars, |c| {
                    c.is_ascii_alphanumeric() || "+-.".contains(c)
                })));
            }
            '_' | 'a'..='z' | 'A'..='Z' => {
                tokens.push(Token::Name(take_while(&mut chars, |c| {
                    c.is_ascii_alphanumeric() || c == '_'
                })));
            }
            '{' | '}' | '(' | ')' | '[' | ']' | ':' | '!' | '$' | '=' | '@' => {
                chars.next();
                tokens.push(Token::Punctuation(next));
            }
            other => bail!("unexpected character {other:?}"),
        }
    }
    Ok(tokens)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn take_while(chars: &mut Chars<'_>, wanted: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    while let Some(&next) = chars.peek() {
        if !wanted(next) {
            break;
        }
        out.push(next);
        chars.next();
    }
    out
}

fn text(chars: &mut Chars<'_>) -> Result<String> {
    let mut out = String::new();
    loop {
        match chars.next().context("a string without end")? {
            '"' => return Ok(out),
            '\\' => match chars.next().context("a string without end")? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                same @ ('"' | '\\' | '/') => out.push(same),
                other => bail!("unknown escape \\{other}"),
            },
            other => out.push(other),
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is(&self, character: char) -> bool {
        self.peek() == Some(&Token::Punctuation(character))
    }

    fn accept(&mut self, character: char) -> bool {
        let found = self.is(character);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, character: char) -> Result<()> {
        if self.accept(character) {
            Ok(())
        } else {
            Err(anyhow!("expected {character:?}, found {:?}", self.peek()))
        }
    }

    fn name(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            other => Err(anyhow!("expected a name, found {other:?}")),
        }
    }

    fn definition(&mut self) -> Result<Definition> {
        if self.is('{') {
            let selections = self.selections()?;
            return Ok(Definition {
                kind: "query".into(),
                name: String::new(),
                defaults: Map::new(),
                selections,
            });
        }
        let kind = self.name()?;
        if !matches!(kind.as_str(), "query" | "mutation" | "subscription" | "fragment") {
            bail!("unexpected {kind:?}");
        }
        let name = if matches!(self.peek(), Some(Token::Name(_))) {
            self.name()?
        } else {
            String::new()
        };
        let mut defaults = Map::new();
        if kind == "fragment" {
            self.name()?;
            self.name()?;
        } else if self.accept('(') {
            while !self.accept(')') {
                self.expect('$')?;
                let variable = self.name()?;
                self.expect(':')?;
                self.type_reference()?;
                if self.accept('=') {
                    let value = self.value()?;
                    defaults.insert(variable, value);
                }
            }
        }
        let selections = self.selections()?;
        Ok(Definition {
            kind,
            name,
            defaults,
            selections,
        })
    }

    fn type_reference(&mut self) -> Result<()> {
        if self.accept('[') {
            self.type_reference()?;
            self.expect(']')?;
        } else {
            self.name()?;
        }
        self.accept('!');
        Ok(())
    }

    fn selections(&mut self) -> Result<Vec<Selection>> {
        self.expect('{')?;
        let mut selections = Vec::new();
        while !self.accept('}') {
            selections.push(self.selection()?);
        }
        if selections.is_empty() {
            bail!("an empty selection");
        }
        Ok(selections)
    }

    fn selection(&mut self) -> Result<Selection> {
        if self.peek() == Some(&Token::Spread) {
            self.at += 1;
            if self.is('{') {
                return Ok(Selection::Inline(self.selections()?));
            }
            let name = self.name()?;
            if name == "on" {
                self.name()?;
                return Ok(Selection::Inline(self.selections()?));
            }
            return Ok(Selection::Spread(name));
        }
        let first = self.name()?;
        let (alias, name) = if self.accept(':') {
            (first, self.name()?)
        } else {
            (first.clone(), first)
        };
        let mut arguments = Map::new();
        if self.accept('(') {
            while !self.accept(')') {
                let key = self.name()?;
                self.expect(':')?;
                let value = self.value()?;
                arguments.insert(key, value);
            }
        }
        let inner = if self.is('{') {
            self.selections()?
        } else {
            Vec::new()
        };
        Ok(Selection::Field {
            alias,
            name,
            arguments,
            inner,
        })
    }

    fn value(&mut self) -> Result<Value> {
        let token = self.peek().cloned().context("a value is missing")?;
        self.at += 1;
        Ok(match token {
            Token::Text(text) => Value::from(text),
            Token::Number(number) => serde_json::from_str(&number).context("not a number")?,
            Token::Name(name) => match name.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => Value::from(name),
            },
            Token::Punctuation('$') => {
                let mut marked = Map::new();
                marked.insert(VARIABLE.to_owned(), Value::from(self.name()?));
                Value::Object(marked)
            }
            Token::Punctuation('[') => {
                let mut items = Vec::new();
                while !self.accept(']') {
                    items.push(self.value()?);
                }
                Value::Array(items)
            }
            Token::Punctuation('{') => {
                let mut object = Map::new();
                while !self.accept('}') {
                    let key = self.name()?;
                    self.expect(':')?;
                    let value = self.value()?;
                    object.insert(key, value);
                }
                Value::Object(object)
            }
            other => bail!("not a value: {other:?}"),
        })
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
