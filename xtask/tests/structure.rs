//! The structure of the product stays as the documents describe it. Four reasons to fail: a room uses one of its own layer
//! or above it (the table of layers in `docs/ARCHITECTURE.md`); files use each other in a circle; two public types have one
//! name; a text or a name has a word that the table in `CONTRIBUTING.md` replaces.
//!
//! Code under `#[cfg(test)]` does not count. Violations are printed as `file:line: what`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use regex::Regex;

/// Documents whose words are checked, beside `docs/*.md`.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "infrastructure/rehearsal/README.md",
    "infrastructure/rehearsal/sample/README.md",
];

/// A backslash at the end of a line swallows the line break and what indents the next line.
static CONTINUATION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\\n\s*").unwrap());

/// What stands for itself: code, values that are filled in, addresses, options.
static VERBATIM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"`[^`\n]*`|\{[^}\n]*\}|https?://\S+|\]\([^)]*\)|--[a-z-]+").unwrap());

/// A module path below the crate: `["restore", "swap"]`.
type Module = Vec<String>;

/// What one file of the product defines and uses.
#[derive(Debug, Default)]
struct Source {
    file: String,
    module: Module,
    /// Names that `use` brings into the file, with their whole paths.
    imports: BTreeMap<String, Module>,
    /// Names that `pub use` passes on.
    exports: BTreeSet<String>,
    /// Paths in `use` and in code, with their lines.
    paths: Vec<(Module, usize)>,
    /// Types that code outside the file can name.
    types: Vec<(String, usize)>,
    /// Names of types, functions and modules.
    names: Vec<(String, usize)>,
    /// String literals and help texts of the command line.
    texts: Vec<(String, usize)>,
}

/// Where a room stands.
#[derive(Debug, Clone, Copy)]
struct Layer {
    /// The highest is 0.
    row: usize,
    /// Rooms of the base may use each other.
    is_base: bool,
}

/// One row of the table of words.
#[derive(Debug)]
struct Word {
    pattern: Regex,
    instead: String,
    in_texts: bool,
    in_names: bool,
}

// ---- reading Rust ----

fn line(tree: &TokenTree) -> usize {
    tree.span().start().line
}

