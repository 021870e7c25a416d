//! What a migration does to the data that are there: read from what it calls, or from what it declares.
//!
//! A wrong "additive" would let a rollback keep data that the earlier code cannot read. So a file is additive only where every call
//! in it is known to change nothing that exists; what cannot be read with certainty is unknown, never additive.

mod lexer;
mod words;

use serde::{Deserialize, Serialize};

use lexer::{Token, tokens};
use words::{Effect, effect_of_call, effect_of_word};

/// A longer migration is not read: it is unknown.
pub const LIMIT_BYTES: usize = 1 << 20;
/// How a file declares its class, in a comment: `migration-class: additive`.
const DECLARATION: &str = "migration-class:";
/// Extensions whose calls are read.
const SCRIPTS: [&str; 6] = ["js", "cjs", "mjs", "ts", "cts", "mts"];
/// Modules that change no data by themselves.
const MODULES: [&str; 13] = [
    "mongodb",
    "mongo-migrate-ts",
    "bson",
    "mongoose",
    "migrate-mongo",
    "crypto",
    "node:crypto",
    "assert",
    "node:assert",
    "util",
    "node:util",
    "path",
    "node:path",
];

/// What a migration does to the data that were there before it. The later ones are worse for a rollback that keeps the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationClass {
    /// Only adds collections, indexes and documents: the earlier code finds everything that it knows.
    Additive,
    /// Changes documents or options that are there.
    Rewriting,
    /// It cannot be told from the text.
    Unknown,
    /// Removes documents, fields, indexes or collections.
    Destructive,
}

impl MigrationClass {
    pub fn word(self) -> &'static str {
        match self {
            Self::Additive => "additive",
            Self::Rewriting => "rewriting",
            Self::Destructive => "destructive",
            Self::Unknown => "unknown",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Additive, Self::Rewriting, Self::Destructive, Self::Unknown]
            .into_iter()
            .find(|class| class.word() == word)
    }
}

/// A class and what it follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classified {
    pub class: MigrationClass,
    /// The calls and operators that decide, or why nothing could be told.
    pub because: Vec<String>,
    /// Whether its `down` does something; `None` where the file is none of which that could be read.
    pub has_down: Option<bool>,
}

impl Classified {
    /// Nothing follows from the file.
    pub fn unknown(because: impl Into<String>) -> Self {
        Self {
            class: MigrationClass::Unknown,
            because: vec![because.into()],
            has_down: None,
        }
    }
}

/// What migrate-mongo's configuration names, as far as it is written as a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrateMongo {
    /// Folder of the migrations, relative to that of the configuration.
    pub folder: Option<String>,
    /// The collection in which it records what it applied.
    pub changelog: Option<String>,
}

/// Names of migrate-mongo's configuration (`migrate-mongo init` writes the first).
pub const MIGRATE_MONGO_FILES: [&str; 3] = [
    "migrate-mongo-config.js",
    "migrate-mongo-config.cjs",
    "migrate-mongo-config.ts",
];

impl MigrateMongo {
    /// Reads `migrationsDir` and `changelogCollectionName`.
    pub fn read(text: &str) -> Self {
        let tokens = tokens(text).unwrap_or_default();
        let value = |key: &str| {
            tokens.windows(3).find_map(|three| match three {
                [name, colon, Token::Text(value)] if name.is_word(key) && colon.is(":") => {
                    Some(value.clone())
                }
                _ => None,
            })
        };
        Self {
            folder: value("migrationsDir"),
            changelog: value("changelogCollectionName"),
        }
    }
}

/// How a migration differs between two releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    Added,
    /// It has another text: what the first one did to the data is not told by the second.
    Changed,
    Removed,
}

/// A migration that differs between two releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedMigration {
    pub path: String,
    pub change: FileChange,
    #[serde(flatten)]
    pub classified: Classified,
}

impl ChangedMigration {
    pub fn is_additive(&self) -> bool {
        self.classified.class == MigrationClass::Additive
    }

