//! The variable with the connection string, the name of the database, and the migrations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::Known;
use super::services::Services;
use super::tree::{SourceTree, ends_in, folder, is_below, join, line_of, matched, name};
use super::variables::{EnvLine, READ_IN_CODE, example_lines};

/// Names that connection strings usually have.
static USUAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:[A-Z0-9]+_)*(?:MONGO|MONGODB|DATABASE|DB|ATLAS)(?:_DB|_DATABASE|_ATLAS|_CONNECTION)?_?(?:UR[IL]|URI?_STRING|CONNECTION(?:_STRING)?|CONN(?:_STRING)?|DETAILS|STRING|DSN)$",
    )
});
static CONNECTS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"mongoose\.connect|createConnection\(|MongoClient\(|mongooseAdapter|MongooseModule\.forRoot|mongodbAdapter|AsyncIOMotorClient|MongoClient\.connect|mongoengine\.connect|mongo_client|MongoStore\.create",
    )
});
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"mongodb(?:\+srv)?://[^\s'"`/]+/([A-Za-z0-9_-]+)"#));
static DB_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?:dbName|databaseName|db_name|database_name)\s*[:=]\s*['"`]([A-Za-z0-9_-]+)['"`]|\.db\(\s*['"`]([A-Za-z0-9_-]+)['"`]|(?i:client|mongo\w*)\[\s*["']([A-Za-z0-9_-]+)["']\s*\]|get_(?:default_)?database\(\s*["']([A-Za-z0-9_-]+)["']"#,
    )
});
static DB_VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:[A-Z0-9]+_)*(?:MONGO|MONGODB|DATABASE|DB)(?:_DB|_DATABASE|DB)?(?:_?NAME|_DB|_DATABASE)$")
});
/// What stands in the place of a variable that is not set, behind its name.
static DEFAULT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"^['"`\]]*\s*(?:\|\||\?\?|,|:[^'"`]*?default\s*[:=])\s*['"`]([A-Za-z0-9_-]+)['"`]"#)
});
/// A setting of pydantic with a value.
static SETTING: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?m)^\s+([a-z_]+)\s*:\s*str\s*=\s*["']([A-Za-z0-9_-]+)["']"#));
static MIGRATIONS_DIR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?:migrationsDir|migrationDir|migrationsPath)["']?\s*[:=]\s*(?:path\.\w+\([^)'"]*)?['"`]([^'"`]+)['"`]"#,
    )
});
/// What a line calls the value that it reads, or has in its place: `MONGO_URI = environ["X"]`, `env.X || 'mongodb://…'`.
static NAMED_MONGO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i)mongo\w*?_?(?:ur[il]|dsn|conn\w*)['"]?\s*[:=]|['"`]mongodb(?:\+srv)?://"#)
});
/// Names that stand for the reader's own.
const STAND_INS: &[&str] = &[
    "test",
    "admin",
    "local",
    "dbname",
    "db_name",
    "database",
    "mydb",
    "my_db",
    "mydatabase",
    "your_database",
    "yourdb",
    "db",
    "database_name",
    "your-database",
    "your_db_name",
    "your_database_name",
    "name",
];

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

/// What the repository holds about its database.
#[derive(Debug)]
pub struct Database {
    /// The name of the variable in the application.
    pub connection: Known,
    pub name: Known,
    pub migrations: Vec<(String, String)>,
    /// Other databases, with their origins.
    pub others: Vec<(String, String)>,
    /// An address inside the platform's private network.
    pub internal: Option<String>,
}

/// Reads examples, code, compose files and schemas.
pub fn database(tree: &SourceTree, services: &Services) -> Database {
    let dir = services.backend.clone().unwrap_or_default();
    let lines = example_lines(tree);
    Database {
        connection: connection(tree, &dir, &lines),
        name: database_name(tree, &dir, &lines),
        migrations: migrations(tree, &dir),
        others: others(tree, &lines),
        internal: lines
            .iter()
            .find(|line| line.value.starts_with("mongodb") && line.value.contains(".railway.internal"))
            .map(|line| line.origin.clone()),
    }
}