fn ident(tree: Option<&TokenTree>) -> Option<String> {
    match tree {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn group(tree: Option<&TokenTree>, delimiter: Delimiter) -> Option<TokenStream> {
    match tree {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group.stream()),
        _ => None,
    }
}

/// The value of a string literal, `None` for other literals.
fn string(literal: &str) -> Option<String> {
    let literal = literal.trim_start_matches(['b', 'c']);
    if let Some(raw) = literal.strip_prefix('r') {
        return Some(raw.trim_matches('#').trim_matches('"').to_owned());
    }
    let body = literal.strip_prefix('"')?.strip_suffix('"')?;
    let continued = CONTINUATION.replace_all(body, "");
    Some(continued.replace("\\n", "\n").replace("\\\"", "\""))
}

/// The index after the item at `at`: after its body or its semicolon.
fn item_end(trees: &[TokenTree], at: usize) -> usize {
    let ends = |tree: &TokenTree| is_punct(Some(tree), ';') || group(Some(tree), Delimiter::Brace).is_some();
    trees[at..]
        .iter()
        .position(ends)
        .map_or(trees.len(), |end| at + end + 1)
}

impl Source {
    /// Reads a file of the crate; `file` is relative to `xtask/src`.
    fn read(file: &str, text: &str) -> Self {
        let module = file
            .trim_end_matches(".rs")
            .split('/')
            .map(str::to_owned)
            .collect();
        let mut source = Self {
            file: format!("xtask/src/{file}"),
            module: if file == "lib.rs" { Vec::new() } else { module },
            ..Self::default()
        };
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        source.walk(tokens, false);
        source
    }

    /// Collects what a stream of tokens has; `is_help` where its doc comments are help texts.
    fn walk(&mut self, tokens: TokenStream, is_help: bool) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut attributes: Vec<TokenStream> = Vec::new();
        let mut body_is_help = is_help;
        let mut at = 0;
        while at < trees.len() {
            let attribute =
                group(trees.get(at + 1), Delimiter::Bracket).filter(|_| is_punct(trees.get(at), '#'));
            if let Some(attribute) = attribute {
                at += 2;
                if attribute.to_string().replace(' ', "").starts_with("cfg(test)") {
                    at = item_end(&trees, at);
                } else {
                    self.attribute(&attribute, is_help);
                    attributes.push(attribute);
                }
                continue;
            }
            match &trees[at] {
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    if word == "use" && !is_punct(trees.get(at + 1), '<') {
                        let end = item_end_of_use(&trees, at);
                        let is_public = at > 0 && is_visibility(&trees, at);
                        self.import(&trees[at + 1..end], &mut Vec::new(), is_public);
                        at = end;
                        continue;
                    }
                    if ["struct", "enum", "trait", "union", "type"].contains(&word.as_str())
                        && let Some(name) = ident(trees.get(at + 1))
                    {
                        let line = line(&trees[at]);
                        if at > 0 && is_visibility(&trees, at) {
                            self.types.push((name.clone(), line));
                        }
                        self.names.push((name, line));
                        body_is_help = attributes.iter().any(derives_help);
                        if body_is_help {
                            let docs = attributes.iter().filter_map(doc);
                            self.texts.extend(docs.map(|doc| (doc, line)));
                        }
                    } else if word == "fn" || word == "mod" {
                        self.names
                            .extend(ident(trees.get(at + 1)).map(|name| (name, line(&trees[at]))));
                    }
                    at += self.path(&trees[at..]);
                    continue;
                }
                TokenTree::Literal(literal) => {
                    self.texts
                        .extend(string(&literal.to_string()).map(|text| (text, line(&trees[at]))));
                }
                TokenTree::Group(group) => {
                    // What `expect` holds is for the programmer.
                    if at == 0 || ident(trees.get(at - 1)).is_none_or(|called| called != "expect") {
                        self.walk(group.stream(), body_is_help);
                    }
                    if group.delimiter() == Delimiter::Brace {
                        attributes.clear();
                        body_is_help = is_help;
                    }
                }
                TokenTree::Punct(punct) => {
                    if [';', ','].contains(&punct.as_char()) {
                        attributes.clear();
                    }
                }
            }
            at += 1;
        }
    }

    /// Texts of an attribute that people see: help texts, and what clap is given.
    fn attribute(&mut self, attribute: &TokenStream, is_help: bool) {
        let name = ident(attribute.clone().into_iter().next().as_ref()).unwrap_or_default();
        let line = attribute
            .clone()
            .into_iter()
            .next()
            .map_or(0, |first| line(&first));
        if name == "doc" && is_help {
            self.texts.extend(doc(attribute).map(|doc| (doc, line)));
        } else if ["command", "arg", "value", "group"].contains(&name.as_str()) {
            self.walk(attribute.clone(), false);
        }
    }

    /// A path in code; gives the number of tokens that it takes.
    fn path(&mut self, trees: &[TokenTree]) -> usize {
        let mut path = vec![ident(trees.first()).unwrap_or_default()];
        let mut taken = 1;
        while is_punct(trees.get(taken), ':')
            && is_punct(trees.get(taken + 1), ':')
            && let Some(next) = ident(trees.get(taken + 2))
        {
            path.push(next);
            taken += 3;
        }
        if path.len() > 1 {
            self.paths.push((path, line(&trees[0])));
        }
        taken
    }

    /// A tree of `use`.
    fn import(&mut self, trees: &[TokenTree], prefix: &mut Module, is_public: bool) {
        for part in trees
            .split(|tree| is_punct(Some(tree), ','))
            .filter(|part| !part.is_empty())
        {
            let mut path = prefix.clone();
            let mut name = None;
            let mut words = part.iter();
            while let Some(tree) = words.next() {
                match tree {
                    TokenTree::Ident(word) if word == "as" => name = ident(words.next()),
                    TokenTree::Ident(word) => path.push(word.to_string()),
                    TokenTree::Group(group) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.import(&inner, &mut path.clone(), is_public);
                        path.clear();
                    }
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
            if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                path.pop();
            }
            let Some(last) = path.last().cloned() else {
                continue;
            };
            let name = name.unwrap_or(last);
            if is_public {
                self.exports.insert(name.clone());
            } else {
                self.paths.push((path.clone(), line(&part[0])));
            }
            self.imports.insert(name, path);
        }
    }
}