    /// In one line, without what it follows from.
    pub fn text(&self) -> String {
        let change = match self.change {
            FileChange::Added => "",
            FileChange::Changed => ", changed",
            FileChange::Removed => ", removed",
        };
        let down = match self.classified.has_down {
            Some(true) => ", has a down",
            Some(false) => ", no down",
            None => "",
        };
        format!("{} ({}{change}{down})", self.path, self.classified.class.word())
    }
}

/// Reads a migration. `path` decides by its extension how it is read; a declaration in a comment wins over what it calls.
pub fn classify(path: &str, text: &str) -> Classified {
    if text.len() > LIMIT_BYTES {
        return Classified::unknown(format!("it has {} bytes", text.len()));
    }
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut found = match extension {
        "json" => data(text),
        _ if SCRIPTS.contains(&extension) => script(text),
        _ => Classified::unknown("its language is not read: declare its class in a comment"),
    };
    match declared(text) {
        Some(Ok(class)) => {
            found.class = class;
            found.because = vec!["declared in a comment".into()];
        }
        Some(Err(word)) => {
            found.class = MigrationClass::Unknown;
            found.because = vec![format!("declares the class `{word}`, which there is none of")];
        }
        None => {}
    }
    found
}

/// The declared class; of several that differ, none counts.
fn declared(text: &str) -> Option<Result<MigrationClass, String>> {
    let mut words = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let comment = ["//", "#", "*", "/*", "--"]
            .iter()
            .find_map(|start| line.strip_prefix(start))?;
        let rest = comment.trim_start().strip_prefix(DECLARATION)?;
        Some(rest.split_whitespace().next().unwrap_or("").to_owned())
    });
    let first = words.next()?;
    let differs = words.find(|word| *word != first);
    let word = differs.map_or_else(|| first.clone(), |other| format!("{first}` and `{other}"));
    Some(MigrationClass::of_word(&word).ok_or(word))
}

/// Operations written as data: what they remove or change can be seen, that they do no more cannot.
fn data(text: &str) -> Classified {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '$' || c == '_';
    let mut worst = Found::default();
    for word in text.split(|c| !is_word(c)) {
        worst.word(word);
    }
    if worst.class == MigrationClass::Additive {
        return Classified::unknown("no operator in it is one that changes data");
    }
    worst.classified(None)
}

/// The worst that was seen, and where.
#[derive(Debug)]
struct Found {
    class: MigrationClass,
    because: Vec<String>,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            class: MigrationClass::Additive,
            because: Vec::new(),
        }
    }
}

impl Found {
    fn add(&mut self, class: MigrationClass, why: impl Into<String>) {
        if class > self.class {
            self.class = class;
            self.because.clear();
        }
        let why = why.into();
        if class == self.class && !self.because.contains(&why) {
            self.because.push(why);
        }
    }

    fn word(&mut self, word: &str) {
        if let Some(effect) = effect_of_word(word) {
            self.effect(effect, word);
        }
    }

    fn effect(&mut self, effect: Effect, name: &str) {
        match effect {
            Effect::Reads => {}
            Effect::Adds => self.add(MigrationClass::Additive, name),
            Effect::Rewrites => self.add(MigrationClass::Rewriting, name),
            Effect::Destroys => self.add(MigrationClass::Destructive, name),
            Effect::Unclear(why) => self.add(MigrationClass::Unknown, format!("`{name}` {why}")),
        }
    }

    fn unclear(&mut self, why: impl Into<String>) {
        self.add(MigrationClass::Unknown, why);
    }

    fn classified(self, has_down: Option<bool>) -> Classified {
        Classified {
            class: self.class,
            because: self.because,
            has_down,
        }
    }
}