fn connection(tree: &SourceTree, dir: &str, lines: &[EnvLine]) -> Known {
    let mut found: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let mut note = |name: &str, points: u32, origin: String| {
        let known = found.entry(name.to_owned()).or_insert((0, origin));
        known.0 += points;
    };
    for line in lines {
        if line.value.starts_with("mongodb") {
            note(&line.name, 20, format!("{} has a connection string", line.origin));
        } else if USUAL.is_match(&line.name) && !is_relational(&line.value) {
            note(
                &line.name,
                if line.name.contains("MONGO") { 8 } else { 2 },
                line.origin.clone(),
            );
        }
    }
    let relational = relational_variables(tree, lines);
    for (file, text) in tree.code(dir) {
        let connects: Vec<usize> = CONNECTS
            .find_iter(text)
            .map(|hit| line_of(text, hit.start()))
            .collect();
        let is_mongo_schema = ends_in(file, &[".prisma"]) && text.contains("\"mongodb\"");
        for hit in READ_IN_CODE.captures_iter(text) {
            let name = matched(&hit);
            let line = line_of(text, name.start());
            let near = connects.iter().any(|at| line.abs_diff(*at) <= 4);
            let usual = USUAL.is_match(name.as_str());
            let is_named = || NAMED_MONGO.is_match(whole_line(text, name.start()));
            let points = match (near, is_mongo_schema, usual) {
                (_, true, _) => 30,
                (true, _, true) => 15,
                (_, _, false) if is_named() => 12,
                (false, _, true) if name.as_str().contains("MONGO") => 8,
                (false, _, true) if !connects.is_empty() => 8,
                (false, _, true) => 2,
                _ => 0,
            };
            if points > 0 {
                note(name.as_str(), points, format!("{file}:{line}"));
            }
        }
        if ends_in(file, &[".py"]) {
            python_settings(file, text, &mut note);
        }
    }
    for (file, text) in tree.named(|name| name.contains("compose") && ends_in(name, &[".yml", ".yaml"])) {
        for hit in COMPOSED.captures_iter(text) {
            note(
                &hit[1],
                10,
                format!(
                    "{file}:{}",
                    line_of(text, hit.get(1).expect("it is no option").start())
                ),
            );
        }
    }
    found.retain(|name, _| !relational.contains(name) && !name.contains("TEST"));
    let best = found
        .into_iter()
        .filter(|(_, (points, _))| *points >= 4)
        .max_by_key(|(_, (points, _))| *points);
    best.map_or_else(
        || Known::missing("the variable with the connection string of MongoDB"),
        |(name, (_, origin))| Known::found(&name, origin),
    )
}

/// The line of a byte.
fn whole_line(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..].lines().next().unwrap_or_default()
}

static COMPOSED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"([A-Z][A-Z0-9_]+)["']?\s*[:=]\s*["']?mongodb(?:\+srv)?://"#));
/// Settings of pydantic: the field in small letters is the variable in capitals.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^\s+(mongo\w*_(?:ur[il]|connection\w*|dsn)|database_ur[il]|mongo_?details)\s*:\s*\w")
});

fn python_settings(file: &str, text: &str, note: &mut impl FnMut(&str, u32, String)) {
    if text.contains("BaseSettings") {
        for hit in FIELD.captures_iter(text) {
            let at = hit.get(1).expect("it is no option").start();
            note(
                &hit[1].to_ascii_uppercase(),
                12,
                format!("{file}:{}", line_of(text, at)),
            );
        }
    }
}

fn is_relational(value: &str) -> bool {
    [
        "postgres",
        "mysql",
        "sqlite",
        "file:",
        "mssql",
        "redis",
        "sqlserver",
    ]
    .iter()
    .any(|scheme| value.starts_with(scheme))
}

/// Variables of databases that are not MongoDB.
fn relational_variables(tree: &SourceTree, lines: &[EnvLine]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = lines
        .iter()
        .filter(|line| is_relational(&line.value))
        .map(|line| line.name.clone())
        .collect();
    for (_, text) in tree.named(|name| ends_in(name, &[".prisma"])) {
        if text.contains("provider") && !text.contains("\"mongodb\"") {
            names.extend(READ_IN_CODE.captures_iter(text).filter_map(|hit| {
                hit.iter()
                    .skip(1)
                    .flatten()
                    .next()
                    .map(|name| name.as_str().to_owned())
            }));
        }
    }
    names
}

fn database_name(tree: &SourceTree, dir: &str, lines: &[EnvLine]) -> Known {
    // The surest first: a name in code holds everywhere, an address in an example only for its writer.
    let mut levels: Vec<Vec<(String, String)>> = vec![Vec::new(); 4];
    for (file, text) in tree.code(dir) {
        let is_migrations = name(file).starts_with("migrate-mongo-config");
        let is_of_driver = ["ongo", "MONGO", "otor"].iter().any(|part| text.contains(part));
        if is_migrations || is_of_driver {
            for hit in DB_NAME.captures_iter(text) {
                let name = matched(&hit);
                levels[0].push((
                    name.as_str().into(),
                    format!("{file}:{}", line_of(text, name.start())),
                ));
            }
        }
        for hit in ADDRESS.captures_iter(text) {
            let name = hit.get(1).expect("it is no option");
            levels[2].push((
                name.as_str().into(),
                format!("{file}:{}", line_of(text, name.start())),
            ));
        }
    }
    for (file, text) in tree.code(dir) {
        levels[2].extend(defaults(file, text));
    }
    for line in lines {
        if DB_VARIABLE.is_match(&line.name) && !line.value.is_empty() {
            levels[1].push((line.value.clone(), line.origin.clone()));
        }
        if let Some(hit) = ADDRESS.captures(&line.value) {
            levels[1].push((hit[1].to_owned(), line.origin.clone()));
        }
    }
    for (file, text) in tree.named(|name| name.contains("compose") && name.contains(".y")) {
        let address = ADDRESS.captures_iter(text);
        levels[3].extend(address.map(|hit| (hit[1].to_owned(), file.to_owned())));
    }
    let mut several = BTreeSet::new();
    for level in &mut levels {
        level.retain(|(name, _)| !is_stand_in(name));
        let names: BTreeSet<&String> = level.iter().map(|(name, _)| name).collect();
        if names.len() == 1 {
            let (name, origin) = &level[0];
            return Known::found(name, origin.clone());
        }
        several.extend(names.into_iter().cloned());
    }
    let several: Vec<String> = several.into_iter().collect();
    Known::missing(if several.is_empty() {
        "the name of the one database that is backed up and restored".to_owned()
    } else {
        format!("the name of the database, one of {}", several.join(", "))
    })
}

