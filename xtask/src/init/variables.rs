//! Variables that the application reads: files of examples, and code where there is none.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::services::Services;
use super::tree::{
    SourceTree, is_aside, is_below, is_env, is_env_example, is_public, line_of, matched, name,
};

/// `process.env.NAME`, `os.getenv("NAME")`, `env("NAME")`, `config.get('NAME')`, `NAME: z.string()`.
pub static READ_IN_CODE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?:process\.env\.|import\.meta\.env\.|\benv\.)([A-Z][A-Z0-9_]{2,})\b"#,
        r#"|(?:process\.env|environ|Bun\.env)\[\s*['"`]([A-Z][A-Z0-9_]{2,})['"`]"#,
        r#"|(?:getenv|environ\.get|\benv|\bconfig|\.get|getOrThrow)(?:<[^>()]*>)?\(\s*['"`]([A-Z][A-Z0-9_]{2,})['"`]"#,
        r#"|(?m:^\s*)([A-Z][A-Z0-9_]{2,})\s*:\s*(?:z\.|Joi\.|str\b|Optional|SecretStr|MongoDsn|string\b)"#
    ))
    .expect("the pattern is a constant")
});
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"SECRET|TOKEN|PASSWORD|PASSWD|_PASS$|PRIVATE|CREDENTIAL|API_?KEY|ACCESS_?KEY|_KEY$|^KEY_|SALT|PEPPER|_DSN$|WEBHOOK|CLIENT_ID$")
        .expect("the pattern is a constant")
});
/// What the platforms set themselves, or what differs only on a developer's machine.
const OF_THE_PLATFORM: &[&str] = &[
    "RAILWAY_",
    "VERCEL",
    "NODE_ENV",
    "PORT",
    "HOST",
    "CI",
    "TZ",
    "HOME",
    "PATH",
    "EXPO_",
    "TURBO_",
    "NEXT_RUNTIME",
];

/// A line of a file of examples, or a use in code.
#[derive(Debug, Clone)]
pub struct EnvLine {
    pub name: String,
    /// The value of the example; empty for a use in code.
    pub value: String,
    pub origin: String,
    pub file: String,
}

/// A variable, and the sides that read it.
#[derive(Debug, Clone)]
pub struct AppVariable {
    pub name: String,
    pub for_backend: bool,
    pub for_frontend: bool,
    pub is_secret: bool,
    pub origin: String,
}

/// Every line of every file of examples.
pub fn example_lines(tree: &SourceTree) -> Vec<EnvLine> {
    let mut lines = Vec::new();
    for (file, text) in &tree.texts {
        if !(is_env_example(name(file)) || is_env(name(file))) || is_aside(file) {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches("export ");
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let name = name.trim();
            if is_name(name) {
                let value = value.trim();
                // A comment behind an unquoted value.
                let value = value
                    .split(" #")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .trim_matches(['"', '\'']);
                lines.push(EnvLine {
                    name: name.into(),
                    value: value.into(),
                    origin: format!("{file}:{}", at + 1),
                    file: file.clone(),
                });
            }
        }
    }
    lines
}

/// Uses in the code below a folder, the first of each name.
pub fn code_lines(tree: &SourceTree, dir: &str) -> Vec<EnvLine> {
    let mut found: BTreeMap<String, EnvLine> = BTreeMap::new();
    for (file, text) in tree.code(dir) {
        for hit in READ_IN_CODE.captures_iter(text) {
            let name = matched(&hit);
            let origin = format!("{file}:{}", line_of(text, name.start()));
            let name = name.as_str().to_owned();
            found.entry(name.clone()).or_insert(EnvLine {
                name,
                value: String::new(),
                origin,
                file: file.to_owned(),
            });
        }
    }
    found.into_values().collect()
}

/// The variables of both sides, without the connection string and what the platform sets.
pub fn variables(tree: &SourceTree, services: &Services, connection: Option<&str>) -> Vec<AppVariable> {
    let mut lines = example_lines(tree);
    if lines.iter().all(|line| is_public(&line.name)) {
        for dir in services.running().chain(&services.frontends) {
            lines.extend(
                code_lines(tree, dir)
                    .into_iter()
                    .filter(|line| is_secret(&line.name)),
            );
        }
    }
    let mut found: BTreeMap<String, AppVariable> = BTreeMap::new();
    for line in lines {
        let is_platforms = OF_THE_PLATFORM.iter().any(|start| {
            if start.ends_with('_') {
                line.name.starts_with(start)
            } else {
                line.name == *start || line.name.starts_with(&format!("{start}_")) && *start == "VERCEL"
            }
        });
        if is_platforms || Some(line.name.as_str()) == connection || is_database(&line) {
            continue;
        }
        let (for_backend, for_frontend) = sides(tree, services, &line);
        let known = found.entry(line.name.clone()).or_insert_with(|| AppVariable {
            is_secret: is_secret(&line.name),
            name: line.name.clone(),
            for_backend: false,
            for_frontend: false,
            origin: line.origin.clone(),
        });
        known.for_backend |= for_backend;
        known.for_frontend |= for_frontend;
    }
    found
        .into_values()
        .filter(|variable| variable.for_backend || variable.for_frontend)
        .collect()
}

/// Which sides a line belongs to: those with a folder that has the file; a file of the root by the code that reads the name.
fn sides(tree: &SourceTree, services: &Services, line: &EnvLine) -> (bool, bool) {
    let backends: Vec<&String> = services.running().collect();
    let frontends: Vec<&String> = services.frontends.iter().collect();
    if is_public(&line.name) {
        return (false, !frontends.is_empty());
    }
    let below = |dirs: &[&String]| {
        dirs.iter()
            .any(|dir| !dir.is_empty() && is_below(&line.file, dir))
    };
    let of_folder = (below(&backends), below(&frontends));
    if of_folder != (false, false) {
        return of_folder;
    }
    let reads = |dirs: &[&String]| {
        let mut code = dirs.iter().flat_map(|dir| tree.code(dir));
        code.any(|(_, text)| text.contains(&line.name))
    };
    let has_backend = !backends.is_empty();
    let is_one = backends == frontends;
    let frontend = !frontends.is_empty() && (!has_backend || !is_one && reads(&frontends));
    (has_backend && (!frontend || reads(&backends)), frontend)
}

pub fn is_secret(name: &str) -> bool {
    SECRET.is_match(name)
        && !is_public(name)
        && !name.ends_with("_EXPIRES_IN")
        && !name.contains("EXPIR")
        && !name.contains("PUBLISHABLE")
}

/// Addresses of databases: the platform has them.
fn is_database(line: &EnvLine) -> bool {
    [
        "mongodb://",
        "mongodb+srv://",
        "postgres://",
        "postgresql://",
        "redis://",
        "rediss://",
        "mysql://",
    ]
    .iter()
    .any(|scheme| line.value.starts_with(scheme))
        || line.name.starts_with("MONGO") && !line.name.contains("EXPRESS")
}

fn is_name(name: &str) -> bool {
    name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