/// A script of JavaScript or TypeScript: everything in it counts as the way up, except the body of `down`.
fn script(text: &str) -> Classified {
    let all = match tokens(text) {
        Ok(all) => all,
        Err(why) => return Classified::unknown(why),
    };
    let down = body_of(&all, "down");
    let has_down = down.as_ref().map(|body| does_something(&all[body.clone()]));
    let mut found = Found::default();
    if body_of(&all, "up").is_none() {
        found.unclear("it has no function `up`");
    }
    let up: Vec<Token> = match down {
        // The way up may go through it.
        Some(body) if calls(&all[..body.start], "down") || calls(&all[body.end..], "down") => all,
        Some(body) => [&all[..body.start], &all[body.end..]].concat(),
        None => all,
    };
    read(&up, &mut found);
    found.classified(Some(has_down.unwrap_or(false)))
}

/// Whether `name` is called, which its definition is not.
fn calls(tokens: &[Token], name: &str) -> bool {
    let uses = tokens.iter().enumerate().filter(|(_, token)| token.is_word(name));
    uses.into_iter().any(|(at, _)| {
        let is_call = tokens.get(at + 1).is_some_and(|next| next.is("("));
        is_call && !is_definition(tokens, at)
    })
}

/// Where the body of the function of this name stands, without its braces.
fn body_of(tokens: &[Token], name: &str) -> Option<std::ops::Range<usize>> {
    let candidates = (0..tokens.len()).filter(|at| tokens[*at].is_word(name));
    candidates.into_iter().find_map(|at| {
        // `up(db) {`, `up: async (db) => {`, `up = function (db) {`, `function up(db) {`
        let mut next = at + 1;
        while tokens.get(next).is_some_and(Token::stands_before_parameters) {
            next += 1;
        }
        let after = match tokens.get(next)? {
            open if open.is("(") => closing(tokens, next)? + 1,
            // `up = async db => {`
            one if one.word().is_some() && tokens.get(next + 1)?.is("=>") => next + 1,
            _ => return None,
        };
        let open = (after..tokens.len().min(after + RETURN_TYPE_TOKENS)).find(|at| tokens[*at].is("{"))?;
        let between = &tokens[after..open];
        let is_body = between.is_empty() || between[0].is("=>") || between[0].is(":");
        is_body.then_some(open + 1..closing(tokens, open)?)
    })
}

/// `: Promise<void> =>` and the like are not longer.
const RETURN_TYPE_TOKENS: usize = 16;
/// Nor are the types in `collection<User>(`.
const TYPE_ARGUMENT_TOKENS: usize = 24;

/// The bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.punctuation() {
            Some("(" | "[" | "{") => depth += 1,
            Some(")" | "]" | "}") => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// An empty body, or one that only throws, takes nothing back.
fn does_something(body: &[Token]) -> bool {
    let only_throws = body.first().is_some_and(|first| first.is_word("throw"));
    !only_throws
        && body
            .windows(2)
            .any(|two| two[0].word().is_some() && two[1].is("("))
}

/// Whether the name at `at` is being defined: `name(…) {`, `async name(…): Promise<void> {`, `function name(…)`.
fn is_definition(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    if before.is_some_and(|before| before.is_word("function")) {
        return true;
    }
    let begins = before.is_none_or(|before| {
        let modifiers = ["async", "public", "private", "protected", "static", "get", "set"];
        before.word().map_or_else(
            || ["{", "}", ",", ";"].iter().any(|mark| before.is(mark)),
            |word| modifiers.contains(&word),
        )
    });
    let after = closing(tokens, at + 1).and_then(|end| tokens.get(end + 1));
    begins && after.is_some_and(|after| after.is("{") || after.is(":"))
}

/// Functions of the file itself: their bodies are read where they stand.
fn defined(tokens: &[Token]) -> Vec<String> {
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        let Some(name) = tokens[at].word() else { continue };
        let is_called = tokens.get(at + 1).is_some_and(|next| next.is("("));
        let is_assigned = tokens.get(at + 1).is_some_and(|next| next.is("="))
            && at > 0
            && matches!(tokens[at - 1].word(), Some("const" | "let" | "var"))
            && body_of(&tokens[at..], name).is_some_and(|body| body.start <= RETURN_TYPE_TOKENS * 2);
        if is_assigned || is_called && !words::is_keyword(name) && is_definition(tokens, at) {
            names.push(name.to_owned());
        }
    }
    names
}

