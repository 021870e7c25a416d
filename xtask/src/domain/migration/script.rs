//! A script: everything in it counts as the way up, except the body of `down`.

use super::lexer::{Token, tokens};
use super::words::{effect_of_call, effect_of_word, is_keyword};
use super::{Classified, Found};

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

/// Reads JavaScript or TypeScript.
pub(super) fn script(text: &str) -> Classified {
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
        if is_assigned || is_called && !is_keyword(name) && is_definition(tokens, at) {
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
    if is_keyword(name) || name == "up" || name == "down" || defined.iter().any(|known| known == name) {
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
