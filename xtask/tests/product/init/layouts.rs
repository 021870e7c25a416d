//! Repositories in the forms that teams have, made up. Each file of the folder has a name in its first line, then files behind their
//! paths, at the end what is expected: keys of an environment or of the whole file with their values, and names of findings.

use std::path::Path;

/// One repository.
pub struct Layout {
    pub name: String,
    pub files: Vec<(String, String)>,
    /// Keys that its files hold, with their values.
    pub keys: Vec<(String, String)>,
    /// Names of findings.
    pub findings: Vec<String>,
}

/// Tables of an environment: a key in one of them is written without what stands before it.
const OF_ENVIRONMENT: &[&str] = &[
    "railway.",
    "vercel.",
    "backends.",
    "frontends.",
    "mongodb.",
    "variables.",
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/product/init/layouts")
}

/// All of them, by name of their file.
pub fn all() -> Vec<Layout> {
    let files = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    names.sort();
    names.iter().map(|file| read(file)).collect()
}

/// The one in this file.
pub fn named(name: &str) -> Layout {
    read(&folder().join(name).with_extension("txt"))
}

fn read(file: &Path) -> Layout {
    let text = std::fs::read_to_string(file).unwrap();
    let mut parts = text.split("\n==== ");
    let name = parts.next().unwrap().to_owned();
    let mut files: Vec<(String, String)> = parts
        .map(|part| part.split_once('\n').unwrap_or((part, "")))
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect();
    let (_, findings) = files.pop().expect("the names of findings are the last");
    let (_, keys) = files.pop().expect("the keys are before the last");
    let key = |line: &str| {
        let (key, value) = line.split_once(" = ").expect("a key has a value");
        let is_short = OF_ENVIRONMENT.iter().any(|table| key.starts_with(table));
        let above = if is_short { "environments.production." } else { "" };
        (format!("{above}{key}"), value.to_owned())
    };
    Layout {
        name,
        files,
        keys: keys.lines().map(key).collect(),
        findings: findings.lines().map(str::to_owned).collect(),
    }
}
