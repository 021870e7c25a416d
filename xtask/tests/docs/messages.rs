//! The table of messages in the guide is made of the sources: each error that decides an exit code, the state it tells
//! and the command it names.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{files, read, root};

const GUIDE: &str = "docs/PRODUCTION-ROLLBACK-GUIDE.md";
const BEGIN: &str =
    "<!-- messages: made of the sources by `XTASK_BLESS=1 cargo test -p xtask --test docs messages` -->\n";
const END: &str = "<!-- end of messages -->\n";

/// Constructors of errors and the exit codes they stand for.
const KINDS: &[(&str, u8)] = &[("failed", 1), ("usage", 2), ("refused", 3), ("midway", 4)];

/// Parts of the program, by where their sources lie; the last one takes the rest.
const AREAS: &[(&str, &[&str], &str)] = &[
    (
        "Deploy and rollback",
        &[
            "commands/deploy",
            "commands/rollback",
            "operation/run",
            "operation/preflight",
            "commands/confirm",
            "operation/journal",
        ],
        "Preflight tells all problems at once and changes nothing. After exit 4 the message names the operation: \
         `--resume` finishes it, `--undo` goes back.",
    ),
    (
        "Lock and ledger",
        &["operation/ledger", "commands/ledger"],
        "One operation at a time holds an environment. A holder that died loses the lock at once on the same machine, \
         elsewhere two minutes after its last word.",
    ),
    (
        "Approvals",
        &["approval", "commands/gate"],
        "An approval is for one plan and counts for `approval.max_age_hours`. What cannot be proved is not approved.",
    ),
    (
        "Backups",
        &["commands/backup", "places", "backup"],
        "No backup counts before it was read back whole. Nothing live is changed by any of these.",
    ),
    (
        "Restore",
        &["restore", "commands/restore", "database"],
        "Everything is restored beside the live data first; what was live stays until `restore --forget`.",
    ),
    (
        "Health",
        &["health", "commands/health"],
        "Exit 1 with a report is a verdict (unhealthy or unknown), not one of these messages.",
    ),
    (
        "Platforms and tools",
        &["tools", "commands/setup", "commands/tools", "commands/doctor"],
        "The platform or a program on this machine does not do what is needed; `cargo xtask doctor` looks at all of them.",
    ),
    ("Configuration and the rest", &[""], "Nothing was begun."),
];

/// What is filled in that is always the same.
const CONSTANTS: &[(&str, &str)] = &[
    ("PIPELINE_FILE", xtask::context::PIPELINE_FILE),
    ("HEALTH_FILE", xtask::health::HEALTH_FILE),
    ("APPROVERS_FILE", xtask::approval::APPROVERS_FILE),
];

/// One error of the program.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    area: usize,
    exit: u8,
    what: String,
    live: String,
    next: String,
}

/// The part of a source that is not its tests.
fn product(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod ").next().unwrap_or(source)
}

/// The index of the bracket that closes the one at `open`; brackets in strings do not count.
fn closing(text: &str, open: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '(' if !in_string => depth += 1,
            ')' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    panic!(
        "no closing bracket after {}",
        &text[open..(open + 60).min(text.len())]
    );
}

/// The string literals of some code, as a reader of the message sees them: what is filled in becomes `…`.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find('"') {
        let body = &rest[start + 1..];
        let mut escaped = false;
        let end = body.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.unwrap_or(body.len());
        found.push(shown(&body[..end]));
        rest = body.get(end + 1..).unwrap_or_default();
    }
    found
}

