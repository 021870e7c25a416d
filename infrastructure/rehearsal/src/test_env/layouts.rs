//! Repositories in the forms that teams have, made up. Each file of the folder has a name in its first line, then files behind their
//! paths, at the end what is expected: keys of an environment or of the whole file with their values, and names of findings.

use std::path::Path;

use super::git::{git, write_files};
use super::programs::repository;

/// Where they are.
const FOLDER: &str = "xtask/tests/product/init/layouts";
/// An action that installs the program.
pub const ACTION: &str = "x/y/setup-action@0000000000000000000000000000000000000000";

/// One repository.
#[derive(Debug)]
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

impl Layout {
    /// A clone with one commit; links of platforms are ignored there, as the platforms' programs do it.
    pub fn clone_into(&self, dir: &Path) {
        let files = self.files.iter();
        write_files(dir, files.map(|(path, text)| (path.as_str(), text.as_str())));
        git(dir, &["init", "--quiet", "--initial-branch=main"]);
        git(
            dir,
            &["remote", "add", "origin", "git@github.com:orchard/shop.git"],
        );
        std::fs::write(dir.join(".git/info/exclude"), ".vercel\n").unwrap();
        let paths: Vec<&str> = self
            .files
            .iter()
            .map(|(path, _)| path.as_str())
            .filter(|path| !path.contains(".vercel/"))
            .collect();
        git(dir, &[&["add", "--force"][..], &paths].concat());
        git(dir, &["commit", "--quiet", "--message=all"]);
    }
}

/// All of them, by name of their file.
pub fn all() -> Vec<Layout> {
    let files = std::fs::read_dir(repository().join(FOLDER)).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    names.sort();
    names.iter().map(|file| read(file)).collect()
}

/// The one in this file.
pub fn named(name: &str) -> Layout {
    read(&repository().join(FOLDER).join(name).with_extension("txt"))
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

/// The file with something valid in the place of each mark, and no value twice.
pub fn filled(text: &str) -> String {
    let (mut is_of_vercel, mut marks) = (false, 0);
    let line = |line: &str| {
        if line.starts_with('[') {
            is_of_vercel = line.ends_with(".vercel]") || line.ends_with(".frontends]]");
        }
        let Some((key, mark)) = line.split_once("\"<fill in:") else {
            return format!("{line}\n");
        };
        marks += 1;
        let value = match key.trim_end_matches([' ', '=']) {
            "org" => "team_x".to_owned(),
            "project" if is_of_vercel => format!("prj_x{marks}"),
            "project" | "environment" | "service" => format!("11111111-2222-3333-4444-{marks:012}"),
            // In health.toml the mark ends with an example.
            "url" if mark.contains(", as ") => {
                let (_, example) = mark.split_once(", as ").expect("it has one");
                example.trim_end_matches(">\"").to_owned()
            }
            "url" => format!("https://x{marks}.example.com"),
            "domain" => format!("x{marks}.example.com"),
            "uri" => "PROD_X".to_owned(),
            "repository" => "x/y".to_owned(),
            "setup" => ACTION.to_owned(),
            _ => "x".to_owned(),
        };
        format!("{key}\"{value}\"\n")
    };
    text.lines().map(line).collect()
}
