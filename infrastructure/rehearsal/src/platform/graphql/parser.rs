//! The syntax.

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value};

/// What may stand in a selection.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    Field {
        alias: String,
        name: String,
        arguments: Map<String, Value>,
        inner: Vec<Selection>,
    },
    Spread(String),
    Inline(Vec<Selection>),
}

/// An operation or a fragment.
pub(super) struct Definition {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) defaults: Map<String, Value>,
    pub(super) selections: Vec<Selection>,
}

/// Marks a variable in parsed arguments until its value is put in.
pub(super) const VARIABLE: &str = "\u{0}variable";

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

/// Reads definitions from tokens.
pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    pub(super) fn new(document: &str) -> Result<Self> {
        Ok(Self {
            tokens: tokenize(document)?,
            at: 0,
        })
    }

    /// All definitions of the document.
    pub(super) fn definitions(&mut self) -> Result<Vec<Definition>> {
        let mut definitions = Vec::new();
        while self.peek().is_some() {
            definitions.push(self.definition()?);
        }
        Ok(definitions)
    }

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