fn item_end_of_use(trees: &[TokenTree], at: usize) -> usize {
    let semicolon = trees[at..].iter().position(|tree| is_punct(Some(tree), ';'));
    semicolon.map_or(trees.len(), |end| at + end)
}

/// Whether `pub` or `pub(…)` stands before the word at `at`.
fn is_visibility(trees: &[TokenTree], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| trees.get(at));
    let is_pub = |tree| ident(tree).is_some_and(|word| word == "pub");
    is_pub(before(1)) || (group(before(1), Delimiter::Parenthesis).is_some() && is_pub(before(2)))
}

/// The text of a doc comment.
fn doc(attribute: &TokenStream) -> Option<String> {
    let mut trees = attribute.clone().into_iter();
    let is_doc = ident(trees.next().as_ref()).is_some_and(|name| name == "doc");
    is_doc.then(|| string(&trees.nth(1)?.to_string())).flatten()
}

/// Whether clap makes help texts of an item's doc comments.
fn derives_help(attribute: &TokenStream) -> bool {
    let text = attribute.to_string();
    let derives = ["Args", "Parser", "Subcommand", "ValueEnum"];
    text.starts_with("derive")
        && text
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| derives.contains(&word))
}

// ---- the rules ----

/// The crate, by module.
struct Tree {
    sources: BTreeMap<Module, Source>,
}

impl Tree {
    fn new(sources: Vec<Source>) -> Self {
        let keyed = sources.into_iter().map(|source| (source.module.clone(), source));
        Self {
            sources: keyed.collect(),
        }
    }

    /// The file in which the thing of this path is defined, where that is in the crate.
    fn target(&self, from: &Module, path: &[String]) -> Option<Module> {
        self.follow(from, path, 0)
    }

    fn follow(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        // An import may name itself (`use restore::{self}` below a module of that name).
        if depth > 8 {
            return None;
        }
        let child = |parent: &Module, name: &String| {
            let module: Module = parent.iter().chain([name]).cloned().collect();
            self.sources.contains_key(&module).then_some(module)
        };
        let (mut module, mut at) = (from.clone(), 0);
        match path.first()?.as_str() {
            "crate" => (module, at) = (Vec::new(), 1),
            "self" => at = 1,
            "super" => {
                while path.get(at).is_some_and(|word| word == "super") {
                    module.pop();
                    at += 1;
                }
            }
            first => {
                if child(from, &path[0]).is_none() {
                    let import = self.sources.get(from)?.imports.get(first)?;
                    let whole: Module = import.iter().chain(&path[1..]).cloned().collect();
                    return (import[0] != *first || import.len() > 1)
                        .then(|| self.follow(from, &whole, depth + 1))
                        .flatten();
                }
            }
        }
        while let Some(name) = path.get(at) {
            if let Some(below) = child(&module, name) {
                module = below;
            } else {
                let source = self.sources.get(&module)?;
                if source.exports.contains(name) && module != *from {
                    let export = &source.imports[name];
                    let whole: Module = export.iter().chain(&path[at + 1..]).cloned().collect();
                    return self.follow(&module, &whole, depth + 1);
                }
                break;
            }
            at += 1;
        }
        (!module.is_empty()).then_some(module)
    }

    /// Which file uses which, with the first line of it.
    fn arrows(&self) -> BTreeMap<(&Module, Module), usize> {
        let mut arrows = BTreeMap::new();
        for (from, source) in self.sources.iter().filter(|(from, _)| !from.is_empty()) {
            for (path, line) in &source.paths {
                if let Some(to) = self.target(from, path).filter(|to| to != from) {
                    arrows.entry((from, to)).or_insert(*line);
                }
            }
        }
        arrows
    }

    /// Arrows between rooms that the table of layers does not allow.
    fn arrows_up(&self, layers: &BTreeMap<String, Layer>) -> Vec<String> {
        let mut found = Vec::new();
        let rooms: BTreeSet<&String> = self.sources.keys().filter_map(|module| module.first()).collect();
        for room in rooms.into_iter().filter(|room| !layers.contains_key(*room)) {
            found.push(format!(
                "xtask/src/{room}.rs:1: `{room}` is not in the table of layers"
            ));
        }
        for ((from, to), line) in self.arrows() {
            let (Some(upper), Some(lower)) = (layers.get(&from[0]), layers.get(&to[0])) else {
                continue;
            };
            let is_lower = upper.row < lower.row || (upper.row == lower.row && upper.is_base);
            if from[0] != to[0] && !is_lower {
                let file = &self.sources[from].file;
                found.push(format!(
                    "{file}:{line}: `{}` must not use `{}`",
                    from[0],
                    to.join("::")
                ));
            }
        }
        found
    }