fn read(tokens: &[Token], found: &mut Found) {
    let defined = defined(tokens);
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1);
        match token {
            Token::Word(name) => {
                found.word(name);
                if next.is_some_and(|next| next.is("(")) {
                    call(tokens, at, name, &defined, found);
                }
                if next.is_some_and(|next| matches!(next, Token::Template)) {
                    found.unclear(format!("`{name}` is called with a template"));
                }
                if name == "from" || name == "import" {
                    module(next, found);
                }
            }
            Token::Text(text) => {
                found.word(text);
            }
            Token::Regex(text) => other_words(text, found),
            Token::Template => {}
            Token::Punctuation(mark) => hidden_call(tokens, at, mark, &defined, found),
        }
    }
}

/// A regular expression may be a part of a division that was read wrongly: what it hides counts.
fn other_words(text: &str, found: &mut Found) {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '$');
    if words.into_iter().any(|word| effect_of_word(word).is_some()) {
        found.unclear("a regular expression contains the name of a call");
    }
}

fn call(tokens: &[Token], at: usize, name: &str, defined: &[String], found: &mut Found) {
    if name == "require" || name == "import" {
        return module(tokens.get(at + 2), found);
    }
    if words::is_keyword(name) || name == "up" || name == "down" || defined.iter().any(|known| known == name)
    {
        return;
    }
    match effect_of_call(name) {
        Some(effect) => found.effect(effect, name),
        None if effect_of_word(name).is_some() => {}
        None => found.unclear(format!("it calls `{name}`")),
    }
}

fn module(name: Option<&Token>, found: &mut Found) {
    match name {
        Some(Token::Text(module)) if MODULES.contains(&module.as_str()) => {}
        Some(Token::Text(module)) => found.unclear(format!("it uses the module {module:?}")),
        // `import { … } from "x"` is read at its `from`; `Array.from(` is a call.
        Some(next) if next.is("{") || next.is("(") || next.is("*") || next.word().is_some() => {}
        _ => found.unclear("it uses a module whose name is computed"),
    }
}

/// Whether the brackets at `open` have one text or number in them, or nothing.
fn is_literal(tokens: &[Token], open: usize) -> bool {
    match &tokens[open + 1..] {
        [close, ..] if close.is("]") => true,
        [Token::Text(_), close, ..] => close.is("]"),
        [Token::Word(word), close, ..] => word.starts_with(|c: char| c.is_ascii_digit()) && close.is("]"),
        _ => false,
    }
}

/// Calls and keys whose names are computed.
fn hidden_call(tokens: &[Token], at: usize, mark: &str, defined: &[String], found: &mut Found) {
    let next = tokens.get(at + 1);
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    match mark {
        "]" if next.is_some_and(|next| next.is("(") || matches!(next, Token::Template)) => {
            found.unclear("it calls a method whose name is computed");
        }
        "]" if next.is_some_and(|next| next.is(":")) => found.unclear("a key is computed"),
        "[" if before.is_some_and(Token::is_object) && !is_literal(tokens, at) => {
            found.unclear("it takes a member whose name is computed");
        }
        ")" if next.is_some_and(|next| matches!(next, Token::Template)) => {
            found.unclear("a function is called with a template");
        }
        "?." if next.is_some_and(|next| next.is("(") || next.is("[")) => {
            found.unclear("it calls what may be anything");
        }
        "(" if before.is_some_and(|before| before.is(")")) => found.unclear("it calls the result of a call"),
        // `name<Type>(…)`; after a comparison, a name that is none of a call costs only certainty.
        "(" if before.is_some_and(|before| before.is(">")) => {
            let open = (at.saturating_sub(TYPE_ARGUMENT_TOKENS)..at)
                .rev()
                .find(|at| tokens[*at].is("<"));
            let name = open
                .and_then(|open| open.checked_sub(1))
                .and_then(|name| tokens[name].word());
            if let Some(name) = name {
                call(tokens, at - 1, name, defined, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