/// Names that the code takes where the variable with the name is not set.
fn defaults(file: &str, text: &str) -> Vec<(String, String)> {
    let read = READ_IN_CODE.captures_iter(text).filter_map(|hit| {
        let variable = matched(&hit);
        let is_name = DB_VARIABLE.is_match(variable.as_str());
        let default = is_name
            .then(|| DEFAULT.captures(&text[variable.end()..]))
            .flatten()?;
        Some((default[1].to_owned(), variable.start()))
    });
    let settings = SETTING.captures_iter(text).filter_map(|hit| {
        let variable = hit.get(1).expect("it is no option");
        let is_name =
            text.contains("BaseSettings") && DB_VARIABLE.is_match(&variable.as_str().to_ascii_uppercase());
        is_name.then(|| (hit[2].to_owned(), variable.start()))
    });
    let all = read.chain(settings);
    all.map(|(name, at)| (name, format!("{file}:{}", line_of(text, at))))
        .collect()
}

fn is_stand_in(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    STAND_INS.contains(&small.as_str())
        || small.contains("your")
        || small.ends_with("test")
        || small.starts_with("test")
}

/// Folders of migrations, with where they were found.
fn migrations(tree: &SourceTree, dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let configs = tree.texts.iter().filter(|(file, _)| {
        name(file).starts_with("migrate-mongo-config") || name(file).starts_with("payload.config")
    });
    for (file, text) in configs.filter(|(file, _)| !super::tree::is_aside(file)) {
        let named = MIGRATIONS_DIR
            .captures(text)
            .map(|hit| hit[1].trim_start_matches("./").trim_end_matches('/').to_owned());
        if let Some(folder_name) =
            named.or_else(|| name(file).starts_with("migrate").then(|| "migrations".to_owned()))
        {
            // Some programs read the path from where they are started.
            let beside = join(folder(file), &folder_name);
            let has_files = |dir: &str| tree.files.iter().any(|file| is_below(file, dir));
            let from_start = [join(dir, &folder_name), folder_name];
            let path = from_start
                .into_iter()
                .find(|path| !has_files(&beside) && has_files(path));
            found.push((path.unwrap_or(beside), file.clone()));
        }
    }
    if found.is_empty() {
        for file in tree
            .files
            .iter()
            .filter(|file| is_below(file, dir) && !super::tree::is_aside(file))
        {
            let above = folder(file);
            let small = name(above).to_ascii_lowercase();
            let has_name = small.contains("migration") || small == "migrate";
            let relational = ends_in(file, &[".sql"])
                || file.ends_with("migration_lock.toml")
                || above.contains("alembic")
                || tree.text(file).is_some_and(|text| {
                    text.contains("from django.db")
                        || text.contains("queryInterface")
                        || text.contains("QueryRunner")
                });
            if has_name && !relational && !found.iter().any(|(known, _)| known == above) {
                found.push((above.to_owned(), "the folder has files".to_owned()));
            }
        }
    }
    found
}

/// Databases that no backup of MongoDB has.
fn others(tree: &SourceTree, lines: &[EnvLine]) -> Vec<(String, String)> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    for line in lines {
        let kind = [("postgres", "PostgreSQL"), ("mysql", "MySQL")]
            .iter()
            .find(|(scheme, _)| line.value.starts_with(scheme));
        if let Some((_, kind)) = kind {
            found.entry(*kind).or_insert_with(|| line.origin.clone());
        }
    }
    for (file, text) in tree.named(|name| ends_in(name, &[".prisma"])) {
        if text.contains("\"postgresql\"") {
            found.entry("PostgreSQL").or_insert_with(|| file.to_owned());
        }
    }
    for package in super::package::packages(tree) {
        let drivers = ["pg", "asyncpg", "psycopg", "psycopg2", "psycopg2-binary"];
        if drivers
            .iter()
            .any(|driver| package.dependencies.contains(*driver))
        {
            found.entry("PostgreSQL").or_insert(package.file);
        }
    }
    found
        .into_iter()
        .map(|(kind, origin)| (kind.to_owned(), origin))
        .collect()
}