    /// Files that use each other in a circle. A module may use what the modules above it define: they hold what their
    /// parts share.
    fn circles(&self) -> Vec<String> {
        let arrows = self.arrows();
        let mut uses: BTreeMap<&Module, Vec<(&Module, usize)>> = BTreeMap::new();
        for ((from, to), line) in arrows.iter().filter(|((from, to), _)| !from.starts_with(to)) {
            uses.entry(from).or_default().push((to, *line));
        }
        let reachable = |start: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(module) = open.pop() {
                for (to, _) in uses.get(module).into_iter().flatten() {
                    if seen.insert((*to).clone()) {
                        open.push(to);
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<&Module, BTreeSet<Module>> =
            uses.keys().map(|module| (*module, reachable(module))).collect();
        let mut found = Vec::new();
        for (from, to) in uses
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (*from, to)))
        {
            if reach.get(to.0).is_some_and(|back| back.contains(from)) {
                let file = &self.sources[from].file;
                found.push(format!(
                    "{file}:{}: `{}` is in a circle with this file",
                    to.1,
                    to.0.join("::")
                ));
            }
        }
        found
    }

    /// Public types of one name. The arguments of each command are called `Args`.
    fn double_names(&self) -> Vec<String> {
        let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for source in self.sources.values() {
            for (name, line) in &source.types {
                if name != "Args" || source.module[0] != "commands" {
                    places
                        .entry(name)
                        .or_default()
                        .push(format!("{}:{line}", source.file));
                }
            }
        }
        let double = places.iter().filter(|(_, places)| places.len() > 1);
        double
            .flat_map(|(name, places)| {
                let all = places.join(", ");
                places.iter().map(move |place| {
                    format!(
                        "{place}: the public type name `{name}` is used {} times: {all}",
                        places.len()
                    )
                })
            })
            .collect()
    }

    /// Words of the table in texts and names.
    fn wrong_words(&self, words: &[Word]) -> Vec<String> {
        let mut found = Vec::new();
        for source in self.sources.values() {
            for (text, line) in source.texts.iter().filter(|(text, _)| text.trim().contains(' ')) {
                for (word, _) in wrong_words_of(text, words) {
                    found.push(format!("{}:{line}: {word} (in \"{}\")", source.file, start(text)));
                }
            }
            for (name, line) in &source.names {
                let spaced = spaced(name);
                for word in words
                    .iter()
                    .filter(|word| word.in_names && word.pattern.is_match(&spaced))
                {
                    found.push(format!(
                        "{}:{line}: the name `{name}`: {}",
                        source.file, word.instead
                    ));
                }
            }
        }
        found
    }
}

/// The beginning of a text, for a message.
fn start(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(60).collect()
}

/// The words of a name: `ReleaseRecord` and `release_record` are `release record`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            words.push(' ');
        }
        words.push(if c == '_' { ' ' } else { c.to_ascii_lowercase() });
    }
    words
}

/// The words of the table in a text, each with the byte where it begins. What stands for itself does not count: `code`,
/// values to be filled in, addresses.
fn wrong_words_of(text: &str, words: &[Word]) -> Vec<(String, usize)> {
    let text = VERBATIM.replace_all(text, |found: &regex::Captures| " ".repeat(found[0].len()));
    let mut found = Vec::new();
    for word in words.iter().filter(|word| word.in_texts) {
        for hit in word.pattern.find_iter(&text) {
            let said = hit.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
            found.push((format!("`{said}`: {}", word.instead), hit.start()));
        }
    }
    found
}

