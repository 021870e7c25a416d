//! What one file of the product defines and uses, read from its tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use regex::Regex;

/// A backslash at the end of a line swallows the line break and what indents the next line.
static CONTINUATION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\\n\s*").unwrap());

/// A module path below the crate: `["restore", "swap"]`.
pub type Module = Vec<String>;

/// What one file of the product defines and uses.
#[derive(Debug, Default)]
pub struct Source {
    pub file: String,
    pub module: Module,
    /// Names that `use` brings into the file, with their whole paths.
    pub imports: BTreeMap<String, Module>,
    /// Names that `pub use` passes on.
    pub exports: BTreeSet<String>,
    /// Paths in `use` and in code, with their lines.
    pub paths: Vec<(Module, usize)>,
    /// Types that code outside the file can name.
    pub types: Vec<(String, usize)>,
    /// Names of types, functions and modules.
    pub names: Vec<(String, usize)>,
    /// String literals and help texts of the command line.
    pub texts: Vec<(String, usize)>,
}

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
    pub fn read(file: &str, text: &str) -> Self {
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
            // Attributes and documentation of the whole file.
            if is_punct(trees.get(at), '#') && is_punct(trees.get(at + 1), '!') {
                at += 3;
                continue;
            }
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
