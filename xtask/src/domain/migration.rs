//! What a migration does to the data that are there: read from what it calls, or from what it declares.
//!
//! A wrong "additive" would let a rollback keep data that the earlier code cannot read. So a file is additive only where every call
//! in it is known to change nothing that exists; what cannot be read with certainty is unknown, never additive.

mod lexer;
mod script;
mod words;

use serde::{Deserialize, Serialize};

use lexer::{Token, tokens};
use script::script;
use words::{Effect, effect_of_word};

/// A longer migration is not read: it is unknown.
pub const LIMIT_BYTES: usize = 1 << 20;
/// How a file declares its class, in a comment: `migration-class: additive`.
const DECLARATION: &str = "migration-class:";
/// Extensions whose calls are read.
const SCRIPTS: [&str; 6] = ["js", "cjs", "mjs", "ts", "cts", "mts"];

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

#[cfg(test)]
mod tests;