/// The wrong words of a document. Code blocks count by their comments; the table of words is not checked by itself.
fn wrong_words_of_document(file: &str, text: &str, words: &[Word]) -> Vec<String> {
    let mut prose = String::new();
    let (mut in_code, mut in_words) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            prose.push_str(line.split_once("# ").map_or("", |(_, comment)| comment));
        } else {
            if line.starts_with('#') {
                in_words = line == "## Words";
            }
            if !(in_words && line.starts_with('|')) {
                prose.push_str(line);
            }
        }
        prose.push('\n');
    }
    let hits = wrong_words_of(&prose, words);
    let line = |at: usize| prose[..at].matches('\n').count() + 1;
    hits.iter()
        .map(|(word, at)| format!("{file}:{}: {word}", line(*at)))
        .collect()
}

// ---- the tables in the documents ----

/// The rows of the table below a heading, without its head.
fn table<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = document
        .split_once(&format!("\n## {heading}\n"))
        .map_or("", |(_, section)| section);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn layers(architecture: &str) -> BTreeMap<String, Layer> {
    let rows = table(architecture, "Layers");
    let rooms = rows.iter().enumerate().flat_map(|(index, row)| {
        let layer = Layer {
            row: index,
            is_base: row[1].starts_with("the base:"),
        };
        let names = row[0].split('`').skip(1).step_by(2);
        names.map(move |name| (name.to_owned(), layer))
    });
    rooms.collect()
}

fn words(contributing: &str) -> Vec<Word> {
    let rows = table(contributing, "Words");
    let word = |row: &Vec<&str>| {
        let alternatives: Vec<String> = row[0]
            .split(',')
            .map(|phrase| phrase.split_whitespace().collect::<Vec<_>>().join(r"\s+"))
            .collect();
        Word {
            pattern: Regex::new(&format!(r"(?i)\b(?:{})\b", alternatives.join("|"))).unwrap(),
            instead: row[1].to_owned(),
            in_texts: row[2].contains("texts"),
            in_names: row[2].contains("names"),
        }
    };
    rows.iter().map(word).collect()
}