fn shown(literal: &str) -> String {
    // A backslash at the end of a line swallows the line break and what indents the next line.
    let joined: String = literal
        .split("\\\n")
        .enumerate()
        .map(|(part, text)| if part == 0 { text } else { text.trim_start() })
        .collect();
    let text = joined
        .replace("\\\"", "\"")
        .replace("\\n", " ")
        .replace("{{", "\u{1}")
        .replace("}}", "\u{2}");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let known = CONSTANTS.iter().find(|(constant, _)| *constant == name);
        out.push_str(before);
        out.push_str(known.map_or("…", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out.replace('\u{1}', "{")
        .replace('\u{2}', "}")
        .replace('|', "\\|")
}

/// The texts that an argument can be: its literals, or those given to the variable before.
fn texts(source: &str, at: usize, argument: &str) -> Vec<String> {
    let direct = literals(argument);
    if let Some(first) = direct.first() {
        return vec![first.clone()];
    }
    let variable = argument.trim();
    let is_name = !variable.is_empty() && variable.chars().all(|c| c.is_alphanumeric() || c == '_');
    let given = source[..at]
        .rfind(&format!("let {variable} = "))
        .filter(|_| is_name);
    given.map_or_else(Vec::new, |given| literals(&source[given..at]))
}

/// What `.live(…)` or `.next(…)` says right after a constructor.
fn said(source: &str, mut at: usize, method: &str) -> String {
    loop {
        let rest = source[at..].trim_start();
        at = source.len() - rest.len();
        let Some(name) = rest.strip_prefix('.').and_then(|rest| rest.split_once('(')) else {
            return String::new();
        };
        let open = at + 1 + name.0.len();
        let close = closing(source, open);
        if name.0 == method {
            return literals(&source[open..close])
                .first()
                .cloned()
                .unwrap_or_default();
        }
        at = close + 1;
    }
}

/// Every message of one source file.
fn messages_of(path: &str, source: &str) -> Vec<Message> {
    let area = AREAS
        .iter()
        .position(|(_, places, _)| places.iter().any(|place| path.starts_with(place)))
        .unwrap();
    let mut found = collected(area, source);
    for (kind, exit) in KINDS {
        // A file may have a constructor of its own that adds what is the same for all of its errors.
        let own = source.find(&format!("fn {kind}(what: impl Into<String>) -> CliError"));
        let own_live = own.map(|own| said_in_body(source, own));
        let marks = [format!("CliError::{kind}("), format!("{kind}(")];
        for mark in marks.iter().take(if own.is_some() { 2 } else { 1 }) {
            for (at, _) in source.match_indices(mark.as_str()) {
                let before = &source[..at];
                let is_other = before.ends_with("fn ")
                    || before.ends_with(':')
                    || before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
                if is_other {
                    continue;
                }
                let open = at + mark.len() - 1;
                let close = closing(source, open);
                let live = said(source, close + 1, "live");
                let live = if live.is_empty() && !mark.starts_with("CliError") {
                    own_live.clone().unwrap_or_default()
                } else {
                    live
                };
                for what in texts(source, at, &source[open + 1..close]) {
                    if is_only_filled_in(&what) {
                        continue;
                    }
                    let next = said(source, close + 1, "next");
                    found.push(Message {
                        area,
                        exit: *exit,
                        what,
                        live: live.clone(),
                        next,
                    });
                }
            }
        }
    }
    found
}

/// Nothing but what another error says, which has a row of its own; or a word that is put into a sentence.
fn is_only_filled_in(what: &str) -> bool {
    what.chars().filter(|c| c.is_alphabetic()).count() < 4 || !what.contains(' ')
}

/// What a preflight collects: refused together, with nothing changed.
fn collected(area: usize, source: &str) -> Vec<Message> {
    let places = ["preflight.require(", ".problem("].iter().flat_map(|mark| {
        let found = source.match_indices(mark);
        found.map(|(at, mark)| (at, at + mark.len() - 1))
    });
    let texts = places.flat_map(|(at, open)| {
        let argument = &source[open + 1..closing(source, open)];
        texts(source, at, argument)
    });
    texts
        .filter(|what| !is_only_filled_in(what))
        .map(|what| Message {
            area,
            exit: 3,
            what,
            live: "nothing was changed".into(),
            next: "mend all that is listed, and run the command again".into(),
        })
        .collect()
}

fn said_in_body(source: &str, at: usize) -> String {
    let body = &source[at..source[at..].find("\n}").map_or(source.len(), |end| at + end)];
    body.find(".live(")
        .map(|live| literals(&body[live..]).first().cloned().unwrap_or_default())
        .unwrap_or_default()
}

fn all() -> BTreeSet<Message> {
    let folder = root().join("xtask/src");
    let sources = files(&folder, "rs").into_iter().filter(|path| {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        name != "error.rs"
            && !name.ends_with("_tests.rs")
            && (!name.ends_with("/tests.rs") || name == "commands/tests.rs")
    });
    sources
        .flat_map(|path| {
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
            messages_of(name, product(&read(&path)))
        })
        .collect()
}

fn table(messages: &BTreeSet<Message>) -> String {
    let mut text = String::new();
    for (area, (title, _, meaning)) in AREAS.iter().enumerate() {
        writeln!(text, "\n#### {title}\n{meaning}\n").unwrap();
        text += "| message | exit | live system | next |\n|---|---|---|---|\n";
        for message in messages.iter().filter(|message| message.area == area) {
            let Message {
                exit,
                what,
                live,
                next,
                ..
            } = message;
            writeln!(text, "| {what} | {exit} | {live} | {next} |").unwrap();
        }
    }
    text + "\n"
}

#[test]
fn the_guide_has_every_message() {
    let messages = all();
    assert!(messages.len() > 60, "only {} messages were found", messages.len());
    let path = root().join(GUIDE);
    let guide = read(&path);
    let (head, rest) = guide
        .split_once(BEGIN)
        .expect("the guide has the mark of the beginning");
    let (found, tail) = rest.split_once(END).expect("the guide has the mark of the end");
    let wanted = table(&messages);
    if std::env::var_os("XTASK_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
        return;
    }
    let lacking: Vec<&str> = wanted
        .lines()
        .filter(|line| !found.lines().any(|known| known == *line))
        .collect();
    let outdated: Vec<&str> = found
        .lines()
        .filter(|line| !wanted.lines().any(|known| known == *line))
        .collect();
    assert!(
        lacking.is_empty() && outdated.is_empty(),
        "the guide lacks {lacking:#?} and has {outdated:#?}: run XTASK_BLESS=1 cargo test -p xtask --test docs messages"
    );
}

#[test]
fn a_message_is_found_with_its_code_state_and_next_command() {
    let source = r#"
        Err(CliError::midway(format!("the swap of {name} (one of {}) stopped", 5))
            .live("some \"are\" live")
            .next(format!("run \
                           it with {{x}} and {id}"))
            .into())
        let why = match x { 1 => "first reason", _ => "second reason" };
        CliError::refused(why).next("go")
        CliError::failed(format!("{error:#}"))
    "#;
    let found = messages_of("commands/deploy.rs", source);
    let row = |exit, what: &str, live: &str, next: &str| Message {
        area: 0,
        exit,
        what: what.into(),
        live: live.into(),
        next: next.into(),
    };
    assert_eq!(
        found,
        [
            row(3, "first reason", "", "go"),
            row(3, "second reason", "", "go"),
            row(
                4,
                "the swap of … (one of …) stopped",
                "some \"are\" live",
                "run it with {x} and …"
            ),
        ]
    );
}