// ---- the tests ----

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below a folder, relative to it, without those of tests.
fn files(folder: &Path, below: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.join(below)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        if folder.join(&path).is_dir() {
            found.extend(files(folder, &path, extension));
        } else if name.ends_with(extension) && !["tests.rs", "testing.rs", "main.rs"].contains(&name.as_str())
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_product_has_the_structure_that_the_documents_describe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources = files(&root.join("xtask/src"), "", ".rs");
    let sources = sources
        .iter()
        .map(|file| Source::read(file, &read(&root.join("xtask/src").join(file))));
    let tree = Tree::new(sources.collect());
    let words = words(&read(&root.join("CONTRIBUTING.md")));
    let layers = layers(&read(&root.join("docs/ARCHITECTURE.md")));
    assert!(words.len() > 10 && layers.len() > 20, "the tables are there");

    let mut violations = tree.arrows_up(&layers);
    violations.extend(tree.circles());
    violations.extend(tree.double_names());
    violations.extend(tree.wrong_words(&words));
    let documents = files(&root.join("docs"), "", ".md")
        .into_iter()
        .map(|file| format!("docs/{file}"));
    for file in documents.chain(DOCUMENTS.iter().map(|file| (*file).to_owned())) {
        violations.extend(wrong_words_of_document(&file, &read(&root.join(&file)), &words));
    }
    violations.sort_by_key(|violation| {
        let mut parts = violation.splitn(3, ':');
        let file = parts.next().unwrap_or_default().to_owned();
        (
            file,
            parts.next().and_then(|line| line.parse::<usize>().ok()),
            violation.clone(),
        )
    });
    violations.dedup();
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

/// A made-up tree whose layers are `top`, `middle`, then the base `low` and `base`.
fn made_up(files: &[(&str, &str)]) -> Tree {
    Tree::new(
        files
            .iter()
            .map(|(file, text)| Source::read(file, text))
            .collect(),
    )
}

fn made_up_layers() -> BTreeMap<String, Layer> {
    layers(
        "\n## Layers\n| rooms | what |\n|---|---|\n| `top` | x |\n| `middle` | x |\n| `low`, `base` | the base: x |\n| `domain` | x |\n\n## Next\n",
    )
}

fn made_up_words() -> Vec<Word> {
    words(
        "\n## Words\n\n| not | but | where |\n|---|---|---|\n| go back, told | undo, report | texts, names |\n| reach | impact | names |\n",
    )
}

#[test]
fn an_arrow_up_is_found_in_use_lines_and_in_code() {
    let tree = made_up(&[
        ("top.rs", "use crate::middle::inner::Thing;"),
        ("middle.rs", "pub mod inner;\nfn f() { vec![crate::top::run()]; }"),
        (
            "middle/inner.rs",
            "use super::super::{low, top as upper};\nfn f() { upper::x(); }",
        ),
        (
            "low.rs",
            "use crate::base::B;\n#[cfg(test)]\nmod tests { use crate::top::T; }",
        ),
        ("base.rs", "use std::top::T; use crate::low::L;"),
    ]);
    assert_eq!(
        tree.arrows_up(&made_up_layers()),
        [
            "xtask/src/middle.rs:2: `middle` must not use `top`",
            "xtask/src/middle/inner.rs:1: `middle` must not use `top`",
        ]
    );
    let unknown = made_up(&[("elsewhere.rs", "")]).arrows_up(&made_up_layers());
    assert_eq!(
        unknown,
        ["xtask/src/elsewhere.rs:1: `elsewhere` is not in the table of layers"]
    );
}

#[test]
fn a_circle_is_found_through_what_a_module_passes_on() {
    let tree = made_up(&[
        (
            "top.rs",
            "mod a; mod b; mod c;\npub use b::Shared;\npub struct Common;\nuse a::run;",
        ),
        ("top/a.rs", "use super::Shared;"),
        (
            "top/b.rs",
            "use super::Common;\nuse super::c;\npub struct Shared;",
        ),
        ("top/c.rs", "fn f() { super::a::run(); }"),
    ]);
    assert_eq!(
        tree.circles(),
        [
            "xtask/src/top/a.rs:1: `top::b` is in a circle with this file",
            "xtask/src/top/b.rs:2: `top::c` is in a circle with this file",
            "xtask/src/top/c.rs:1: `top::a` is in a circle with this file",
        ]
    );
    let parts_share_their_parent = made_up(&[
        ("top.rs", "mod a;\nuse a::run;\npub struct Common;"),
        ("top/a.rs", "use super::Common;"),
    ]);
    assert!(parts_share_their_parent.circles().is_empty());
}

#[test]
fn a_public_type_name_that_is_used_twice_is_found() {
    let tree = made_up(&[
        ("commands/a.rs", "pub struct Args; pub struct Plan;"),
        ("commands/b.rs", "pub struct Args; struct Plan;"),
        (
            "low.rs",
            "impl Iterator for X { type Item = u8; }\npub(crate) enum Plan {}",
        ),
        (
            "base.rs",
            "impl Iterator for X { type Item = u8; } fn f() { struct Plan; }",
        ),
    ]);
    let both = "the public type name `Plan` is used 2 times: xtask/src/commands/a.rs:1, xtask/src/low.rs:2";
    assert_eq!(
        tree.double_names(),
        [
            format!("xtask/src/commands/a.rs:1: {both}"),
            format!("xtask/src/low.rs:2: {both}")
        ]
    );
}

#[test]
fn a_word_of_the_table_is_found_in_texts_names_and_documents() {
    let tree = made_up(&[(
        "top.rs",
        "/// Not shown: go back.\npub struct ReachOf;\nfn f() { let told = 1; print(\"cannot \\\n  go \\\n  back\"); }\n\
         #[derive(clap::Args)]\nstruct A {\n    /// Go back now\n    go: bool,\n}\n\
         fn told_all() { x.expect(\"go back\"); y(\"told\", \"`go back` is {told} in reach\"); }",
    )]);
    let found = tree.wrong_words(&made_up_words());
    assert_eq!(
        found,
        [
            "xtask/src/top.rs:3: `go back`: undo, report (in \"cannot go back\")",
            "xtask/src/top.rs:8: `Go back`: undo, report (in \"Go back now\")",
            "xtask/src/top.rs:2: the name `ReachOf`: impact",
            "xtask/src/top.rs:11: the name `told_all`: undo, report",
        ]
    );
    let document = "# D\nIt was\ntold to go\nback.\n```\nrun told # told here\n```\n## Words\n| told | x |\n";
    let found = wrong_words_of_document("D.md", document, &made_up_words());
    assert_eq!(
        found,
        [
            "D.md:3: `told`: undo, report",
            "D.md:3: `go back`: undo, report",
            "D.md:6: `told`: undo, report"
        ]
    );
}
